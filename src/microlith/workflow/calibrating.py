"""Fit a model's confidence on validation rows, what it thought of each request against what is right; and hold its answers
out, each with a confidence that was fitted without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from microlith.data.example import Example
from microlith.errors import DataError
from microlith.evaluation.calibrate import fit_calibrator
from microlith.evaluation.decisions import reading_of, same
from microlith.inference.calibration import Calibrator
from microlith.inference.confidence import DecisionConfidence, Thought
from microlith.inference.decode import Decided
from microlith.inference.fields import AnswerCheck
from microlith.inference.protocol import Prediction
from microlith.registry.heldout import Outcome
from microlith.task.plan import Json, Plan, Reading
from microlith.task.reading import read

LEAST_ROWS = 20
"""Fewer validation rows than this teach nothing about confidence; the model's own is then kept."""
FOLDS = 5
"""Parts of the validation rows, each of which gets its confidences from what the others teach."""


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
    pairs = _answered(examples, thoughts)
    return _fitted(plan, pairs, names) if len(pairs) >= LEAST_ROWS else Calibrator()


def held_out(
    plan: Plan, examples: Sequence[Example], thoughts: Sequence[Thought], names: Sequence[str]
) -> tuple[Outcome, ...]:
    """What became of every validation row that is answered, in order: how sure, and right or not.

    The confidence of a row is that of a calibration fitted on the other folds (cross-fitting). One that was fitted on the row
    itself would know too well: simulated, a budget of 2 % solved on 200 such rows was broken in 8.5 % of draws, with other folds
    in 1.3 %. The finished model's calibration is fitted on all folds, so it is a little better than what is stated here, but on
    the same scale. Rows are dealt to folds by their content, whatever their order.

    Nothing here undoes that the weights that are kept, and the model that is preferred, may have been chosen by these rows.

    Args:
        plan: The task's plan.
        examples: Rows that nothing was trained on, and no test rows.
        thoughts: What the model made of each of them.
        names: What the features of an answer are.
    """
    pairs = _answered(examples, thoughts)
    places = sorted(range(len(pairs)), key=lambda place: pairs[place][0].key)
    check, found = AnswerCheck(plan, "held out"), list[tuple[int, Outcome]]()
    for fold in range(FOLDS):
        others = [pairs[place] for number, place in enumerate(places) if number % FOLDS != fold]
        calibrator = _fitted(plan, others, names) if len(pairs) >= LEAST_ROWS else Calibrator()
        sure = DecisionConfidence(plan, calibrator)
        for place in places[fold::FOLDS]:
            example, thought = pairs[place]
            if example.input.strip():  # an empty request is refused
                stated = sure.prediction(example.input, thought, check)
                found.extend((place, one) for one in as_stated(plan, [example], [stated]))
    return tuple(one for _, one in sorted(found, key=itemgetter(0)))


def as_stated(
    plan: Plan, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> tuple[Outcome, ...]:
    """What became of the rows that `predictions` answer, in order, for a model whose confidence was not fitted on them."""
    return tuple(
        Outcome(confidence=one.confidence, right=is_right(plan, one.output, example.output))
        for example, one in zip(examples, predictions, strict=True)
        if one.output is not None
    )


def is_right(plan: Plan, output: Json, expected: Json) -> bool:
    """Is the whole answer right? Where the plan writes texts, is every other decision?

    No two right texts need be equal, so a text is neither right nor wrong here; how good texts are is `evaluation.texts`' affair.
    A computed value follows from the request, so beside texts it is no decision either.
    """
    if not plan.writes_text:
        return same(output, expected)
    one, other = _without_texts(plan, output), _without_texts(plan, expected)
    return one is not None and other is not None and same(one, other)


def _without_texts(plan: Plan, answer: Json) -> list[Json] | None:
    """The decisions of every step of every group but the texts; None where the plan cannot read the answer."""
    reading = reading_of(plan, answer)
    if reading is None:
        return None
    return [
        [
            {key: value for key, value in step.items() if group.slots[key].kind != "text"}
            for step in reading[group.path]
        ]
        for group in plan.groups
    ]


_Pairs = list[tuple[Example, Thought]]


def _answered(examples: Sequence[Example], thoughts: Sequence[Thought]) -> _Pairs:
    return [
        (one, thought) for one, thought in zip(examples, thoughts, strict=True) if thought.output is not None
    ]


def _fitted(plan: Plan, pairs: _Pairs, names: Sequence[str]) -> Calibrator:
    kinds: dict[str, tuple[list[float], list[bool]]] = {}
    for example, thought in pairs:
        for kind, log_probability, right in judged(plan, thought.decoded.decisions, example.output):
            values, truth = kinds.setdefault(kind, ([], []))
            values.append(log_probability)
            truth.append(right)
    hits = [thought.output == example.output for example, thought in pairs]
    fitted = fit_calibrator(kinds, [thought.features for _, thought in pairs], hits, names=names)
    # no two right texts need be equal, so there is nothing to fit the whole answer on
    return replace(fitted, answer=None) if plan.writes_text else fitted


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
