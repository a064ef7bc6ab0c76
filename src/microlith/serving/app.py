"""The server's app: dialects over one desk, keys, limits, health, metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from microlith.serving import (
    http_errors,
    native,
    ollama_chat,
    ollama_errors,
    ollama_models,
    openai_chat,
    openai_completions,
    openai_errors,
    openai_models,
    pack_routes,
    systemone,
)
from microlith.serving.gate import Gate
from microlith.serving.http_errors import Shapes
from microlith.serving.limits import BodyLimit, RateLimit
from microlith.serving.logging_rules import AccessLog
from microlith.serving.mcp_route import McpRoute, load
from microlith.serving.metrics import CONTENT_TYPE
from microlith.serving.native_errors import FAILURES
from microlith.serving.pack_cors import PackCors
from microlith.serving.parts import Parts
from microlith.serving.settings import LOOPBACK, ServeSettings
from microlith.version import VERSION

DIALECTS = (
    native, openai_chat, openai_completions, openai_models, ollama_chat, ollama_models, systemone, pack_routes,
)  # fmt: skip


def make_app(parts: Parts, *, close: Callable[[], Awaitable[None]] | None = None) -> FastAPI:
    """An app over a desk that is open.

    Args:
        parts: What it is made of.
        close: Called when the server stops, after the last answer.

    Raises:
        TaskError: if what a task says of its own routes is wrong.
    """
    desk = parts.desk
    loopback = parts.settings.host in LOOPBACK and not parts.keys.required
    mcp = McpRoute(lambda: load(desk, loopback=loopback))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with mcp.lifespan():
            desk.start()
            yield
        await desk.close()
        if close is not None:
            await close()

    app = FastAPI(
        title="Microlith",
        version=VERSION,
        lifespan=lifespan,
        summary="Narrow jobs, answered by small models.",
    )
    app.include_router(_health(parts))
    for dialect in DIALECTS:
        app.include_router(dialect.router(desk))
    app.router.routes.append(mcp.route("/mcp"))
    _protect(app, parts)
    return app


def _protect(app: FastAPI, parts: Parts) -> None:
    """Put everything that a request passes on its way around the routes; what is added last is met first."""
    settings = parts.settings
    shapes: Shapes = {
        **openai_errors.SHAPES, **ollama_errors.SHAPES, **systemone.SHAPES, **pack_routes.shapes(parts.desk),
    }  # fmt: skip
    http_errors.install(app, shapes)
    app.add_middleware(
        BodyLimit, max_bytes=settings.most_bytes, body_timeout_s=settings.body_timeout_s, shapes=shapes
    )
    app.add_middleware(Gate, keys=parts.keys, rate=_rate(settings), shapes=shapes)
    app.add_middleware(PackCors, desk=parts.desk)
    app.add_middleware(AccessLog)


def _rate(settings: ServeSettings) -> RateLimit | None:
    """At most a quarter of a minute's requests at once."""
    if not settings.per_minute:
        return None
    return RateLimit(settings.per_minute, max(1, settings.per_minute // 4), perf_counter)


def _health(parts: Parts) -> APIRouter:
    made = APIRouter(tags=["operation"], responses=FAILURES)

    @made.get("/healthz", summary="Does the process answer?")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @made.get(
        "/readyz",
        summary="Can requests be answered? What is served, and what its owner should know of it",
        responses={
            503: {"description": "No trace can be kept, so nothing is answered; the server's log says why."}
        },
    )
    async def readyz() -> JSONResponse:
        tasks = {
            line.served.task.name: {"model": line.served.model, "notes": list(line.notes)}
            for line in parts.desk.lines
        }
        trouble = await parts.desk.trouble()
        if trouble is not None:
            return JSONResponse({"status": "not ready", "why": trouble, "tasks": tasks}, 503)
        return JSONResponse({"status": "ready", "tasks": tasks})

    @made.get("/metrics", summary="For Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(parts.metrics.text(), media_type=CONTENT_TYPE)

    return made
