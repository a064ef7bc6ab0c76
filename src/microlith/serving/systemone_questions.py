"""Questions of the System One protocol, answered from the decisions of a task's answer.

A question is named after the decision that it asks about, by its path in the answer: `action`, `risk_level`, `record.type`.
Such a decision has a closed set of options in the task's schema: `enum`, `const` or a boolean.

- `choice`: the keys of `criteria` are options. What is described there is not read: the task knows its job.
- `noul`: the probability that a boolean decision is true; of any other decision that it is a certain option, asked for as
  `action=dns_add`.
- `score`: `criteria` are options from the lowest to the highest. The score is the expected place among them, from 0.

A model states how probable its decision is, and nothing of the options that it did not take. They share the rest evenly, and
where a question leaves options out, what remains is scaled to 1. `confidence` is how concentrated that is: 1 less its entropy
over the largest entropy possible, 0 for even odds.

A question that the answer says nothing of has no answer: the route refused, the answer has no such member, or what was decided
is not among the options of the question.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from microlith.inference.protocol import Prediction
from microlith.serving.dialect import BadParameter
from microlith.task.plan import Json
from microlith.task.schema import Schema, resolve
from microlith.task.taskfile import Task

MOST_OPTIONS = 255
"""Criteria of one question."""
Content = str | dict[str, Any] | list[Any]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ChoiceQuestion(_Sent):
    """Which option was decided on?"""

    type: Literal["choice"]
    instructions: Content = Field(default="", description="Not read: the task knows its job")
    criteria: dict[str, Any] = Field(
        min_length=1, max_length=MOST_OPTIONS, description="Options -> descriptions"
    )


class NoulQuestion(_Sent):
    """Is a boolean decision true, or another decision a certain option?"""

    type: Literal["noul"]
    instructions: Content = ""
    criteria: dict[str, Any] | None = None


class ScoreQuestion(_Sent):
    """Where among ordered options is the decision?"""

    type: Literal["score"]
    instructions: Content = ""
    criteria: list[str] = Field(min_length=1, max_length=MOST_OPTIONS, description="Options, lowest first")


Question = Annotated[ChoiceQuestion | NoulQuestion | ScoreQuestion, Field(discriminator="type")]


class ChoiceAnswer(BaseModel):
    """The decision, and how probable each option of the question is."""

    type: Literal["choice"] = "choice"
    choice: str
    probabilities: dict[str, Probability]
    confidence: Probability


class NoulAnswer(BaseModel):
    """How probable it is."""

    type: Literal["noul"] = "noul"
    noul: Probability


class ScoreAnswer(BaseModel):
    """The expected place among the options, from 0."""

    type: Literal["score"] = "score"
    score: float
    legend: dict[str, str] = Field(description="Place -> option")
    probabilities: dict[str, Probability] = Field(description="Place -> probability")
    confidence: Probability


Answer = Annotated[ChoiceAnswer | NoulAnswer | ScoreAnswer, Field(discriminator="type")]


class Unanswered(Exception):
    """An answer says nothing of a question; the message says why."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """One question, checked against its task."""

    path: str
    known: tuple[str, ...]
    """Every option of the decision."""
    options: tuple[str, ...]
    """Those that the question asks about, in its order."""


def answers_of(
    task: Task, questions: Mapping[str, Question], prediction: Prediction
) -> tuple[dict[str, ChoiceAnswer | NoulAnswer | ScoreAnswer], dict[str, str]]:
    """The answers by name, and of the questions without one the reasons by name."""
    answers: dict[str, ChoiceAnswer | NoulAnswer | ScoreAnswer] = {}
    open_: dict[str, str] = {}
    for name, question in questions.items():
        try:
            answers[name] = _answer(question, _asked(task, name, question), prediction)
        except Unanswered as error:
            open_[name] = str(error)
    return answers, open_


def check(task: Task, questions: Mapping[str, Question]) -> None:
    """See that every question asks about a decision of the task.

    Raises:
        BadParameter: which names the question and what could be asked.
    """
    for name, question in questions.items():
        _asked(task, name, question)


# ------------------------------------------------------------------------------------------- questions


def _asked(task: Task, name: str, question: Question) -> _Asked:
    decisions, param = decisions_of(task), f"questions.{name[:80]}"
    path = name
    options: tuple[str, ...] = ("true",)
    if not isinstance(question, NoulQuestion):
        options = tuple(question.criteria)
    elif name not in decisions:
        path, _, option = name.rpartition("=")
        options = (option,)
    if path not in decisions:
        raise BadParameter(
            f"the task {task.name} makes no decision of this name", param=param,
            mend=f"name the question after one of {', '.join(decisions) or 'none'}",
        )  # fmt: skip
    known = decisions[path]
    strange = [one for one in options if one not in known]
    if strange or len(set(options)) < len(options):
        raise BadParameter(
            f"{strange[0][:80]!r} is no option of it" if strange else "an option stands twice", param=param,
            mend=f"its options are {', '.join(known[:40])}",
        )  # fmt: skip
    return _Asked(path=path, known=known, options=options)


@lru_cache(maxsize=128)
def decisions_of(task: Task) -> Mapping[str, tuple[str, ...]]:
    """Path -> options, of every decision of a task's answer that takes one of a closed set; lists are left out."""
    found: dict[str, dict[str, None] | None] = {}
    for path, node in _members(resolve(task.schema.value), ""):
        options = _options(node)
        if options is None:
            found[path] = None
        elif (so_far := found.setdefault(path, {})) is not None:
            so_far.update(dict.fromkeys(options))
    return {path: tuple(options) for path, options in found.items() if options}


