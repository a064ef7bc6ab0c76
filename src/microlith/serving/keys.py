"""API keys: who may ask which task.

A key is the text `mk_<id>_<secret>`. The file `keys.json` holds a salted sha256 of it and never the key itself; a slow
hash would add nothing, since the secret is 256 random bits. Servers notice a changed file at the next request.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from microlith.errors import NotAllowed, NotForTask, Problem, StorageError, UsageError
from microlith.registry.folders import PART, disk
from microlith.registry.home import checked_name

EVERY_TASK = "*"
"""Stands among the tasks of a key that is good for all of them."""
FILE_NAME = "keys.json"
"""Name of the file in the home."""

_FORM = re.compile(r"mk_([0-9a-f]{8})_[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = r"^sha256:[0-9a-f]{32}:[0-9a-f]{64}$"
_NOBODY = "sha256:" + "0" * 32 + ":" + "0" * 64
"""Compared with where no entry is found, so that an unknown id takes as long as a wrong secret."""
_SEND = 'send it as "Authorization: Bearer KEY"'


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is kept of a key."""

    name: str
    """Who it was given to; shown in logs and limits. During a rotation two entries share it."""
    key_id: str
    """The public part of the key, 8 hexadecimal digits."""
    tasks: tuple[str, ...]
    """Names of the tasks that it is good for; `*` for every one."""
    created: datetime
    expires: datetime | None
    """From when on it is refused; None for never."""
    hash: str = field(repr=False)
    """`sha256:<salt>:<digest>` of the whole key."""

    def may(self, task: str) -> bool:
        """Is it good for this task?"""
        return EVERY_TASK in self.tasks or task in self.tasks

    def is_expired(self, now: float) -> bool:
        """Is it refused at `now`, in seconds since 1970?"""
        return self.expires is not None and self.expires.timestamp() <= now


def key_of(headers: Mapping[str, str]) -> str | None:
    """The key that a request carries in `Authorization: Bearer`, `apikey` or `x-api-key`; None where there is none.

    A Supabase client sends its user's token as the bearer and the key as `apikey`: what looks like one of our keys
    goes before what does not.
    """
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    scheme, _, bearer = lower.get("authorization", "").partition(" ")
    sent = [
        bearer.strip() if scheme.lower() == "bearer" else "",
        lower.get("apikey", ""),
        lower.get("x-api-key", ""),
    ]
    found = [key for key in sent if key]
    return next((key for key in found if _FORM.fullmatch(key)), found[0] if found else None)


