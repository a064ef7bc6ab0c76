"""Open the database that traces are kept in: a SQLite file in the home, or PostgreSQL by its address."""

from __future__ import annotations

import errno
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from microlith.errors import MissingExtra, StorageError
from microlith.store.address import address_of
from microlith.store.refusals import refusals

BUSY_TIMEOUT_S = 5.0
"""So long a transaction waits for another process's."""
CONNECT_TIMEOUT_S = 5
"""So long a connection to a server may take."""
UNANSWERED_MS = 10_000
"""A server that does not acknowledge for so long is taken for gone."""
PAUSE_S = 0.01
"""Pause before a lock is tried again where SQLite itself does not wait."""

_WRITES = "microlith_writes"
_PATIENCE = "microlith_busy_timeout_s"
_FILE = "microlith_file"


def open_engine(url: str | None, root: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Open the database and see that it answers. Its tables are made by `microlith.store.migrate.migrate`.

    A SQLite file is written ahead (WAL), so that readers and the writer do not wait for each other. A transaction is safe
    from the end of this process when it is committed; the last ones before a power cut may be lost.

    Args:
        url: `postgresql://user:password@host:port/database` or `sqlite:///file`; None is the SQLite file of the home.
        root: The home; made where it is missing.
        busy_timeout_s: So long a transaction waits for another process's, in seconds.

    Raises:
        UsageError: if `url` is none of the two.
        MissingExtra: if the driver for PostgreSQL is not installed.
        StorageError: if the database is locked, damaged, none, not ours or cannot be reached.
    """
    address = address_of(url, root)
    is_file = address.get_backend_name() == "sqlite"
    engine = (_open_sqlite if is_file else _open_postgresql)(address, busy_timeout_s)
    try:
        with reading(engine):
            pass
    except BaseException:
        engine.dispose()
        raise
    return engine


def busy_timeout_s(engine: Engine) -> float:
    """So long a transaction of this engine waits for another process's, in seconds."""
    return float(engine.get_execution_options().get(_PATIENCE, BUSY_TIMEOUT_S))


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes: committed when the block ends, undone when it raises.

    In SQLite it is the only writer from its beginning on, so that it never fails halfway for another's lock.

    Raises:
        StorageError: if the database refuses; then nothing is kept.
    """
    with (
        refusals(engine),
        engine.connect() as connection,
        connection.execution_options(**{_WRITES: True}).begin(),
    ):
        yield connection


class Writer:
    """Transactions that write, one after the other and all from one thread.

    In a SQLite file they share one connection, since to take one from the pool costs as much as to write a row. A server may
    restart meanwhile, which the pool sees before it hands out a connection; so there each transaction takes its own.
    """

    def __init__(self, engine: Engine) -> None:
        """Nothing is opened yet."""
        self._engine = engine
        self._held: Connection | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction; see `writing`.

        Raises:
            StorageError: if the database refuses; then nothing is kept.
        """
        if self._engine.dialect.name != "sqlite":
            with writing(self._engine) as connection:
                yield connection
            return
        try:
            with refusals(self._engine):
                connection = self._open()
                with connection.begin():
                    yield connection
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection back."""
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def _open(self) -> Connection:
        """The open connection, unless its file has been moved away or replaced."""
        held = self._held
        if (
            held is not None
            and _identity(Path(str(self._engine.url.database))) != held.connection.info[_FILE]
        ):
            self.close()
        if self._held is None:
            self._held = self._engine.connect().execution_options(**{_WRITES: True})
        return self._held


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that reads: all of it sees the database at one moment.

    Raises:
        StorageError: if the database refuses.
    """
    with refusals(engine), engine.connect() as connection:
        yield connection


def _open_sqlite(address: URL, busy_timeout_s: float) -> Engine:
    path = Path(str(address.database))
    _make_folder(path.parent)
    engine = create_engine(address, connect_args={"timeout": busy_timeout_s}, **_options(busy_timeout_s))
    event.listen(engine, "do_connect", _ThereAgain(path))
    event.listen(engine, "connect", partial(_prepare_sqlite, path, busy_timeout_s))
    event.listen(engine, "checkout", partial(_check_sqlite, path))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


class _ThereAgain:
    """Sees that a file which was open once is there: SQLite would make an empty one in its place."""

    def __init__(self, path: Path) -> None:
        self._path, self._was_open = path, False

    def __call__(self, *_: object) -> None:
        if self._was_open and not self._path.exists():
            raise _gone(self._path)
        self._was_open = True


def _gone(path: Path) -> StorageError:
    return StorageError(
        "the database's file is gone", place=str(path), mend="put it back, or start again with a new one"
    )


def _open_postgresql(address: URL, busy_timeout_s: float) -> Engine:
    limits = {"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": UNANSWERED_MS}
    arguments = {name: value for name, value in limits.items() if name not in address.query}
    try:
        # A connection that has gone stale is found before it is used: a restart of the server loses no write.
        engine = create_engine(
            address, connect_args=arguments, pool_pre_ping=True, **_options(busy_timeout_s)
        )
    except ImportError as error:
        raise MissingExtra(
            "psycopg is not installed; PostgreSQL is reached with it",
            mend='run: pip install "microlith[postgres]"',
        ) from error
    event.listen(engine, "connect", partial(_prepare_postgresql, busy_timeout_s))
    return engine


def _options(busy_timeout_s: float) -> dict[str, Any]:
    return {
        "hide_parameters": True,  # errors quote statements; what people asked is not part of them
        "json_serializer": json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode,
        "execution_options": {_PATIENCE: busy_timeout_s},
    }


def _prepare_sqlite(
    path: Path, busy_timeout_s: float, connection: sqlite3.Connection, record: ConnectionPoolEntry
) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite, never by the driver
    _write_ahead(connection, busy_timeout_s)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    record.info[_FILE] = _identity(path)


def _check_sqlite(path: Path, _connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
    """See that the open file is still the one at `path`: SQLite would go on writing to a deleted one."""
    found = _identity(path)
    if found is None:
        raise _gone(path)
    if found != record.info[_FILE]:
        raise DisconnectionError("another file has taken the database's place")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _write_ahead(connection: sqlite3.Connection, busy_timeout_s: float) -> None:
    """Switch to WAL. SQLite does not wait for a lock here, and two processes may open a new file at once."""
    end = time.monotonic() + busy_timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
            time.sleep(PAUSE_S)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_postgresql(busy_timeout_s: float, connection: Any, _: object) -> None:
    connection.execute(f"SET lock_timeout = {max(1, round(1000 * busy_timeout_s))}")
    connection.commit()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = {
            errno.ENOSPC: "the disk is full",
            errno.EEXIST: "a file stands where a folder is expected",
            errno.ENOTDIR: "a file stands where a folder is expected",
        }.get(error.errno or 0, f"the folder of the database cannot be made: {error.strerror}")
        raise StorageError(what, place=str(folder), mend="name another home with MICROLITH_HOME") from error
