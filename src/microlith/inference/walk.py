"""The walk through one answer, from left to right."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from microlith.errors import MicrolithError
from microlith.inference.answer_shapes import Member, Path, Shape
from microlith.inference.asks import Ask, DeadEnd, Forced, Option, Pick, Place, Walk, Walked, dumped
from microlith.inference.grounding import Grounding
from microlith.inference.slices import Slices
from microlith.inference.slot_values import SlotValues, Step, is_wide
from microlith.task.plan import Computed, Group, Json, Reading
from microlith.task.reading import compute, missing_of, variant_of, write

if TYPE_CHECKING:
    from microlith.inference.spelling import Speller


class Walker:
    """The walk through one answer."""

    def __init__(self, speller: Speller, request: str, grounding: Grounding) -> None:
        self.speller, self.plan = speller, speller.plan
        self.request = request
        self.reading: Reading = {}
        self.slices = Slices(request, grounding, speller.columns)
        self._slots = SlotValues(self.slices)

    def answer(self) -> Walk:
        plan = self.plan
        step = self._begun(plan.root, 0, self.speller.shapes[()])
        yield Forced(pieces=("{",))
        steps = yield from self._object(step)
        self.reading[()] = [one.values for one in (steps or [step])]
        for group in plan.groups[1:]:
            self.reading.setdefault(group.path, [])
        return Walked(reading=self.reading, output=self._output())

    def _output(self) -> Json:
        try:
            return write(self.plan, self.reading, self.request)
        except Exception as error:  # a computed value is given by a function of the task's own
            raise DeadEnd(f"the answer cannot be written: {_reason(error)}") from error

    def _begun(
        self, group: Group, number: int, shapes: Sequence[Shape], before: Mapping[str, Json] | None = None
    ) -> Step:
        """A step with the shapes that this request can fill."""
        able = [(shape, 0) for shape in shapes if self._can_fill(group, shape)]
        if not able:
            raise DeadEnd("no branch of the schema can be filled from this request")
        return Step(group=group, number=number, live=able, before=before or {})

    def _can_fill(self, group: Group, shape: Shape) -> bool:
        """Is there a slice for every value that must be copied?"""
        return shape.asks or all(
            self._can_write(group, member) for member in shape.members if member.required
        )

    def _can_write(self, group: Group, member: Member) -> bool:
        if member.kind == "steps":
            return any(self._can_fill(group, shape) for shape in self.speller.inside)
        if member.kind == "group":
            items = self._group(member.path)
            return items.min_count == 0 or self._can_begin(items, self.speller.shapes[items.path])
        if member.kind != "slot" or group.slots[member.key].kind != "span":
            return True
        slot = group.slots[member.key]
        return len(self.slices.spans(slot)) >= (1 if slot.max_items is None else slot.min_items)

    def _can_begin(self, group: Group, shapes: Sequence[Shape]) -> bool:
        return any(self._can_fill(group, shape) for shape in shapes)

    def _group(self, path: Path) -> Group:
        return next(one for one in self.plan.groups if one.path == path)

    def _object(self, step: Step) -> Generator[Ask, Any, list[Step] | None]:
        """Write the members and the closing bracket; gives the steps where the object is a sequence of steps."""
        steps: list[Step] | None = None
        while True:
            ways = self._ways(step)
            way = ways[0] if len(ways) == 1 else ways[(yield self._next_pick(step, ways))]
            if len(ways) == 1:
                yield Forced(pieces=way.pieces)
            step.values.update(self._absent(step, way))
            if way.member is None:
                _settle(step, way.live)
                return steps
            step.live = way.live
            step.here, step.first = way.member.container, way.member.kind == "open"
            found = yield from self._value(step)
            steps = found or steps

    def _next_pick(self, step: Step, ways: Sequence[_Way]) -> Pick:
        place = Place(group=step.group.path, step=step.number, key="", kind="presence")
        return Pick(place=place, options=tuple(Option(way.pieces, self._absent(step, way)) for way in ways))

    def _absent(self, step: Step, way: _Way) -> dict[str, Json]:
        """The values of what is passed over."""
        slots, asks = step.group.slots, step.live[0][0].asks
        return {key: None if asks or slots[key].max_items is None else [] for key in way.skipped}

    def _ways(self, step: Step) -> list[_Way]:
        """How the object may go on: with which member, or with its end."""
        found: dict[tuple[str, ...], _Way] = {}
        for shape, place in step.live:
            skipped: list[str] = []
            for number in range(place, len(shape.members)):
                member = shape.members[number]
                if self._may_come(step, shape, number):
                    _add_way(found, step, member, (shape, number + 1), tuple(skipped))
                if member.required:
                    break
                if member.kind == "slot":
                    skipped.append(member.key)
            else:
                _add_way(found, step, None, (shape, len(shape.members)), tuple(skipped))
        if not found:
            raise DeadEnd("no member can follow")
        return list(found.values())

    def _may_come(self, step: Step, shape: Shape, number: int) -> bool:
        member = shape.members[number]
        if shape.asks:
            given = {key for key in shape.needed if step.values.get(key) is not None}
            if member.kind == "missing":
                return given != shape.needed
            if given | {member.key} == shape.needed:
                return False  # then nothing would be missing
        if member.kind != "slot":
            return True
        slot = step.group.slots[member.key]
        if slot.kind != "span" or (slot.max_items is not None and member.required and slot.min_items == 0):
            return True
        return any(True for _ in self.slices.free(step.taken, slot))

    # -------------------------------------------------------------------------------------------- values

    def _value(self, step: Step) -> Generator[Ask, Any, list[Step] | None]:
        """The value that comes next; where shapes differ in its sort, as the first of them has it."""
        sorts = [_sort(step.group, shape.members[place - 1]) for shape, place in step.live]
        step.live = [one for one, sort in zip(step.live, sorts, strict=True) if sort == sorts[0]]
        shape, place = step.live[0]
        member = shape.members[place - 1]
        match sorts[0][0]:
            case "open":
                pass
            case "computed":
                yield Forced(pieces=(dumped(self._computed(step, member.key)),))
            case "missing":
                yield Forced(pieces=(dumped(self._missing(step)),))
            case "group":
                yield from self._items(member.path)
            case "steps":
                return (yield from self._steps())
            case "list":
                step.values[member.key] = yield from self._slots.list_of(step, step.group.slots[member.key])
            case "written":
                step.values[member.key] = yield from self._slots.written(step, step.group.slots[member.key])
            case _:
                yield from self._closed(step)
        return None

    def _closed(self, step: Step) -> Generator[Ask, Any, None]:
        """A constant or one of several values; which one it was narrows the shapes."""
        holders: dict[tuple[str, str, str], list[tuple[Shape, int]]] = {}
        for shape, place in step.live:
            member = shape.members[place - 1]
            holders.setdefault((member.kind, member.key, dumped(member.value)), []).append((shape, place))
        offered: dict[str, tuple[Option, list[tuple[Shape, int]]]] = {}
        for live in holders.values():
            member = live[0][0].members[live[0][1] - 1]
            for option in self._member_options(step, member):
                joined = "".join(option.pieces)
                known = offered.get(joined)
                offered[joined] = (option, live) if known is None else (known[0], [*known[1], *live])
        if not offered:
            raise DeadEnd(f"nothing in the request can be {member.key}")
        options = [option for option, _ in offered.values()]
        place = yield from self._slots.picked(step, options[0].key, options)
        option, step.live = list(offered.values())[place]
        if option.candidate >= 0:
            self.slices.take(step.taken, option.candidate)
        for shape, place in step.live:
            member = shape.members[place - 1]
            if member.key and not member.key.startswith("#"):
                step.values[member.key] = option.value

    def _member_options(self, step: Step, member: Member) -> list[Option]:
        if member.kind == "slot":
            options = self._slots.options(step, step.group.slots[member.key])
            return [option._replace(key=member.key) for option in options]
        return [Option((dumped(member.value),), member.value, key=member.key)]

    def _computed(self, step: Step, key: str) -> Json:
        """What the task's function gives for the request and what stands in the answer so far."""
        decision = step.group.slots[key].decision
        assert isinstance(decision, Computed)
        variant = step.live[0][0].variant
        partial: dict[str, Json] = {}
        for path, value in variant.fixed.items() if variant is not None else ():
            _put(partial, path, value)
        for other, value in step.values.items():
            if value is not None:
                _put(partial, step.group.slots[other].path, value)
        try:
            return compute(decision.function, self.request, partial)
        except Exception as error:  # the function is the task's own
            raise DeadEnd(f"{key} cannot be computed: {_reason(error)}") from error

    def _missing(self, step: Step) -> list[str]:
        """Names of what the wanted action lacks, in schema order, as `write` will see them.

        Where what is given would be a whole answer of another shape, the shape whose values fit best is named by its tags.
        """
        variant = variant_of(step.group, step.values)
        if not missing_of(variant, step.values):
            shape = max(
                (shape for shape, _ in step.live),
                key=lambda one: sum(step.values.get(member.key) is not None for member in one.members),
            )
            assert shape.variant is not None
            variant = shape.variant
            step.values.update({key: value for key, value in variant.tags.items() if key not in step.values})
        step.live = [one for one in step.live if one[0].variant is variant] or step.live
        for key in variant.slots:
            step.values.setdefault(key, None)
        return [step.group.slots[key].path[0] for key in missing_of(variant, step.values)]

    def _items(self, path: Path) -> Generator[Ask, Any, None]:
        """An array of objects."""
        group, shapes = self._group(path), self.speller.shapes[path]
        items: list[Step] = []
        before: dict[str, Json] = {}
        yield Forced(pieces=("[",))
        most = group.max_count if self._can_begin(group, shapes) else group.min_count
        while (yield from self._more(group, len(items), group.min_count, most)):
            items.append(self._begun(group, len(items), shapes, before))
            yield from self._object(items[-1])
            before.update({key: value for key, value in items[-1].values.items() if value is not None})
        self.reading[path] = [one.values for one in items]

    def _more(self, group: Group, count: int, least: int, most: int) -> Generator[Ask, Any, bool]:
        """Another item of an array of objects, or its end."""
        another = ("{",) if count == 0 else (",", "{")
        if count < least or count >= most:
            yield Forced(pieces=another if count < least else ("]",))
            return count < least
        place = Place(group=group.path, step=count, key="#count", kind="count")
        options = (Option(another, count + 1), Option(("]",), count))
        return bool((yield Pick(place=place, options=options)) == 0)

    def _steps(self) -> Generator[Ask, Any, list[Step]]:
        sequence = self.plan.sequence
        assert sequence is not None
        root, steps = self.plan.root, list[Step]()
        yield Forced(pieces=("[",))
        while (yield from self._more(root, len(steps), max(sequence.min_count, 2), sequence.max_count)):
            steps.append(self._begun(root, len(steps), self.speller.inside))
            yield from self._object(steps[-1])
        return steps


