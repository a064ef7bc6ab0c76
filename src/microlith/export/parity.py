"""Does the exported model answer as the trained one did?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from typing import Any

from microlith.data.example import Example
from microlith.export.changes import ChangedRow, confidence_shift
from microlith.inference.decode import Decided, Decoder
from microlith.inference.encoder import EncoderModel
from microlith.task.plan import Json
from microlith.task.reading import write
from microlith.training.encoder import TrainedEncoder, logits_of

CHANCE = 0.05
"""One-sided level below which a loss of exactness is not put down to chance."""
Thoughts = list[tuple[Json, tuple[Decided, ...]]]
"""Answer (None for none) and decisions, one a request."""


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """What the proof found."""

    rows_total: int
    float_changed: int
    """Answers of the float export that differ from the network's without rounding; must be 0."""
    changed: int
    """Answers of the int8 file that differ from the network's."""
    allowance: float
    """Share of changed answers that is allowed, 0-1; one answer always is, since few rows cannot show a small share."""
    confidence_shift: float
    """Mean absolute change of a decision's probability, 0-1."""
    confidence_bound: float
    exact_trained: int
    exact_exported: int
    exact_unrounded: int
    """Right answers of the trained weights without any rounding: what computing on integers costs or gains."""
    unrounded_changed: int
    """Answers of the int8 file that differ from those of the unrounded weights."""
    loss_p_value: float
    """One-sided exact McNemar: how likely a loss of exactness like this is by chance."""
    rows: tuple[ChangedRow, ...]

    @property
    def differs_often(self) -> bool:
        """Does the int8 file change more answers than it may?"""
        return self.changed > max(1.0, self.allowance * self.rows_total)

    @property
    def passed(self) -> bool:
        """Within every bound?"""
        return (
            self.float_changed == 0
            and not self.differs_often
            and self.confidence_shift <= self.confidence_bound
            and self.loss_p_value > CHANCE
        )

    @property
    def summary(self) -> str:
        """The proof in a line."""
        return (
            f"{self.changed} of {self.rows_total} answers changed (float export {self.float_changed}), "
            f"allowed {self.allowance:.1%}; exact {self.exact_trained} -> {self.exact_exported} "
            f"({self.exact_unrounded} without rounding); probabilities moved by {self.confidence_shift:.4f}"
        )

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {**asdict(self), "passed": self.passed}


def trained_answers(trained: TrainedEncoder, examples: Sequence[Example]) -> Thoughts:
    """What the network itself answers."""
    decoder = Decoder(trained.plan, trained.layout, trained.spec)
    found: Thoughts = []
    requests = [example.input for example in examples]
    for request, (one, logits) in zip(requests, logits_of(trained, requests), strict=True):
        decoded = decoder.decode(one.grounding, logits)
        answer = None if decoded.reading is None else write(trained.plan, decoded.reading, request)
        found.append((answer, tuple(decoded.decisions)))
    return found


def runtime_answers(folder: Path, file: str, examples: Sequence[Example]) -> Thoughts:
    """What the exported file answers through the real runtime."""
    model = EncoderModel.load(folder, file=file)
    thoughts = model.think_all([example.input for example in examples])
    return [(thought.output, tuple(thought.decoded.decisions)) for thought in thoughts]


def compare_answers(
    examples: Sequence[Example], trained: Thoughts, int8: Thoughts, unrounded: Thoughts, exact: Thoughts,
    *, allowance: float, confidence_bound: float,
) -> ParityReport:  # fmt: skip
    """Hold the int8 file against the network, and the float export against the network without rounding.

    Args:
        examples: The rows, with their right answers.
        trained: The network's answers.
        int8: Those of the int8 file, which is to be registered.
        unrounded: The network's answers where no layer rounds.
        exact: Those of the float export, which does not round either.
        allowance: Share of answers of the int8 file that may differ, 0-1.
        confidence_bound: Mean absolute change of a probability that is allowed, 0-1.
    """
    changed, off = _differing(trained, int8), _differing(unrounded, exact)
    before, after, free = (_right(examples, thoughts) for thoughts in (trained, int8, unrounded))
    lost = sum(was and not now for was, now in zip(before, after, strict=True))
    won = sum(now and not was for was, now in zip(before, after, strict=True))
    rows = tuple(
        ChangedRow(
            source=examples[index].source,
            what=f"trained {one[index][0]!r}, exported {other[index][0]!r}",
        )
        for one, other, rows_off in ((unrounded, exact, off), (trained, int8, changed))
        for index in rows_off
    )
    return ParityReport(
        rows_total=len(examples), float_changed=len(off), changed=len(changed),
        allowance=allowance, confidence_shift=confidence_shift(_decisions(trained), _decisions(int8)), confidence_bound=confidence_bound,
        exact_trained=sum(before), exact_exported=sum(after), exact_unrounded=sum(free),
        unrounded_changed=len(_differing(unrounded, int8)), loss_p_value=_loss_p_value(lost, won), rows=rows,
    )  # fmt: skip


def _differing(thoughts: Thoughts, others: Thoughts) -> list[int]:
    return [
        index for index, (one, other) in enumerate(zip(thoughts, others, strict=True)) if one[0] != other[0]
    ]


def _right(examples: Sequence[Example], thoughts: Thoughts) -> list[bool]:
    return [one[0] == example.output for one, example in zip(thoughts, examples, strict=True)]


def _decisions(thoughts: Thoughts) -> list[tuple[Decided, ...]]:
    return [decided for _, decided in thoughts]


def _loss_p_value(lost: int, won: int) -> float:
    """P(at least `lost` losses among the changed rows) if losses and gains were equally likely; 1 for no change."""
    total = lost + won
    return sum(comb(total, count) for count in range(lost, total + 1)) / 2**total if total else 1.0
