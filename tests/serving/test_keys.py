"""API keys: who is let in, what the file holds, and that nothing ever fails open."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from microlith.errors import NotAllowed, NotForTask, StorageError, UsageError
from microlith.serving.http_errors import status_of
from microlith.serving.keys import KeyStore, key_of

DAY_S = 86400.0


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> KeyStore:
    return KeyStore(tmp_path / "home" / "keys.json", clock)


def test_a_key_is_good_for_its_tasks_and_no_other(store: KeyStore) -> None:
    key, entry = store.create("ci", ("infra", "cli-intent"))
    assert re.fullmatch(r"mk_[0-9a-f]{8}_[0-9a-f]{64}", key)
    assert store.check(key, "infra") == entry
    assert store.check(key, None).name == "ci"
    with pytest.raises(NotForTask, match="'ci' is not for the task 'task-plan'") as caught:
        store.check(key, "task-plan")
    assert status_of(caught.value) == 403


def test_a_star_is_good_for_every_task(store: KeyStore) -> None:
    key, _ = store.create("all", ("*",))
    assert store.check(key, "whatever").tasks == ("*",)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: None, lambda key: "", lambda key: "mk_", lambda key: key[:-1], lambda key: key + "0",
        lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"), lambda key: key.upper(), lambda key: " " + key,
        lambda key: "mk_00000000_" + key[12:], lambda key: "eyJhbGciOiJIUzI1NiJ9.e30.x", lambda key: "ключ", lambda key: "\ud800",
    ],
)  # fmt: skip
def test_a_missing_or_wrong_key_is_refused_and_not_repeated(
    spoil: Callable[[str], str | None], store: KeyStore
) -> None:
    key, _ = store.create("ci", ("*",))
    sent = spoil(key)
    with pytest.raises(NotAllowed) as caught:
        store.check(sent, "infra")
    assert status_of(caught.value) == 401
    assert not isinstance(caught.value, NotForTask)
    assert not sent or len(sent) < 4 or sent not in str(caught.value)


def test_keys_are_needed_as_soon_as_there_is_one_even_an_expired_one(store: KeyStore, clock: Clock) -> None:
    assert not store.required
    store.create("ci", ("*",), days=1)
    assert store.required
    clock.now += 2 * DAY_S
    assert store.required
    store.revoke("ci")
    assert store.required, "a running server does not open its doors"
    assert not KeyStore(store.path).required


def test_a_key_ends_after_its_days(store: KeyStore, clock: Clock) -> None:
    key, _ = store.create("ci", ("*",), days=2)
    clock.now += 2 * DAY_S - 1
    assert store.check(key, "infra")
    clock.now += 1
    with pytest.raises(NotAllowed, match="'ci' has expired"):
        store.check(key, "infra")


def test_the_file_holds_no_key_and_is_its_owners_alone(store: KeyStore) -> None:
    key, entry = store.create("ci", ("infra",), days=3)
    text = store.path.read_text()
    assert key not in text
    assert key.rpartition("_")[2] not in text
    assert entry.hash not in repr(entry)
    assert json.loads(text)["keys"][0].keys() == {"name", "key_id", "tasks", "created", "expires", "hash"}
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in store.path.parent.iterdir()} == {"keys.json", "keys.json.lock"}


def test_two_keys_of_the_same_text_would_have_different_hashes(store: KeyStore) -> None:
    salts = {store.create(name, ("*",))[1].hash.split(":")[1] for name in ("a", "b")}
    assert len(salts) == 2


def test_a_running_server_sees_what_another_process_changed(store: KeyStore, clock: Clock) -> None:
    other = KeyStore(store.path, clock)
    key, _ = other.create("ci", ("*",))
    assert store.check(key, "infra")
    new, _ = other.rotate("ci", 0)
    assert store.check(new, "infra")
    with pytest.raises(NotAllowed):
        store.check(key, "infra")
    other.revoke("ci")
    with pytest.raises(NotAllowed):
        store.check(new, "infra")


def test_an_unchanged_file_is_read_once(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    key, _ = store.create("ci", ("*",))
    store.check(key, None)
    monkeypatch.setattr(KeyStore, "_read", lambda self: pytest.fail("it was read again"))
    store.check(key, None)


def test_a_rotated_key_works_through_its_grace(store: KeyStore, clock: Clock) -> None:
    old, _ = store.create("ci", ("infra",), days=10)
    clock.now += DAY_S
    new, entry = store.rotate("ci", 600)
    assert entry.tasks == ("infra",)
    assert entry.expires is not None
    assert (entry.expires - entry.created).days == 10
    assert store.check(old, "infra").name == store.check(new, "infra").name == "ci"
    clock.now += 600
    assert store.check(new, "infra")
    with pytest.raises(NotAllowed, match="expired"):
        store.check(old, "infra")


def test_a_rotation_never_makes_the_old_key_live_longer(store: KeyStore, clock: Clock) -> None:
    old, before = store.create("ci", ("*",), days=1)
    store.rotate("ci", 30 * DAY_S)
    assert store.list()[0].expires == before.expires
    clock.now += DAY_S
    with pytest.raises(NotAllowed):
        store.check(old, None)
    store.rotate("ci", 60)
    assert len(store.list()) == 1, "what has ended is cleared away"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda store: store.create("ci", ("*",)), "there is a key 'ci' already"),
        (lambda store: store.create("a b", ("*",)), "cannot be a key's name"),
        (lambda store: store.create("b\nc", ("*",)), "cannot be a key's name"),
        (lambda store: store.create("b", ()), "needs a task"),
        (lambda store: store.create("b", ("../x",)), "task '../x'"),
        (lambda store: store.create("b", ("*",), days=0), "cannot live 0 days"),
        (lambda store: store.rotate("b", 1), "no key 'b' -> choose one of ci"),
        (lambda store: store.rotate("ci", -1), "grace of -1 s"),
        (lambda store: store.revoke("b"), "no key 'b'"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    call: Callable[[KeyStore], object], told: str, store: KeyStore
) -> None:
    store.create("ci", ("*",))
    before = store.path.read_bytes()
    with pytest.raises(UsageError) as caught:
        call(store)
    assert told in str(caught.value)
    assert store.path.read_bytes() == before


DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda text: "", "keys.json#/"),
    "cut off": (lambda text: text[:-20], "keys.json#/"),
    "no object": (lambda text: "[]", "keys.json#/"),
    "deep": (lambda text: "[" * 100_000, "keys.json#/"),
    "unknown version": (lambda text: text.replace('"version": 1', '"version": 2'), "keys.json#/version"),
    "unknown member": (lambda text: text.replace('"tasks"', '"scopes"'), "keys.json#/keys/0/"),
    "no hash": (lambda text: text.replace("sha256:", "plain:"), "keys.json#/keys/0/hash"),
    "no time zone": (lambda text: text.replace("Z", ""), "keys.json#/keys/0/created"),
    "no task": (lambda text: re.sub(r'"tasks": \[[^]]*\]', '"tasks": []', text), "keys.json#/keys/0/tasks"),
    "one id twice": (lambda text: re.sub(r"\[\n? *(\{.*?\})\n* *\]\n*\}", r"[\1,\1]}", text, flags=re.S), "keys.json"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_lets_nobody_in_until_it_is_mended(damage: str, store: KeyStore) -> None:
    key, _ = store.create("ci", ("*",))
    good = store.path.read_text()
    spoil, place = DAMAGE[damage]
    bad = spoil(good)
    assert bad != good
    store.path.write_text(bad)
    for _ in range(2):  # the second time from memory
        assert store.required
        for sent in (key, None):
            with pytest.raises(StorageError) as caught:
                store.check(sent, None)
        assert place in str(caught.value)
    with pytest.raises(StorageError):
        store.create("second", ("*",))
    assert store.path.read_text() == bad, "a damaged file is never overwritten"
    store.path.write_text(good)
    assert store.check(key, None)


def test_a_file_that_vanishes_lets_nobody_in(store: KeyStore) -> None:
    key, _ = store.create("ci", ("*",))
    store.check(key, None)
    store.path.unlink()
    assert store.required
    with pytest.raises(StorageError, match="gone"):
        store.check(key, None)


def test_a_file_that_others_may_write_lets_nobody_in(store: KeyStore) -> None:
    key, _ = store.create("ci", ("*",))
    store.path.chmod(0o666)
    with pytest.raises(StorageError, match="chmod 600"):
        store.check(key, None)
    store.path.chmod(0o644)
    assert store.check(key, None)


def test_a_folder_in_the_files_place_lets_nobody_in(store: KeyStore) -> None:
    store.path.mkdir(parents=True)
    assert store.required
    with pytest.raises(StorageError):
        store.check("mk_x", None)


def test_an_unwritable_home_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a file stands where a folder is expected"):
        KeyStore(tmp_path / "file" / "keys.json").create("ci", ("*",))


def test_processes_that_write_at_once_lose_nothing(store: KeyStore) -> None:
    program = (
        "import sys; from pathlib import Path; from microlith.serving.keys import KeyStore\n"
        "store = KeyStore(Path(sys.argv[1]))\n"
        "for i in range(15): store.create(f'{sys.argv[2]}{i}', ('*',))"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(store.path), name], env=os.environ)
        for name in "abc"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len({entry.name for entry in store.list()}) == 45


KEY = "mk_00000000_" + "a" * 64


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Authorization": f"Bearer {KEY}"}, KEY),
        ({"authorization": f"bearer  {KEY} "}, KEY),
        ({"authorization": f"Basic {KEY}"}, None),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Bearer "}, None),
        ({"apikey": KEY}, KEY),
        ({"X-API-Key": KEY}, KEY),
        ({"authorization": "Bearer eyJ.user.token", "apikey": KEY}, KEY),
        ({"authorization": "Bearer sk-other", "apikey": "other"}, "sk-other"),
        ({"authorization": f"Bearer {KEY}", "apikey": "other"}, KEY),
    ],
)
def test_clients_send_their_key_in_any_of_three_headers(
    headers: dict[str, str], expected: str | None
) -> None:
    assert key_of(headers) == expected
