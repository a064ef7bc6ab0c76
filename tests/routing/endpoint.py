"""A small OpenAI-compatible server on this machine that can misbehave in every way a real one does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

Reaction = Callable[["Endpoint", "Handler"], None]
"""What the server does with one request."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server
    body: bytes

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.endpoint.react(self)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    endpoint: Endpoint


class Endpoint:
    """Reacts to each request with the next reaction of its script, the last one for ever."""

    def __init__(self, *script: Reaction) -> None:
        self.script = list(script)
        self.bodies: list[bytes] = []
        self.keys: list[str | None] = []
        self.released = Event()
        """Set when the server stops: what hangs goes on."""
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.endpoint = self
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def react(self, handler: Handler) -> None:
        self.bodies.append(handler.body)
        self.keys.append(handler.headers["Authorization"])
        reaction = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        reaction(self, handler)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    def stop(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def endpoint(*script: Reaction) -> Iterator[Endpoint]:
    """A running server, stopped in the end."""
    one = Endpoint(*script)
    try:
        yield one
    finally:
        one.stop()


def status(code: int, body: str = "{}", headers: Mapping[str, str] | None = None) -> Reaction:
    """A reply of any kind."""

    def react(_: Endpoint, handler: Handler) -> None:
        data = body.encode()
        handler.send_response(code)
        told = {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
        for name, value in told.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return react


def completion(
    text: str | None,
    *,
    finish: str = "stop",
    usage: Mapping[str, int] | None = None,
    logprobs: list[float] | None = None,
) -> str:
    """The JSON of a chat completion."""
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text},
    }
    if logprobs is not None:
        choice["logprobs"] = {"content": [{"token": "x", "logprob": one} for one in logprobs]}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return json.dumps(body | ({"usage": usage} if usage else {}))


def says(answer: Any, **more: Any) -> Reaction:
    """A completion; an answer that is not text is written as JSON."""
    text = answer if isinstance(answer, str) or answer is None else json.dumps(answer)
    return status(200, completion(text, **more))


def refuses_options(answer: Any, *names: str, tell: bool = False) -> Reaction:
    """400 for a request that has one of these options; `tell` names it as OpenAI does."""

    def react(one: Endpoint, handler: Handler) -> None:
        sent = json.loads(handler.body)
        found = next((name for name in names if name in sent), None)
        if found is None:
            says(answer)(one, handler)
        else:
            error = {"message": "unsupported", "param": found if tell else None, "code": None}
            status(400, json.dumps({"error": error}))(one, handler)

    return react


def points_where_asked(one: Endpoint, handler: Handler) -> None:
    """Answers `point HOST at ADDRESS` of the gate task rightly, each request with its own values."""
    _, host, _, address = json.loads(handler.body)["messages"][-1]["content"].split()
    says({"action": "point", "host": host, "ip": address})(one, handler)


def silent(one: Endpoint, handler: Handler) -> None:
    """Never answers."""
    one.released.wait()
    handler.close_connection = True


def hangs_up(_: Endpoint, handler: Handler) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True


def breaks_off(_: Endpoint, handler: Handler) -> None:
    """Closes the connection in the middle of a reply."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id": "x", "choices": [')
    handler.close_connection = True


def drips(answer: Any) -> Reaction:
    """A right reply, a byte every 20 ms: always something, so that no single read takes long."""

    def react(one: Endpoint, handler: Handler) -> None:
        data = completion(json.dumps(answer)).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.close_connection = True
        for byte in data:
            if one.released.wait(0.02):
                return
            try:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
            except OSError:
                return

    return react
