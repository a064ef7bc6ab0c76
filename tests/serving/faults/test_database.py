"""A database that is locked, gone, replaced or not writable: no answer without its trace, and all is well afterwards."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serving.faults.conftest import ROW, Plain
from tests.serving.faults.processes import traces

resource = pytest.importorskip("resource")


def database(plain: Plain) -> Path:
    return plain.server.home / "microlith.db"


@contextmanager
def locked(plain: Plain) -> Iterator[None]:
    with closing(sqlite3.connect(database(plain), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def moved_away(plain: Plain) -> Iterator[None]:
    aside = database(plain).parent / "aside"
    aside.mkdir(exist_ok=True)
    for file in database(plain).parent.glob("microlith.db*"):  # what SQLite keeps beside it belongs to it
        file.rename(aside / file.name)
    yield
    for file in database(plain).parent.glob("microlith.db*"):
        file.unlink()
    for file in aside.iterdir():
        file.rename(database(plain).parent / file.name)


@contextmanager
def replaced(plain: Plain) -> Iterator[None]:
    with moved_away(plain):
        database(plain).write_bytes(b"this is no database, whatever its name says" * 100)
        yield


@contextmanager
def refused_by_the_disk(plain: Plain) -> Iterator[None]:
    """Every write of the server to a file fails, as on a disk that is broken."""
    process = plain.server.process.pid
    _, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (0, hard))
    yield
    resource.prlimit(process, resource.RLIMIT_FSIZE, (hard, hard))


def eventually(plain: Plain, status: int) -> Any:
    """What `/readyz` says; it looks at the database once a second."""
    reply = plain.server.send("GET", "/readyz")
    for _ in range(40):
        if reply.status == status:
            break
        time.sleep(0.05)
        reply = plain.server.send("GET", "/readyz")
    assert reply.status == status
    return reply.value


def assert_well(plain: Plain) -> None:
    reply = plain.server.predict("mood", ROW.input)
    assert (reply.status, reply.value["output"]) == (200, ROW.output)
    assert traces(plain.server.home)[reply.value["trace_id"]]["output"] == ROW.output


@pytest.mark.parametrize(
    ("fault", "what", "mend"),
    [
        (moved_away, "the database's file is gone", "put it back"),
        (replaced, "the file is no SQLite database", "move it away"),
        (refused_by_the_disk, "the disk reports an error", "free some space and check the disk"),
    ],
)  # fmt: skip
def test_no_answer_is_given_whose_trace_cannot_be_kept_and_it_works_again_afterwards(
    plain: Plain, fault: object, what: str, mend: str
) -> None:
    assert_well(plain)
    with fault(plain):  # type: ignore[operator]
        refused = plain.server.predict("mood", ROW.input)
        assert refused.status == 507
        error = refused.value["error"]
        assert (error["type"], error["message"]) == ("StorageError", what)
        assert mend in error["problems"][0]["mend"]
        assert str(plain.server.home) not in refused.body.decode()
        ready = eventually(plain, 503)
        assert (ready["status"], ready["why"]) == (
            "not ready",
            "no trace can be kept; the server's log says why",
        )
        assert plain.server.send("GET", "/healthz").status == 200
    assert_well(plain)
    assert eventually(plain, 200)["status"] == "ready"


def test_what_waits_longer_for_a_locked_database_than_it_may_is_told_so(plain: Plain) -> None:
    with locked(plain):
        reply = plain.server.predict("mood", ROW.input)
        assert plain.server.send("GET", "/healthz").status == 200
    assert reply.status == 507
    error = reply.value["error"]
    assert error["message"] == "the database is locked by another process"
    assert error["problems"][0]["mend"] == "end what holds it, or try again"
    assert error["trace_id"] in plain.server.said()
    assert_well(plain)
