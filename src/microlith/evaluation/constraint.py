"""What does holding a language model to the plan gain, and what does it cost? The same requests, answered both ways."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from microlith.data.strict_json import loads
from microlith.evaluation.cases import Row
from microlith.evaluation.compare import text_preference
from microlith.evaluation.decisions import same
from microlith.evaluation.intervals import Difference, mean_of, paired_difference, share_of
from microlith.evaluation.result import Constraint, Spoken
from microlith.evaluation.texts import rouge_l, texts_of
from microlith.inference.protocol import Request
from microlith.task.plan import Json
from microlith.task.taskfile import Task

FREE_ROWS = 200
"""Requests at most that are answered freely."""


@runtime_checkable
class SpeaksFreely(Protocol):
    """A model that can answer without being held to the plan."""

    def free(self, request: Request, most: int) -> str:
        """What the model says when nothing holds it: at most `most` tokens."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What one answer is worth."""

    json: bool = False
    valid: bool = False
    right: bool = False
    rouge_l: float = 0.0

    @property
    def wrong_but_valid(self) -> bool:
        return self.valid and not self.right


def cost_of_constraint(
    model: object, rows: Sequence[Row], task: Task, *, most_rows: int = FREE_ROWS
) -> Constraint | None:
    """Answer some of the rows again without the constraint, and compare.

    Args:
        model: The model that gave the answers of `rows`.
        rows: Examples with their constrained answers.
        task: Gives the plan and the validator.
        most_rows: At most this many rows, evenly spread, are answered again; 0 for none.

    Returns:
        None where the model cannot speak freely or no row is to be answered.
    """
    count = min(max(most_rows, 0), len(rows))
    if not isinstance(model, SpeaksFreely) or count == 0:
        return None
    chosen = [rows[index] for index in np.linspace(0, len(rows) - 1, count).round().astype(int)]
    most = max(_length(row.example.output) for row in chosen)
    held = [_held(row) for row in chosen]
    free = [_free(model, row, task, most) for row in chosen]
    return _compared(held, free, texts=task.plan.writes_text)


def _length(answer: Json) -> int:
    """Bytes of an answer as JSON: no tokenizer makes more tokens of it."""
    return len(json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _held(row: Row) -> _Said:
    outcome = row.outcome
    return _Said(
        json=outcome.answered, valid=outcome.valid, right=outcome.right, rouge_l=outcome.rouge_l or 0.0
    )


def _free(model: SpeaksFreely, row: Row, task: Task, most: int) -> _Said:
    try:
        answer = loads(model.free(row.example.input, most))
    except Exception:  # per-example evaluation: what is no JSON, and any fault of a model, is data
        return _Said()
    if not task.validator.is_valid(answer):
        return _Said(json=True)
    expected, plan = row.example.output, task.plan
    alike = rouge_l(texts_of(plan, expected), texts_of(plan, answer)) if plan.writes_text else 0.0
    return _Said(json=True, valid=True, right=same(answer, expected), rouge_l=alike)


def _compared(held: Sequence[_Said], free: Sequence[_Said], *, texts: bool) -> Constraint:
    def paired(name: str) -> Difference:
        return _paired([getattr(one, name) for one in held], [getattr(one, name) for one in free])

    alike = text_preference([one.rouge_l for one in held], [one.rouge_l for one in free])
    return Constraint(
        n=len(held),
        constrained=_spoken(held, texts=texts),
        free=_spoken(free, texts=texts),
        json=paired("json"),
        valid=paired("valid"),
        wrong_but_valid=paired("wrong_but_valid"),
        exact=None if texts else paired("right"),
        rouge_l=Difference(value=alike[0], low=alike[1], high=alike[2]) if texts else None,
    )


def _spoken(said: Sequence[_Said], *, texts: bool) -> Spoken:
    return Spoken(
        json=share_of([one.json for one in said]),
        valid=share_of([one.valid for one in said]),
        wrong_but_valid=share_of([one.wrong_but_valid for one in said]),
        exact=None if texts else share_of([one.right for one in said]),
        rouge_l=mean_of([one.rouge_l for one in said]) if texts else None,
    )


def _paired(held: Sequence[bool], free: Sequence[bool]) -> Difference:
    pairs = list(zip(held, free, strict=True))
    cells = [pairs.count(one) for one in ((True, True), (True, False), (False, True), (False, False))]
    value, low, high = paired_difference(*cells)
    return Difference(value=value, low=low, high=high)
