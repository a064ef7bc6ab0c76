"""OpenAI's dialect: `POST /v1/chat/completions`.

A task answers like a model of its name. The last user message is the request; its text may be split into parts. Earlier user
messages with their answers are turns, for tasks that declare a conversation. System and developer messages are accepted and
ignored: the task knows its job. The content of an answer is JSON that is valid against the task's schema; a refusal of the
route is a `refusal`, and so is an answer that does not satisfy a `json_schema` of the request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from microlith.serving.desk import Call, Desk
from microlith.serving.dialect import Force, Reply, StrictRoute, conversation, pick, replied
from microlith.serving.dialect_text import Piece
from microlith.serving.openai_answers import STREAM, event_stream, headers_of, usage_of
from microlith.serving.openai_errors import FAILURES
from microlith.serving.openai_requests import ChatRequest, asked_schema, check, said


def router(desk: Desk, *, now: Callable[[], float] = time.time) -> APIRouter:
    """The route; `now` gives seconds since 1970."""
    made = APIRouter(tags=["openai"], route_class=StrictRoute)

    @made.post("/v1/chat/completions", summary="Answer the last user message", responses=STREAM | FAILURES)
    async def chat(body: ChatRequest, request: Request, force: Force = None) -> Response:
        """`model` is the name of a served task. The content of the answer is JSON, valid against the task's schema; a refusal
        says why. Members that would change the meaning of a request, such as `tools`, are refused; those that tune
        sampling, such as `temperature`, are ignored. System messages are ignored: the task knows its job. Log
        probabilities are those of pieces of the text: 0 for what the schema forces, the logarithm of its confidence
        for each decided value. `usage` counts words and marks where a specialist answered, tokens where a general
        model did. `metadata` is kept with the trace.
        """
        check(body)
        schema = (
            await run_in_threadpool(asked_schema, body.response_format)
            if body.response_format is not None
            else None
        )
        text, turns = conversation(said(body.messages))
        call = Call(
            task=pick(desk, body.model).task.name, request=text, turns=turns, force=force,
            labels={"dialect": "openai", **(body.metadata or {})},
        )  # fmt: skip
        reply = await replied(desk, call, request, schema=schema)
        created = int(now())
        if body.stream:
            return event_stream(_chunks(body, reply, created), reply)
        return JSONResponse(_completion(body, reply, created), headers=headers_of(reply))

    return made


def _completion(body: ChatRequest, reply: Reply, created: int) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": None if reply.refusal else reply.text,
        "refusal": reply.refusal,
    }
    logprobs = _logprobs(reply.pieces, body) if body.logprobs else None
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}
    return {
        **_head(body, reply, created, "chat.completion"), "choices": [choice], "usage": usage_of(reply.usage),
        "microlith": reply.facts,
    }  # fmt: skip


def _head(body: ChatRequest, reply: Reply, created: int, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{reply.routed.trace_id}", "object": kind, "created": created, "model": body.model,
        "system_fingerprint": reply.routed.prediction.model,
    }  # fmt: skip


def _chunks(body: ChatRequest, reply: Reply, created: int) -> Iterator[dict[str, Any]]:
    """The role, the answer piece by piece, the end, and the usage where it is asked for."""
    head = _head(body, reply, created, "chat.completion.chunk")
    counts = body.stream_options is not None and body.stream_options.include_usage
    extra = {"usage": None} if counts else {}

    def chunk(delta: dict[str, Any], *, logprobs: Any = None, end: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": end}
        return {**head, "choices": [choice], **extra}

    yield chunk({"role": "assistant", "content": None if reply.refusal else "", "refusal": None})
    if reply.refusal is not None:
        yield chunk({"refusal": reply.refusal})
    for piece in reply.pieces:
        yield chunk({"content": piece.text}, logprobs=_logprobs([piece], body) if body.logprobs else None)
    yield {**chunk({}, end="stop"), "microlith": reply.facts}
    if counts:
        yield {**head, "choices": [], "usage": usage_of(reply.usage)}


def _logprobs(pieces: Iterable[Piece], body: ChatRequest) -> dict[str, Any]:
    content = []
    for piece in pieces:
        entry = {"token": piece.text, "logprob": piece.logprob, "bytes": list(piece.text.encode())}
        content.append({**entry, "top_logprobs": [entry] if body.top_logprobs else []})
    return {"content": content, "refusal": None}
