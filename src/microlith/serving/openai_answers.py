"""What OpenAI's answers have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Response

from microlith.serving.dialect import Reply, Usage

STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "The answer; as events where `stream` says so.",
    }
}
"""What the OpenAPI page says of answers beside their JSON."""


def usage_of(usage: Usage) -> dict[str, int]:
    """How much was read and written; see `Usage`."""
    return {
        "prompt_tokens": usage.read, "completion_tokens": usage.written, "total_tokens": usage.read + usage.written,
    }  # fmt: skip


def headers_of(reply: Reply) -> dict[str, str]:
    """Headers of an answer; the clients show `x-request-id` as `_request_id`."""
    return {**reply.headers, "x-request-id": reply.routed.trace_id}


def event_stream(chunks: Iterable[Mapping[str, Any]], reply: Reply) -> Response:
    """Server-sent events. The answer is there as a whole before the first of them, so no stream ends in an error."""
    lines = [f"data: {json.dumps(chunk, allow_nan=False)}\n\n" for chunk in chunks]
    return Response(
        "".join([*lines, "data: [DONE]\n\n"]),
        headers={**headers_of(reply), "cache-control": "no-cache"},
        media_type="text/event-stream",
    )
