"""Errors in Microlith's own form, as the OpenAPI page shows them; `microlith.serving.http_errors` writes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ProblemOut(BaseModel):
    """One thing that is wrong."""

    what: str
    place: str | None = Field(description="Where in the request; null where it has no place.")
    mend: str | None = Field(description="What to do about it; null where `what` says it.")


class FactsOut(BaseModel):
    """What is wrong."""

    type: str = Field(description="Class of the error, e.g. UnknownTask.")
    message: str
    problems: list[ProblemOut]
    trace_id: str | None = Field(
        description="Under which the server's log tells more; null where it does not."
    )


class FailureOut(BaseModel):
    """An error."""

    error: FactsOut


FAILURES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": FailureOut, "description": "The request cannot be answered as it stands."},
    "5XX": {"model": FailureOut, "description": "The server could not answer."},
}
"""What the OpenAPI page says of errors."""
