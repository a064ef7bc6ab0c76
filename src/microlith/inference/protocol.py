"""The one boundary between a model and everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from microlith.task.plan import Json

Request = str
"""What a person or a program asks: text of any length, the empty text included."""


@dataclass(frozen=True, kw_only=True)
class FieldPrediction:
    """One value of an answer, how sure the model is of it and where it stood in the request."""

    path: str
    """JSON path in the answer, e.g. `action`, `steps[0].zone`."""
    value: Json
    confidence: float
    """Calibrated probability, 0-1, that this value is right."""
    span: tuple[int, int] | None = None
    """Half-open character range in the request; None for values that are not copied."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model answered to one request."""

    output: Json
    """An answer that validates against the task's schema; None where the model refuses."""
    confidence: float
    """Calibrated probability, 0-1, that the whole answer is right; 0 for a refusal."""
    fields: tuple[FieldPrediction, ...]
    model: str
    """Name of the model that answered, e.g. `infra@3` or `rules`."""
    latency_ms: float
    """Time spent on this request, everything included; in a batch its share."""
    refusal: str | None = None
    """Why there is no answer; None when there is one."""


@runtime_checkable
class Model(Protocol):
    """Anything that answers requests of one task."""

    @property
    def name(self) -> str:
        """Name shown beside every prediction."""
        ...

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        """Answer `requests`, one prediction each, in their order. Never raises for what a request says."""
        ...
