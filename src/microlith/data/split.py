"""Splitting rows so that nothing is measured on what was trained on.

`split` parts rows into training and validation; `fence` removes from training whatever is kin to a frozen test
row. Both keep families (`kin.py`) whole.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from microlith.data.example import Example
from microlith.data.kin import NEAR, Kinship, kinship, normalise, wording
from microlith.data.slot_values import at
from microlith.errors import LeakError, Problem, UsageError
from microlith.task.plan import Choice, Plan


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows parted in two, no family on both sides."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()
    """What the reader should know, e.g. that families were too large for the share that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Fenced:
    """A row that may not be trained on, and why."""

    example: Example
    reason: str
    """One of: same request, same wording, same lineage, near-duplicate (of it, or of its kin)."""
    kin_to: str
    """`source` of the test row."""


def split(
    examples: Sequence[Example], validation_share: float = 0.1, seed: int = 0, *, plan: Plan | None = None
) -> Split:
    """Part rows into training and validation, families whole, the outer choices in equal shares.

    The result does not depend on the order of the rows.

    Args:
        examples: The rows.
        validation_share: Share of rows for validation, above 0 and below 1.
        seed: Another seed gives another split.
        plan: The task's plan, to mask values and to balance the outer choice; None to do neither.

    Raises:
        UsageError: if the share is not between 0 and 1.
    """
    if not 0.0 < validation_share < 1.0:
        raise UsageError(
            f"the validation share is {validation_share}, not between 0 and 1", mend="0.1 is usual"
        )
    kin = kinship(examples, plan, largest_share=validation_share)
    chosen = _chosen(_families(examples, kin, plan), validation_share, seed)
    labels = kin.labels.tolist()
    train = tuple(example for example, label in zip(examples, labels, strict=True) if label not in chosen)
    validation = tuple(example for example, label in zip(examples, labels, strict=True) if label in chosen)
    return Split(
        train=train,
        validation=validation,
        notes=(*kin.notes, *_short_of(validation, examples, validation_share)),
    )


def fence(
    examples: Sequence[Example], test: Sequence[Example], plan: Plan | None, *, threshold: float = NEAR
) -> tuple[tuple[Example, ...], tuple[Fenced, ...]]:
    """Remove every row that is kin to a test row.

    Args:
        examples: Rows to be trained on.
        test: The frozen test rows.
        plan: The task's plan, to mask values; None to compare requests as they are.
        threshold: Jaccard index from which masked requests are near-duplicates, 0.5-1.

    Returns:
        The rows that are left, in their order, and those removed with the reason.
    """
    if not test or not examples:
        return tuple(examples), ()
    rows = [*examples, *test]
    focus = range(len(examples), len(rows))
    labels = kinship(
        rows, plan, threshold=threshold, focus=focus, largest_share=0.1, groups=False
    ).labels.tolist()
    fenced = dict(zip(labels[len(examples) :], test, strict=True))
    reasons = _Reasons(test, plan)
    kept = tuple(example for example, label in zip(examples, labels, strict=False) if label not in fenced)
    dropped = tuple(
        reasons.of(example, fenced[label])
        for example, label in zip(examples, labels, strict=False)
        if label in fenced
    )
    return kept, dropped


def check_fence(train: Sequence[Example], test: Sequence[Example], plan: Plan | None) -> None:
    """Make sure that no training row is kin to a test row.

    Raises:
        LeakError: naming every training row that is.
    """
    _, dropped = fence(train, test, plan)
    if dropped:
        problems = [
            Problem(
                what=f"{row.reason} as the test row {row.kin_to}",
                place=row.example.source,
                mend="leave it out",
            )
            for row in dropped
        ]
        raise LeakError(f"{len(dropped)} training rows are kin to test rows", problems=problems)


def stratum(example: Example, plan: Plan | None) -> str:
    """What the split keeps in equal shares: the outer choice of the answer, "" where there is none."""
    if plan is None:
        return ""
    root = plan.root
    keys = root.discriminators[:1] or tuple(
        key
        for key, slot in root.slots.items()
        if isinstance(slot.decision, Choice) and slot.max_items is None
    )
    return json.dumps(at(example.output, root.slots[keys[0]].path)) if keys else ""


# ------------------------------------------------------------------------------------------------------- choosing

_Family = tuple[int, str, Counter[Hashable]]
"""Label, a name that does not depend on the order of the rows, and how many rows of each stratum it has."""


def _families(examples: Sequence[Example], kin: Kinship, plan: Plan | None) -> list[_Family]:
    names: dict[int, str] = {}
    counts: dict[int, Counter[Hashable]] = {}
    for example, label in zip(examples, kin.labels.tolist(), strict=True):
        name = example.key
        names[label] = min(names.get(label, name), name)
        counts.setdefault(label, Counter())[stratum(example, plan)] += 1
    return [(label, names[label], counts[label]) for label in names]


def _chosen(families: Sequence[_Family], share: float, seed: int) -> set[int]:
    """Labels for validation: families in an order that the seed gives, as long as they fill more than they overfill."""
    sizes: Counter[Hashable] = Counter()
    for _, _, counts in families:
        sizes.update(counts)
    wanted = {key: _rounded(size * share) for key, size in sizes.items()}
    chosen: set[int] = set()
    for label, _, counts in sorted(families, key=lambda family: _rank(seed, family[1])):
        fills = sum(min(count, wanted[key]) for key, count in counts.items())
        if fills > sum(counts.values()) - fills:
            chosen.add(label)
            for key, count in counts.items():
                wanted[key] = max(0, wanted[key] - count)
    everything = len(chosen) == len(families) > 0
    return chosen - {families[0][0]} if everything else chosen


def _rounded(count: float) -> int:
    return int(count + 0.5)


def _rank(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()


def _short_of(validation: Sequence[Example], examples: Sequence[Example], share: float) -> tuple[str, ...]:
    wanted = share * len(examples)
    if abs(len(validation) - wanted) <= max(2.0, 0.25 * wanted):
        return ()
    return (
        f"validation has {len(validation)} of {len(examples)} rows where {wanted:.0f} were asked for:"
        " families of kin rows may not be parted",
    )


class _Reasons:
    """Why a row is kin to one of the test rows."""

    def __init__(self, test: Sequence[Example], plan: Plan | None) -> None:
        self._plan = plan
        self._requests = {normalise(row.input): row.source for row in reversed(test)}
        self._wordings = {wording(row, plan): row.source for row in reversed(test)}
        self._lineage = {name: row.source for row in reversed(test) for name in (row.source, *row.parents)}

    def of(self, example: Example, nearest: Example) -> Fenced:
        known = (
            ("same request", self._requests.get(normalise(example.input))),
            ("same wording", self._wordings.get(wording(example, self._plan))),
            (
                "same lineage",
                next((self._lineage[name] for name in _lineage(example) if name in self._lineage), None),
            ),
        )
        reason, source = next(
            ((reason, source) for reason, source in known if source), ("near-duplicate", nearest.source)
        )
        return Fenced(example=example, reason=reason, kin_to=source)


def _lineage(example: Example) -> tuple[str, ...]:
    return (example.source, *example.parents)
