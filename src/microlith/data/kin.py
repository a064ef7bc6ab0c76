"""Which rows are kin: made of the same row, of the same template, or saying nearly the same.

Kin may not be parted: a model that has seen a row knows its kin, so a score on the kin says nothing. The split, the
fence around the test rows and the removal of duplicates all use the same notion, which is this module.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from microlith.data.example import Example
from microlith.data.minhash import Ints, near_pairs
from microlith.data.spans import MASK, layout
from microlith.errors import DataError
from microlith.task.plan import Plan

NEAR = 0.8
"""Jaccard index of the shingle sets from which two requests count as near-duplicates."""

_PUNCTUATION = re.compile(r"[\s.,;:!?\"'`´’‘“”„«»()\[\]{}…·—–-]+")


@dataclass(frozen=True, kw_only=True)
class Kinship:
    """Families of rows."""

    labels: Ints
    """Family number of each row, shape (rows,); equal numbers are kin."""
    notes: tuple[str, ...] = ()
    """What the reader should know, e.g. a group that was too large to be kept together."""


def normalise(text: str) -> str:
    """`text` without what does not change its meaning: casing, punctuation, runs of blanks, letter variants.

    A text of nothing but punctuation stays as it is.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace(MASK, f" {MASK} ")
    return _PUNCTUATION.sub(" ", plain).strip() or text.strip()


def wording(example: Example, plan: Plan | None) -> str:
    """The row's normalised request with its values masked; values stay where the answer does not fit the plan."""
    if plan is None:
        return normalise(example.input)
    try:
        return normalise(layout(example, plan).masked)
    except DataError:
        return normalise(example.input)


def kinship(
    examples: Sequence[Example],
    plan: Plan | None,
    *,
    largest_share: float = 1.0,
    threshold: float = NEAR,
    focus: Sequence[int] = (),
    groups: bool = True,
) -> Kinship:
    """Sort rows into families.

    Two rows are kin when one was made of the other, both were made of the same row or template, both state the same
    source or group, or their masked requests are equal or near-duplicates; kin of kin are kin.

    Args:
        examples: The rows.
        plan: The task's plan, to mask values; None to compare the requests as they are.
        largest_share: A stated source or a group of more than this share of the rows (0-1) is taken for a mere
            label: it does not make kin, and a note says so. What rows were made of always counts.
        threshold: Jaccard index from which masked requests are near-duplicates, 0.5-1.
        focus: Indices of rows that are compared thoroughly (test rows): with all candidates instead of some, and
            by their requests as they are beside the masked ones, so that another answer does not hide a kinship.
        groups: False to take every group for a mere label.
    """
    if not examples:
        return Kinship(labels=np.empty(0, dtype=np.int64))
    texts = [(row, wording(example, plan)) for row, example in enumerate(examples)]
    if len(focus):
        texts += [(row, normalise(example.input)) for row, example in enumerate(examples)]
    keys, notes = _lineage_keys(examples, largest_share, groups=groups)
    labels = _union(len(examples), [*keys, *((row, ("text", text)) for row, text in texts)])
    owners: dict[str, int] = {}
    for row, text in texts:
        owners.setdefault(text, row)
    numbers = {text: number for number, text in enumerate(owners)}
    near = set(focus)
    watched = np.array(sorted({numbers[text] for row, text in texts if row in near}), dtype=np.int64)
    first = np.fromiter(owners.values(), dtype=np.int64, count=len(owners))
    left, right = near_pairs(list(owners), threshold=threshold, labels=labels[first], focus=watched)
    return Kinship(labels=merge(labels, first[left], first[right]), notes=notes)


def merge(labels: Ints, left: Ints, right: Ints) -> Ints:
    """Families after the rows `left[i]` and `right[i]` were found to be kin, shape (rows,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = int(labels.max()) + 1 if len(labels) else 0
    edges = coo_array(
        (np.ones(len(left), dtype=np.int32), (labels[left], labels[right])), shape=(count, count)
    )
    _, joined = connected_components(edges, directed=False)
    return np.asarray(joined, dtype=np.int64)[labels]


def _union(count: int, keys: Iterable[tuple[int, Hashable]]) -> Ints:
    """Families of `count` rows where rows that share a key are kin."""
    numbers: dict[Hashable, int] = {}
    rows: list[int] = []
    shared: list[int] = []
    for row, key in keys:
        rows.append(row)
        shared.append(count + numbers.setdefault(key, len(numbers)))
    labels = merge(
        np.arange(count + len(numbers)), np.array(rows, dtype=np.int64), np.array(shared, dtype=np.int64)
    )
    return np.unique(labels[:count], return_inverse=True)[1]


def _lineage_keys(
    examples: Sequence[Example], largest_share: float, *, groups: bool
) -> tuple[list[tuple[int, Hashable]], tuple[str, ...]]:
    keys: list[tuple[int, Hashable]] = []
    stated: list[tuple[int, tuple[str, str]]] = []
    for index, example in enumerate(examples):
        keys += [(index, ("source", parent)) for parent in example.parents]
        if example.made_by is not None or example.parents:
            keys.append((index, ("source", example.source)))
        else:
            stated.append((index, ("source", example.source)))
        if groups and example.group is not None:
            stated.append((index, ("group", example.group)))
    sizes = Counter(key for _, key in stated)
    most = max(1.0, largest_share * len(examples))
    wide = {key for key, size in sizes.items() if size > most}
    notes = tuple(
        f"{kind} {name!r} holds {sizes[kind, name]} of {len(examples)} rows: too many to stay on one side, so it was taken for a label"
        for kind, name in sorted(wide)
    )
    return [*keys, *((index, key) for index, key in stated if key not in wide)], notes
