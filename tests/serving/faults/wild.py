"""Requests that no client should send: seeded, so that a failure comes again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

TASKS = ("mood", "gate", "music", "orders")
WORDS = (
    "today is great", "open port 8080", "point web1.lan at 10.0.0.5", "make a login for ann with password x!9",
    "play something by Old Lamps", "", " ", "\x00", "\ud800", "a\udfffb", "\ufeff", "\u202e\u0000", "𝕊𝕔𝕣𝕚𝕡𝕥 🙈" * 9, "é" * 5000,
    "\n\r\t", "'; DROP TABLE traces; --", "{{7*7}}", "../../etc/passwd", "%00%0a", "null", "-0", "1e400", "x" * 20_000, "\x1b[31m",
    "<script>alert(1)</script>", "ﷺ" * 40, "a\u0300" * 300, "\u2028\u2029", "{}", "[]", '{"a": 1}', '"', "\\", "İ", "ß", "0x7fffffff",
)  # fmt: skip
NUMBERS = (
    0,
    -1,
    1,
    2,
    0.5,
    -0.0,
    2**31,
    2**53 + 1,
    2**63,
    2**64,
    -(2**70),
    10**40,
    1e308,
    -1e308,
    1e-320,
    256,
    600_001,
)
NAMES = (
    "input", "inputs", "context", "force", "deadline_ms", "labels", "model", "messages", "role", "content", "stream", "n", "tools",
    "response_format", "format", "prompt", "task", "state", "questions", "options", "type", "schema", "json_schema", "logprobs",
    "top_logprobs", "metadata", "x", "", "__proto__", "$ref", "\ud800", "images", "stream_options", "keep_alive", "name", "method",
)  # fmt: skip
TEMPLATES: tuple[tuple[str, Any], ...] = (
    ("/gate/v1/do", {"line": "open port 8080"}),
    ("/v1/tasks/{task}/predict", {"input": "today is great"}),
    ("/v1/tasks/{task}/predict", {"inputs": ["today is great", "so bad", {"a": 1}], "labels": {"a": "b"}}),
    ("/v1/tasks/{task}/predict", {
        "input": "so bad", "context": [{"input": "hello", "output": {"mood": "glad"}}], "force": "specialist", "deadline_ms": 50.0,
        "labels": {"customer": "c1"},
    }),
    ("/v1/chat/completions", {"model": "mood", "messages": [{"role": "user", "content": "today is great"}]}),
    ("/v1/chat/completions", {
        "model": "mood", "stream": True, "stream_options": {"include_usage": True}, "logprobs": True, "top_logprobs": 1,
        "messages": [
            {"role": "system", "content": "x"}, {"role": "user", "content": [{"type": "text", "text": "so bad"}]},
            {"role": "assistant", "content": '{"mood": "sad"}'}, {"role": "user", "content": "so lovely"},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object", "properties": {}}}},
        "metadata": {"a": "b"},
    }),
    ("/v1/completions", {"model": "gate", "prompt": "open port 8080", "logprobs": 1, "stream": False}),
    ("/api/chat", {"model": "gate", "stream": False, "messages": [{"role": "user", "content": "open port 8080"}], "format": "json"}),
    ("/api/chat", {"model": "music:latest", "messages": [{"role": "user", "content": "play something by Old Lamps"}],
                   "format": {"type": "object"}, "logprobs": True, "options": {"seed": 1}, "keep_alive": "5m"}),
    ("/api/generate", {"model": "mood", "prompt": "so bad", "stream": True}),
    ("/api/show", {"model": "mood"}),
    ("/v1/systemone", {"model": "mood", "state": "so bad", "questions": {
        "mood": {"type": "choice", "instructions": "?", "criteria": {"glad": 1, "sad": 1}}}}),
    ("/v1/systemone", {"model": "mood", "state": {"a": ["so bad"]}, "questions": {
        "mood=sad": {"type": "noul"}, "mood": {"type": "score", "criteria": ["sad", "glad"]}}}),
    ("/v1/systemone", {"task": "gate", "input": "open port 8080", "options": {"force": None, "fields": True, "deadline_ms": 100},
                       "context": [{"input": "a", "output": None}], "labels": {"a": "b"}}),
    ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}),
    ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "mood", "arguments": {"request": "so bad"}}}),
    ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}),
)  # fmt: skip
"""Path -> a body that is right there."""
PATHS = (
    "/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/redoc", "/v1/tasks", "/v1/tasks/mood", "/v1/models",
    "/v1/models/mood@1", "/api/tags", "/api/ps", "/api/version", "/api/show", "/mcp", "/v1", "/api", "//", "/v1//tasks", "/%2e%2e/%00",
    "/v1/tasks/%ff%fe", "/v1/tasks/" + "a" * 3000, "/docs/oauth2-redirect", "/v1/tasks/mood/predict/", "/favicon.ico", "/V1/TASKS",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND", "get", "X-ODD")
TYPES = (
    "application/json", "application/json; charset=latin-1", "text/plain", "application/x-www-form-urlencoded", "", "application/xml",
    "multipart/form-data; boundary=x", "application/json;;;", "application/vnd.api+json", "*/*", "image/png",
)  # fmt: skip
HEADERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("X-Microlith-Force", ("specialist", "general", "nobody", "", "\xff")),
    (
        "Accept",
        ("application/json", "text/event-stream", "application/json, text/event-stream", "image/*", ""),
    ),
    ("Authorization", ("Bearer x", "Basic Og==", "Bearer", "Bearer mk_00000000_" + "0" * 64, "\xff\xfe")),
    ("Mcp-Session-Id", ("x", "", "\xe9")),
    ("MCP-Protocol-Version", ("2025-06-18", "2026-07-28", "1")),
    ("Content-Encoding", ("gzip", "br", "identity")),
    ("Host", ("localhost", "evil.example", "")),
    ("Origin", ("https://evil.example", "null")),
    ("Access-Control-Request-Method", ("POST",)),
    ("Accept-Encoding", ("gzip, br, zstd",)),
    ("Range", ("bytes=0-1", "bytes=9-1")),
    ("X-Forwarded-For", ("1.2.3.4", "\xff")),
    ("Cookie", ("a=b; c", "=" * 3000)),
)


@dataclass(frozen=True, kw_only=True)
class Wild:
    """One request."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None