class KeyStore:
    """The keys in one file. Several processes may change it at a time; each sees the changes of the others."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Use the file at `path`, which need not exist yet; `clock` gives seconds since 1970."""
        self.path = path
        self._clock = clock
        self._stamp: tuple[int, ...] | None = None
        self._known: tuple[Entry, ...] | StorageError = ()
        self._has_asked = False

    @property
    def required(self) -> bool:
        """Must a caller show a key? False where there never were any in this process's life; True where the file could not be read.

        Whoever revokes the last key of a running server wants to let nobody in, not everybody.
        """
        if not self._has_asked:
            try:
                self._has_asked = bool(self._entries())
            except StorageError:
                self._has_asked = True
        return self._has_asked

    def check(self, key: str | None, task: str | None) -> Entry:
        """The entry of a key that may ask `task`; None asks for no task in particular.

        Raises:
            NotAllowed: if the key is missing, unknown, wrong or expired.
            NotForTask: if it is good for other tasks only.
            StorageError: if the file of keys is damaged, unsafe or gone; then nobody is let in.
        """
        entries = self._entries()
        if key is None:
            raise NotAllowed("an API key is needed", mend=_SEND)
        form = _FORM.fullmatch(key)
        entry = next((one for one in entries if form and one.key_id == form[1]), None)
        is_right = hmac.compare_digest(_hash(key, _salt(entry)), entry.hash if entry else _NOBODY)
        if entry is None or not is_right:
            raise NotAllowed(
                "the API key is not known here", mend=f"ask for a key of this server and {_SEND}"
            )
        if entry.is_expired(self._clock()):
            raise NotAllowed(f"the API key {entry.name!r} has expired", mend="ask for a new one")
        if task is not None and not entry.may(task):
            raise NotForTask(
                f"the API key {entry.name!r} is not for the task {task!r}",
                mend=f"it is for {', '.join(entry.tasks)}; ask for a key for {task}",
            )
        return entry

    def list(self) -> tuple[Entry, ...]:
        """Every entry, expired ones too, the oldest first.

        Raises:
            StorageError: if the file is damaged, unsafe or gone.
        """
        return self._entries()

    def create(self, name: str, tasks: tuple[str, ...], days: float | None = None) -> tuple[str, Entry]:
        """A new key, shown this once, and what is kept of it.

        Args:
            name: Who it is for: 1-64 letters, digits and `. _ @ -`.
            tasks: At least one name; `*` for every task.
            days: How long it lives; None for ever.

        Raises:
            UsageError: if the name is taken or impossible, or no task is named.
            StorageError: if the file is damaged or the disk refuses.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be a key's name", mend="use 1-64 letters, digits and . _ @ -")
        if not tasks:
            raise UsageError("a key needs a task", mend=f'name one, or "{EVERY_TASK}" for every task')
        if days is not None and not 0 < days <= 36500:
            raise UsageError(f"a key cannot live {days:g} days", mend="name 1-36500 days, or none for ever")
        for task in tasks:
            if task != EVERY_TASK:
                checked_name(task)
        life = None if days is None else timedelta(days=days)
        with self._changing() as entries:
            if any(one.name == name for one in entries):
                raise UsageError(
                    f"there is a key {name!r} already", mend=f"microlith keys rotate {name}, or revoke it"
                )
            key, entry = _new(name, tuple(dict.fromkeys(tasks)), self._now(), life)
            self._write((*entries, entry))
        return key, entry

    def rotate(self, name: str, grace_s: float) -> tuple[str, Entry]:
        """A new key for the same tasks, with the same length of life; the old one is good for `grace_s` seconds more.

        Raises:
            UsageError: if there is no key of that name, or the grace is negative.
            StorageError: if the file is damaged or the disk refuses.
        """
        if not 0 <= grace_s <= 366 * 86400:
            raise UsageError(f"a grace of {grace_s:g} s cannot be", mend="name 0 s to 366 days")
        now = self._now()
        until = now + timedelta(seconds=grace_s)
        with self._changing() as entries:
            newest = self._named(name, entries)[-1]
            life = None if newest.expires is None else newest.expires - newest.created
            key, entry = _new(name, newest.tasks, now, life)
            ending = (one if one.name != name else _ended(one, until) for one in entries)
            kept = [one for one in ending if one.name != name or not one.is_expired(now.timestamp())]
            self._write((*kept, entry))
        return key, entry

    def revoke(self, name: str) -> int:
        """Forget every key of that name; gives how many there were, two during a rotation.

        Raises:
            UsageError: if there is none.
            StorageError: if the file is damaged or the disk refuses.
        """
        with self._changing() as entries:
            gone = self._named(name, entries)
            self._write(tuple(one for one in entries if one.name != name))
        return len(gone)

    def _named(self, name: str, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        found = tuple(one for one in entries if one.name == name)
        if not found:
            names = ", ".join(dict.fromkeys(one.name for one in entries))
            mend = f"choose one of {names}" if names else "create one: microlith keys create"
            raise UsageError(f"there is no key {name!r}", mend=mend)
        return found

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _entries(self) -> tuple[Entry, ...]:
        """The entries as the file has them at this moment; read again only where the file has changed."""
        stamp = self._stamp_now()
        if stamp is None:
            if self._stamp is None:
                return ()
            # A file that vanishes under a running server is an accident or an attack, not a wish to let everybody in.
            raise StorageError(
                "the file of keys is gone", place=str(self.path), mend="put it back or restart"
            )
        if stamp != self._stamp:
            self._stamp, self._known = self._read()
        if isinstance(self._known, StorageError):
            raise StorageError(self._known.what, problems=self._known.problems)
        return self._known

    def _stamp_now(self) -> tuple[int, ...] | None:
        try:
            return _stamp_of(self.path.stat())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"the keys cannot be read: {error.strerror}", place=str(self.path)) from error

    def _read(self) -> tuple[tuple[int, ...], tuple[Entry, ...] | StorageError]:
        try:
            with self.path.open("rb") as file:
                facts = os.fstat(file.fileno())
                text = file.read()
        except OSError as error:
            raise StorageError(f"the keys cannot be read: {error.strerror}", place=str(self.path)) from error
        try:
            return _stamp_of(facts), _parsed(text, facts.st_mode, str(self.path))
        except StorageError as error:
            return _stamp_of(facts), error

    @contextmanager
    def _changing(self) -> Iterator[tuple[Entry, ...]]:
        """The entries, while no other process may change them."""
        with disk(self.path):
            if not self.path.parent.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _wait_for(lock)
            yield self._entries()
        finally:
            os.close(lock)

    def _write(self, entries: tuple[Entry, ...]) -> None:
        """Replace the file in one step; it is readable for its owner alone from the first byte on."""
        part = self.path.with_name(f"{PART}{self.path.name}-{secrets.token_hex(4)}")
        with disk(self.path):
            try:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(_text_of(entries))
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(self.path)
            except OSError:
                part.unlink(missing_ok=True)
                raise


class _Row(BaseModel):
    """One key in the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=f"^{_NAME.pattern}$")
    key_id: str = Field(pattern="^[0-9a-f]{8}$")
    tasks: list[str] = Field(min_length=1)
    created: AwareDatetime
    expires: AwareDatetime | None
    hash: str = Field(pattern=_HASH)


