"""Real server processes in a home of their own, and callers that keep their connection."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

START_S = 90.0
"""Longest start: the machine may be busy."""
WAIT_S = 60.0
"""Longest wait for anything else."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of a server."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    @property
    def value(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Caller:
    """One keep-alive connection. A closed one is opened again with the next request."""

    def __init__(self, address: str, *, key: str | None = None, timeout_s: float = WAIT_S) -> None:
        self._connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=timeout_s)
        self._own = {} if key is None else {"Authorization": f"Bearer {key}"}

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """The answer to one request; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            **({"Content-Type": "application/json"} if data is not None else {}),
            **self._own,
            **(headers or {}),
        }
        try:
            self._connection.request(method, path, data, sent)
            answer = self._connection.getresponse()
            return Reply(
                status=answer.status,
                headers={name.lower(): value for name, value in answer.getheaders()},
                body=answer.read(),
            )
        except BaseException:
            self.close()
            raise

    def predict(self, task: str, text: Any, **more: Any) -> Reply:
        """Ask in Microlith's own dialect."""
        return self.send("POST", f"/v1/tasks/{task}/predict", {"input": text, **more})

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server process that listens."""

    process: subprocess.Popen[str]
    address: str
    home: Path
    log: Path
    """What it wrote to standard error."""

    def caller(self, key: str | None = None, *, timeout_s: float = WAIT_S) -> Caller:
        return Caller(self.address, key=key, timeout_s=timeout_s)

    def predict(self, task: str, text: Any, **more: Any) -> Reply:
        """Ask over a new connection."""
        with closing(self.caller()) as caller:
            return caller.predict(task, text, **more)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Any request over a new connection."""
        with closing(self.caller()) as caller:
            return caller.send(method, path, body, headers)

    def metrics(self) -> dict[str, float]:
        """`name{labels}` -> value."""
        lines = self.send("GET", "/metrics").body.decode().splitlines()
        return {name: float(value) for name, value in (one.rsplit(" ", 1) for one in lines if one[:1] != "#")}

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def end(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to stop; gives the exit code, negative for a signal."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def spawn(home: Path, *arguments: str, errors: IO[str] | int) -> subprocess.Popen[str]:
    """`microlith serve` as a process on a free port."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MICROLITH_")}
    return subprocess.Popen(
        [sys.executable, "-m", "microlith", "serve", *arguments, "--port", "0", "--json"],
        cwd=home.parent, env={**environment, "MICROLITH_HOME": str(home)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
    )  # fmt: skip


@contextmanager
def servers(home: Path, *commands: Sequence[str]) -> Iterator[list[Server]]:
    """One server process a command line, started side by side; those that still run are killed in the end."""
    home.parent.mkdir(parents=True, exist_ok=True)
    begun: list[tuple[subprocess.Popen[str], Path]] = []
    try:
        for arguments in commands:
            log = home.parent / f"server-{time.monotonic_ns()}.log"
            with log.open("w", encoding="utf-8") as errors:
                begun.append((spawn(home, *arguments, errors=errors), log))
        yield [_listening(process, home, log) for process, log in begun]
    finally:
        for process, _ in begun:
            if process.poll() is None:
                process.kill()
            process.wait(WAIT_S)
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def server(home: Path, *arguments: str) -> Iterator[Server]:
    """One server process."""
    with servers(home, arguments) as (one,):
        yield one


def _listening(process: subprocess.Popen[str], home: Path, log: Path) -> Server:
    """The server once it has said where it listens; a slow one is killed, which ends its output."""
    assert process.stdout is not None
    told, is_there = "", Event()
    watchdog = Thread(target=lambda: is_there.wait(START_S) or process.kill(), daemon=True)
    watchdog.start()
    told = process.stdout.readline()
    is_there.set()
    assert told, f"the server did not start: {log.read_text(encoding='utf-8')}"
    return Server(process=process, address=json.loads(told)["address"], home=home, log=log)


def until(holds: Callable[[], Any], what: str) -> Any:
    """The first value of `holds` that is true; fails where none comes."""
    end = time.monotonic() + WAIT_S
    while not (found := holds()):
        assert time.monotonic() < end, f"waited in vain for: {what}"
        time.sleep(0.02)
    return found


def traces(home: Path) -> dict[str, dict[str, Any]]:
    """Every kept trace by its id, read from the database's file as it is."""
    with closing(sqlite3.connect(f"file:{home / 'microlith.db'}?mode=ro", uri=True, timeout=30)) as database:
        database.row_factory = sqlite3.Row
        rows = [dict(row) for row in database.execute("SELECT * FROM traces")]
    read = ("output", "hops", "labels")
    return {
        row["trace_id"]: {name: json.loads(v) if name in read and v is not None else v for name, v in row.items()}
        for row in rows
    }  # fmt: skip


class Load:
    """Callers that ask one after the other over connections that they keep, until told to stop or the server is gone."""

    def __init__(self, server: Server, ask: Callable[[Caller], Reply], *, callers: int = 8) -> None:
        self.replies: list[Reply] = []
        self.broken: list[OSError | http.client.HTTPException] = []
        """How connections ended that were not answered."""
        self._server, self._ask, self._stop = server, ask, Event()
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(callers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_S)

    def _run(self) -> None:
        with closing(self._server.caller()) as caller:
            while not self._stop.is_set():
                try:
                    self.replies.append(self._ask(caller))
                except (OSError, http.client.HTTPException) as error:
                    self.broken.append(error)
                    return
