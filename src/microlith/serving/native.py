"""Microlith's own dialect: predictions of one or many requests, and what is served."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field

from microlith.errors import MicrolithError
from microlith.routing.cost import Savings
from microlith.routing.route import Hop, Routed, Turn
from microlith.serving.desk import Call, Desk, Served
from microlith.serving.http_errors import facts_of
from microlith.serving.native_errors import FAILURES

MOST = 256
"""Requests of one call."""


class TurnIn(BaseModel):
    """One earlier turn of a conversation."""

    model_config = ConfigDict(extra="forbid")
    input: str
    output: Any = None


class PredictIn(BaseModel):
    """One request, or many under `inputs`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"input": "add dns record api.local to 10.0.0.5"}]}
    )
    input: str | dict[str, Any] | None = None
    inputs: list[str | dict[str, Any]] | None = Field(default=None, max_length=MOST)
    context: list[TurnIn] = Field(default=[], max_length=50, description="Earlier turns, oldest first.")
    force: str | None = Field(default=None, pattern="^(specialist|general)$")
    deadline_ms: float | None = Field(default=None, gt=0, le=600_000)
    labels: dict[str, str] = Field(default={}, max_length=20)


class HopOut(BaseModel):
    """One stage that was asked."""

    stage: str
    model: str
    latency_ms: float
    left: str | None = Field(description="Why the route went on; null for the stage that answered.")
    detail: str
    confidence: float | None
    tokens_in: int
    tokens_out: int
    cost: float


class FieldOut(BaseModel):
    """One value of an answer."""

    value: Any
    confidence: float
    span: tuple[int, int] | None = Field(
        description="Half-open character range of the request; null if not copied."
    )


class PredictOut(BaseModel):
    """An answer, or a refusal that says why."""

    output: Any = Field(description="Valid against the task's schema; null for a refusal.")
    confidence: float
    fields: dict[str, FieldOut]
    model: str
    stage: str | None
    refusal: str | None
    trace_id: str
    latency_ms: float
    hops: list[HopOut]


class FailedOut(BaseModel):
    """One request of many that could not be answered."""

    error: dict[str, Any]


class ManyOut(BaseModel):
    """The answers of many requests, in their order."""

    predictions: list[PredictOut | FailedOut]


class TaskOut(BaseModel):
    """One task that is served."""

    task: str
    instruction: str
    input: str
    model: str | None
    route: list[str]
    error_budget: float
    threshold: float | None = Field(
        description="Confidence from which the specialist is believed; null for none."
    )
    since: str
    output_schema: dict[str, Any]


class SavingsOut(BaseModel):
    """What the requests of one task cost since the server began."""

    requests: int
    local: int
    general: int
    refused: int
    local_share: float | None
    tokens: int
    cost: float
    saved_tokens: float
    saved_cost: float
    estimated: bool = Field(
        description="True where the general model was never asked, so that savings follow from lengths."
    )


def router(desk: Desk) -> APIRouter:
    """The routes under /v1/tasks and the list of models."""
    made = APIRouter(tags=["microlith"])

    @made.get("/v1/tasks", summary="Every task that is served", responses=FAILURES)
    async def tasks() -> list[TaskOut]:
        return [_task(one) for one in desk.served()]

    @made.get("/v1/tasks/{task}", summary="One task", responses=FAILURES)
    async def task_(task: str) -> TaskOut:
        return _task(desk.find(task))

    @made.post("/v1/tasks/{task}/predict", summary="Answer one request or many", responses=FAILURES)
    async def predict(task: str, body: Annotated[PredictIn, Body()]) -> PredictOut | ManyOut:
        if (body.input is None) == (body.inputs is None):
            from microlith.errors import UsageError

            raise UsageError(
                'the body holds neither or both of "input" and "inputs"', mend="send one of them"
            )
        if body.inputs is None:
            return shown(await desk.answer(_call(task, body, body.input)))
        desk.find(task)
        answers = await asyncio.gather(*(_one_of_many(desk, _call(task, body, one)) for one in body.inputs))
        return ManyOut(predictions=list(answers))

    @made.get(
        "/v1/savings",
        summary="What routes cost, beside sending everything to the general model",
        responses=FAILURES,
    )
    async def savings() -> dict[str, SavingsOut]:
        return {task: _savings(found) for task, found in desk.savings().items()}

    return made


def shown(routed: Routed) -> PredictOut:
    """What became of a request, for a caller."""
    given = routed.prediction
    return PredictOut(
        output=given.output, confidence=round(given.confidence, 6), model=given.model, stage=routed.stage, refusal=given.refusal,
        fields={
            one.path: FieldOut(value=one.value, confidence=round(one.confidence, 6), span=one.span) for one in given.fields
        },
        trace_id=routed.trace_id, latency_ms=round(routed.latency_ms, 3), hops=[_hop(one) for one in routed.hops],
    )  # fmt: skip


def turns_of(context: Sequence[TurnIn]) -> tuple[Turn, ...]:
    """Earlier turns as a route takes them."""
    import json

    return tuple(
        Turn(request=one.input, answer=json.dumps(one.output, ensure_ascii=False)) for one in context
    )


def _call(task: str, body: PredictIn, request: Any) -> Call:
    return Call(
        task=task, request=request, turns=turns_of(body.context), force=body.force,
        deadline_s=None if body.deadline_ms is None else body.deadline_ms / 1000.0, labels={"dialect": "native", **body.labels},
    )  # fmt: skip


async def _one_of_many(desk: Desk, call: Call) -> PredictOut | FailedOut:
    try:
        return shown(await desk.answer(call))
    except MicrolithError as error:  # one bad request does not cost the others their answers
        return FailedOut(error=facts_of(error)[1])


def _hop(hop: Hop) -> HopOut:
    return HopOut(
        stage=hop.stage, model=hop.model, latency_ms=round(hop.latency_ms, 3), left=hop.left, detail=hop.detail,
        confidence=hop.confidence, tokens_in=hop.tokens_in, tokens_out=hop.tokens_out, cost=hop.cost,
    )  # fmt: skip


def _savings(found: Savings) -> SavingsOut:
    return SavingsOut(
        requests=found.requests, local=found.local, general=found.general, refused=found.refused, local_share=found.local_share,
        tokens=found.tokens_in + found.tokens_out, cost=found.cost, saved_tokens=found.saved_tokens,
        saved_cost=found.saved_cost, estimated=found.estimated,
    )  # fmt: skip


def _task(served: Served) -> TaskOut:
    task = served.task
    return TaskOut(
        task=task.name, instruction=task.instruction, input=task.input_kind, model=served.model, route=list(served.route),
        error_budget=task.error_budget, threshold=served.threshold, since=served.since.isoformat(),
        output_schema=dict(task.schema.value),
    )  # fmt: skip
