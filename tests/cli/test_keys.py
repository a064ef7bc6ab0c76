"""`microlith keys` through the real command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from microlith.cli.boundary import run
from microlith.cli.keys import seconds_of
from microlith.errors import NotAllowed, NotForTask, UsageError
from microlith.serving.keys import KeyStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyStore:
    """The keys of an empty home, as a running server reads them."""
    monkeypatch.setenv("MICROLITH_HOME", str(tmp_path / "home"))
    return KeyStore(tmp_path / "home" / "keys.json")


def made(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The one JSON object that a command prints."""
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_made_key_is_shown_once_and_opens_the_server(
    store: KeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["keys", "create", "ci", "--task", "infra", "--task", "cli-intent", "--days", "90"]) == 0
    shown = capsys.readouterr().out
    key = shown.splitlines()[0]
    assert store.check(key, "infra").name == "ci"
    with pytest.raises(NotForTask):
        store.check(key, "task-plan")
    assert run(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert "infra, cli-intent" in listed
    assert key not in listed
    assert key.rpartition("_")[2] not in listed


def test_keys_are_made_and_listed_as_json(store: KeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    facts = made(capsys, "keys", "create", "office", "--task", "*")
    assert store.check(facts["key"], "anything")
    assert (facts["tasks"], facts["expires"]) == (["*"], None)
    listed = made(capsys, "keys", "list")
    assert listed["keys"] == [{name: facts[name] for name in facts if name != "key"} | {"is_expired": False}]
    assert listed["file"] == str(store.path)


def test_a_rotated_key_ends_after_its_grace(store: KeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    old = made(capsys, "keys", "create", "ci", "--task", "infra")
    new = made(capsys, "keys", "rotate", "ci", "--grace", "1h")
    assert store.check(old["key"], "infra")
    assert store.check(new["key"], "infra")
    newer = made(capsys, "keys", "rotate", "ci", "--grace", "0s")
    for gone in (old, new):
        with pytest.raises(NotAllowed):
            store.check(gone["key"], "infra")
    assert store.check(newer["key"], "infra")


def test_a_revoked_key_is_refused_and_the_last_one_is_said_to_be(
    store: KeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    key = made(capsys, "keys", "create", "ci", "--task", "*")["key"]
    assert run(["keys", "revoke", "ci"]) == 0
    assert "no key is left" in capsys.readouterr().out
    with pytest.raises(NotAllowed):
        store.check(key, "infra")
    assert run(["keys", "list"]) == 0
    assert "holds no key" in capsys.readouterr().out
    made(capsys, "keys", "create", "a", "--task", "*")
    made(capsys, "keys", "create", "b", "--task", "*")
    assert made(capsys, "keys", "revoke", "a") == {"name": "a", "revoked": 1, "left": 1}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["create", "ci"], 2, "--task"),
        (["create", "ci", "--task", "../x"], 2, "'../x'"),
        (["create", "c i", "--task", "*"], 2, "cannot be a key's name"),
        (["create", "ci", "--task", "*", "--days", "0"], 2, "--days"),
        (["rotate", "nobody"], 2, "no key 'nobody'"),
        (["rotate", "nobody", "--grace", "soon"], 2, "'soon' is no length of time"),
        (["revoke", "nobody"], 2, "no key 'nobody'"),
    ],
)
def test_what_cannot_work_says_so(
    arguments: list[str], code: int, told: str, store: KeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["keys", *arguments]) == code
    assert told in capsys.readouterr().err
    assert not store.path.exists()


def test_a_damaged_file_leaves_with_9_and_is_kept(
    store: KeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.path.parent.mkdir()
    store.path.write_text("{")
    assert run(["keys", "create", "ci", "--task", "*"]) == 9
    assert str(store.path) in capsys.readouterr().err
    assert store.path.read_text() == "{"


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("10m", 600), ("24h", 86400), (" 7d ", 604800)]
)
def test_a_length_of_time_is_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-1m", "1.5h", "10 m", "1m30s", "٣m", "1" * 20 + "s"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        seconds_of(text)
