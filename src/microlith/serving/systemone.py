"""The System One dialect, `POST /v1/systemone`: decisions with their probabilities instead of text.

The body has one of two forms.

**Questions**, as clients of the System One protocol send them (`ollama.systemone`):
`{"model": "infra", "state": TEXT|OBJECT, "questions": {NAME: {"type": "choice"|"noul"|"score", "instructions", "criteria"}}}`
gives `{"model", "answers": {NAME: ...}, "usage": {"input_tokens", "output_tokens"}}`. What may be asked, and what the probabilities
mean, is told in `microlith.serving.systemone_questions`. A question without an answer is missing from `answers`;
`microlith.unanswered` says why.

**The whole decision** of a task:
`{"task": "infra", "input": TEXT|OBJECT, "options": {"force", "deadline_ms", "fields"}, "context": [{"input", "output"}], "labels": {}}`
gives `{"decision", "confidence", "decisions": [{"path", "value", "confidence", "span"}], "decided_by", "model", "refusal", "hops",
"trace_id", "latency_ms"}`. A refusal of the route is a decision of null with a `refusal` that says why.

Errors are `{"error": "..."}`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag

from microlith.routing.route import Turn
from microlith.serving.desk import Call, Desk
from microlith.serving.dialect import BadParameter, Force, Reply, StrictRoute, pick, replied, whole
from microlith.serving.dialect_text import as_text
from microlith.serving.http_errors import Shapes
from microlith.serving.ollama_errors import FAILURES, shape
from microlith.serving.systemone_questions import Answer, Question, answers_of, check

SHAPES: Shapes = {"/v1/systemone": shape}
"""For `http_errors.install` and for middleware that refuses requests."""

Text = str | dict[str, JsonValue] | list[JsonValue]


class QuestionsRequest(BaseModel):
    """Questions about the decisions of a task. Members that are not named here are accepted and change nothing."""

    model_config = ConfigDict(extra="ignore", title="SystemOneQuestions")
    model: str = Field(min_length=1, max_length=200, description="A served task, e.g. `infra`")
    state: Text = Field(description="The request")
    questions: dict[str, Question] = Field(
        min_length=1, max_length=400, description="Decision, by its path in the answer -> question"
    )
    images: list[Any] | None = None


class Options(BaseModel):
    """How to decide."""

    model_config = ConfigDict(extra="forbid")
    force: Literal["specialist", "general"] | None = Field(default=None, description="Ask only this stage")
    deadline_ms: float | None = Field(default=None, gt=0, le=600_000)
    fields: bool = Field(default=True, strict=True, description="Tell the single decisions as well")


class Earlier(BaseModel):
    """An earlier turn of the conversation."""

    model_config = ConfigDict(extra="forbid")
    input: str
    output: JsonValue


class DecisionRequest(BaseModel):
    """A request for the whole decision of a task."""

    model_config = ConfigDict(
        extra="forbid", title="SystemOneDecision",
        json_schema_extra={"examples": [{"task": "infra", "input": "add dns record api.local to 10.0.0.5"}]},
    )  # fmt: skip
    task: str = Field(min_length=1, max_length=200)
    input: Text
    options: Options = Options()
    context: list[Earlier] = Field(default=[], max_length=1000, description="Earlier turns, oldest first")
    labels: dict[str, str] = Field(default={}, max_length=20, description="Kept with the trace")


class UsageOut(BaseModel):
    """Tokens where a general model answered, words and marks where a specialist did."""

    input_tokens: int
    output_tokens: int


class AnswersOut(BaseModel):
    """The answers to questions."""

    model: str
    answers: dict[str, Answer]
    usage: UsageOut
    microlith: dict[str, Any] = Field(
        description="`trace_id`, `stage`, `refusal`, and of questions without an answer why"
    )


class DecidedOut(BaseModel):
    """One value of a decision."""

    path: str
    value: Any
    confidence: float
    span: tuple[int, int] | None = Field(
        description="Half-open range of characters in the request; null if not copied"
    )


class HopOut(BaseModel):
    """One stage that was asked."""

    stage: str
    model: str
    latency_ms: float
    left: str | None = Field(description="Why the route went on; null for the stage that answered")
    confidence: float | None


class DecisionOut(BaseModel):
    """A decision, or a refusal that says why."""

    decision: Any = Field(description="Valid against the task's schema; null for a refusal")
    confidence: float
    decisions: list[DecidedOut]
    decided_by: str | None = Field(description="The stage that answered; null for a refusal")
    model: str
    refusal: str | None
    hops: list[HopOut]
    trace_id: str
    latency_ms: float


def _form(body: Any) -> str:
    """Which form a body has; the brackets tell the form's name from the body's own members in an error's place."""
    is_decision = isinstance(body, DecisionRequest) or (isinstance(body, dict) and "task" in body)
    return "(decision)" if is_decision else "(questions)"


