"""What is asked of a route, and what became of it hop by hop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from microlith.inference.protocol import Prediction

Reason = Literal[
    "error", "timeout", "open circuit", "not valid", "out of scope", "low confidence", "no answer"
]  # fmt: skip
"""Why a hop was left: it failed; it took too long; it failed too often of late and was not asked; its answer does not fit the
schema or the request; it says that the request is none of its task; it is not sure enough; it refuses."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One earlier request of a conversation and its answer."""

    request: str
    answer: str
    """The answer as JSON text."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request to a route."""

    request: str
    """As models read it: private paths are out, a structured request is rendered as text."""
    trace_id: str
    turns: tuple[Turn, ...] = ()
    """Earlier turns, oldest first; empty for a task that declares no conversation."""
    force: str | None = None
    """Name of the only stage to ask, "specialist" or "general"; None asks the route in turn."""
    deadline_s: float | None = None
    """When the answer must be there, in seconds of the route's clock; None for the route's own limit."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the caller wants kept with the trace, such as an appliance or customer."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one stage said."""

    prediction: Prediction
    refused_as: Reason = "no answer"
    """The reason of a refusal: "no answer" where the model gives none, "not valid" where what it said cannot be used."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    """Money, in the currency of the configured prices."""


class Stage(Protocol):
    """One stop of a route."""

    @property
    def name(self) -> str:
        """Its name in the route: "rules", "specialist", "general" or "nearest"."""
        ...

    @property
    def model(self) -> str:
        """Name of the model behind it, e.g. `infra@3`."""
        ...

    async def ask(self, asked: Asked, *, timeout_s: float) -> Answer:
        """Answer one request within `timeout_s`.

        Raises:
            TimeoutError: if that is not possible.
            Exception: whatever else goes wrong; the route notes it and goes on.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Hop:
    """One stage that was asked, or would have been."""

    stage: str
    model: str
    latency_ms: float
    left: Reason | None = None
    """Why the route went on; None for the hop that gave the answer."""
    detail: str = ""
    confidence: float | None = None
    """What the stage stated; None where it gave no answer."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Routed:
    """One request and all that became of it."""

    trace_id: str
    task: str
    request: str
    prediction: Prediction
    """The answer, or a refusal that says why."""
    hops: tuple[Hop, ...]
    latency_ms: float
    """From the request's arrival at the route to its answer."""
    model_ms: float = 0.0
    """Time of `latency_ms` that was spent waiting for models."""
    left: tuple[Prediction, ...] = field(default=(), repr=False)
    """What stages said that were left. It is not for callers: it only helps to find secrets."""

    @property
    def stage(self) -> str | None:
        """The stage that answered; None for a refusal."""
        last = self.hops[-1] if self.hops else None
        return last.stage if last is not None and last.left is None else None

    @property
    def is_fallback(self) -> bool:
        """Did a stage after the first one that was asked answer?"""
        return self.stage is not None and any(hop.left is not None for hop in self.hops)