class _File(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1]
    keys: list[_Row]


def _parsed(text: bytes, mode: int, place: str) -> tuple[Entry, ...]:
    if os.name == "posix" and stat.S_IMODE(mode) & 0o022:
        raise StorageError("others may write the file of keys", place=place, mend=f"chmod 600 {place}")
    try:
        rows = _File.model_validate_json(text).keys
    except ValidationError as error:
        problems = [
            Problem(what=one["msg"], place=f"{place}#/{'/'.join(map(str, one['loc']))}", mend=_MEND_FILE)
            for one in error.errors(include_input=False, include_url=False)
        ]
        raise StorageError("the file of keys is damaged", problems=problems) from None
    if len({row.key_id for row in rows}) < len(rows):
        raise StorageError("the file of keys is damaged: two keys have one id", place=place, mend=_MEND_FILE)
    return tuple(Entry(**(row.model_dump() | {"tasks": tuple(row.tasks)})) for row in rows)


_MEND_FILE = "put back the file as `microlith keys` wrote it, or remove it and make new keys"


def _text_of(entries: tuple[Entry, ...]) -> bytes:
    rows = [_Row(**(vars(entry) | {"tasks": list(entry.tasks)})) for entry in entries]
    return _File(version=1, keys=rows).model_dump_json(indent=1).encode() + b"\n"


def _stamp_of(facts: os.stat_result) -> tuple[int, ...]:
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino


def _wait_for(lock: int) -> None:
    """Take the lock, which ends with the process at the latest. Where there are none, the last writer wins."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(lock, fcntl.LOCK_EX)


def _new(name: str, tasks: tuple[str, ...], now: datetime, life: timedelta | None) -> tuple[str, Entry]:
    key_id = secrets.token_hex(4)
    key = f"mk_{key_id}_{secrets.token_hex(32)}"
    entry = Entry(
        name=name, key_id=key_id, tasks=tasks, created=now, expires=None if life is None else now + life,
        hash=_hash(key, secrets.token_hex(16)),
    )  # fmt: skip
    return key, entry


def _ended(entry: Entry, until: datetime) -> Entry:
    return replace(entry, expires=until if entry.expires is None else min(until, entry.expires))


def _salt(entry: Entry | None) -> str:
    return (entry.hash if entry else _NOBODY).split(":")[1]


def _hash(key: str, salt: str) -> str:
    digest = hashlib.sha256(bytes.fromhex(salt) + key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"sha256:{salt}:{digest}"
