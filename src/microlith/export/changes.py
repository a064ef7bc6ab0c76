"""What an export changed of a trained model's answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp
from typing import Protocol

from microlith.errors import ParityError, Problem
from microlith.inference.decode import Decided

NAMED = 20
"""Rows that an error names at most."""


@dataclass(frozen=True, kw_only=True)
class ChangedRow:
    """A row that the exported model answers, or reads, otherwise."""

    source: str
    what: str


class Proof(Protocol):
    """What the proof of an export found."""

    @property
    def passed(self) -> bool:
        """Within every bound?"""

    @property
    def summary(self) -> str:
        """The proof in a line."""

    @property
    def rows(self) -> tuple[ChangedRow, ...]:
        """What differs."""


def refuse_unless_proven(proof: Proof) -> None:
    """Stop where an export answers otherwise than it may.

    Raises:
        ParityError: naming the rows.
    """
    if not proof.passed:
        rows = [Problem(what=row.what, place=row.source) for row in proof.rows[:NAMED]]
        raise ParityError(
            f"the exported model answers otherwise than the trained one: {proof.summary}", problems=rows
        )


def confidence_shift(before: Iterable[Sequence[Decided]], after: Iterable[Sequence[Decided]]) -> float:
    """Mean absolute change of the probability of decisions that both took, 0-1; `before` and `after` go request by request."""
    moved: list[float] = []
    for taken, others in zip(before, after, strict=True):
        known = {(one.group, one.step, one.key, repr(one.value)): one.log_probability for one in taken}
        for one in others:
            same = known.get((one.group, one.step, one.key, repr(one.value)))
            if same is not None:
                moved.append(abs(exp(same) - exp(one.log_probability)))
    return sum(moved) / len(moved) if moved else 0.0
