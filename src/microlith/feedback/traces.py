"""Keep traces and find them again."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Engine, Row, Select, and_, delete, func, insert, or_, select

from microlith.errors import Overloaded, StorageError, UsageError, first_line
from microlith.feedback.trace import Trace, request_hash, trace_of
from microlith.store.address import place_of
from microlith.store.engine import PAUSE_S, Writer, busy_timeout_s, reading, writing
from microlith.store.refusals import is_of_a_row, is_passing
from microlith.store.settings import setting
from microlith.store.tables import SETTINGS, TRACES
from microlith.task.plan import Json

__all__ = ["Trace", "TraceReader", "TraceWriter", "request_hash", "trace_of"]

BATCH = 256
"""Most traces that one transaction keeps."""
CAPACITY = 4096
"""Most traces that wait; a disk that takes no more must not fill the memory."""
RETRY_AFTER_S = 1.0
MOST = 1000
"""Most traces that are read at once."""

_TRIED = "tried"
"""Setting that is written to see whether the disk takes anything; its value says nothing."""
_LIKE_A_TRACE = 1024
"""Random bytes that are written then."""
_INSERT = insert(TRACES)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

Values = dict[str, Any]


@dataclass(kw_only=True, eq=False)
class _Waiting:
    """A trace and the call that waits until it is kept."""

    row: Values
    loop: asyncio.AbstractEventLoop
    kept: asyncio.Future[None]
    error: StorageError | None = None
    """Why it could not be kept; None where it is."""


class TraceWriter:
    """Keeps traces, many in one transaction.

    A thread of its own takes whatever waits and commits it at once; what comes meanwhile waits for the next transaction. So
    a single write is committed without delay, and many share the cost of one.
    """

    def __init__(
        self, engine: Engine, *, capacity: int = CAPACITY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start keeping traces in a migrated database.

        Args:
            engine: Opened by `open_engine`, migrated by `migrate`; it stays open when the writer is closed.
            capacity: Most traces that wait at a time.
            clock: Seconds; for the time that a locked database is tried again.

        Raises:
            StorageError: if the database refuses, or has no tables.
        """
        self.salt = bytes.fromhex(setting(engine, "salt"))
        """The database's own, under which `trace_of` hashes requests."""
        self._engine, self._writer = engine, Writer(engine)
        self._capacity = capacity
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        self._wake = threading.Condition()
        self._is_closed = False
        self._failures = 0
        """Transactions that failed since the last one that was kept."""
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    async def write(self, trace: Trace) -> None:
        """Keep one trace; when this returns it is committed. A caller that is cancelled meanwhile has it kept all the same.

        NUL and lone surrogates, which no database keeps, become U+FFFD.

        Raises:
            StorageError: if it cannot be kept; the next write tries anew.
            Overloaded: if too many are waiting.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(row=_row_of(trace), loop=loop, kept=loop.create_future())
        with self._wake:
            if self._is_closed:
                raise StorageError("traces are no longer kept: the writer is closed")
            if len(self._queue) >= self._capacity:
                raise Overloaded(f"{self._capacity} traces wait to be kept", retry_after_s=RETRY_AFTER_S)
            self._queue.append(waiting)
            self._wake.notify()
        await waiting.kept

    async def check(self) -> None:
        """See that a trace could be kept at this moment.

        Raises:
            StorageError: if not.
        """
        await asyncio.to_thread(self._try)

    def _try(self) -> None:
        """Begin to write, and where the last write failed, do it: a disk tells what it refuses at the end only."""
        with writing(self._engine) as connection:
            seen = self._failures
            if seen:
                connection.execute(delete(SETTINGS).where(SETTINGS.c.name == _TRIED))
                connection.execute(
                    insert(SETTINGS), {"name": _TRIED, "value": secrets.token_hex(_LIKE_A_TRACE)}
                )
        if self._failures == seen:
            self._failures = 0

    async def close(self) -> None:
        """Keep what waits, then stop. Later writes are refused; closing twice is harmless."""
        with self._wake:
            self._is_closed = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while batch := self._next():
            self._keep(batch)
            _answer(batch)
        self._writer.close()

    def _next(self) -> list[_Waiting]:
        """What waits, at most `BATCH`; empty when the writer is closed and nothing waits."""
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._is_closed)
            return [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]

    def _keep(self, batch: Sequence[_Waiting]) -> None:
        """Commit a batch, or note in each why not. A row that is itself at fault does not take the others with it."""
        try:
            self._commit([one.row for one in batch])
            self._failures = 0
        except Exception as error:  # the thread must outlive whatever a row or a driver does
            if len(batch) > 1 and (is_of_a_row(error) or not isinstance(error, StorageError)):
                for one in batch:
                    self._keep([one])
            else:
                self._failures += not is_of_a_row(error)
                _fail(batch, self._told(error))

    def _commit(self, rows: list[Values]) -> None:
        end = self._clock() + busy_timeout_s(self._engine)
        while True:
            try:
                with self._writer.writing() as connection:
                    connection.execute(_INSERT, rows)
                return
            except StorageError as error:
                if not is_passing(error) or self._clock() >= end:
                    raise
                time.sleep(PAUSE_S)

    def _told(self, error: Exception) -> StorageError:
        if isinstance(error, StorageError):
            return error
        told = StorageError(
            f"the trace cannot be kept: {first_line(error)}", place=place_of(self._engine.url)
        )
        told.__cause__ = error
        return told


class TraceReader:
    """Finds traces. Its methods wait for the disk: call them from a thread, not from an event loop."""

    def __init__(self, engine: Engine) -> None:
        """Read from a migrated database."""
        self._engine = engine

    def get(self, trace_id: str) -> Trace | None:
        """The trace of that id; None where there is none.

        Raises:
            StorageError: if the database refuses.
        """
        found = self._all(select(TRACES).where(TRACES.c.trace_id == _kept(trace_id)))
        return found[0] if found else None

    def recent(self, task: str | None = None, *, limit: int = 50, before: str | None = None) -> list[Trace]:
        """The latest traces, the newest first.

        Args:
            task: Of this task; None is of all.
            limit: At most so many, 1-1000.
            before: Only what is older than the trace of this id, to go on where the last call ended; None is from the newest.

        Raises:
            UsageError: if `limit` is out of bounds, or no trace has the id `before`.
            StorageError: if the database refuses.
        """
        if not 1 <= limit <= MOST:
            raise UsageError(f"{limit} traces cannot be read at once; expected 1-{MOST}")
        query = select(TRACES).order_by(TRACES.c.at.desc(), TRACES.c.trace_id.desc()).limit(limit)
        if task is not None:
            query = query.where(TRACES.c.task == task)
        return self._all(query if before is None else self._older(query, before))

    def count(self, task: str | None = None) -> int:
        """How many traces there are, of one task or of all.

        Raises:
            StorageError: if the database refuses.
        """
        query = select(func.count()).select_from(TRACES)
        if task is not None:
            query = query.where(TRACES.c.task == task)
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def _older(self, query: Select[Any], before: str) -> Select[Any]:
        last = self.get(before)
        if last is None:
            raise UsageError(f"no trace {before!r}", mend="name the last trace of the page before")
        same = and_(TRACES.c.at == last.at, TRACES.c.trace_id < last.trace_id)
        return query.where(or_(TRACES.c.at < last.at, same))

    def _all(self, query: Select[Any]) -> list[Trace]:
        with reading(self._engine) as connection:
            return [_trace_of(row) for row in connection.execute(query)]


def _answer(batch: Sequence[_Waiting]) -> None:
    """Tell every waiting call, each in its own event loop, with one wake-up a loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for one in batch:
        loops.setdefault(one.loop, []).append(one)
    for loop, group in loops.items():
        if not loop.is_closed():
            try:
                loop.call_soon_threadsafe(_settle, group)
            except RuntimeError:  # closed between the two lines; nobody waits any more
                continue


def _settle(group: Sequence[_Waiting]) -> None:
    for one in group:
        if one.kept.done():  # its caller was cancelled
            continue
        if one.error is None:
            one.kept.set_result(None)
        else:
            one.kept.set_exception(one.error)


def _fail(batch: Sequence[_Waiting], error: StorageError) -> None:
    """Give each its own error, since every caller adds its traceback."""
    for one in batch:
        one.error = StorageError(error.what, problems=error.problems)
        one.error.__cause__ = error.__cause__


def _row_of(trace: Trace) -> Values:
    return {one.name: _kept(getattr(trace, one.name)) for one in fields(trace)}


def _trace_of(row: Row[Any]) -> Trace:
    values = dict(row._mapping)
    return Trace(**{**values, "hops": tuple(values["hops"])})


def _kept(value: Json) -> Any:
    """`value` as a database keeps it."""
    if isinstance(value, str):
        return _UNSTORABLE.sub(_REPLACEMENT, value)
    if isinstance(value, Mapping):
        return {_kept(name): _kept(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_kept(child) for child in value]
    return value
