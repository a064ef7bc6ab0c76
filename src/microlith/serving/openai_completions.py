"""OpenAI's older dialect: `POST /v1/completions`. The prompt is the request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from microlith.serving.desk import Call, Desk
from microlith.serving.dialect import Force, Reply, StrictRoute, pick, replied
from microlith.serving.dialect_text import Piece
from microlith.serving.openai_answers import STREAM, event_stream, headers_of, usage_of
from microlith.serving.openai_errors import FAILURES
from microlith.serving.openai_requests import CompletionRequest, check, prompt_of


def router(desk: Desk, *, now: Callable[[], float] = time.time) -> APIRouter:
    """The route; `now` gives seconds since 1970."""
    made = APIRouter(tags=["openai"], route_class=StrictRoute)

    @made.post("/v1/completions", summary="Answer a prompt", responses=STREAM | FAILURES)
    async def complete(body: CompletionRequest, request: Request, force: Force = None) -> Response:
        """See `/v1/chat/completions`. This form has no word for a refusal: the text is empty then, the finish reason
        `content_filter`, and `microlith.refusal` says why.
        """
        check(body)
        text = prompt_of(body)
        labels = {"dialect": "openai", **(body.metadata or {})}
        call = Call(task=pick(desk, body.model).task.name, request=text, force=force, labels=labels)
        reply = await replied(desk, call, request)
        created = int(now())
        if body.stream:
            return event_stream(_chunks(body, reply, created), reply)
        return JSONResponse(_completion(body, reply, created), headers=headers_of(reply))

    return made


def _completion(body: CompletionRequest, reply: Reply, created: int) -> dict[str, Any]:
    choice = _choice(body, reply.pieces, 0, end=_end(reply))
    return {
        **_head(body, reply, created),
        "choices": [choice],
        "usage": usage_of(reply.usage),
        "microlith": reply.facts,
    }


def _chunks(body: CompletionRequest, reply: Reply, created: int) -> Iterator[dict[str, Any]]:
    head = _head(body, reply, created)
    counts = body.stream_options is not None and body.stream_options.include_usage
    extra = {"usage": None} if counts else {}
    begins = accumulate((len(piece.text) for piece in reply.pieces), initial=0)
    for piece, begin in zip(reply.pieces, begins, strict=False):
        yield {**head, "choices": [_choice(body, [piece], begin, end=None)], **extra}
    last = {"text": "", "index": 0, "logprobs": None, "finish_reason": _end(reply)}
    yield {**head, "choices": [last], **extra, "microlith": reply.facts}
    if counts:
        yield {**head, "choices": [], "usage": usage_of(reply.usage)}


def _head(body: CompletionRequest, reply: Reply, created: int) -> dict[str, Any]:
    return {
        "id": f"cmpl-{reply.routed.trace_id}", "object": "text_completion", "created": created, "model": body.model,
        "system_fingerprint": reply.routed.prediction.model,
    }  # fmt: skip


def _end(reply: Reply) -> str:
    return "stop" if reply.refusal is None else "content_filter"


def _choice(
    body: CompletionRequest, pieces: Sequence[Piece], begin: int, *, end: str | None
) -> dict[str, Any]:
    logprobs = None if body.logprobs is None else _logprobs(pieces, begin, body.logprobs)
    text = "".join(piece.text for piece in pieces)
    return {"text": text, "index": 0, "logprobs": logprobs, "finish_reason": end}


def _logprobs(pieces: Sequence[Piece], begin: int, alternatives: int) -> dict[str, Any]:
    """Pieces in the place of tokens, with the characters of the text at which they begin."""
    offsets = list(accumulate((len(piece.text) for piece in pieces), initial=begin))[:-1]
    top = [{piece.text: piece.logprob} for piece in pieces] if alternatives else None
    return {
        "tokens": [piece.text for piece in pieces], "token_logprobs": [piece.logprob for piece in pieces],
        "text_offset": offsets, "top_logprobs": top,
    }  # fmt: skip
