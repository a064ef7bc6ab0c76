"""What the heads should say about a labelled row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microlith.inference.grounding import Grounding, GroundingSpec
from microlith.inference.layout import GroupLayout, Layout
from microlith.task.plan import Group, Json, Plan, Reading, Span

IGNORED = -100
"""Target of a decision that the row does not take."""


@dataclass(frozen=True, kw_only=True)
class GroupTarget:
    """Targets of one row for one group."""

    count: int
    """Index into the Count head, or IGNORED."""
    choices: npt.NDArray[np.int64]
    """(steps, choices) option index or IGNORED."""
    labels: npt.NDArray[np.float32]
    """(steps, label columns) 0 or 1, or -1 where not taken."""
    spans: tuple[tuple[tuple[int, ...] | None, ...], ...]
    """Per step and span slot: matching candidates, () for absent, None for not taken."""
    lists: tuple[tuple[tuple[int, int], ...] | None, ...]
    """Per step: (candidate, column) of every listed slice in text order; None where not taken."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A value that no candidate slice spells, so the row cannot be learnt whole."""

    key: str
    value: str


def targets_of(
    plan: Plan, layout: Layout, spec: GroundingSpec, grounding: Grounding, reading: Reading
) -> tuple[list[GroupTarget], list[Lost]]:
    """Targets of one row, and the values that no candidate spells (the row is then left out and named)."""
    lost: list[Lost] = []
    matcher = _Matcher(plan, spec, grounding)
    found = [
        _group_target(group, heads, reading.get(group.path, []), matcher, lost)
        for group, heads in zip(plan.groups, layout.groups, strict=True)
    ]
    return found, lost


class _Matcher:
    """Finds the candidates that spell a value."""

    def __init__(self, plan: Plan, spec: GroundingSpec, grounding: Grounding) -> None:
        self.spec, self.grounding = spec, grounding
        self.by_text: dict[str, list[int]] = {}
        for index, text in enumerate(grounding.texts()):
            self.by_text.setdefault(text, []).append(index)

    def find(self, decision: Span, value: Json) -> tuple[int, ...]:
        column = self.spec.formats.index(decision.format)
        return tuple(
            index for index in self.by_text.get(str(value), ()) if self.grounding.allowed[index, column]
        )


def _group_target(
    group: Group, heads: GroupLayout, steps: Sequence[Mapping[str, Json]], matcher: _Matcher, lost: list[Lost]
) -> GroupTarget:
    choices = np.full((heads.steps, len(heads.choices)), IGNORED, dtype=np.int64)
    width = sum(len(head.options) for head in heads.labels)
    labels = np.full((heads.steps, width), -1, dtype=np.float32)
    spans: list[tuple[tuple[int, ...] | None, ...]] = []
    lists: list[tuple[tuple[int, int], ...] | None] = []
    for index in range(heads.steps):
        step = steps[index] if index < len(steps) else None
        if step is not None:
            _fill_choices(choices[index], labels[index], heads, step)
        spans.append(tuple(_span_target(group, key, step, matcher, lost) for key in heads.spans))
        lists.append(
            None if step is None or not heads.lists else _list_target(group, heads, step, matcher, lost)
        )
    count = min(max(len(steps) - heads.min_steps, 0), heads.counts - 1) if heads.counts > 1 else IGNORED
    return GroupTarget(count=count, choices=choices, labels=labels, spans=tuple(spans), lists=tuple(lists))


def _fill_choices(
    choices: npt.NDArray[np.int64],
    labels: npt.NDArray[np.float32],
    heads: GroupLayout,
    step: Mapping[str, Json],
) -> None:
    for position, head in enumerate(heads.choices):
        if head.key in step:
            choices[position] = _option(head.options, step[head.key])
    offset = 0
    for head in heads.labels:
        if head.key in step:
            chosen = step[head.key]
            labels[offset : offset + len(head.options)] = [option in chosen for option in head.options]
        offset += len(head.options)


def _option(options: Sequence[Json], value: Json) -> int:
    for index, option in enumerate(options):
        if option == value and type(option) is type(value):
            return index
    return IGNORED


def _span_target(
    group: Group, key: str, step: Mapping[str, Json] | None, matcher: _Matcher, lost: list[Lost]
) -> tuple[int, ...] | None:
    if step is None or key not in step:
        return None
    if step[key] is None:
        return ()
    decision = group.slots[key].decision
    assert isinstance(decision, Span)
    found = matcher.find(decision, step[key])
    if not found:
        lost.append(Lost(key=key, value=str(step[key])))
        return None
    return found


def _list_target(
    group: Group, heads: GroupLayout, step: Mapping[str, Json], matcher: _Matcher, lost: list[Lost]
) -> tuple[tuple[int, int], ...]:
    """Slices of all lists in text order; a value that stands several times takes its first free place."""
    chosen: list[tuple[int, int]] = []
    used: set[int] = set()
    wanted = [(column, value) for column, key in enumerate(heads.lists) for value in step.get(key) or ()]
    for column, value in sorted(wanted, key=lambda item: -len(str(item[1]))):
        decision = group.slots[heads.lists[column]].decision
        assert isinstance(decision, Span)
        for candidate in matcher.find(decision, value):
            first, last = (int(piece) for piece in matcher.grounding.candidates[candidate])
            if used.isdisjoint(range(first, last + 1)):
                used.update(range(first, last + 1))
                chosen.append((candidate, column))
                break
        else:
            lost.append(Lost(key=heads.lists[column], value=str(value)))
    return tuple(sorted(chosen))
