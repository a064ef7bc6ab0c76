"""What became of one request, as it is kept: secrets are out before a trace exists."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from microlith.feedback.redaction import Secrets, redacted
from microlith.inference.protocol import Prediction
from microlith.task.plan import Json, Plan


class Hopped(Protocol):
    """One stage that was asked, or would have been; `microlith.routing.route.Hop` is one."""

    @property
    def stage(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def latency_ms(self) -> float: ...
    @property
    def left(self) -> str | None: ...
    @property
    def detail(self) -> str: ...
    @property
    def confidence(self) -> float | None: ...
    @property
    def tokens_in(self) -> int: ...
    @property
    def tokens_out(self) -> int: ...
    @property
    def cost(self) -> float: ...


class Answered(Protocol):
    """One request and all that became of it; `microlith.routing.route.Routed` is one."""

    @property
    def trace_id(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def request(self) -> str: ...
    @property
    def prediction(self) -> Prediction: ...
    @property
    def hops(self) -> Sequence[Hopped]: ...
    @property
    def latency_ms(self) -> float: ...
    @property
    def model_ms(self) -> float: ...
    @property
    def stage(self) -> str | None: ...
    @property
    def left(self) -> Sequence[Prediction]: ...


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One request and its answer, secrets masked: a row of the table `traces`."""

    trace_id: str
    at: datetime
    """When the request was answered, with a time zone; kept as UTC."""
    task: str
    request: str
    """As models read it, secrets masked."""
    request_hash: str
    """SHA-256, in hex, of the database's salt and `request`: equal for equal requests of one database."""
    output: Json
    """The answer, secrets masked; None for a refusal."""
    confidence: float
    """Calibrated probability, 0-1, that the whole answer is right; 0 for a refusal."""
    model: str
    """Name of the model that answered, e.g. `infra@3`."""
    stage: str | None
    """The stage that answered, e.g. "specialist"; None for a refusal."""
    refusal: str | None
    """Why there is no answer; None when there is one."""
    latency_ms: float
    """From the request's arrival at the route to its answer."""
    model_ms: float
    """Time of `latency_ms` that was spent waiting for models."""
    tokens_in: int
    """Tokens that all hops read."""
    tokens_out: int
    """Tokens that all hops wrote."""
    cost: float
    """Money that all hops cost, in the currency of the configured prices."""
    hops: tuple[Mapping[str, Json], ...]
    """The hops in turn: stage, model, latency_ms, left, detail, confidence, tokens_in, tokens_out, cost."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the caller wanted kept, e.g. appliance_id, customer_id, dialect."""


def trace_of(
    plan: Plan, routed: Answered, *, at: datetime, salt: bytes, labels: Mapping[str, str] | None = None
) -> Trace:
    """The trace of an answered request, without its secrets.

    The hash is taken of the masked text. A hash of the whole text would be a way to try passwords offline: whoever has the
    database has its salt too, and the masked text says everything but the password.

    Args:
        plan: The plan of the request's task.
        routed: What became of the request.
        at: When, with a time zone.
        salt: The database's own (`TraceWriter.salt`).
        labels: What the caller wants kept with it.
    """
    answer = routed.prediction
    clear = redacted(plan, routed.request, answer.output, answer.fields, left=routed.left)
    return Trace(
        trace_id=routed.trace_id,
        at=at.astimezone(UTC),
        task=routed.task,
        request=clear.request,
        request_hash=request_hash(clear.request, salt),
        output=clear.output,
        confidence=answer.confidence,
        model=answer.model,
        stage=routed.stage,
        refusal=None if answer.refusal is None else clear.secrets.message(answer.refusal),
        latency_ms=routed.latency_ms,
        model_ms=routed.model_ms,
        tokens_in=sum(hop.tokens_in for hop in routed.hops),
        tokens_out=sum(hop.tokens_out for hop in routed.hops),
        cost=sum((hop.cost for hop in routed.hops), 0.0),
        hops=tuple(_hop(hop, clear.secrets) for hop in routed.hops),
        labels=clear.secrets.labels(labels or {}),
    )


def request_hash(request: str, salt: bytes) -> str:
    """SHA-256, in hex, of `salt` and a request whose secrets are masked; lone surrogates are hashed as they are."""
    return hashlib.sha256(salt + request.encode("utf-8", "surrogatepass")).hexdigest()


def _hop(hop: Hopped, secrets: Secrets) -> dict[str, Json]:
    return {
        "stage": hop.stage,
        "model": hop.model,
        "latency_ms": hop.latency_ms,
        "left": hop.left,
        "detail": secrets.message(hop.detail),
        "confidence": hop.confidence,
        "tokens_in": hop.tokens_in,
        "tokens_out": hop.tokens_out,
        "cost": hop.cost,
    }