def _members(node: Any, path: str) -> Iterator[tuple[str, Schema]]:
    """Every property of an object schema, in all its branches, with its path."""
    if not isinstance(node, Mapping):
        return
    for keyword in ("oneOf", "anyOf", "allOf"):
        for branch in node.get(keyword, ()):
            yield from _members(branch, path)
    for name, child in node.get("properties", {}).items():
        inner = f"{path}.{name}" if path else str(name)
        if isinstance(child, Mapping):
            if not child.get("properties"):
                yield inner, child
            yield from _members(child, inner)


def _options(node: Schema) -> list[str] | None:
    """The options of a value as text; None where it may be anything."""
    if "const" in node:
        return [option_text(node["const"])]
    if isinstance(node.get("enum"), list):
        return [option_text(one) for one in node["enum"]]
    return ["true", "false"] if node.get("type") == "boolean" else None


def option_text(value: Json) -> str:
    """An option as questions name it: text as it stands, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ------------------------------------------------------------------------------------------- answers


def _answer(
    question: Question, asked: _Asked, prediction: Prediction
) -> ChoiceAnswer | NoulAnswer | ScoreAnswer:
    value = option_text(_value(prediction, asked.path))
    shares = _shares(asked.known, value, _confidence(prediction, asked.path))
    if isinstance(question, NoulQuestion):
        return NoulAnswer(noul=round(shares[asked.options[0]], 6))
    if value not in asked.options:
        raise Unanswered(f"{asked.path} is {value!r}, which is none of the question's options")
    probable = _scaled([shares[one] for one in asked.options])
    rounded = [round(one, 6) for one in probable]
    sure = round(concentration(probable), 6)
    if isinstance(question, ChoiceQuestion):
        return ChoiceAnswer(
            choice=value, probabilities=dict(zip(asked.options, rounded, strict=True)), confidence=sure
        )
    places = [str(at) for at in range(len(asked.options))]
    return ScoreAnswer(
        score=round(sum(at * one for at, one in enumerate(probable)), 6), legend=dict(zip(places, asked.options, strict=True)),
        probabilities=dict(zip(places, rounded, strict=True)), confidence=sure,
    )  # fmt: skip


def _value(prediction: Prediction, path: str) -> Json:
    if prediction.output is None:
        raise Unanswered(prediction.refusal or "no stage answered")
    node = prediction.output
    for name in path.split("."):
        if not isinstance(node, Mapping) or name not in node:
            raise Unanswered(f"the answer holds no {path}")
        node = node[name]
    return node


def _confidence(prediction: Prediction, path: str) -> float:
    return next((one.confidence for one in prediction.fields if one.path == path), prediction.confidence)


def _shares(known: Sequence[str], value: str, confidence: float) -> dict[str, float]:
    """How probable every option is; those that were not decided on share the rest evenly."""
    if len(known) == 1:
        return {value: 1.0}
    rest = (1.0 - confidence) / (len(known) - 1)
    return {one: confidence if one == value else rest for one in known}


def _scaled(shares: Sequence[float]) -> list[float]:
    total = sum(shares)
    return [share / total for share in shares] if total > 0 else [1.0 / len(shares)] * len(shares)


def concentration(shares: Iterable[float]) -> float:
    """1 - H / ln n of n probabilities with the entropy H: 1 where one of them is 1, 0 where all are equal."""
    given = list(shares)
    if len(given) < 2:
        return 1.0
    entropy = -sum(share * math.log(share) for share in given if share > 0)
    return min(max(1.0 - entropy / math.log(len(given)), 0.0), 1.0)
