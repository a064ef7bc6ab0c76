"""A small task, examples of it, and a model that says what it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from microlith.data.example import Example
from microlith.evaluation.result import Evaluation
from microlith.evaluation.scores import evaluate
from microlith.inference.protocol import FieldPrediction, Prediction
from microlith.task.compile import compile_plan
from microlith.task.schema import SchemaDocument
from microlith.task.taskfile import Task

HOST = {"type": "string", "x-source": "input", "x-format": "hostname"}
USER = {"type": "string", "x-source": "input", "x-format": "username"}
SECRET = {"type": "string", "x-source": "input", "x-format": "password", "x-secret": True}


def branch(
    action: str, required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """One `oneOf` branch."""
    return {
        "type": "object",
        "properties": {"action": {"const": action}, **required, **(optional or {})},
        "required": ["action", *required],
        "additionalProperties": False,
        **more,
    }


HOST_ADD = branch("host_add", {"host": HOST})
USER_ADD = branch("user_add", {"user": USER}, {"password": SECRET})
ACTIONS_SCHEMA: dict[str, Any] = {
    "oneOf": [
        HOST_ADD,
        USER_ADD,
        branch(
            "sequence",
            {
                "steps": {
                    "type": "array",
                    "minItems": 2,
                    "maxItems": 3,
                    "items": {"oneOf": [HOST_ADD, USER_ADD]},
                }
            },
            **{"x-role": "sequence"},
        ),
        branch(
            "clarify",
            {
                "intent": {"enum": ["host_add", "user_add"], "x-role": "intent"},
                "missing": {"type": "array", "items": {"type": "string"}, "maxItems": 3, "x-role": "missing"},
            },
            **{"x-role": "clarify"},
        ),
        branch("other", {}, **{"x-role": "out-of-scope"}),
    ]
}
TAGS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "label": {"enum": ["yes", "no", "none"], "x-out-of-scope": "none"},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "maxItems": 3},
        "sure": {"type": "boolean"},
    },
    "required": ["label"],
    "additionalProperties": False,
}
NOTE = {"type": "string", "minLength": 1, "maxLength": 80}
NOTES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "risk": {"enum": ["low", "medium", "high"], "x-computed": "microlith.task.formulas:risk_level"},
        "steps": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {"phase": {"enum": ["plan", "build"]}, "title": NOTE},
                "required": ["phase", "title"],
                "additionalProperties": False,
            },
        },
        "meta": {
            "type": "object",
            "properties": {"reasons": {"type": "array", "items": NOTE, "minItems": 1, "maxItems": 3}},
            "required": ["reasons"],
            "additionalProperties": False,
        },
        "summary": NOTE,
    },
    "required": ["risk", "steps", "meta"],
    "additionalProperties": False,
}


def notes_answer(
    *reasons: str, risk: str = "low", title: str = "Draw the map", phase: str = "plan"
) -> dict[str, Any]:
    """A valid answer of `NOTES_SCHEMA`."""
    return {"risk": risk, "steps": [{"phase": phase, "title": title}], "meta": {"reasons": list(reasons)}}


def make_task(schema: dict[str, Any], name: str = "sample") -> Task:
    """A task without a folder."""
    return Task(
        name=name,
        instruction="test",
        input_kind="text",
        folder=Path(),
        schema=SchemaDocument(name="schema.json", value=schema, lines={}),
        plan=compile_plan(schema),
        train_files=(),
        validation_files=(),
        test_file=None,
    )


class Scripted:
    """Answers from a table: request -> output, (output, confidence), or an exception to raise."""

    def __init__(self, answers: dict[str, Any], name: str = "scripted", confidence: float = 0.9) -> None:
        self.name, self.answers, self.confidence = name, answers, confidence
        self.calls: list[list[str]] = []

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        self.calls.append(list(requests))
        return [self._one(request) for request in requests]

    def _one(self, request: str) -> Prediction:
        answer = self.answers[request]
        if isinstance(answer, Exception):
            raise answer
        output, confidence = answer if isinstance(answer, tuple) else (answer, self.confidence)
        fields = [
            FieldPrediction(path=path, value=value, confidence=confidence)
            for path, value in (output or {}).items()
        ]
        return Prediction(
            output=output,
            confidence=confidence if output is not None else 0.0,
            fields=tuple(fields),
            model=self.name,
            latency_ms=1.0,
            refusal=None if output is not None else "cannot say",
        )


class Free(Scripted):
    """A scripted model that also says what it is told to when nothing holds it."""

    def __init__(self, answers: dict[str, Any], spoken: dict[str, Any], name: str = "free") -> None:
        super().__init__(answers, name)
        self.spoken, self.asked = spoken, list[tuple[str, int]]()

    def free(self, request: str, most: int) -> str:
        self.asked.append((request, most))
        text = self.spoken[request]
        if isinstance(text, Exception):
            raise text
        return str(text)


def make_examples(rows: dict[str, Any]) -> list[Example]:
    """Examples of request -> right answer."""
    return [
        Example(input=text, output=output, source=f"t.jsonl:{i}")
        for i, (text, output) in enumerate(rows.items(), 1)
    ]


@pytest.fixture(scope="session")
def actions() -> Task:
    """Branches with spans, a secret, a sequence, a clarify and an out-of-scope branch."""
    return make_task(ACTIONS_SCHEMA)


@pytest.fixture(scope="session")
def tags() -> Task:
    """A plain object: a label with an out-of-scope option, a list, an optional boolean."""
    return make_task(TAGS_SCHEMA)


@pytest.fixture(scope="session")
def notes() -> Task:
    """Answers that hold text: titles in an array of objects, a list of reasons, a summary; and two levels."""
    return make_task(NOTES_SCHEMA)


@pytest.fixture(scope="session")
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture(scope="session")
def examples() -> Callable[[dict[str, Any]], list[Example]]:
    return make_examples


@pytest.fixture(scope="session")
def told(notes: Task) -> Callable[..., Evaluation]:
    """Evaluation of a model that gives these reasons, one answer a request, for which "a b c d" is right."""

    def make(
        reasons: Sequence[str], name: str = "model", *, spoken: Sequence[str] | None = None
    ) -> Evaluation:
        rows = {f"request {index}": notes_answer("a b c d") for index in range(len(reasons))}
        answers = {text: notes_answer(reason) for text, reason in zip(rows, reasons, strict=True)}
        said = dict(zip(rows, spoken, strict=True)) if spoken is not None else None
        model = Scripted(answers, name) if said is None else Free(answers, said, name)
        return evaluate(model, make_examples(rows), notes, timing_rows=0)

    return make


@pytest.fixture(scope="session")
def scored(tags: Task) -> Callable[..., Evaluation]:
    """Evaluation of a model whose i-th answer is right where the i-th flag is true, with that confidence."""

    def make(
        right: Sequence[bool], confidence: Sequence[float] | None = None, name: str = "model"
    ) -> Evaluation:
        rows = {f"request {index}": {"label": "yes"} for index in range(len(right))}
        sure = confidence or [0.9] * len(right)
        answers = {
            text: ({"label": "yes" if good else "no"}, value)
            for text, good, value in zip(rows, right, sure, strict=True)
        }
        return evaluate(Scripted(answers, name), make_examples(rows), tags, timing_rows=5)

    return make
