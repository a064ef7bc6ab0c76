"""Versions that are promoted or damaged under a running server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from microlith.registry import set_alias
from microlith.task.taskfile import load_task
from tests.serving.faults.conftest import ROW, Plain, make_home
from tests.serving.faults.processes import START_S, Load, Reply, spawn, traces, until
from tests.serving.small import UNPROVEN, corrupt, register


def answering(plain: Plain) -> str:
    reply = plain.server.predict("mood", ROW.input)
    assert (reply.status, reply.value["output"]) == (200, ROW.output)
    return str(reply.value["model"])


@pytest.fixture(scope="module")
def refused_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A server whose live version is damaged, begun early, since a start takes a while."""
    home = make_home(tmp_path_factory.mktemp("damaged"))
    corrupt(home, "mood", 1)
    process = spawn(home, "mood", errors=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def home(plain: Plain, refused_start: object) -> Iterator[Path]:
    """The server's home; version 1 is live before and after."""
    yield plain.server.home
    set_alias("mood", "live", 1, root=plain.server.home)
    until(lambda: answering(plain) == "mood@1", "version 1")


def test_promoting_back_and_forth_under_load_fails_not_one_request(plain: Plain, home: Path) -> None:
    def ask(caller: object) -> Reply:
        return caller.predict("mood", ROW.input)  # type: ignore[attr-defined, no-any-return]

    with Load(plain.server, ask, callers=8) as load:
        for version in (2, 1):
            set_alias("mood", "live", version, root=home)
            until(partial(_answers, load, f"mood@{version}"), "a swap")
    assert load.broken == []
    assert {(reply.status, json.dumps(reply.value["output"])) for reply in load.replies} == {
        (200, json.dumps(ROW.output))
    }
    kept = traces(home)
    assert all(kept[one["trace_id"]]["model"] == one["model"] for one in (r.value for r in load.replies))
    assert len({reply.value["trace_id"] for reply in load.replies}) == len(load.replies) > 8


def _answers(load: Load, model: str) -> bool:
    return bool(load.replies) and load.replies[-1].value["model"] == model


def test_a_damaged_version_is_not_taken_until_it_is_whole_again(plain: Plain, home: Path) -> None:
    version = register(load_task(str(home.parent / "mood")), home)
    file = next((home / "artifacts" / "mood" / str(version)).glob("examples.jsonl"))
    whole = file.read_bytes()
    corrupt(home, "mood", version)
    set_alias("mood", "live", version, root=home)
    until(lambda: f"mood@{version} is not taken" in plain.server.said(), "a word about the damaged version")
    assert answering(plain) == "mood@1"
    file.write_bytes(whole)
    set_alias("mood", "live", 1, root=home)
    look(plain, home)
    set_alias("mood", "live", version, root=home)
    until(lambda: answering(plain) == f"mood@{version}", "the mended version")


def look(plain: Plain, home: Path) -> None:
    """Let the server look once at what is live: it looks at "orders" after "mood"."""
    version = register(load_task(str(home.parent / "orders")), home, heldout=UNPROVEN)
    until(
        lambda: plain.server.send("GET", "/v1/tasks/orders").value["model"] == f"orders@{version}", "a look"
    )


def test_a_file_that_is_damaged_after_it_was_loaded_changes_nothing(plain: Plain, home: Path) -> None:
    file = next((home / "artifacts" / "mood" / "1").glob("examples.jsonl"))
    whole = file.read_bytes()
    try:
        corrupt(home, "mood", 1)
        assert answering(plain) == "mood@1"
    finally:
        file.write_bytes(whole)


def test_an_alias_that_cannot_be_read_does_not_keep_others_from_being_swapped(
    plain: Plain, home: Path
) -> None:
    alias = home / "artifacts" / "orders" / "aliases" / "live"
    alias.parent.mkdir(exist_ok=True)
    alias.write_bytes(b"\xff\x00")
    try:
        set_alias("mood", "live", 2, root=home)
        until(lambda: answering(plain) == "mood@2", "a swap")
    finally:
        alias.unlink()


def test_a_start_with_a_damaged_live_version_says_so_and_exits_with_6(
    refused_start: subprocess.Popen[str],
) -> None:
    out, errors = refused_start.communicate(timeout=START_S)
    assert refused_start.returncode == 6
    told = json.loads(errors or out)
    assert "examples.jsonl" in json.dumps(told)
    assert "Traceback" not in errors
