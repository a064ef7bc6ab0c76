"""The server under load: latency at a steady rate, the most it sustains, its own share of the time, its memory.

    python -m benchmarks.serving [TASK] [--seconds N]

Requests are rows of the task's validation part, sent over kept-open HTTP connections. At a steady rate each request has
its moment, and its latency counts from that moment, so that a slow answer cannot hide those that had to wait behind it
(coordinated omission). The peer is the plain floor of the same stack: /healthz of the same server in the same run.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from microlith.data.load import load_examples, load_validation
from microlith.task.taskfile import load_task

RATE, CONNECTIONS, CLOSED = 100, 32, 16
"""Requests a second at the steady rate; connections then, and where as many as possible are sent."""

Send = Callable[[bytes], Awaitable[bytes]]


def main(task: str = "infra", seconds: float = 20.0) -> None:
    """Measure one task and print."""
    given = load_task(task)
    rows = load_validation(given).examples or load_examples(given).examples[:500]
    bodies = [json.dumps({"input": one.input}).encode() for one in rows]
    with running([task]) as (address, facts, pid):
        print(
            f"serving {task}: listens {facts['seconds']:.2f} s after its call; {facts['tasks'][task]['model']}"
        )
        path = f"/v1/tasks/{task}/predict"
        asyncio.run(_closed(address, path, bodies, 3.0))  # warm
        steady = asyncio.run(_steady(address, path, bodies, seconds))
        floor = asyncio.run(_steady(address, "/healthz", [b""], seconds / 4))
        count, took = asyncio.run(_closed(address, path, bodies, seconds))
        print(
            _line(
                "answer over HTTP",
                steady.latencies_ms,
                f"at {RATE}/s, n = {len(steady.latencies_ms)}, failed {steady.failed}",
            )
        )
        print(
            _line(
                "/healthz, the floor",
                floor.latencies_ms,
                f"{_ratio(steady.latencies_ms, floor.latencies_ms)} times as long with an answer",
            )
        )
        print(
            _line(
                "the route's own share",
                steady.own_ms,
                "time not spent waiting for a model; the trace is kept in it",
            )
        )
        print(f"  sustained: {count / took:,.0f} answers a second over {CLOSED} connections")
        print(f"  memory: {_memory_mb(pid):,.0f} MB resident")


class Measured:
    """What one run saw."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.own_ms: list[float] = []
        self.failed = 0

    def note(self, reply: bytes, latency_ms: float) -> None:
        """Keep one reply."""
        self.latencies_ms.append(latency_ms)
        try:
            facts = json.loads(reply)
            self.own_ms.append(facts["latency_ms"] - sum(hop["latency_ms"] for hop in facts["hops"]))
        except (ValueError, KeyError, TypeError):
            self.failed += b"status" not in reply


async def _steady(address: str, path: str, bodies: Sequence[bytes], seconds: float) -> Measured:
    measured, begun = Measured(), time.perf_counter() + 0.1
    moments = iter([begun + number / RATE for number in range(int(seconds * RATE))])
    texts = itertools.cycle(bodies)

    async def worker() -> None:
        async with connection(address, path) as send:
            for moment in moments:
                await asyncio.sleep(max(0.0, moment - time.perf_counter()))
                reply = await send(next(texts))
                measured.note(reply, 1000.0 * (time.perf_counter() - moment))

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return measured


async def _closed(address: str, path: str, bodies: Sequence[bytes], seconds: float) -> tuple[int, float]:
    """Answers, and the seconds that they took, where every connection asks again at once."""
    texts, count, begun = itertools.cycle(bodies), 0, time.perf_counter()

    async def worker() -> None:
        nonlocal count
        async with connection(address, path) as send:
            while time.perf_counter() - begun < seconds:
                await send(next(texts))
                count += 1

    await asyncio.gather(*(worker() for _ in range(CLOSED)))
    return count, time.perf_counter() - begun


@asynccontextmanager
async def connection(address: str, path: str) -> AsyncIterator[Send]:
    """One kept-open HTTP/1.1 connection; a bare client, so that two cores are left to the server."""
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)

    async def send(body: bytes) -> bytes:
        verb = "POST" if body else "GET"
        head = f"{verb} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in answer.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        found = await reader.readexactly(length)
        if b" 200 " not in answer.split(b"\r\n", 1)[0]:
            raise RuntimeError(found.decode()[:300])
        return found

    try:
        yield send
    finally:
        writer.close()


@contextmanager
def running(tasks: Sequence[str], *more: str) -> Iterator[tuple[str, Any, int]]:
    """`microlith serve` in a process of its own: its address, what it said, its process id."""
    command = [sys.executable, "-m", "microlith", "serve", *tasks, "--port", "0", "--json", *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the server did not start; try: microlith serve {' '.join(tasks)}")
        facts = json.loads(line)
        yield facts["address"], facts, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _line(name: str, values: Sequence[float], note: str) -> str:
    p50, p99 = np.percentile(values, [50, 99]) if values else (float("nan"), float("nan"))
    return f"  {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms; {note}"


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    return f"{np.median(ours) / np.median(theirs):.1f}"


def _memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main(*(sys.argv[1:2] or ["infra"]))
