"""Ollama's dialect: `POST /api/chat` and `/api/generate`.

A task answers like a model of its name. The answer is JSON that is valid against the task's schema; `format` may give another
schema that it has to satisfy as well. Both routes stream, as lines of JSON, unless told not to. System messages and options are
accepted and ignored. This dialect has no word for a refusal: it is an error, status 422, that says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from microlith.routing.route import Turn
from microlith.serving.desk import Call, Desk
from microlith.serving.dialect import Force, Reply, StrictRoute, conversation, pick, replied, whole
from microlith.serving.dialect_text import Piece
from microlith.serving.ollama_errors import FAILURES
from microlith.serving.ollama_models import stamp
from microlith.serving.ollama_requests import Asking, ChatRequest, GenerateRequest, asked_schema, check, said

Said = Callable[[str], dict[str, Any]]
"""Text -> the members of an answer that hold it."""
LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/x-ndjson": {}},
        "description": "The answer; as lines of JSON unless `stream` is false.",
    }
}
"""What the OpenAPI page says of answers beside their JSON."""


def router(desk: Desk, *, now: Callable[[], datetime] | None = None) -> APIRouter:
    """The routes; `now` gives the time, with a time zone."""
    made = APIRouter(tags=["ollama"], route_class=StrictRoute)
    clock = now or (lambda: datetime.now(UTC))

    async def answer(
        body: Asking, request: Request, text: str, turns: tuple[Turn, ...], force: str | None, as_said: Said
    ) -> Response:
        schema = await run_in_threadpool(asked_schema, body.format) if body.format is not None else None
        call = Call(
            task=pick(desk, body.model).task.name, request=text, turns=turns, force=force, labels={"dialect": "ollama"}
        )  # fmt: skip
        reply = await replied(desk, call, request, schema=schema)
        return _response(body, reply, as_said, clock())

    @made.post("/api/chat", summary="Answer the last user message", responses=LINES | FAILURES)
    async def chat(body: ChatRequest, request: Request, force: Force = None) -> Response:
        """`model` is the name of a served task. Without messages nothing is asked; the answer says that the task is there.
        A refusal of the route is an error, status 422.
        """
        check(body)
        if not body.messages:
            return _loaded(desk, body, _as_message, clock())
        text, turns = conversation(said(body.messages))
        return await answer(body, request, text, turns, force, _as_message)

    @made.post("/api/generate", summary="Answer a prompt", responses=LINES | FAILURES)
    async def generate(body: GenerateRequest, request: Request, force: Force = None) -> Response:
        """See `/api/chat`. Without a prompt nothing is asked."""
        check(body)
        if not body.prompt:
            return _loaded(desk, body, _as_response, clock())
        whole(body.prompt, "prompt")
        return await answer(body, request, body.prompt, (), force, _as_response)

    return made


def _as_message(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}}


def _as_response(text: str) -> dict[str, Any]:
    return {"response": text}


def _loaded(desk: Desk, body: Asking, as_said: Said, at: datetime) -> Response:
    """The answer to a request that only wants the model to be loaded, or to be let go."""
    pick(desk, body.model)
    why = "unload" if body.keep_alive in (0, "0") else "load"
    return JSONResponse({**_head(body, at), **as_said(""), "done": True, "done_reason": why})


def _response(body: Asking, reply: Reply, as_said: Said, at: datetime) -> Response:
    if reply.refusal is not None:
        return JSONResponse({"error": reply.refusal, "microlith": reply.facts}, 422, reply.headers)
    head = _head(body, at)
    end = {"done": True, "done_reason": "stop", **_counts(reply), "microlith": reply.facts}
    if body.stream is False:
        return JSONResponse(
            {**head, **as_said(reply.text), **_logprobs(body, reply.pieces), **end}, headers=reply.headers
        )
    lines = [*_parts(body, reply, as_said, head), {**head, **as_said(""), **end}]
    # ASCII only: some clients take signs such as U+2028 inside of a text for the end of a line.
    text = "".join(f"{json.dumps(line, allow_nan=False)}\n" for line in lines)
    return Response(text, headers=reply.headers, media_type="application/x-ndjson")


def _parts(body: Asking, reply: Reply, as_said: Said, head: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for piece in reply.pieces:
        yield {**head, **as_said(piece.text), **_logprobs(body, (piece,)), "done": False}


def _head(body: Asking, at: datetime) -> dict[str, Any]:
    return {"model": body.model, "created_at": stamp(at)}


def _counts(reply: Reply) -> dict[str, int]:
    """Durations in nanoseconds: evaluation is the time of the models, reading the prompt the rest of the route's.

    None is 0 but loading, since clients divide by them.
    """
    total, model = round(reply.routed.latency_ms * 1e6), round(reply.routed.model_ms * 1e6)
    return {
        "total_duration": max(total, 1), "load_duration": 0, "prompt_eval_count": reply.usage.read,
        "prompt_eval_duration": max(total - model, 1), "eval_count": reply.usage.written, "eval_duration": max(model, 1),
    }  # fmt: skip


def _logprobs(body: Asking, pieces: tuple[Piece, ...]) -> dict[str, Any]:
    if not body.logprobs:
        return {}
    entries = []
    for piece in pieces:
        entry = {"token": piece.text, "logprob": piece.logprob, "bytes": list(piece.text.encode())}
        entries.append({**entry, "top_logprobs": [entry] if body.top_logprobs else []})
    return {"logprobs": entries}
