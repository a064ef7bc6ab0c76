from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from microlith.errors import Overloaded, StorageError, UsageError
from microlith.feedback.traces import TraceReader, TraceWriter, trace_of
from microlith.store.engine import open_engine, reading, writing
from microlith.store.migrate import migrate
from microlith.store.settings import setting
from tests.feedback.told import GATE_PLAN, WHEN, answered, trace
from tests.odd_texts import ODD_TEXTS
from tests.store.databases import sqlite_lock


@asynccontextmanager
async def writer(engine: Engine, **settings: Any) -> AsyncIterator[TraceWriter]:
    one = TraceWriter(engine, **settings)
    try:
        yield one
    finally:
        await one.close()


def keep(engine: Engine, *traces: Any) -> None:
    async def write() -> None:
        async with writer(engine) as one:
            await asyncio.gather(*map(one.write, traces))

    asyncio.run(write())


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """Nobody else can write as long as the block runs."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE traces IN EXCLUSIVE MODE"))
        yield


async def start(*calls: Awaitable[None]) -> list[asyncio.Task[None]]:
    """Begin the calls; each has handed over its trace when this returns."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


@pytest.fixture
def reader(engine: Engine) -> TraceReader:
    return TraceReader(engine)


def test_a_trace_is_read_as_it_was_written(engine: Engine, reader: TraceReader) -> None:
    kept = [trace("a"), trace("b", output=None, stage=None, refusal="no", hops=(), labels={})]
    keep(engine, *kept)
    assert [reader.get(one.trace_id) for one in kept] == kept
    assert reader.get("c") is None


def test_an_answered_request_is_kept_under_the_salt_of_its_database(
    engine: Engine, reader: TraceReader
) -> None:
    async def write() -> Any:
        async with writer(engine) as one:
            made = trace_of(
                GATE_PLAN, answered("open port 80", {"action": "open", "port": 80}), at=WHEN, salt=one.salt
            )
            await one.write(made)
            return made

    made = asyncio.run(write())
    assert reader.get("t1") == made
    assert len(bytes.fromhex(setting(engine, "salt"))) == 32


def test_the_order_of_an_answer_is_kept(engine: Engine, reader: TraceReader) -> None:
    keep(engine, trace("a", output={"z": 1, "a": {"y": [1, None, True, 0.5], "b": "ü"}}))
    found = reader.get("a")
    assert found is not None
    assert repr(found.output) == "{'z': 1, 'a': {'y': [1, None, True, 0.5], 'b': 'ü'}}"


def test_odd_texts_are_kept(engine: Engine, reader: TraceReader) -> None:
    traces = [trace(str(number), request=one, output={"t": one}) for number, one in enumerate(ODD_TEXTS)]
    keep(engine, *traces)
    for number, one in enumerate(ODD_TEXTS):
        found = reader.get(str(number))
        assert found is not None
        expected = one.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        assert (found.request, found.output) == (expected, {"t": expected})


def test_what_no_database_keeps_is_replaced(engine: Engine, reader: TraceReader) -> None:
    keep(engine, trace("a", request="a\x00b\ud800c", output={"\x00": "\udfff"}, labels={"k": "\x00"}))
    found = reader.get("a")
    assert found is not None
    assert (found.request, found.output, found.labels) == ("a�b�c", {"�": "�"}, {"k": "�"})


def test_a_written_trace_is_committed(engine: Engine) -> None:
    async def write() -> None:
        async with writer(engine) as one:
            await one.write(trace("a"))
            with reading(engine) as connection:
                assert connection.execute(text("SELECT count(*) FROM traces")).scalar() == 1

    asyncio.run(write())


def test_what_waits_is_committed_together(engine: Engine, reader: TraceReader) -> None:
    commits: list[object] = []

    async def write() -> None:
        async with writer(engine) as one:
            with held(engine):
                tasks = await start(*(one.write(trace(str(number))) for number in range(400)))
            event.listen(engine, "commit", commits.append)
            await asyncio.gather(*tasks)

    asyncio.run(write())
    assert reader.count() == 400
    assert len(commits) <= 4


def test_a_row_at_fault_does_not_take_the_others_with_it(engine: Engine, reader: TraceReader) -> None:
    keep(engine, trace("twice"))
    bad = [trace("twice"), trace("nan", hops=({"latency_ms": math.nan},)), trace("huge", tokens_in=2**70)]

    async def write() -> list[object]:
        async with writer(engine) as one:
            with held(engine):
                tasks = await start(*map(one.write, [trace("a"), *bad, trace("b")]))
            return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(write())
    assert [type(result) for result in results] == [
        type(None),
        StorageError,
        StorageError,
        StorageError,
        type(None),
    ]
    assert {one.trace_id for one in reader.recent()} == {"twice", "a", "b"}


def test_each_failed_write_has_an_error_of_its_own(engine: Engine) -> None:
    keep(engine, trace("a"), trace("b"))

    async def write() -> list[object]:
        async with writer(engine) as one:
            with held(engine):
                tasks = await start(*(one.write(trace(name)) for name in ("a", "b")))
            return await asyncio.gather(*tasks, return_exceptions=True)

    first, second = asyncio.run(write())
    assert first is not second


def test_a_write_waits_for_a_lock(engine: Engine, reader: TraceReader) -> None:
    async def write() -> None:
        async with writer(engine) as one:
            with held(engine):
                tasks = await start(one.write(trace("a")))
            await asyncio.gather(*tasks)

    asyncio.run(write())
    assert reader.count() == 1


