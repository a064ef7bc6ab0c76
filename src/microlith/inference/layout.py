"""How a plan's decisions are laid out in the arrays of an encoder: the same for training and serving."""

from __future__ import annotations

from dataclasses import dataclass

from microlith.task.plan import Choice, Group, Json, Plan, Slot

ABSENT: Json = None
"""The extra option of a Choice that may be left out."""


@dataclass(frozen=True, kw_only=True)
class ChoiceHead:
    """A Choice as columns `start` to `stop` of the group's choice array."""

    key: str
    options: tuple[Json, ...]
    """`ABSENT` is the last option where the choice may be left out."""
    start: int
    stop: int

    @property
    def columns(self) -> slice:
        """The head's columns."""
        return slice(self.start, self.stop)


@dataclass(frozen=True, kw_only=True)
class GroupLayout:
    """One group's heads. Arrays have a leading axis of `steps` unrolled steps."""

    path: tuple[str, ...]
    steps: int
    """Most steps, at least 1."""
    min_steps: int
    choices: tuple[ChoiceHead, ...]
    labels: tuple[ChoiceHead, ...]
    """Arrays of enumerated values: every option is decided on its own."""
    spans: tuple[str, ...]
    """Keys of single spans, the columns of the span array."""
    lists: tuple[str, ...]
    """Keys of arrays of spans, the columns of the list array."""

    @property
    def counts(self) -> int:
        """Options of the Count head; 1 where the count is fixed."""
        return self.steps - self.min_steps + 1

    @property
    def choice_width(self) -> int:
        """Columns of the choice array: all choices, then all labels."""
        heads = self.choices + self.labels
        return heads[-1].stop if heads else 0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All heads of a plan."""

    groups: tuple[GroupLayout, ...]


def layout_of(plan: Plan) -> Layout:
    """The heads that `plan` needs. Text, Number and Computed slots have none."""
    return Layout(groups=tuple(_group_layout(plan, group) for group in plan.groups))


def _group_layout(plan: Plan, group: Group) -> GroupLayout:
    choices: list[ChoiceHead] = []
    labels: list[ChoiceHead] = []
    column = 0
    slots = list(group.slots.values())
    for many in (False, True):
        for slot in slots:
            if not isinstance(slot.decision, Choice) or (slot.max_items is not None) != many:
                continue
            options = slot.decision.options + ((ABSENT,) if _may_be_absent(plan, group, slot) else ())
            head = ChoiceHead(key=slot.key, options=options, start=column, stop=column + len(options))
            (labels if many else choices).append(head)
            column = head.stop
    return GroupLayout(
        path=group.path,
        steps=max(group.max_count, 1),
        min_steps=group.min_count,
        choices=tuple(choices),
        labels=tuple(labels),
        spans=tuple(slot.key for slot in slots if slot.kind == "span" and slot.max_items is None),
        lists=tuple(slot.key for slot in slots if slot.kind == "span" and slot.max_items is not None),
    )


def _may_be_absent(plan: Plan, group: Group, slot: Slot) -> bool:
    if slot.max_items is not None:
        return False
    if any(slot.key in variant.optional for variant in group.variants):
        return True
    return plan.clarify is not None and not group.path and slot.key in group.discriminators[1:]