def wild_request(rng: Random) -> Wild:
    """One request: a right one with something wrong, or something that never was right."""
    if rng.random() < 0.2:
        body = None if rng.random() < 0.6 else _bytes(rng, _value(rng))
        return Wild(method=rng.choice(METHODS), path=_path(rng), headers=_headers(rng, body), body=body)
    path, template = rng.choice(TEMPLATES)
    value = copy.deepcopy(template)
    for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 4))):
        value = _changed(rng, value)
    body = _bytes(rng, value)
    method = "POST" if rng.random() < 0.95 else rng.choice(METHODS)
    task = (
        rng.choice(TASKS)
        if rng.random() < 0.9
        else quote(rng.choice(WORDS), safe="", errors="surrogatepass")[:500] or "-"
    )
    headers = _headers(rng, body)
    if path == "/mcp" and rng.random() < 0.8:
        headers = (
            *((n, v) for n, v in headers if n != "Accept"),
            ("Accept", "application/json, text/event-stream"),
        )
    return Wild(method=method, path=path.format(task=task), headers=headers, body=body)


def _path(rng: Random) -> str:
    path = rng.choice(PATHS)
    if rng.random() < 0.3:
        path += (
            "?" + quote(rng.choice(WORDS)[:200], errors="surrogatepass") + "=" + rng.choice(("", "1", "%ff"))
        )
    return path


def _headers(rng: Random, body: bytes | None) -> tuple[tuple[str, str], ...]:
    chosen = (
        [("Content-Type", "application/json" if rng.random() < 0.8 else rng.choice(TYPES))]
        if body is not None
        else []
    )
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        name, values = rng.choice(HEADERS)
        chosen.append((name, rng.choice(values)))
    return tuple(chosen)


def _bytes(rng: Random, value: Any) -> bytes:
    text = json.dumps(value)
    odd: dict[float, Callable[[], bytes]] = {
        0.02: lambda: text.encode()[: rng.randrange(len(text) + 1)],
        0.04: lambda: rng.randbytes(rng.randrange(200)),
        0.05: lambda: b"[" * rng.choice((10, 1_000, 100_000)) + text.encode(),
        0.06: lambda: b'{"input":' * 20_000 + b"1" + b"}" * 20_000,
        0.065: lambda: b'"' + b"x" * 1_000_001 + b'"',
        0.075: lambda: text.replace("1", "1" * 5000, 1).encode(),
        0.085: lambda: text.replace('"', "NaN", 1).encode(),
        0.095: lambda: text.encode("utf-16"),
        0.10: lambda: b"\xef\xbb\xbf" + text.encode(),
        0.11: lambda: b"",
        0.12: lambda: (text[:-1] + ", " + text[1:]).encode(),
        0.13: lambda: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"),
    }
    at = rng.random()
    return next((make() for limit, make in odd.items() if at < limit), text.encode())


def _changed(rng: Random, value: Any) -> Any:
    """`value` with one thing in it changed, taken out or added."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        how = rng.random()
        if how < 0.15:
            del value[name]
        elif how < 0.25:
            value[rng.choice(NAMES)] = _value(rng)
        elif how < 0.6:
            value[name] = _changed(rng, value[name])
        else:
            value[name] = _value(rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value * rng.choice((2, 300, 2000)) if len(json.dumps(value)) < 300 else value
        value[place] = _changed(rng, value[place])
        return value
    return _value(rng)


def _value(rng: Random, depth: int = 0) -> Any:
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(WORDS)
    if kind < 0.6:
        return rng.choice(NUMBERS)
    if kind < 0.72:
        return rng.choice((None, True, False))
    if kind < 0.74:
        deep: Any = 1
        for _ in range(rng.choice((5, 60, 300))):
            deep = {"a": deep} if rng.random() < 0.5 else [deep]
        return deep
    if depth > 3:
        return rng.choice(TASKS)
    if kind < 0.87:
        return [_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(NAMES): _value(rng, depth + 1) for _ in range(rng.randrange(4))}