def test_a_lock_that_stays_fails_the_waiting_writes_and_no_later_one(tmp_path: Path) -> None:
    engine = open_engine(None, tmp_path, busy_timeout_s=0.05)
    migrate(engine)

    async def write() -> list[object]:
        async with writer(engine) as one:
            with sqlite_lock(tmp_path / "microlith.db"):
                tasks = await start(one.write(trace("a")), one.write(trace("b")))
                failed = await asyncio.gather(*tasks, return_exceptions=True)
            await one.write(trace("c"))
            return failed

    results = asyncio.run(write())
    assert all(isinstance(one, StorageError) and "locked" in str(one) for one in results)
    assert [one.trace_id for one in TraceReader(engine).recent()] == ["c"]
    engine.dispose()


def test_a_full_disk_fails_a_write_and_later_ones_work_again(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 500_000)
    engine = open_engine(None, small_disk)
    migrate(engine)
    kept = ["after"]

    async def write() -> None:
        async with writer(engine) as one:
            with pytest.raises(StorageError, match="disk is full"):
                for number in range(99):
                    await one.write(trace(str(number), request="x" * 20_000))
                    kept.append(str(number))
            ballast.unlink()
            await one.write(trace("after"))

    try:
        asyncio.run(write())
        assert {one.trace_id for one in TraceReader(engine).recent(limit=1000)} == set(kept)
    finally:
        engine.dispose()


def test_more_than_the_queue_holds_is_refused(engine: Engine, reader: TraceReader) -> None:
    async def write() -> list[object]:
        async with writer(engine, capacity=2) as one:
            with held(engine):
                tasks = await start(*(one.write(trace(str(number))) for number in range(10)))
            return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(write())
    refused = [one for one in results if isinstance(one, Overloaded)]
    assert len(refused) >= 6
    assert reader.count() == 10 - len(refused)


def test_a_cancelled_write_is_kept_all_the_same(engine: Engine, reader: TraceReader) -> None:
    async def write() -> None:
        async with writer(engine) as one:
            with held(engine):
                (task,) = await start(one.write(trace("a")))
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(write())
    assert reader.count() == 1


def test_closing_keeps_what_waits_and_refuses_what_comes(engine: Engine, reader: TraceReader) -> None:
    async def write() -> None:
        one = TraceWriter(engine)
        with held(engine):
            tasks = await start(*(one.write(trace(str(number))) for number in range(300)))
            closing = asyncio.ensure_future(one.close())
        await closing
        await one.close()
        await asyncio.gather(*tasks)
        with pytest.raises(StorageError, match="closed"):
            await one.write(trace("late"))

    asyncio.run(write())
    assert reader.count() == 300


def test_one_writer_serves_many_event_loops(engine: Engine, reader: TraceReader) -> None:
    one = TraceWriter(engine)

    async def write(name: str) -> None:
        await asyncio.gather(*(one.write(trace(f"{name}{number}")) for number in range(50)))

    threads = [threading.Thread(target=lambda name=name: asyncio.run(write(name))) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(one.close())
    assert reader.count() == 150


def test_a_writer_needs_a_migrated_database(url: str, tmp_path: Path) -> None:
    engine = open_engine(url, tmp_path)
    with pytest.raises(StorageError, match="settings"):
        TraceWriter(engine)
    engine.dispose()


def test_recent_traces_come_page_by_page_the_newest_first(engine: Engine, reader: TraceReader) -> None:
    traces = [trace(f"{n:02}", at=WHEN + timedelta(seconds=n // 3)) for n in range(10)]
    keep(engine, *traces, trace("other", task="else"))
    seen: list[str] = []
    while page := reader.recent("gate", limit=4, before=seen[-1] if seen else None):
        seen.extend(one.trace_id for one in page)
    assert seen == [f"{n:02}" for n in reversed(range(10))]


def test_traces_are_counted(engine: Engine, reader: TraceReader) -> None:
    keep(engine, trace("a"), trace("b"), trace("c", task="else"))
    assert (reader.count(), reader.count("gate"), reader.count("none")) == (3, 2, 0)
    assert len(reader.recent()) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda reader: reader.recent(limit=0),
        lambda reader: reader.recent(limit=1001),
        lambda reader: reader.recent(before="gone"),
    ],
)
def test_a_page_that_cannot_be_is_refused(reader: TraceReader, call: Callable[[TraceReader], object]) -> None:
    with pytest.raises(UsageError):
        call(reader)


def write_until_killed(url: str, home: Path, pipe: int) -> None:
    async def write() -> None:
        one = TraceWriter(open_engine(url, home))

        async def one_after_the_other(name: str) -> None:
            for number in range(10**6):
                await one.write(trace(f"{name}-{number}"))
                os.write(pipe, f"{name}-{number}\n".encode())

        await asyncio.gather(*map(one_after_the_other, "abcd"))

    asyncio.run(write())


def test_a_killed_process_loses_no_acknowledged_trace(url: str, tmp_path: Path) -> None:
    migrate(engine := open_engine(url, tmp_path))
    engine.dispose()
    source, target = os.pipe()
    process = multiprocessing.get_context("fork").Process(
        target=write_until_killed, args=(url, tmp_path, target)
    )
    process.start()
    os.close(target)
    with os.fdopen(source, encoding="utf-8") as pipe:
        acknowledged = [pipe.readline() for _ in range(300)]
        os.kill(process.pid or 0, signal.SIGKILL)
        acknowledged += pipe.readlines()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    engine = open_engine(url, tmp_path)
    with reading(engine) as connection:
        kept = set(connection.execute(text("SELECT trace_id FROM traces")).scalars())
    engine.dispose()
    assert {line.strip() for line in acknowledged} <= kept
