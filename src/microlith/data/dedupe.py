"""Removal of rows that say the same twice.

Exact duplicates (equal after normalisation, equal answer) and near-duplicates (nearly the same request, equal
answer) are removed; the verified row stays, else the first. Rows that differ in their answer are never duplicates:
they may be a conflict (`conflicts.py`). Wordings with other values are not duplicates either, they are kin
(`kin.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from microlith.data.example import Example
from microlith.data.kin import merge, normalise
from microlith.data.minhash import Ints, near_pairs

NEAR_DUPLICATE = 0.9
"""Jaccard index of the shingle sets from which requests with equal answers say the same."""


@dataclass(frozen=True, kw_only=True)
class Duplicate:
    """A row that was removed, and the row that stands for it."""

    example: Example
    of: Example
    reason: Literal["exact", "near"]


@dataclass(frozen=True, kw_only=True)
class Deduplicated:
    """Rows without duplicates."""

    kept: tuple[Example, ...]
    """In their old order."""
    removed: tuple[Duplicate, ...]


def deduplicate(examples: Sequence[Example], *, near: float | None = NEAR_DUPLICATE) -> Deduplicated:
    """Remove exact and near-duplicates.

    Args:
        examples: The rows.
        near: Jaccard index (0.5-1) from which two requests with equal answers are duplicates; None to remove
            exact ones only.
    """
    if not examples:
        return Deduplicated(kept=(), removed=())
    texts = [normalise(example.input) for example in examples]
    answers = numbered([_answer_key(example) for example in examples])
    exact = numbered(list(zip(texts, answers.tolist(), strict=True)))
    first = np.unique(exact, return_index=True)[1]
    families = exact
    if near is not None:
        left, right = near_pairs([texts[index] for index in first], threshold=near, blocks=answers[first])
        families = merge(exact, first[left], first[right])
    return _chosen(examples, exact, families)


def _chosen(examples: Sequence[Example], exact: Ints, families: Ints) -> Deduplicated:
    stands: dict[int, int] = {}
    for index in sorted(range(len(examples)), key=lambda index: not examples[index].verified):
        stands.setdefault(int(families[index]), index)
    kept, removed = [], []
    for index, example in enumerate(examples):
        keeper = stands[int(families[index])]
        if keeper == index:
            kept.append(example)
        else:
            reason: Literal["exact", "near"] = "exact" if exact[keeper] == exact[index] else "near"
            removed.append(Duplicate(example=example, of=examples[keeper], reason=reason))
    return Deduplicated(kept=tuple(kept), removed=tuple(removed))


def numbered(keys: Sequence[object]) -> Ints:
    """Numbers from 0 in order of appearance; equal keys get equal numbers, shape (keys,)."""
    known: dict[object, int] = {}
    return np.fromiter((known.setdefault(key, len(known)) for key in keys), dtype=np.int64, count=len(keys))


def _answer_key(example: Example) -> str:
    return json.dumps(example.output, sort_keys=True, ensure_ascii=False)
