"""Training of the linear model: multinomial logistic regression for choices and counts, and the slices."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from microlith.data.example import Example
from microlith.errors import DataError, TrainingError
from microlith.inference.grounding import ground, spec_of
from microlith.inference.layout import GroupLayout, layout_of
from microlith.inference.linear import GroupWeights, LinearWeights
from microlith.inference.linear_descent import Floats, Loss, minimise
from microlith.inference.linear_fit_slices import Row, SliceLearner
from microlith.inference.linear_text import TextVocabulary, fit_vocabulary
from microlith.task.plan import Group, Json, Plan, Reading
from microlith.task.reading import copied_values, read

MOST_ROWS = 16_000
"""Rows that choices and counts are learnt from; where there are more, the ones a person wrote come first."""
MOST_SLICE_ROWS = 6_000
"""The same for slices, which take longer."""
LARGEST = 60_000
"""Most text features."""
MANY_ROWS = 300
"""From so many rows on, a feature must be in two of them."""
PENALTY = 0.1
"""PENALTY / 2 * |w|^2 is added to the summed loss of a choice."""
STEPS = 50
"""Most iterations of one fit."""
NEVER = -12.0
"""Logit of an option that no row takes."""

Targets = Sequence[int | None]
"""Per row the option that is right, None where the decision is not taken."""


def fit(plan: Plan, examples: Sequence[Example], seed: int) -> LinearWeights:
    """Learn all weights; see `microlith.inference.linear.fit_linear`."""
    _demand(plan, examples)
    rng = random.Random(seed)
    chosen = _chosen(examples, MOST_ROWS, rng)
    readings = [_read(plan, example) for example in chosen]
    spec = spec_of(plan, copied_values(plan, readings))
    rows = [
        Row(example=example, reading=_read(plan, example), grounding=ground(example.input, spec))
        for example in (_chosen(chosen, MOST_SLICE_ROWS, rng) if spec.formats else ())
    ]
    rarest = 2 if len(chosen) >= MANY_ROWS else 1
    placed = any(group.max_count > 1 for group in plan.groups)
    text = fit_vocabulary(
        [example.input for example in chosen], rarest=rarest, largest=LARGEST, placed=placed
    )
    heads = _TextHeads(text, chosen, readings)
    slices = SliceLearner(plan, spec, rows, rng, rarest=rarest)
    groups = [
        GroupWeights(
            choice=as_stored(heads.choice(group, layout)),
            count=as_stored(heads.count(group, layout)),
            slices=as_stored(slices.weights(group, layout)),
        )
        for group, layout in zip(plan.groups, layout_of(plan).groups, strict=True)
    ]
    text = replace(text, idf=as_stored(text.idf))
    return LinearWeights(spec=spec, text=text, slices=slices.columns, groups=tuple(groups))


def as_stored(values: Floats) -> Floats:
    """Rounded to half precision, as `linear_store` writes it: a model answers the same before and after it is saved."""
    return values.astype(np.float16).astype(np.float32)


def _demand(plan: Plan, examples: Sequence[Example]) -> None:
    if not examples:
        raise TrainingError("there are no rows to train on", mend="give the task data")
    required = [
        ".".join((*group.path, *group.slots[key].path))
        for group in plan.groups
        for key in dict.fromkeys(key for variant in group.variants for key in variant.required)
        if group.slots[key].kind in ("text", "number")
    ]
    if required:
        raise TrainingError(
            f"the linear model cannot write {', '.join(required)}: not a slice of the request",
            mend='mark it "x-source": "input", make it an enum, or leave it out of "required"',
        )


def _chosen(examples: Sequence[Example], most: int, rng: random.Random) -> list[Example]:
    """At most `most` of the examples, in their order."""
    if len(examples) <= most:
        return list(examples)
    shuffled = rng.sample(range(len(examples)), len(examples))
    shuffled.sort(key=lambda index: bool(examples[index].parents))
    return [examples[index] for index in sorted(shuffled[:most])]


def _read(plan: Plan, example: Example) -> Reading:
    try:
        return read(plan, example.output)
    except (DataError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the answer does not fit the schema: {error}", place=example.source) from error


class _TextHeads:
    """Learns choices and counts from whole requests."""

    def __init__(
        self, text: TextVocabulary, examples: Sequence[Example], readings: Sequence[Reading]
    ) -> None:
        from scipy.sparse import csr_matrix

        self.readings = readings
        vectors = [text.vector(example.input) for example in examples]
        starts = np.cumsum([0] + [len(columns) + 1 for columns, _ in vectors])
        columns = np.concatenate([part for columns, _ in vectors for part in (columns, [len(text.columns)])])
        values = np.concatenate([part for _, values in vectors for part in (values, [1.0])]).astype(
            np.float32
        )
        self.matrix = csr_matrix((values, columns, starts), shape=(len(vectors), len(text.columns) + 1))
        self.weights = np.array([example.weight for example in examples], dtype=np.float32)

    def choice(self, group: Group, heads: GroupLayout) -> Floats:
        """(text features + 1, steps * choice columns)."""
        width = heads.choice_width
        made = np.zeros((self.matrix.shape[1], heads.steps * width), dtype=np.float32)
        for step in range(heads.steps):
            here = [steps[step] if step < len(steps) else None for steps in self._steps(group)]
            for head in heads.choices:
                start = step * width + head.start
                made[:, start : start + len(head.options)] = self._head(
                    [_option(head.options, taken, head.key) for taken in here], len(head.options)
                )
            for head in heads.labels:
                for position, option in enumerate(head.options):
                    given = [
                        None if taken is None or head.key not in taken else int(option in taken[head.key])
                        for taken in here
                    ]
                    both = self._head(given, 2)
                    made[:, step * width + head.start + position] = both[:, 1] - both[:, 0]
        return made

    def count(self, group: Group, heads: GroupLayout) -> Floats:
        """(text features + 1, counts)."""
        if heads.counts <= 1:
            return np.zeros((self.matrix.shape[1], 1), dtype=np.float32)
        counts = [min(max(len(steps) - heads.min_steps, 0), heads.counts - 1) for steps in self._steps(group)]
        return self._head(counts, heads.counts)

    def _steps(self, group: Group) -> list[list[dict[str, Json]]]:
        return [reading.get(group.path, []) for reading in self.readings]

    def _head(self, targets: Targets, options: int) -> Floats:
        """(text features + 1, options) weights of one head; the last row is the bias."""
        made = np.zeros((self.matrix.shape[1], options), dtype=np.float32)
        taking = np.array([row for row, target in enumerate(targets) if target is not None], dtype=np.int64)
        if not len(taking):
            return made
        classes, numbered = np.unique([targets[row] for row in taking], return_inverse=True)
        made[-1] = NEVER
        made[:, classes] = 0.0
        if len(classes) > 1:
            loss = _softmax_loss(self.matrix[taking], numbered, self.weights[taking], len(classes))
            found = minimise(loss, np.zeros(made.shape[0] * len(classes), dtype=np.float32), steps=STEPS)
            made[:, classes] = found.reshape(-1, len(classes))
        return made


def _option(options: Sequence[Json], step: Mapping[str, Json] | None, key: str) -> int | None:
    if step is None or key not in step:
        return None
    value = step[key]
    return next(
        (i for i, option in enumerate(options) if option == value and type(option) is type(value)), None
    )


def _softmax_loss(matrix: Any, targets: Any, weights: Floats, classes: int) -> Loss:
    """Weighted cross-entropy of one softmax a row; the last feature, the bias, is free of the penalty."""
    backward = matrix.T.tocsr()
    rows = np.arange(len(targets))
    penalty = np.full((matrix.shape[1], 1), PENALTY, dtype=np.float32)
    penalty[-1] = 0.0

    def loss(parameters: Floats) -> tuple[float, Floats]:
        table = parameters.reshape(-1, classes)
        logits = matrix @ table
        logits -= logits.max(axis=1, keepdims=True)
        chances = np.exp(logits)
        summed = chances.sum(axis=1, keepdims=True)
        value = float((weights * (np.log(summed[:, 0]) - logits[rows, targets])).sum(dtype=np.float64))
        chances /= summed
        chances[rows, targets] -= 1.0
        shrunk = penalty * table
        gradient = backward @ (chances * weights[:, None]) + shrunk
        return value + 0.5 * float((shrunk * table).sum(dtype=np.float64)), np.asarray(
            gradient.ravel(), dtype=np.float32
        )

    return loss
