"""What a router adds to a model's own time: `microlith serve` and LiteLLM's proxy before the same upstream.

    python -m benchmarks.peers_serving LITELLM [--seconds N] [--rate N]

LITELLM is the path of its command. It belongs into an environment of its own:

    python -m venv litellm && litellm/bin/pip install "litellm[proxy]"

The upstream is a small server that speaks OpenAI's chat interface and answers at once, always the same. It is asked directly,
through LiteLLM and through a task whose route is the general model alone, by the same client with the same request, in turns,
so that what else the machine does falls on all alike. What is left after the upstream's own median is the router's overhead.
LiteLLM runs without keys, database and telemetry; Microlith holds the answer to the schema and keeps a trace of it meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np

from benchmarks.serving import closed, cpu_s, line, memory_mb, running, steady, timed

RATE = 50
"""Requests a second; the slowest of the three must keep up with them."""
ROUNDS = 5
PATH = "/v1/chat/completions"
START_S = 120.0
NEEDS = (
    "routers: skipped; LiteLLM's command is needed: "
    'python -m venv litellm && litellm/bin/pip install "litellm[proxy]", then name litellm/bin/litellm'
)

TASK, REQUEST = "mood", "how wonderful, the sun is out again and the bus was on time"
SCHEMA = {
    "type": "object",
    "properties": {"mood": {"enum": ["good", "bad"]}},
    "required": ["mood"],
    "additionalProperties": False,
}
TASKFILE = f'name = "{TASK}"\ninstruction = "Name the mood of a message."\nroute = ["general"]\n'
COMPLETION = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "general",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": '{"mood": "good"}'}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26},
}  # fmt: skip


LITELLM = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no list of prices from elsewhere
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # on this machine alone, for as long as it is measured
}


@dataclass(kw_only=True)
class Target:
    """One of those that are asked."""

    name: str
    address: str
    model: str
    """What the request calls it."""
    pid: int
    waits_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    """Processor seconds that its answers at the steady rate took."""

    @property
    def body(self) -> bytes:
        """The request."""
        return json.dumps({"model": self.model, "messages": [{"role": "user", "content": REQUEST}]}).encode()


def main(litellm: str | None, seconds: float = 20.0, rate: float = RATE) -> None:
    """Measure all three and print; without LiteLLM say what is needed."""
    command = shutil.which(litellm) if litellm else None
    if command is None:
        print(NEEDS)
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(_upstream())
        targets = [
            upstream,
            stack.enter_context(_microlith(folder, upstream.address)),
            stack.enter_context(_litellm(command, folder, upstream.address)),
        ]
        for one in targets:
            timed(closed(one.address, PATH, [one.body], 3.0))  # warm
        for _ in range(ROUNDS):
            for one in targets:
                _measure(one, seconds / ROUNDS, rate)
        _print(targets, rate)


def _measure(one: Target, seconds: float, rate: float) -> None:
    spent = cpu_s(one.pid)
    one.waits_ms += timed(steady(one.address, PATH, [one.body], seconds, rate)).waits_ms
    one.cpu_s += cpu_s(one.pid) - spent
    one.per_second.append(timed(closed(one.address, PATH, [one.body], seconds / 2)))


def _print(targets: Sequence[Target], rate: float) -> None:
    upstream, ours, theirs = targets
    base = float(np.median(upstream.waits_ms))
    print(
        f"routers before one upstream, {rate:g} requests a second; load of the machine {os.getloadavg()[0]:.1f}"
    )
    print(line("upstream, asked directly", upstream.waits_ms, f"n = {len(upstream.waits_ms)}"))
    for one in (ours, theirs):
        added = [wait - base for wait in one.waits_ms]
        note = (
            f"{1000 * one.cpu_s / len(one.waits_ms):.2f} ms of processor; "
            f"{np.median(one.per_second):,.0f} answers a second at most; {memory_mb(one.pid):,.0f} MB"
        )
        print(line(f"added by {one.name}", added, note))
    ratios = {
        "p50": _ratio(*(np.median(one.waits_ms) - base for one in (theirs, ours))),
        "p99": _ratio(*(np.percentile(one.waits_ms, 99) - base for one in (theirs, ours))),
        "processor": _ratio(theirs.cpu_s, ours.cpu_s),
        "answers a second": _ratio(np.median(ours.per_second), np.median(theirs.per_second)),
    }
    print(f"  LiteLLM to Microlith: {', '.join(f'{name} {value}' for name, value in ratios.items())}")


def _ratio(high: float, low: float) -> str:
    return f"{high / low:.1f}x"


@contextmanager
def _upstream() -> Iterator[Target]:
    """The upstream in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve_upstream, args=(theirs,), daemon=True
    )
    process.start()
    try:
        port = ours.recv()
        yield Target(
            name="upstream", address=f"http://127.0.0.1:{port}", model="general", pid=process.pid or 0
        )
    finally:
        process.terminate()
        process.join(10)


def _serve_upstream(told: Connection) -> None:
    body = json.dumps(COMPLETION).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = asked.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
                await reader.readexactly(int(length or 0))
                writer.write(head.encode() + body)
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def _microlith(folder: Path, upstream: str) -> Iterator[Target]:
    task = folder / TASK
    task.mkdir()
    (task / "task.toml").write_text(TASKFILE, encoding="utf-8")
    (task / "schema.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    options = ("--general", f"{upstream}/v1", "--general-model", "general")
    environment = {"MICROLITH_HOME": str(folder / "home"), "MICROLITH_STORE": ""}
    with running([str(task)], *options, environment=environment) as (address, _, pid):
        yield Target(name="Microlith", address=address, model=TASK, pid=pid)


@contextmanager
def _litellm(command: str, folder: Path, upstream: str) -> Iterator[Target]:
    config = folder / "litellm.json"  # JSON is YAML
    parameters = {"model": "openai/general", "api_base": f"{upstream}/v1", "api_key": "none"}
    config.write_text(json.dumps({"model_list": [{"model_name": "general", "litellm_params": parameters}]}))
    port = _free_port()
    process = subprocess.Popen(
        [command, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, **LITELLM},
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(process, f"{address}/health/liveliness")
        yield Target(name="LiteLLM", address=address, model="general", pid=process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with suppress(URLError, OSError), urlopen(address, timeout=1):
            return
        time.sleep(0.2)
    raise SystemExit("LiteLLM's proxy did not start; try its command by hand")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Measure what Microlith and LiteLLM add to an upstream's time."
    )
    parser.add_argument("litellm", nargs="?", help="path of LiteLLM's command")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=RATE)
    chosen = parser.parse_args()
    main(chosen.litellm, chosen.seconds, chosen.rate)
