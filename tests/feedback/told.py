"""Small tasks with secrets, and what became of their requests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from microlith.feedback.trace import Trace
from microlith.inference.protocol import FieldPrediction, Prediction
from microlith.routing.route import Hop, Routed
from microlith.task.compile import compile_plan
from microlith.task.plan import Plan
from tests.inference.toys import GATE, span, thing

WHEN = datetime(2025, 1, 31, 14, 22, 33, 123456, tzinfo=UTC)
SALT = b"salt"
GATE_PLAN = compile_plan(GATE)
"""Actions `open`, `point`, `login` (with a secret password), a sequence of them, and clarify."""


def pin_plan() -> Plan:
    """A door, whose pin is a secret number."""
    pin = {"type": "integer", "x-source": "input", "x-format": "integer", "x-secret": True}
    return compile_plan(thing("open", door=span("word"), pin=pin))


def list_plan() -> Plan:
    """Secret words, any number of them."""
    words = {"type": "array", "items": span("word"), "maxItems": 5, "x-secret": True}
    return compile_plan(thing("hide", who=span("word"), words=words))


def public_plan() -> Plan:
    """A task without secrets."""
    return compile_plan(thing("greet", who=span("word")))


def answered(
    request: str,
    output: Any,
    *,
    fields: Iterable[FieldPrediction] = (),
    refusal: str | None = None,
    hops: tuple[Hop, ...] | None = None,
    trace_id: str = "t1",
) -> Routed:
    """What became of `request`: by default one hop answered, or refused."""
    prediction = Prediction(
        output=output, confidence=0.0 if output is None else 0.9, fields=tuple(fields), model="gate@3", latency_ms=2.0,
        refusal=refusal,
    )  # fmt: skip
    one = Hop(
        stage="specialist", model="gate@3", latency_ms=2.0, left=None if refusal is None else "no answer",
        confidence=prediction.confidence,
    )  # fmt: skip
    return Routed(
        trace_id=trace_id, task="gate", request=request, prediction=prediction,
        hops=(one,) if hops is None else hops, latency_ms=3.0, model_ms=2.0,
    )  # fmt: skip


def trace(trace_id: str, **changes: Any) -> Trace:
    """A plain trace."""
    values: dict[str, Any] = {
        "trace_id": trace_id, "at": WHEN, "task": "gate", "request": "open port 80", "request_hash": "0" * 64,
        "output": {"action": "open", "port": 80}, "confidence": 0.9, "model": "gate@3", "stage": "specialist",
        "refusal": None, "latency_ms": 3.25, "model_ms": 2.5, "tokens_in": 7, "tokens_out": 5, "cost": 0.125,
        "hops": ({"stage": "specialist", "left": None},), "labels": {"dialect": "native"},
    }  # fmt: skip
    return Trace(**{**values, **changes})
