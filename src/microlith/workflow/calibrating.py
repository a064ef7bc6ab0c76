"""Fit a model's confidence on validation rows: what it thought of each request against what is right."""

from __future__ import annotations

from collections.abc import Sequence

from microlith.data.example import Example
from microlith.errors import DataError
from microlith.evaluation.calibrate import fit_calibrator
from microlith.inference.calibration import Calibrator
from microlith.inference.confidence import Thought
from microlith.inference.decode import Decided
from microlith.task.plan import Json, Plan, Reading
from microlith.task.reading import read

LEAST_ROWS = 20
"""Fewer validation rows than this teach nothing about confidence; the model's own is then kept."""


def fit_confidence(
    plan: Plan, examples: Sequence[Example], thoughts: Sequence[Thought], names: Sequence[str]
) -> Calibrator:
    """The calibration that makes confidences true on `examples`, which must be validation rows.

    Args:
        plan: The task's plan.
        examples: Rows that nothing was trained on, and no test rows.
        thoughts: What the model made of each of them.
        names: What the features of an answer are.
    """
    pairs = [
        (one, thought) for one, thought in zip(examples, thoughts, strict=True) if thought.output is not None
    ]
    if len(pairs) < LEAST_ROWS:
        return Calibrator()
    kinds: dict[str, tuple[list[float], list[bool]]] = {}
    for example, thought in pairs:
        for kind, log_probability, right in judged(plan, thought.decoded.decisions, example.output):
            values, truth = kinds.setdefault(kind, ([], []))
            values.append(log_probability)
            truth.append(right)
    hits = [thought.output == example.output for example, thought in pairs]
    return fit_calibrator(kinds, [thought.features for _, thought in pairs], hits, names=names)


def judged(plan: Plan, decisions: Sequence[Decided], expected: Json) -> list[tuple[str, float, bool]]:
    """(kind, log-probability, was it right?) of every decision that the right answer speaks of.

    It does not speak of a step that it does not have, nor of the fields of another action: those hang on the number of steps
    and on the discriminators, which are judged by themselves (see `inference.confidence`).
    """
    try:
        reading: Reading = read(plan, expected)
    except DataError:
        return []
    groups = {group.path: group for group in plan.groups}
    tags = {(one.group, one.step, one.key): one.value for one in decisions}
    found = []
    for one in decisions:
        group, steps = groups[one.group], reading.get(one.group, [])
        if one.key == "#count":
            found.append(("count", one.log_probability, one.value == len(steps)))
        elif one.step < len(steps):
            step = steps[one.step]
            other = any(tags.get((one.group, one.step, key)) != step.get(key) for key in group.discriminators)
            if group.slots[one.key].kind == "text":
                continue  # no two right texts need be equal
            if one.key in group.discriminators or not other:
                right = one.key in step and step[one.key] == one.value
                found.append((group.slots[one.key].kind, one.log_probability, right))
    return found
