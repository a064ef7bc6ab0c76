"""Rows that contradict one another: the same request with different answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from microlith.data.dedupe import numbered
from microlith.data.example import Example
from microlith.data.kin import NEAR, normalise
from microlith.data.minhash import near_pairs
from microlith.data.spans import bindings
from microlith.errors import Problem
from microlith.task.plan import Json, Plan

HIDDEN = "••••"
"""Stands for a secret value."""


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Rows that ask the same, or nearly the same, and answer differently."""

    examples: tuple[Example, ...]
    """Two or more rows with at least two different answers."""
    certain: bool
    """True for equal requests, False for near-duplicates, which may differ for a good reason."""
    secrets: tuple[str, ...] = ()
    """Values of the rows that the schema calls secret; they are not shown."""

    def problem(self) -> Problem:
        """The conflict as a finding for people, secrets hidden."""
        first, *others = self.examples
        told = "; ".join(f"{other.source} says {self._shown(other.output, 80)}" for other in others)
        kind = "the same" if self.certain else f"nearly the same request ({self._shown(others[0].input, 60)})"
        return Problem(
            what=f"{self._shown(first.input, 80)} is answered {self._shown(first.output, 80)}, but {kind} elsewhere: {told}",
            place=first.source,
            mend="correct one of them, or make the requests differ where the answers do",
        )

    def _shown(self, value: Json, length: int) -> str:
        text = json.dumps(value, ensure_ascii=False)
        for secret in self.secrets:
            text = text.replace(json.dumps(secret, ensure_ascii=False)[1:-1], HIDDEN)
        return text if len(text) <= length else text[: length - 3] + "..."


def find_conflicts(
    examples: Sequence[Example], *, plan: Plan | None = None, near: float | None = NEAR
) -> tuple[Conflict, ...]:
    """Every contradiction among `examples`, the certain ones first.

    Args:
        examples: The rows.
        plan: The task's plan, to know what is secret; None where nothing is.
        near: Jaccard index (0.5-1) from which two requests are suspicious when their answers differ; None to
            look for equal requests only.
    """
    answers = [json.dumps(example.output, sort_keys=True, ensure_ascii=False) for example in examples]
    texts = [normalise(example.input) for example in examples]
    same: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        same.setdefault(text, []).append(index)
    found = [
        _conflict([examples[row] for row in rows], plan, certain=True)
        for rows in same.values()
        if len({answers[row] for row in rows}) > 1
    ]
    if near is None or not examples:
        return tuple(found)
    pairs = _suspicious(texts, answers, near)
    return (*found, *(_conflict([examples[a], examples[b]], plan, certain=False) for a, b in pairs))


def _suspicious(texts: Sequence[str], answers: Sequence[str], near: float) -> Iterator[tuple[int, int]]:
    """Pairs of rows whose requests are nearly equal and whose answers are not."""
    first = np.unique(numbered(texts), return_index=True)[1]
    left, right = near_pairs([texts[index] for index in first], threshold=near)
    for a, b in zip(first[left].tolist(), first[right].tolist(), strict=True):
        if answers[a] != answers[b]:
            yield a, b


def _conflict(rows: Sequence[Example], plan: Plan | None, *, certain: bool) -> Conflict:
    secrets = {
        binding.text for row in rows if plan for binding in bindings(plan, row.output) if binding.slot.secret
    }
    return Conflict(
        examples=tuple(rows), certain=certain, secrets=tuple(sorted(secrets, key=len, reverse=True))
    )
