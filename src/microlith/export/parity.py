"""Does the exported model answer as the trained one did?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import comb, exp
from pathlib import Path
from typing import Any

from microlith.data.example import Example
from microlith.inference.decode import Decided, decode
from microlith.inference.encoder import EncoderModel
from microlith.task.plan import Json
from microlith.task.reading import write
from microlith.training.encoder import TrainedEncoder, logits_of

CHANCE = 0.05
"""One-sided level below which a loss of exactness is not put down to chance."""
Thoughts = list[tuple[Json, tuple[Decided, ...]]]
"""Answer (None for none) and decisions, one a request."""


@dataclass(frozen=True, kw_only=True)
class ChangedRow:
    """A row that the exported model answers otherwise."""

    source: str
    what: str


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """What the proof found."""

    rows_total: int
    float_changed: int
    """Answers of the float export that differ; must be 0."""
    changed: int
    """Answers of the int8 file that differ."""
    allowance: float
    confidence_shift: float
    """Mean absolute change of a decision's probability, 0-1."""
    confidence_bound: float
    exact_trained: int
    exact_exported: int
    loss_p_value: float
    """One-sided exact McNemar: how likely a loss of exactness like this is by chance."""
    rows: tuple[ChangedRow, ...]

    @property
    def passed(self) -> bool:
        """Within every bound?"""
        return (
            self.float_changed == 0
            and self.changed <= self.allowance * self.rows_total
            and self.confidence_shift <= self.confidence_bound
            and self.loss_p_value > CHANCE
        )

    @property
    def summary(self) -> str:
        """The proof in a line."""
        return (
            f"{self.changed} of {self.rows_total} answers changed (float export {self.float_changed}), "
            f"allowed {self.allowance:.1%}; exact {self.exact_trained} -> {self.exact_exported}; "
            f"probabilities moved by {self.confidence_shift:.4f}"
        )

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {**asdict(self), "passed": self.passed}


def trained_answers(trained: TrainedEncoder, examples: Sequence[Example]) -> Thoughts:
    """What the network itself answers."""
    found: Thoughts = []
    requests = [example.input for example in examples]
    for request, (one, logits) in zip(requests, logits_of(trained, requests), strict=True):
        decoded = decode(trained.plan, trained.layout, trained.spec, one.grounding, logits)
        answer = None if decoded.reading is None else write(trained.plan, decoded.reading, request)
        found.append((answer, tuple(decoded.decisions)))
    return found


def runtime_answers(folder: Path, file: str, examples: Sequence[Example]) -> Thoughts:
    """What the exported file answers through the real runtime."""
    model = EncoderModel.load(folder, file=file)
    thoughts = model.think_all([example.input for example in examples])
    return [(thought.output, tuple(thought.decoded.decisions)) for thought in thoughts]


def compare_answers(
    examples: Sequence[Example], reference: Thoughts, exact: Thoughts, quick: Thoughts,
    *, allowance: float, confidence_bound: float,
) -> ParityReport:  # fmt: skip
    """Hold the float export and the int8 file against the network's answers.

    Args:
        examples: The rows, with their right answers.
        reference: The network's answers.
        exact: Those of the float export.
        quick: Those of the int8 file, which is to be registered.
        allowance: Share of answers that may change, 0-1.
        confidence_bound: Mean absolute change of a probability that is allowed, 0-1.
    """
    changed = [
        index for index, (one, other) in enumerate(zip(reference, quick, strict=True)) if one[0] != other[0]
    ]
    off = [
        index for index, (one, other) in enumerate(zip(reference, exact, strict=True)) if one[0] != other[0]
    ]
    before = [one[0] == example.output for one, example in zip(reference, examples, strict=True)]
    after = [one[0] == example.output for one, example in zip(quick, examples, strict=True)]
    lost = sum(was and not now for was, now in zip(before, after, strict=True))
    won = sum(now and not was for was, now in zip(before, after, strict=True))
    rows = tuple(
        ChangedRow(
            source=examples[index].source,
            what=f"trained {reference[index][0]!r}, exported {quick[index][0]!r}",
        )
        for index in dict.fromkeys([*off, *changed])
    )
    return ParityReport(
        rows_total=len(examples), float_changed=len(off), changed=len(changed),
        allowance=allowance, confidence_shift=_shift(reference, quick), confidence_bound=confidence_bound,
        exact_trained=sum(before), exact_exported=sum(after), loss_p_value=_loss_p_value(lost, won), rows=rows,
    )  # fmt: skip


def _shift(reference: Thoughts, other: Thoughts) -> float:
    """Mean absolute change of the probability of decisions that both took."""
    moved: list[float] = []
    for (_, before), (_, after) in zip(reference, other, strict=True):
        known = {(one.group, one.step, one.key, repr(one.value)): one.log_probability for one in before}
        for one in after:
            same = known.get((one.group, one.step, one.key, repr(one.value)))
            if same is not None:
                moved.append(abs(exp(same) - exp(one.log_probability)))
    return sum(moved) / len(moved) if moved else 0.0


def _loss_p_value(lost: int, won: int) -> float:
    """P(at least `lost` losses among the changed rows) if losses and gains were equally likely; 1 for no change."""
    total = lost + won
    return sum(comb(total, count) for count in range(lost, total + 1)) / 2**total if total else 1.0
