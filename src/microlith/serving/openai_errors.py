"""Errors as OpenAI's clients expect them, so that they raise their own typed exceptions."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from microlith.serving.http_errors import Facts, Shapes


class OpenAIError(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIFailure(BaseModel):
    """An error as OpenAI words it."""

    error: OpenAIError


_CODES = {
    "UnknownTask": "model_not_found", "NotAllowed": "invalid_api_key", "NotForTask": "model_not_allowed",
    "Overloaded": "rate_limit_exceeded", "TooLarge": "request_too_large",
}  # fmt: skip
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def shape(status: int, facts: Facts) -> dict[str, Any]:
    """The body of an error."""
    problem = facts["problems"][0]
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    param = (
        "model"
        if facts["type"] == "UnknownTask"
        else problem["place"]
        if facts["type"] == "BadParameter"
        else None
    )
    words = facts["message"] if problem["mend"] is None else f"{facts['message']} ({problem['mend']})"
    error = OpenAIError(message=words, type=kind, param=param, code=_CODES.get(facts["type"]))
    return OpenAIFailure(error=error).model_dump()


SHAPES: Shapes = dict.fromkeys(("/v1/chat/completions", "/v1/completions", "/v1/models"), shape)
"""For `http_errors.install` and for middleware that refuses requests."""

FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": OpenAIFailure, "description": "The request cannot be answered as it stands."},
    "5XX": {"model": OpenAIFailure, "description": "The server could not answer."},
}
"""What the OpenAPI page says of errors."""
