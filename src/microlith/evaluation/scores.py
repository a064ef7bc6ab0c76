"""Score a model on examples: `evaluate`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Literal

from microlith.data.example import Example
from microlith.errors import DataError
from microlith.evaluation.answering import Answered, Clock, answer_all, latency_of, memory_of, time_singles
from microlith.evaluation.cases import Row, failures_of, slowest_of, worst_of
from microlith.evaluation.constraint import FREE_ROWS, cost_of_constraint
from microlith.evaluation.decisions import (
    Labels,
    expected_readings,
    label_text,
    leading_slot,
    outside_label,
    reading_of,
    same,
    scope_slot,
    score_decisions,
)
from microlith.evaluation.intervals import share_of
from microlith.evaluation.measures import Calibration, calibration, risk_coverage
from microlith.evaluation.result import (
    Cell,
    Confusion,
    DecisionScore,
    Evaluation,
    GroupScore,
    Outcome,
    Scope,
    Speed,
)
from microlith.evaluation.texts import rouge_l, score_texts, scorer, texts_of
from microlith.inference.protocol import Model
from microlith.task.plan import Choice, Json, Plan
from microlith.task.taskfile import Task

LENGTHS = (20, 40, 80, 160)
"""Inclusive upper ends, in characters, of the length buckets; the last bucket is open."""


def evaluate(
    model: Model,
    examples: Sequence[Example],
    task: Task,
    *,
    batch_size: int = 64,
    timing_rows: int = 200,
    free_rows: int = FREE_ROWS,
    artifact_bytes: int | None = None,
    clock: Clock = time.perf_counter,
) -> Evaluation:
    """Score `model` on `examples` of `task`.

    Args:
        model: Anything that predicts; a request on which it raises is scored as failed.
        examples: At least one, with the right answers.
        task: Gives the plan and the validator.
        batch_size: Requests a batch, at least 1.
        timing_rows: At most this many requests, evenly spread, are timed one at a time; 0 for none.
        free_rows: At most this many requests, evenly spread, are also answered freely by a model that can
            (`constraint.SpeaksFreely`); 0 for none.
        artifact_bytes: Size of the model's files; None where it has none.
        clock: Seconds; another one makes timing repeatable.

    Raises:
        DataError: if there is no example, or one whose expected answer the plan cannot read.
        UsageError: if batch_size is below 1.
        MissingExtra: if the plan writes text and rouge-score is not installed.
    """
    if not examples:
        raise DataError("a model cannot be evaluated on no examples", mend="name a file that has rows")
    if task.plan.writes_text:
        scorer()  # what is missing is said before the model has worked
    expected = expected_readings(task.plan, examples)
    inputs = [example.input for example in examples]
    answers, seconds = answer_all(model, inputs, batch_size=batch_size, clock=clock)
    times = time_singles(model, inputs, rows=timing_rows, clock=clock)
    speed = _speed(times, len(inputs), seconds, batch_size, artifact_bytes)
    labels = Labels(task.plan, leading_slot(task.plan))
    rows = [
        Row(
            example=example,
            answered=answered,
            outcome=_outcome(example, answered, task, labels),
            time_ms=times.get(index),
        )
        for index, (example, answered) in enumerate(zip(examples, answers, strict=True))
    ]
    decisions = score_decisions(task.plan, expected, [reading_of(task.plan, row.output) for row in rows])
    found = _evaluation(model.name, task, rows, decisions, speed)
    return replace(found, constraint=cost_of_constraint(model, rows, task, most_rows=free_rows))


def _outcome(example: Example, answered: Answered, task: Task, labels: Labels) -> Outcome:
    output = None if answered.prediction is None else answered.prediction.output
    found = answered.prediction if output is not None else None
    valid = found is not None and task.validator.is_valid(output)
    return Outcome(
        key=example.key,
        right=found is not None and same(output, example.output),
        answered=found is not None,
        valid=valid,
        confidence=found.confidence if found is not None else 0.0,
        expected=labels.of(example.output),
        got=labels.of(output),
        rouge_l=_rouge_l(task.plan, example.output, output if valid else None),
    )


def _rouge_l(plan: Plan, expected: Json, output: Json) -> float | None:
    """Score of an answer's texts; 0 without a valid answer, None where the plan writes no text."""
    if not plan.writes_text:
        return None
    return rouge_l(texts_of(plan, expected), texts_of(plan, output)) if output is not None else 0.0


