"""The server under load: latency at a steady rate, the most it sustains, its own share of the time, its memory.

    python -m benchmarks.serving [TASK] [--seconds N] [--rate N]

Requests are rows of the task's validation part, sent over kept-open HTTP connections. At a steady rate each request has
its moment, and its latency counts from that moment, so that a slow answer cannot hide those that had to wait behind it
(coordinated omission). The server's own share counts from the moment of sending: all that the client waits for beside the
models. The peer is the plain floor of the same stack: /healthz of the same server in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from selectors import SelectSelector
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from microlith.data.load import load_examples, load_validation
from microlith.task.taskfile import load_task

RATE = 100
"""Requests a second at the steady rate."""
CONNECTIONS, CLOSED = 32, 16
"""Connections at the steady rate, and where as many requests as possible are sent."""
WARM_S = 3.0

Send = Callable[[bytes], Awaitable[bytes]]
Result = TypeVar("Result")


def main(task: str = "infra", seconds: float = 20.0, rate: float = RATE) -> None:
    """Measure one task and print."""
    given = load_task(task)
    rows = load_validation(given).examples or load_examples(given).examples[:500]
    bodies = [json.dumps({"input": one.input}).encode() for one in rows]
    with running([task]) as (address, facts, pid):
        (served,) = facts["tasks"].values()
        print(f"serving {task}: listens {facts['seconds']:.2f} s after its call; {served['model']}")
        path = f"/v1/tasks/{given.name}/predict"
        timed(closed(address, path, bodies, WARM_S))
        spent = cpu_s(pid)
        answers = timed(steady(address, path, bodies, seconds, rate))
        spent = cpu_s(pid) - spent
        floor = timed(steady(address, "/healthz", [b""], seconds / 4, rate))
        per_second = timed(closed(address, path, bodies, seconds))
        _print(answers, floor, rate)
        print(f"  processor: {1000 * spent / len(answers.latencies_ms):.2f} ms an answer, models included")
        print(f"  sustained: {per_second:,.0f} answers a second over {CLOSED} connections")
        print(f"  memory: {memory_mb(pid):,.0f} MB resident; load of the machine {os.getloadavg()[0]:.1f}")


def _print(answers: Measured, floor: Measured, rate: float) -> None:
    times = np.median(answers.latencies_ms) / np.median(floor.latencies_ms)
    told = f"at {rate:g}/s, n = {len(answers.latencies_ms)}"
    print(line("answer over HTTP", answers.latencies_ms, told))
    sent = f"{np.median(floor.waits_ms):.2f} ms of it from sending; {times:.1f} times as long with an answer"
    print(line("/healthz, the floor", floor.latencies_ms, sent))
    shares = [_shares(*pair) for pair in zip(answers.replies, answers.waits_ms, strict=True)]
    print(line("the server's own share", [own for own, _ in shares], "HTTP, checks, route, trace"))
    print(line("of that the route", [route for _, route in shares], "choosing among stages"))


def _shares(reply: bytes, wait_ms: float) -> tuple[float, float]:
    """Milliseconds of one answer that no model took: as the client sees it, and inside the route."""
    facts = json.loads(reply)
    models_ms = sum(hop["latency_ms"] for hop in facts["hops"])
    return wait_ms - models_ms, facts["latency_ms"] - models_ms


@dataclass(kw_only=True)
class Measured:
    """What one run at a steady rate saw."""

    latencies_ms: list[float] = field(default_factory=list)
    """From the moment at which each request was due."""
    waits_ms: list[float] = field(default_factory=list)
    """From the moment at which each request was sent."""
    replies: list[bytes] = field(default_factory=list)


async def steady(
    address: str, path: str, bodies: Sequence[bytes], seconds: float, rate: float = RATE
) -> Measured:
    """Send `rate` requests a second, come what may."""
    measured, begun = Measured(), time.perf_counter() + 0.1
    moments = iter([begun + number / rate for number in range(max(1, int(seconds * rate)))])
    texts = itertools.cycle(bodies)

    async def worker() -> None:
        async with connection(address, path) as send:
            for moment in moments:
                await asyncio.sleep(max(0.0, moment - time.perf_counter()))
                sent = time.perf_counter()
                measured.replies.append(await send(next(texts)))
                end = time.perf_counter()
                measured.latencies_ms.append(1000.0 * (end - moment))
                measured.waits_ms.append(1000.0 * (end - sent))

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return measured


async def closed(address: str, path: str, bodies: Sequence[bytes], seconds: float) -> float:
    """Answers a second where every connection asks again at once."""
    texts, count, begun = itertools.cycle(bodies), 0, time.perf_counter()

    async def worker() -> None:
        nonlocal count
        async with connection(address, path) as send:
            while time.perf_counter() - begun < seconds:
                await send(next(texts))
                count += 1

    await asyncio.gather(*(worker() for _ in range(CLOSED)))
    return count / (time.perf_counter() - begun)


@asynccontextmanager
async def connection(address: str, path: str) -> AsyncIterator[Send]:
    """One kept-open HTTP/1.1 connection; a bare client, so that two cores are left to the server."""
    parts = urlsplit(address)
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(lambda: _Wire(loop), parts.hostname, parts.port)
    head = f"%s {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

    async def send(body: bytes) -> bytes:
        status, found = await wire.ask((head % ("POST" if body else "GET", len(body))).encode() + body)
        if b" 200 " not in status:
            raise SystemExit(f"the server answered: {found.decode()[:300]}")
        return found

    try:
        yield send
    finally:
        wire.close()


class _Wire(asyncio.Protocol):
    """Sends one request at a time and collects its answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._came = loop, b""
        self._answer: asyncio.Future[tuple[bytes, bytes]] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """First line and body of the answer."""
        if self._transport.is_closing():
            raise ConnectionError("the server closed the connection")
        self._answer, self._came = self._loop.create_future(), b""
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, end, body = self._came.partition(b"\r\n\r\n")
        if not end:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
        if len(body) >= int(length):
            self._answer.set_result((head.partition(b"\r")[0], body))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        self._transport.close()


def timed(work: Coroutine[Any, Any, Result]) -> Result:
    """Run in an event loop whose timers are exact: that of `asyncio.run` wakes up to a millisecond late, which would count."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SelectSelector())) as runner:
        return runner.run(work)


@contextmanager
def running(
    tasks: Sequence[str], *more: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[str, Any, int]]:
    """`microlith serve` in a process of its own: its address, what it said, its process id."""
    command = [sys.executable, "-m", "microlith", "serve", *tasks, "--port", "0", "--json", *more]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})}
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            raise SystemExit(f"the server did not start; try: microlith serve {' '.join(tasks)}")
        facts = json.loads(said)
        yield facts["address"], facts, process.pid
    finally:
        process.terminate()
        process.wait(30)


def line(name: str, values_ms: Sequence[float], note: str) -> str:
    """One line of the printed table."""
    p50, p99 = np.percentile(values_ms, [50, 99])
    return f"  {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms; {note}"


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    rows = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(float(row.split()[1]) / 1024 for row in rows if row.startswith("VmRSS"))


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used; unlike latencies, hardly changed by what else the machine does."""
    facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure `microlith serve` under load.")
    parser.add_argument("task", nargs="?", default="infra")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=RATE)
    chosen = parser.parse_args()
    main(chosen.task, chosen.seconds, chosen.rate)
