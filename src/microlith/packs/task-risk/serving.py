"""The route that a work-management front end asks through Supabase's functions client."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

from microlith.routing.route import Routed
from microlith.serving.desk import Call
from microlith.serving.pack_api import Heard, PackRoute, Reply

Number = StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]
Level = Literal["low", "medium", "high"]
LEVELS = {"low", "medium", "high"}
UNSURE = 50
"""Percent that is stated where only the figures speak."""


class Metrics(BaseModel):
    """A task's figures; others than these are not looked at."""

    allocated_hours: Number | None = None
    elapsed_hours: Number | None = None
    progress_ratio: Number | None = None
    expected_progress: Number | None = None
    velocity: Number | None = None
    predicted_delay_hours: Number | None = None
    total_steps: Number | None = None
    steps_completed: Number | None = None
    base_risk_level: str | None = None
    risk_level: str | None = None


class EmployeeContext(BaseModel):
    """Who works on it; what else a page sends of a person is not looked at."""

    full_name: str | None = Field(
        default=None, exclude=True, repr=False, description="goes no further than here"
    )
    role: str | None = None
    is_micro_task: StrictBool | None = None
    milestone_triggered: str | None = None


class RiskQuestion(BaseModel):
    """A task whose risk is asked for."""

    model_config = ConfigDict(validate_by_name=True)
    metrics: Metrics
    task_title: str | None = Field(default=None, alias="taskTitle")
    employee_context: EmployeeContext | None = Field(default=None, alias="employeeContext")


class Risk(BaseModel):
    """How likely the task is to be late."""

    risk_level: Level
    confidence: int = Field(ge=0, le=100, description="percent")
    reasons: list[str] = Field(max_length=3)
    recommended_actions: list[str] = Field(max_length=2)


def read(heard: Heard) -> Call:
    """What the model is asked: no name of a person."""
    question: RiskQuestion = heard.body
    return Call(task=heard.task, request=question.model_dump(mode="json", by_alias=True, exclude_none=True))


def write(heard: Heard, routed: Routed) -> Reply:
    """The model's words; where it has none, what the figures alone say."""
    output = routed.prediction.output
    if isinstance(output, dict):
        return Reply(body=Risk.model_validate(output))
    metrics: Metrics = heard.body.metrics
    stated = [level for level in (metrics.base_risk_level, metrics.risk_level) if level in LEVELS]
    fallback = {
        "risk_level": stated[0] if stated else "low",
        "confidence": UNSURE,
        "reasons": ["This is what your figures say on their own, without a closer look."],
        "recommended_actions": ["Bring your progress up to date and check again."],
    }
    return Reply(body=Risk.model_validate(fallback))


ROUTES = [
    PackRoute(
        path="/functions/v1/analyze-task-risk", about="How likely a task is to be late, and what to do.",
        asks=RiskQuestion, says=Risk, read=read, write=write, cors=True,
    ),
]  # fmt: skip