@dataclass(kw_only=True)
class _Way:
    """One way in which an object goes on."""

    pieces: tuple[str, ...]
    member: Member | None
    """None for the end of the object."""
    live: list[tuple[Shape, int]]
    skipped: tuple[str, ...]
    """Slot keys that are absent by this."""


def _add_way(
    found: dict[tuple[str, ...], _Way],
    step: Step,
    member: Member | None,
    live: tuple[Shape, int],
    skipped: tuple[str, ...],
) -> None:
    pieces = _passage(step, member)
    way = found.setdefault(pieces, _Way(pieces=pieces, member=member, live=[], skipped=skipped))
    way.live.append(live)


def _passage(step: Step, member: Member | None) -> tuple[str, ...]:
    """Brackets, commas and names from where the object stands to a member's value, or to its end."""
    here = step.here
    if member is None:
        return ("}",) * (len(here) + 1)
    target = member.container
    common = 0
    while common < min(len(here), len(target)) and here[common] == target[common]:
        common += 1
    closed = len(here) - common
    head = ("}",) * closed + (() if step.first and not closed else (",",))
    names = "".join(f"{dumped(name)}:{{" for name in target[common:])
    if member.kind != "open":
        names += f"{dumped(member.path[-1])}:"
    return (*head, names) if names else head


def _sort(group: Group, member: Member) -> tuple[str, ...]:
    """How a member is written; what is picked from is of one sort, whatever it stands for."""
    if member.kind == "slot":
        slot = group.slots[member.key]
        if slot.max_items is not None:
            return ("list", member.key)
        return ("written", member.key) if slot.kind == "text" or is_wide(slot) else ("closed",)
    return ("closed",) if member.kind in ("tag", "fixed") else (member.kind, member.key)


def _settle(step: Step, live: Sequence[tuple[Shape, int]]) -> None:
    """Keep the values of the shape that was written; others may have shared its text."""
    variant = live[0][0].variant
    if variant is not None:
        kept = {*variant.tags, *variant.slots}
        step.values = {key: value for key, value in step.values.items() if key in kept}
        step.values.update({key: value for key, value in variant.tags.items() if not live[0][0].asks})


def _put(answer: dict[str, Json], path: Path, value: Json) -> None:
    for name in path[:-1]:
        answer = answer.setdefault(name, {})
    answer[path[-1]] = value


def _reason(error: Exception) -> str:
    return error.what if isinstance(error, MicrolithError) else f"{type(error).__name__}: {error}"[:200]
