"""Two servers on one home and one database: a full disk, SIGTERM and SIGKILL under load; then what a new start finds.

The tests go on from one another: the first server is told to stop, the second one is killed, and a third one is started.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.routing.endpoint import Endpoint, Handler, endpoint, says
from tests.serving.faults.conftest import OPENED, PORT, ROW, make_home
from tests.serving.faults.processes import Caller, Load, Reply, Server, server, servers, traces, until

IN_HAND = 12


class Pair:
    """Two servers, and a general model that answers when it is let."""

    def __init__(self, home: Path, both: list[Server], general: Endpoint, *, is_small: bool) -> None:
        self.home, self.general, self.is_small = home, general, is_small
        self.stopped, self.killed = both


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    root = tmp_path_factory.mktemp("pair")
    is_small = _mounted(root)
    with ExitStack() as stack:
        stack.callback(_unmounted, root)
        general = stack.enter_context(endpoint(says(OPENED)))
        home = make_home(root)
        command = ("mood", "gate", "--general", general.base_url, "--general-model", "big")
        both = stack.enter_context(servers(home, command, command))
        yield Pair(home, both, general, is_small=is_small)


def _mounted(folder: Path) -> bool:
    """Let `folder` be a small disk of its own; only root may, and not everywhere."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    return (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True
        ).returncode
        == 0
    )


def _unmounted(folder: Path) -> None:
    if os.path.ismount(folder):
        subprocess.run(["umount", "-l", folder], check=False)


def ask(caller: Caller) -> Reply:
    return caller.predict("mood", ROW.input)


def assert_kept(home: Path, replies: list[Reply]) -> None:
    """Every answer that came is in the trace, once and as it was given."""
    kept = traces(home)
    answered = [reply.value for reply in replies if reply.status == 200]
    assert answered
    assert len({one["trace_id"] for one in answered}) == len(answered)
    assert [one for one in answered if kept.get(one["trace_id"], {}).get("output") != one["output"]] == []


def test_two_servers_keep_every_trace_in_one_database(pair: Pair) -> None:
    with Load(pair.stopped, ask, callers=4) as first, Load(pair.killed, ask, callers=4) as second:
        until(lambda: min(len(first.replies), len(second.replies)) > 100, "answers of both servers")
    for load in (first, second):
        assert load.broken == []
        assert {reply.status for reply in load.replies} == {200}
    assert_kept(pair.home, [*first.replies, *second.replies])


def test_a_full_disk_is_told_and_all_is_well_when_there_is_room_again(pair: Pair) -> None:
    if not pair.is_small:
        pytest.skip("a small disk cannot be mounted here")
    filler = pair.home.parent / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    refused = [until(partial(_refused, one), "a refusal") for one in (pair.stopped, pair.killed)]
    for reply in refused:
        assert reply.value["error"]["message"] == "the disk is full"
        assert reply.value["error"]["problems"][0]["mend"] == "free some space"
    filler.unlink()
    replies = [one.predict("mood", ROW.input) for one in (pair.stopped, pair.killed)]
    assert [reply.status for reply in replies] == [200, 200]
    assert_kept(pair.home, replies)


def _refused(one: Server) -> Reply | None:
    """Some answers still fit into what the database has of the disk already."""
    reply = one.predict("mood", "today is great " * 2000)
    assert reply.status in (200, 507)
    return reply if reply.status == 507 else None


def test_told_to_stop_it_answers_what_it_has_in_hand_takes_nothing_new_and_exits_with_0(pair: Pair) -> None:
    one, arrived = pair.stopped, len(pair.general.bodies)

    def held(endpoint: Endpoint, handler: Handler) -> None:
        """Answers when the server takes no more callers."""
        until(lambda: _takes_nobody(one), "a server that takes nobody")
        says(OPENED)(endpoint, handler)

    pair.general.script[:] = [held]
    with Load(one, ask, callers=6) as load, ThreadPoolExecutor(IN_HAND) as pool:
        in_hand = [pool.submit(one.predict, "gate", PORT) for _ in range(IN_HAND)]
        until(lambda: len(pair.general.bodies) == arrived + IN_HAND, "requests in hand")
        code = one.end(signal.SIGTERM)
        answered = [each.result() for each in in_hand]
    assert code == 0
    assert [(reply.status, reply.value["stage"]) for reply in answered] == [(200, "general")] * IN_HAND
    assert {reply.status for reply in load.replies} == {200}
    assert_kept(pair.home, [*load.replies, *answered])
    assert "Traceback" not in one.said()


def _takes_nobody(one: Server) -> bool:
    try:
        one.send("GET", "/healthz")
    except OSError:
        return True
    return False


def test_killed_under_load_it_has_kept_every_answer_that_it_gave(pair: Pair) -> None:
    with Load(pair.killed, ask, callers=8) as load:
        until(lambda: len(load.replies) > 100, "answers")
        assert pair.killed.end(signal.SIGKILL) == -signal.SIGKILL
    assert len(load.broken) == 8
    assert_kept(pair.home, load.replies)  # as the file is after the kill
    with server(pair.home, "mood") as again:
        later = again.predict("mood", ROW.input)
        assert_kept(pair.home, [*load.replies, later])
        assert again.end() == 0
