"""Errors as Ollama's clients expect them: one text."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from microlith.serving.http_errors import Facts, Shapes


class OllamaFailure(BaseModel):
    """An error as Ollama words it."""

    error: str


def shape(status: int, facts: Facts) -> dict[str, Any]:
    """The body of an error: where, what, and how to mend it."""
    problem = facts["problems"][0]
    place = f"{problem['place']}: " if problem["place"] and facts["type"] == "BadParameter" else ""
    mend = f" ({problem['mend']})" if problem["mend"] else ""
    return OllamaFailure(error=f"{place}{facts['message']}{mend}").model_dump()


SHAPES: Shapes = dict.fromkeys(
    ("/api/chat", "/api/generate", "/api/tags", "/api/show", "/api/version", "/api/ps"), shape
)
"""For `http_errors.install` and for middleware that refuses requests."""

FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": OllamaFailure, "description": "The request cannot be answered as it stands."},
    "5XX": {"model": OllamaFailure, "description": "The server could not answer."},
}
"""What the OpenAPI page says of errors."""
