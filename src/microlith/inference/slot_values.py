"""Writing the value of a slot: picked from what may stand there, or written freely."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

from microlith.inference.answer_shapes import Path, Shape
from microlith.inference.asks import Ask, DeadEnd, Forced, Option, Pick, Place, Write, dumped, is_open
from microlith.inference.slices import Slices
from microlith.task.plan import Choice, Group, Json, Number, Slot, Text

MOST_NUMBERS = 2001
"""A number of at most so many values is picked; a wider one is written digit by digit."""


@dataclass(kw_only=True)
class Step:
    """An object that is being written."""

    group: Group
    number: int
    """Which step or item of the group, from 0."""
    live: list[tuple[Shape, int]]
    """Shapes that are still possible, each with the place of its next member."""
    values: dict[str, Json] = field(default_factory=dict)
    """Slot key -> value; None for absent."""
    here: Path = ()
    first: bool = True
    """True while nothing stands in the object at `here`."""
    taken: list[int] = field(default_factory=list)
    """Slices that are used already."""
    before: Mapping[str, Json] = field(default_factory=dict)
    """Values of the item before this one."""


class SlotValues:
    """Writes the values of slots, one request's slices given."""

    def __init__(self, slices: Slices) -> None:
        """Write with these slices."""
        self.slices = slices
        self._said: dict[tuple[Path, str], list[str]] = {}

    def picked(self, step: Step, key: str, options: Sequence[Option]) -> Generator[Ask, Any, int]:
        """Number of the option that is taken; an only one is forced."""
        kind = step.group.slots[key].kind if key in step.group.slots else "choice"
        place = Place(group=step.group.path, step=step.number, key=key, kind=kind)
        if len(options) == 1:
            decides = key in step.group.slots
            yield Forced(
                pieces=options[0].pieces,
                place=place if decides else None,
                option=options[0] if decides else None,
            )
            return 0
        number: int = yield Pick(place=place, options=tuple(options), open_ended=is_open(options))
        return number

    def written(self, step: Step, slot: Slot, *, opened: bool = False) -> Generator[Ask, Any, Json]:
        """A text or a wide number; `opened`: the opening quote stands already."""
        place = Place(group=step.group.path, step=step.number, key=slot.key, kind=slot.kind)
        decision = slot.decision
        if isinstance(decision, Number):
            digits = yield Write(place=place, least=decision.minimum, most=decision.maximum, number=decision)
            return json.loads(digits)
        assert isinstance(decision, Text)
        if not opened:
            yield Forced(pieces=('"',))
        said = self._said.setdefault((step.group.path, slot.key), [])
        text = yield Write(
            place=place, least=decision.min_length, most=decision.max_length, forbidden=decision.forbidden,
            said=tuple(said),
        )  # fmt: skip
        said.append(text)
        yield Forced(pieces=('"',))
        return text

    def list_of(self, step: Step, slot: Slot) -> Generator[Ask, Any, list[Json]]:
        """An array of scalars; one that may be absent is not empty, nor is one of wide numbers."""
        free = slot.kind == "text" or is_wide(slot)
        optional = any(
            member.key == slot.key and not member.required
            for shape, _ in step.live
            for member in shape.members
        )
        least = max(slot.min_items, int(optional or is_wide(slot)))
        yield Forced(pieces=("[",))
        return (
            yield from (self._free_list(step, slot, least) if free else self._picked_list(step, slot, least))
        )

    def _free_list(self, step: Step, slot: Slot, least: int) -> Generator[Ask, Any, list[Json]]:
        """Texts or wide numbers."""
        values: list[Json] = []
        quote = ('"',) if slot.kind == "text" else ()
        while (yield from self._another(step, slot, len(values), least, slot.max_items or 0, quote)):
            values.append((yield from self.written(step, slot, opened=True)))
        return values

    def _picked_list(self, step: Step, slot: Slot, least: int) -> Generator[Ask, Any, list[Json]]:
        """Values of a closed set; of numbers one may stand twice."""
        values: list[Json] = []
        used: set[tuple[str, ...]] = set()
        ends = Option(("]",), None)
        while True:
            options = [option for option in self.options(step, slot) if option.pieces not in used]
            if not options and len(values) < least:
                raise DeadEnd(f"{len(values)} values stand in the request for {slot.key}, {least} are needed")
            most = (slot.max_items or 0) if options else len(values)
            if values or not most:
                if not (yield from self._another(step, slot, len(values), least, most, ())):
                    return values
            elif not least:
                options = [*options, ends]
            option = options[(yield from self.picked(step, slot.key, options))]
            if option is ends:
                return values
            values.append(option.value)
            if slot.kind != "number":
                used.add(option.pieces)
            if option.candidate >= 0:
                self.slices.take(step.taken, option.candidate)

    def _another(
        self, step: Step, slot: Slot, count: int, least: int, most: int, opening: tuple[str, ...]
    ) -> Generator[Ask, Any, bool]:
        """Another value of a list of scalars, which begins with `opening`, or its end."""
        more = ((",", *opening) if count else opening) or ("",)
        if count < least or count >= most:
            yield Forced(pieces=more if count < least else ("]",))
            return count < least
        place = Place(group=step.group.path, step=step.number, key=slot.key, kind="count")
        return bool((yield Pick(place=place, options=(Option(more, count + 1), Option(("]",), count)))) == 0)

    def options(self, step: Step, slot: Slot) -> list[Option]:
        """The values that may stand here."""
        decision = slot.decision
        if isinstance(decision, Choice):
            options = decision.options
            last = step.before.get(slot.key)
            if decision.ascending and last is not None:
                options = options[options.index(last) :]
            return [Option((dumped(value),), value) for value in options]
        if isinstance(decision, Number):
            whole = range(ceil(decision.minimum), floor(decision.maximum) + 1)
            return [Option((str(value),), value) for value in whole]
        return list(self.slices.free(step.taken, slot))


def is_wide(slot: Slot) -> bool:
    """Has the slot a number of too many values to pick from?"""
    decision = slot.decision
    if not isinstance(decision, Number):
        return False
    return not decision.integer or decision.maximum - decision.minimum >= MOST_NUMBERS
