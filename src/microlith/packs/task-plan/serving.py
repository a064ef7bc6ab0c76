"""The route that a work-management front end asks through Supabase's functions client."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from microlith.routing.route import Routed
from microlith.serving.desk import Call
from microlith.serving.pack_api import Failure, Heard, PackRoute, Reply

Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class PlanQuestion(BaseModel):
    """A task that a plan is asked for."""

    model_config = ConfigDict(validate_by_name=True)
    title: Said
    description: Said
    skills: list[str] | None = None
    task_type: str | None = Field(default=None, alias="taskType")


class Step(BaseModel):
    """One step."""

    phase: str
    title: str
    duration: int = Field(description="hours")
    risk: str
    note: str


class Metadata(BaseModel):
    """What the plan rests on."""

    overall_risks: list[str]
    assumptions: list[str]
    model: str


class Plan(BaseModel):
    """A plan of at most eight steps."""

    suggested_plan: list[Step]
    ai_metadata: Metadata


def read(heard: Heard) -> Call:
    """The task, as the model knows it."""
    question: PlanQuestion = heard.body
    return Call(task=heard.task, request=question.model_dump(mode="json", by_alias=True, exclude_none=True))


def write(heard: Heard, routed: Routed) -> Reply:
    """The plan with the model's name; an error where there is none."""
    output, model = routed.prediction.output, routed.prediction.model
    if not isinstance(output, dict) or not output["suggested_plan"]:
        why = routed.prediction.refusal or "the plan has no steps"
        return Reply(body=Failure(error=f"no plan was made: {why}"), status=502)
    return Reply(body=Plan.model_validate(output | {"ai_metadata": output["ai_metadata"] | {"model": model}}))


ROUTES = [
    PackRoute(
        path="/functions/v1/generate-task-plan", about="A checklist for a task.",
        asks=PlanQuestion, says=Plan, read=read, write=write, failures={502: Failure}, cors=True,
    ),
]  # fmt: skip