Asked = Annotated[
    Annotated[QuestionsRequest, Tag("(questions)")] | Annotated[DecisionRequest, Tag("(decision)")],
    Discriminator(_form),
    Body(),
]


def router(desk: Desk) -> APIRouter:
    """The route."""
    made = APIRouter(tags=["systemone"], route_class=StrictRoute)

    @made.post("/v1/systemone", summary="Decide", responses=FAILURES, response_model=AnswersOut | DecisionOut)
    async def systemone(body: Asked, request: Request, force: Force = None) -> JSONResponse:
        """Two forms. With `model`, `state` and `questions`: each question is named after a decision of the task, by its path
        in the answer, and gets its probabilities; one without an answer is missing from `answers`. With `task` and `input`:
        the whole decision, every value of it with its confidence and its place in the request, and what became of the
        request stage by stage.
        """
        if isinstance(body, QuestionsRequest):
            return await _questions(desk, body, request, force)
        return await _decision(desk, body, request, force)

    return made


async def _questions(desk: Desk, body: QuestionsRequest, request: Request, force: str | None) -> JSONResponse:
    if body.images:
        raise BadParameter("images are not supported", param="images", mend="leave them out")
    task = pick(desk, body.model).task
    check(task, body.questions)
    whole(body.state, "state")
    call = Call(task=task.name, request=body.state, force=force, labels={"dialect": "systemone"})
    reply = await replied(desk, call, request)
    answers, unanswered = answers_of(task, body.questions, reply.routed.prediction)
    told = AnswersOut(
        model=body.model, answers=answers, usage=UsageOut(input_tokens=reply.usage.read, output_tokens=reply.usage.written),
        microlith={**{key: reply.facts[key] for key in ("trace_id", "stage", "model", "refusal")}, "unanswered": unanswered},
    )  # fmt: skip
    return JSONResponse(told.model_dump(mode="json"), headers=reply.headers)


async def _decision(desk: Desk, body: DecisionRequest, request: Request, force: str | None) -> JSONResponse:
    for name in ("input", "labels"):
        whole(getattr(body, name), name)
    whole([one.model_dump() for one in body.context], "context")
    options = body.options
    call = Call(
        task=pick(desk, body.task).task.name, request=body.input, force=options.force or force,
        turns=tuple(Turn(request=one.input, answer=as_text(one.output)) for one in body.context),
        deadline_s=None if options.deadline_ms is None else options.deadline_ms / 1000.0,
        labels={"dialect": "systemone", **body.labels},
    )  # fmt: skip
    reply = await replied(desk, call, request)
    return JSONResponse(
        _decided(reply, with_fields=options.fields).model_dump(mode="json"), headers=reply.headers
    )


def _decided(reply: Reply, *, with_fields: bool) -> DecisionOut:
    routed, given = reply.routed, reply.routed.prediction
    return DecisionOut(
        decision=given.output, confidence=round(given.confidence, 6), decided_by=routed.stage, model=given.model,
        refusal=reply.refusal, trace_id=routed.trace_id, latency_ms=round(routed.latency_ms, 3),
        decisions=[
            DecidedOut(path=one.path, value=one.value, confidence=round(one.confidence, 6), span=one.span)
            for one in (given.fields if with_fields else ())
        ],
        hops=[
            HopOut(
                stage=hop.stage, model=hop.model, latency_ms=round(hop.latency_ms, 3), left=hop.left, confidence=hop.confidence,
            )
            for hop in routed.hops
        ],
    )  # fmt: skip