def _evaluation(
    name: str, task: Task, rows: Sequence[Row], decisions: tuple[DecisionScore, ...], speed: Speed
) -> Evaluation:
    outcomes = tuple(row.outcome for row in rows)
    answered = [one for one in outcomes if one.answered]
    confidence, right = [one.confidence for one in answered], [one.right for one in answered]
    return Evaluation(
        task=task.name,
        model=name,
        n=len(rows),
        exact=share_of([one.right for one in outcomes]),
        valid=share_of([one.valid for one in outcomes]),
        wrong_but_valid=share_of([one.valid and not one.right for one in outcomes]),
        refused=share_of([row.prediction is not None and not row.outcome.answered for row in rows]),
        failed=share_of([row.answered.error is not None for row in rows]),
        scope=_scope(task.plan, rows),
        decisions=decisions,
        confidence_right=_mean([one.confidence for one in answered if one.right]),
        confidence_wrong=_mean([one.confidence for one in answered if not one.right]),
        calibration=calibration(confidence, right),
        field_calibration=_field_calibration(rows),
        risk=risk_coverage(confidence, right, len(rows)),
        groups=tuple(_groups(rows)),
        confusion=_confusion(task.plan, outcomes),
        speed=speed,
        worst=worst_of(rows, task),
        slowest=slowest_of(rows, task),
        failures=failures_of(rows, task),
        outcomes=outcomes,
        texts=score_texts(task.plan, rows),
    )


def _speed(
    times: Mapping[int, float], rows: int, seconds: float, batch_size: int, artifact_bytes: int | None
) -> Speed:
    rss, peak = memory_of()
    return Speed(
        latency=latency_of(list(times.values())),
        batch_size=batch_size,
        rows_per_s=rows / seconds if seconds > 0 else None,
        rss_bytes=rss,
        peak_bytes=peak,
        artifact_bytes=artifact_bytes,
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


# ---------------------------------------------------------------------------------------------- scope


def _scope(plan: Plan, rows: Sequence[Row]) -> Scope | None:
    slot, outside = scope_slot(plan), outside_label(plan)
    if slot is None or outside is None:
        return None
    labels = Labels(plan, slot)
    called = [labels.of(row.output) == outside for row in rows]
    beyond = [labels.of(row.example.output) == outside for row in rows]
    return Scope(
        recall=share_of([one for one, out in zip(called, beyond, strict=True) if out]),
        false_alarms=share_of([one for one, out in zip(called, beyond, strict=True) if not out]),
        in_scope_exact=share_of(
            [row.outcome.right for row, out in zip(rows, beyond, strict=True) if not out]
        ),
    )


# ---------------------------------------------------------------------------------------------- fields


def _field_calibration(rows: Sequence[Row]) -> Calibration:
    confidence: list[float] = []
    right: list[bool] = []
    for row in rows:
        if row.prediction is None or not row.outcome.answered or not row.prediction.fields:
            continue
        expected = dict(_flat(row.example.output, ""))
        for one in row.prediction.fields:
            confidence.append(one.confidence)
            right.append(one.path in expected and same(expected[one.path], one.value))
    return calibration(confidence, right)


def _flat(node: Json, path: str) -> Iterator[tuple[str, Json]]:
    """Every value of an answer, lists and objects too, with its path as `FieldPrediction.path` spells it."""
    if path:
        yield path, node
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield from _flat(child, f"{path}.{name}" if path else str(name))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _flat(child, f"{path}[{index}]")


# ---------------------------------------------------------------------------------------------- groups


def _groups(rows: Sequence[Row]) -> Iterator[GroupScore]:
    yield from _parts("group", [(row.example.group, row.outcome) for row in rows])
    yield from _parts("label", [(row.outcome.expected, row.outcome) for row in rows])
    lengths = sorted(
        ((_length_bucket(row.example.input), row.outcome) for row in rows), key=lambda pair: pair[0]
    )
    names = _length_names()
    yield from _parts("length", [(names[bucket], outcome) for bucket, outcome in lengths])


def _parts(
    by: Literal["group", "label", "length"], marked: Sequence[tuple[str | None, Outcome]]
) -> Iterator[GroupScore]:
    """One score a mark, in the order of first appearance; what has no mark is left out."""
    parts: dict[str, list[Outcome]] = {}
    for mark, outcome in marked:
        if mark is not None:
            parts.setdefault(mark, []).append(outcome)
    for mark, outcomes in parts.items():
        yield GroupScore(
            by=by,
            name=mark,
            exact=share_of([one.right for one in outcomes]),
            confidence=_mean([one.confidence for one in outcomes if one.answered]),
        )


def _length_bucket(text: str) -> int:
    return sum(len(text) > end for end in LENGTHS)


def _length_names() -> list[str]:
    starts = [0, *(end + 1 for end in LENGTHS)]
    return [
        *(f"{low}-{high} characters" for low, high in zip(starts, LENGTHS, strict=False)),
        f"{starts[-1]}+ characters",
    ]


# ---------------------------------------------------------------------------------------------- confusion


def _confusion(plan: Plan, outcomes: Sequence[Outcome]) -> Confusion | None:
    slot = leading_slot(plan)
    if slot is None or not isinstance(slot.decision, Choice):
        return None
    pairs = Counter((one.expected, one.got) for one in outcomes if one.expected is not None)
    seen = {label for pair in pairs for label in pair if label is not None}
    options = [label for option in slot.decision.options if (label := label_text(option)) in seen]
    labels = tuple(dict.fromkeys([*(one for one in options if one is not None), *sorted(seen)]))
    cells = tuple(Cell(expected=str(expected), got=got, count=n) for (expected, got), n in pairs.items())
    return Confusion(path=".".join(slot.path), labels=labels, cells=cells)
