"""The requests worth looking at: wrong with confidence, slow, failed. Secrets never leave this module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from microlith.data.example import Example
from microlith.evaluation.answering import Answered
from microlith.evaluation.masking import Masker
from microlith.evaluation.result import Case, Outcome
from microlith.inference.protocol import Prediction
from microlith.task.plan import Json
from microlith.task.taskfile import Task

CASES = 20
"""Requests kept of each kind."""
INPUT_SHOWN = 400
"""Characters of a request, or of a note, that a case shows."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One example and what became of it."""

    example: Example
    answered: Answered
    outcome: Outcome
    time_ms: float | None
    """Time of the single request; None when it was not timed alone."""

    @property
    def prediction(self) -> Prediction | None:
        """What the model said; None when it failed."""
        return self.answered.prediction

    @property
    def output(self) -> Json:
        """The answer; None for a refusal or a failure."""
        return None if self.prediction is None else self.prediction.output


def worst_of(rows: Sequence[Row], task: Task) -> tuple[Case, ...]:
    """Wrong answers, the most confident first."""
    wrong = [row for row in rows if row.outcome.answered and not row.outcome.right]
    return _cases(sorted(wrong, key=lambda row: -row.outcome.confidence), task)


def slowest_of(rows: Sequence[Row], task: Task) -> tuple[Case, ...]:
    """The requests that took longest, one at a time."""
    timed = [(row.time_ms, row) for row in rows if row.time_ms is not None]
    return _cases([row for _, row in sorted(timed, key=lambda pair: -pair[0])], task)


def failures_of(rows: Sequence[Row], task: Task) -> tuple[Case, ...]:
    """Requests on which the model raised or broke its contract."""
    return _cases((row for row in rows if row.answered.error is not None), task)


def _cases(rows: Iterable[Row], task: Task) -> tuple[Case, ...]:
    return tuple(_case(row, task) for row, _ in zip(rows, range(CASES), strict=False))


def _case(row: Row, task: Task) -> Case:
    masker = Masker(task.plan, expected=row.example.output, got=row.output)
    note = _note(row, task)
    return Case(
        input=_shortened(masker.text(row.example.input)),
        expected=masker.answer(row.example.output),
        got=masker.answer(row.output),
        confidence=row.outcome.confidence if row.outcome.answered else None,
        right=row.outcome.right,
        latency_ms=row.time_ms,
        note=None if note is None else _shortened(masker.text(note)),
    )


def _note(row: Row, task: Task) -> str | None:
    if row.prediction is None:
        return row.answered.error
    if not row.outcome.answered:
        return row.prediction.refusal or "refused without a reason"
    if not row.outcome.valid:
        return "; ".join(str(problem) for problem in task.validator.problems(row.output))
    return None


def _shortened(text: str) -> str:
    return text if len(text) <= INPUT_SHOWN else f"{text[: INPUT_SHOWN - 1]}…"
