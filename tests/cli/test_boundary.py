"""How commands end: exit codes, clean errors, tracebacks only on request."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from microlith.cli import boundary
from microlith.errors import DataError, GateFailed, MicrolithError, Problem, StorageError, UnknownTask

Run = Callable[[list[str]], int]


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    def set_error(error: BaseException) -> None:
        def fail(arguments: list[str]) -> int:
            raise error

        monkeypatch.setattr(boundary, "_dispatch", fail)

    return set_error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GateFailed("low"), 1), (UnknownTask("no task"), 3), (DataError("bad row"), 4), (StorageError("full"), 9),
        (KeyboardInterrupt(), 130), (RuntimeError("odd"), 70),
    ],
)  # fmt: skip
def test_exit_codes(error: BaseException, code: int, raising: Callable[[BaseException], None]) -> None:
    raising(error)
    assert boundary.run(["train"]) == code


def test_an_error_shows_what_place_and_mend(
    raising: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(DataError("bad rows", problems=[Problem(what="no input", place="a.jsonl:3", mend='add "input"')]))
    boundary.run(["data"])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "error: bad rows",
        "  at   a.jsonl:3",
        "       no input",
        '  mend add "input"',
    ]


def test_an_error_for_machines_is_json(
    raising: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(MicrolithError("broken", place="x:1", mend="mend it"))
    boundary.run(["lint", "--json"])
    error = json.loads(capsys.readouterr().err)["error"]
    assert error == {
        "kind": "MicrolithError", "what": "broken", "problems": [{"what": "broken", "place": "x:1", "mend": "mend it"}],
    }  # fmt: skip


def test_an_unforeseen_error_is_one_line_and_a_way_to_the_traceback(
    raising: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(RuntimeError("odd\nsecond line"))
    boundary.run(["train"])
    told = capsys.readouterr().err
    assert "RuntimeError: odd" in told
    assert "--debug" in told
    assert "Traceback" not in told
    boundary.run(["train", "--debug"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["train"], ["ask", "infra", "--nonsense"], ["data", "nonsense"]]
)
def test_a_command_line_that_cannot_be_read_leaves_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert boundary.run(arguments) == 2
    assert "Usage:" in capsys.readouterr().err
