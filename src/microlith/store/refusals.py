"""What a database refuses, in plain words: every error of SQLAlchemy and its drivers becomes a StorageError."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from microlith.errors import StorageError, first_line
from microlith.store.address import place_of

_ANOTHER = "name another database, or another home with MICROLITH_HOME"
_BUSY = ("the database is locked by another process", "end what holds it, or try again")
_SQLITE = {
    3: ("the database may not be used", "give this user the right to read and write it"),
    5: _BUSY,
    6: _BUSY,
    8: ("the database may not be written", f"make it and its folder writable, or {_ANOTHER}"),
    10: ("the disk reports an error", "free some space and check the disk"),
    11: ("the database is damaged", f"put back a copy of it, or {_ANOTHER}"),
    13: ("the disk is full", "free some space"),
    26: ("the file is no SQLite database", f"move it away, or {_ANOTHER}"),
}
"""By SQLite's primary result code (sqlite.org/rescode.html)."""
_POSTGRESQL = {
    "08": ("the connection to the database is lost", "check that the server runs and can be reached"),
    "28": ("the server does not let this user in", "check the user's name and password"),
    "3D": ("the server has no such database", "create it: createdb NAME"),
    "3F": ("the database has no schema to write to", "give the user a schema in its search_path"),
    "25006": ("the database may only be read", "name the server that may be written"),
    "42501": ("the user may not do this", "give the user the right to create and write tables"),
    "40": _BUSY,
    "55P03": _BUSY,
    "53100": ("the server's disk is full", "free some space there"),
    "53": ("the server has no resources left", "allow it more connections or memory"),
    "57": ("the server is stopping or starting", "try again when it runs"),
    "58": ("the server's disk reports an error", "check the server's disk"),
    "XX": ("the database is damaged", "look into the server's log"),
}
"""By SQLSTATE or its class (PostgreSQL documentation, appendix A)."""
_REACH = "check that the server runs, and its address"


@contextmanager
def refusals(engine: Engine) -> Iterator[None]:
    """Turns what the database refuses inside the block into a StorageError that names the place and the mend.

    Raises:
        StorageError: where the database refuses; other errors pass.
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise refusal(error, engine.url) from error


def refusal(error: SQLAlchemyError, address: URL) -> StorageError:
    """The StorageError for `error`; its text holds no password and no values of rows."""
    what, mend = _known(error, address)
    return StorageError(_without_password(what, address), place=place_of(address), mend=mend)


def is_passing(error: StorageError) -> bool:
    """True where a lock was in the way that may be gone a moment later."""
    cause = error.__cause__
    if not isinstance(cause, OperationalError):
        return False
    state = getattr(cause.orig, "sqlstate", None) or ""
    return _sqlite_code(cause) in (5, 6) or state == "55P03" or state.startswith("40")


def is_of_a_row(error: Exception) -> bool:
    """True where a row was refused for what it holds, so that other rows may still be kept."""
    cause = error.__cause__
    return isinstance(cause, IntegrityError | DataError) or (
        isinstance(cause, StatementError) and not isinstance(cause, DBAPIError)
    )


def _known(error: SQLAlchemyError, address: URL) -> tuple[str, str | None]:
    if isinstance(error, PoolTimeout):
        return "every connection to the database is in use", "try again"
    if isinstance(error, IntegrityError):
        return "the database holds such a row already, or a value is missing", None
    if not isinstance(error, DBAPIError) or error.orig is None:
        return f"the row cannot be kept: {first_line(getattr(error, 'orig', None) or error)}", None
    code = _sqlite_code(error)
    if code == 14:
        return _cannot_open(str(address.database))
    if code is not None:
        return _SQLITE.get(code, (f"the database refuses: {first_line(error.orig)}", None))
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return _no_state(error)
    found = _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
    return found or (f"the database refuses: {first_line(error.orig)}", None)


def _no_state(error: DBAPIError) -> tuple[str, str | None]:
    """A PostgreSQL error that no server sent: it was not reached, it let nobody in, or the connection broke."""
    said = str(error.orig)
    if "authentication" in said or "no password supplied" in said:
        return _POSTGRESQL["28"]
    if 'FATAL:  database "' in said:
        return _POSTGRESQL["3D"]
    if "FATAL:  the database system is" in said:
        return _POSTGRESQL["57"]
    if "too many" in said:
        return _POSTGRESQL["53"]
    if error.connection_invalidated:
        return _POSTGRESQL["08"]
    what = "the server cannot be used" if isinstance(error, OperationalError) else "the database refuses"
    return f"{what}: {first_line(error.orig or error)}", _REACH


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _cannot_open(path: str) -> tuple[str, str | None]:
    if os.path.isdir(path):
        return "a folder stands where the database should be", f"move it away, or {_ANOTHER}"
    if os.path.exists(path) and not _may(path, os.R_OK):
        return "the database may not be read", "give this user the right to read and write it"
    if not _may(os.path.dirname(path) or ".", os.W_OK | os.X_OK):
        return "the database's folder may not be written", f"make it writable, or {_ANOTHER}"
    return "the database cannot be opened", f"check the file and its folder, or {_ANOTHER}"


def _may(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _without_password(text: str, address: URL) -> str:
    hidden = [address.password, *(value for name, value in address.query.items() if "pass" in name.lower())]
    for value in hidden:
        if isinstance(value, str) and value:
            text = text.replace(value, "***")
    return text
