"""Which of the plan's decisions were right: expected and given reading side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from microlith.data.example import Example
from microlith.errors import DataError, Problem
from microlith.evaluation.intervals import share
from microlith.evaluation.result import DecisionScore
from microlith.task.plan import Choice, Group, Json, Plan, Reading, Slot
from microlith.task.reading import read

Kind = Literal["choice", "presence", "span", "count", "number", "text"]
Key = tuple[str, Kind]
Step = Mapping[str, Json]
UNKNOWN = "(not in the schema)"
"""Label of an answer that names no option of the schema."""
ROOT = "(answer)"
"""Path shown for the answer's own group."""


def same(one: Json, other: Json) -> bool:
    """Equality of JSON values: 1 equals 1.0, but true is not 1; the order of keys does not matter."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def expected_readings(plan: Plan, examples: Sequence[Example]) -> list[Reading]:
    """The reading of every expected answer.

    Raises:
        DataError: naming every example whose answer the plan cannot read.
    """
    readings: list[Reading] = []
    problems: list[Problem] = []
    for example in examples:
        reading = reading_of(plan, example.output)
        if reading is None:
            problems.append(
                Problem(
                    what="the expected answer fits no branch of the schema",
                    place=example.source,
                    mend="correct the row",
                )
            )
        else:
            readings.append(reading)
    if problems:
        raise DataError(f"{len(problems)} examples cannot be scored", problems=problems)
    return readings


def reading_of(plan: Plan, answer: Json) -> Reading | None:
    """The reading of an answer of any shape; None where the plan cannot read it."""
    if not isinstance(answer, Mapping):
        return None
    try:
        return read(plan, answer)
    except (DataError, KeyError, TypeError, AttributeError, ValueError):  # an answer of any shape may come
        return None


def leading_slot(plan: Plan) -> Slot | None:
    """The choice by which answers are told apart: the outermost discriminator, else the choice that has an
    out-of-scope option, else the first choice; None where the plan has no single-valued choice."""
    slots = plan.root.slots
    if plan.root.discriminators:
        return slots[plan.root.discriminators[0]]
    choices = [
        slot for slot in slots.values() if isinstance(slot.decision, Choice) and slot.max_items is None
    ]
    return next((slot for slot in choices if _outside(slot) is not None), choices[0] if choices else None)


def scope_slot(plan: Plan) -> Slot | None:
    """The choice of the answer that has an out-of-scope option; None where there is none."""
    return next((slot for slot in plan.root.slots.values() if _outside(slot) is not None), None)


class Labels:
    """Reads what answers say at one choice, as text.

    A model that does not keep to the schema may say anything there, a secret too; so only known labels are kept.
    """

    def __init__(self, plan: Plan, slot: Slot | None) -> None:
        branches = [branch.tag[1] for branch in (plan.sequence, plan.clarify) if branch is not None]
        options = slot.decision.options if slot is not None and isinstance(slot.decision, Choice) else ()
        self._path = None if slot is None else slot.path
        self._known = {label_text(value) for value in (*options, *branches)}

    def of(self, answer: Json) -> str | None:
        """The label; None where the answer says nothing there, `UNKNOWN` where it names no option of the schema."""
        if self._path is None:
            return None
        for name in self._path:
            answer = answer.get(name) if isinstance(answer, Mapping) else None
        label = label_text(answer)
        return label if label is None or label in self._known else UNKNOWN


def label_text(value: Json) -> str | None:
    """A JSON scalar as a label; None for null and for anything that is no scalar."""
    if value is None or isinstance(value, dict | list):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def outside_label(plan: Plan) -> str | None:
    """Label of the out-of-scope option; None where the plan has none."""
    slot = scope_slot(plan)
    return None if slot is None else label_text(_outside(slot))


def score_decisions(
    plan: Plan, expected: Sequence[Reading], got: Sequence[Reading | None]
) -> tuple[DecisionScore, ...]:
    """Score every Choice, Presence, Span, Count, Number and Text of the plan.

    Steps are compared by their position. A value counts where one is expected; it is right when the same step of the
    answer holds the same value. Presence and Count count wherever the slot or the group applies. Computed values are
    nobody's decision and are left out; a decision that applies nowhere has n = 0.
    """
    tally = _Tally(counts={key: [0, 0] for group in plan.groups for key in _keys(group)})
    for wanted, given in zip(expected, got, strict=True):
        for group in plan.groups:
            _compare(group, wanted.get(group.path, []), (given or {}).get(group.path, []), tally)
    return tuple(
        DecisionScore(path=path, kind=kind, right=share(hits, n))
        for (path, kind), (hits, n) in tally.counts.items()
    )


@dataclass(kw_only=True)
class _Tally:
    counts: dict[Key, list[int]] = field(default_factory=dict)

    def add(self, key: Key, *, right: bool) -> None:
        self.counts[key][0] += right
        self.counts[key][1] += 1


def _outside(slot: Slot) -> Json:
    single = isinstance(slot.decision, Choice) and slot.max_items is None
    return slot.decision.out_of_scope if single and isinstance(slot.decision, Choice) else None


def _optional(group: Group) -> set[str]:
    return {key for variant in group.variants for key in variant.optional}


def _keys(group: Group) -> Iterator[Key]:
    if group.max_count > group.min_count:
        yield ".".join(group.path) or ROOT, "count"
    optional = _optional(group)
    for slot in group.slots.values():
        kind = _kind(slot)
        if kind is None:
            continue
        path = _path(group, slot)
        if slot.max_items is not None:
            yield path, "count"
        elif slot.key in optional:
            yield path, "presence"
        yield path, kind


def _kind(slot: Slot) -> Kind | None:
    kind = slot.kind
    return None if kind == "computed" else kind


def _path(group: Group, slot: Slot) -> str:
    """The slot's path; with its key's format where two slots of the group stand at one path."""
    twins = [other for other in group.slots.values() if other.path == slot.path]
    return ".".join((*group.path, *((slot.key,) if len(twins) > 1 else slot.path)))


def _compare(group: Group, expected: Sequence[Step], got: Sequence[Step], tally: _Tally) -> None:
    if group.max_count > group.min_count:
        tally.add((".".join(group.path) or ROOT, "count"), right=len(expected) == len(got))
    optional = _optional(group)
    for index, wanted in enumerate(expected):
        given = got[index] if index < len(got) else None
        for key, value in wanted.items():
            _compare_slot(group, group.slots[key], value, given, tally, optional=key in optional)


def _compare_slot(
    group: Group, slot: Slot, value: Json, step: Step | None, tally: _Tally, *, optional: bool
) -> None:
    kind, path = _kind(slot), _path(group, slot)
    if kind is None:
        return
    found = None if step is None else step.get(slot.key)
    if slot.max_items is not None:
        tally.add((path, "count"), right=step is not None and len(value or ()) == len(found or ()))
        if value:
            tally.add((path, kind), right=same(value, found))
        return
    if optional:
        tally.add((path, "presence"), right=step is not None and (value is None) == (found is None))
    if value is not None:
        tally.add((path, kind), right=same(value, found))
