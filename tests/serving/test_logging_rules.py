"""What a server writes to its log, and what can never stand there."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.config
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from microlith.errors import StorageError, TeacherError
from microlith.serving.http_errors import install
from microlith.serving.logging_rules import (
    ACCESS,
    LOG_CONFIG,
    AccessLog,
    JsonLines,
    fault_of,
    masked,
    note,
    noted,
)
from tests.serving.running import serving

KEY = "mk_0123abcd_" + "e" * 64
PASSWORD = "hunter2-correct-horse"


def test_a_line_holds_what_the_app_noted(caplog: pytest.LogCaptureFixture) -> None:
    ticks = iter([10.0, 10.0125])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        note(scope, task="infra", caller="ci")
        note(scope, trace_id="t1")
        await send({"type": "http.response.start", "status": 200, "headers": []})

    log = AccessLog(
        app, clock=lambda: next(ticks), now=lambda: datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    )
    with caplog.at_level(logging.INFO, ACCESS):
        asyncio.run(
            through(log, {"type": "http", "method": "POST", "path": "/v1/x", "query_string": b"key=1"})
        )
    assert json.loads(caplog.messages[0]) == {
        "time": "2026-01-02T03:04:05.678Z", "method": "POST", "path": "/v1/x", "status": 200, "ms": 12.5,
        "trace_id": "t1", "task": "infra", "caller": "ci",
    }  # fmt: skip


async def through(app: Any, scope: dict[str, Any]) -> None:
    async def nothing(*_: Any) -> None:
        return None

    await app(scope, nothing, nothing)


def test_a_request_that_nobody_waited_for_has_a_line_too(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    with caplog.at_level(logging.INFO, ACCESS), pytest.raises(asyncio.CancelledError):
        asyncio.run(through(AccessLog(app), {"type": "http", "method": "GET", "path": "/"}))
    assert json.loads(caplog.messages[0])["status"] is None


def test_notes_of_one_request_are_not_seen_by_the_next(caplog: pytest.LogCaptureFixture) -> None:
    shared: dict[str, Any] = {}  # as a server hands out the state of the app's start

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert noted(scope).task is None
        note(scope, task="infra")

    for _ in range(2):
        asyncio.run(through(AccessLog(app), {"type": "http", "method": "GET", "path": "/", "state": shared}))


@pytest.mark.parametrize("text", [KEY, f"/v1/{KEY}/x", KEY.upper(), f"a{KEY}b", KEY[:30]])
def test_a_key_is_masked_wherever_it_stands(text: str) -> None:
    assert "eeee" not in masked(text).lower()
    assert "0123abcd" in masked(text).lower()


def test_a_path_cannot_forge_a_line_or_fill_the_disk(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        return None

    path = "/\r\n\x1b[31m\u2028" + "x" * 100_000
    with caplog.at_level(logging.INFO, ACCESS):
        asyncio.run(through(AccessLog(app), {"type": "http", "method": "GET", "path": path}))
    line = caplog.messages[0]
    assert len(line) < 1000
    assert line.isprintable()
    assert line.isascii()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that the server's logging writes, at its most talkative; the tests' own logging is put back."""
    stream = io.StringIO()
    loggers = [logging.getLogger(name) for name in ("", *LOG_CONFIG["loggers"])]
    before = [(one, one.level, list(one.handlers), one.propagate) for one in loggers]
    config = LOG_CONFIG | {
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines", "stream": stream}},
        "root": {"level": "DEBUG", "handlers": ["stderr"]},
    }
    logging.config.dictConfig(config)
    yield stream
    for one, level, handlers, propagate in before:
        one.setLevel(level)
        one.handlers[:] = handlers
        one.propagate = propagate


def test_a_real_server_writes_no_key_and_no_password_however_a_request_ends(log: io.StringIO) -> None:
    app = FastAPI()
    install(app)
    app.add_middleware(AccessLog)

    @app.post("/ask/{way}")
    async def ask(way: str, request: Request) -> dict[str, str]:
        body = await request.json()
        note(request.scope, task="infra", caller="ci", trace_id="t1")
        logging.getLogger("somebody.else").error("asked %s", body)
        if way == "odd":
            try:
                raise ValueError(body["request"])
            except ValueError as error:
                raise RuntimeError(f"{body}") from error
        if way == "disk":
            raise StorageError("the disk is full", place="/srv/db")
        return {"password": body["request"]}

    with serving(app) as base:
        logging.config.dictConfig(
            {"version": 1, "incremental": True, "loggers": {"uvicorn.access": {"level": "DEBUG"}}}
        )
        for way in ("well", "odd", "disk", KEY):
            httpx.post(
                f"{base}/ask/{way}?apikey={KEY}&password={PASSWORD}",
                json={"request": f"set the password to {PASSWORD}"},
                headers={"authorization": f"Bearer {KEY}", "x-password": PASSWORD},
            )
    written = log.getvalue()
    lines = [json.loads(line) for line in written.splitlines()]
    asked = [line for line in lines if "method" in line]
    assert [line["status"] for line in asked] == [200, 500, 507, 200]
    assert {line["caller"] for line in asked} == {"ci"}
    assert PASSWORD not in written
    assert "hunter2" not in written
    assert KEY not in written
    assert "e" * 20 not in written
    assert '"RuntimeError", "causes": ["ValueError"]' in written
    assert "/srv/db: the disk is full" in written


def test_words_of_an_error_are_written_only_where_they_are_about_the_server() -> None:
    assert "words" not in fault_of(TeacherError(f"it answered {PASSWORD}"))
    assert fault_of(StorageError("the disk is full"))["words"] == "the disk is full"


def formatted(
    name: str, message: str, *arguments: object, error: BaseException | None = None
) -> dict[str, Any]:
    info = (type(error), error, None) if error is not None else None
    record = logging.LogRecord(name, logging.ERROR, "/lib/x.py", 7, message, arguments, info)  # type: ignore[arg-type]
    line = JsonLines().format(record)
    assert "\n" not in line
    return json.loads(line)


def test_other_libraries_are_cut_down_to_where_they_spoke() -> None:
    line = formatted("sqlalchemy.engine", "INSERT %s", PASSWORD, error=ValueError(PASSWORD))
    assert (line["said_at"], line["error"], "words" in line) == ("/lib/x.py:7", "ValueError", False)


def test_the_servers_own_words_are_written() -> None:
    assert (
        formatted("uvicorn.error", "Uvicorn running on %s", "http://x")["words"]
        == "Uvicorn running on http://x"
    )
    assert formatted("microlith.serving", f"rotated {KEY}")["words"] == "rotated mk_0123abcd..."
