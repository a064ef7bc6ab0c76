"""Where the values of a labelled row stand in its request, and how to put others in their place.

Every part of `data` that changes or compares requests goes through here: a `Layout` says which slices of a
request are values of its answer, `Layout.rebuilt` builds the same request and answer around other values, and
`Layout.masked` blanks the values out so that two requests can be compared by their wording alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from microlith.data.example import Example
from microlith.data.slot_values import Place, as_json, as_text, at, copy_json, put, satisfies
from microlith.data.values import CASELESS, with_casing_of
from microlith.task.plan import Computed, Group, Json, Plan, Slot, Span
from microlith.task.reading import compute, read

MASK = "\ue000"
"""Stands for a value in a masked request: one private-use character, which no keyboard types."""

_SPOKEN = """
a an and are as at be by can do for from get give go had has have he her him his i if in is it its
let may me my new no not now of off on or our out over put set she so that the their them then they
this to up us user users was we were what when who will with you your add all allow block create
delete drop grant group host mail make mark name need open password please read remove server share
show stop test write
"""
SPOKEN = frozenset(_SPOKEN.split())
"""Words that a request may use as words even where one of them is also a value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Binding:
    """One value of an answer that was copied from the request."""

    place: Place
    slot: Slot
    text: str
    """The value as text; it may stand in the request in another casing too."""

    @property
    def span(self) -> Span:
        """The decision that the value answers."""
        return cast(Span, self.slot.decision)


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """One distinct value of a request, with everything of the answer that it fills."""

    text: str
    bindings: tuple[Binding, ...]
    caseless: bool
    """True when another casing of the text is the same value to a reader."""
    movable: bool = True
    """False where the value cannot be told from the words around it and must stay as it is."""
    grade: int = 0
    """How the value stands in the request: 0 free, 1 within longer tokens only, 2 inside words only."""
    count: int = 0
    """How often a reader could find the value in the request."""

    @property
    def spans(self) -> tuple[Span, ...]:
        """The decisions that the value answers."""
        return tuple(binding.span for binding in self.bindings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """One place of a request where a value stands: `text[start:end]`, `value` an index into the layout's values."""

    start: int
    end: int
    value: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """A row taken apart into its values and the words between them."""

    example: Example
    values: tuple[Value, ...]
    mentions: tuple[Mention, ...]
    """In the order of the request, never overlapping."""
    computed: tuple[Slot, ...]
    """Slots of the answer whose values a function gives."""

    @property
    def gaps(self) -> list[str]:
        """The words around the values, one more than there are mentions."""
        ends = [0, *(mention.end for mention in self.mentions)]
        starts = [*(mention.start for mention in self.mentions), len(self.example.input)]
        return [self.example.input[end:start] for end, start in zip(ends, starts, strict=True)]

    @property
    def masked(self) -> str:
        """The request with every value replaced by `MASK`."""
        return MASK.join(self.gaps)

    def rebuilt(self, texts: Mapping[int, str], gaps: Sequence[str] | None = None) -> Layout | None:
        """The same row with other values, or with other words around them.

        Args:
            texts: Index of a value -> its new text; values that are not named, or cannot move, stay.
            gaps: Other words, as many as `self.gaps`; None for the same ones.

        Returns:
            The new row, taken apart; its example has the old one's source and lineage. None where two values
            would collide, a value would also stand somewhere by accident, or a text is no value of its slot.
        """
        chosen = {index: text for index, text in texts.items() if self.values[index].movable}
        if not self._distinct(chosen) or not self._fitting(chosen):
            return None
        request, mentions = self._request(chosen, self.gaps if gaps is None else gaps)
        values = self._values(chosen, request, mentions)
        if values is None:
            return None
        example = replace(self.example, input=request, output=self._answer(chosen, request))
        return replace(self, example=example, values=values, mentions=mentions)

    def _distinct(self, chosen: Mapping[int, str]) -> bool:
        texts = [chosen.get(index, value.text).casefold() for index, value in enumerate(self.values)]
        return len(set(texts)) == len(texts)

    def _fitting(self, chosen: Mapping[int, str]) -> bool:
        return all(
            satisfies(binding.span, text)
            for index, text in chosen.items()
            for binding in self.values[index].bindings
        )

    def _request(self, chosen: Mapping[int, str], gaps: Sequence[str]) -> tuple[str, tuple[Mention, ...]]:
        parts, at, mentions = [gaps[0]], len(gaps[0]), []
        for mention, gap in zip(self.mentions, gaps[1:], strict=True):
            text = self.example.input[mention.start : mention.end]
            new = chosen.get(mention.value)
            if new is not None:
                text = new if text == self.values[mention.value].text else with_casing_of(new, text)
            parts += [text, gap]
            mentions.append(Mention(start=at, end=at + len(text), value=mention.value))
            at += len(text) + len(gap)
        return "".join(parts), tuple(mentions)

    def _values(
        self, chosen: Mapping[int, str], request: str, mentions: Sequence[Mention]
    ) -> tuple[Value, ...] | None:
        """The values with their new texts; None where one can be found more often than it should."""
        made = []
        for index, value in enumerate(self.values):
            new = chosen.get(index)
            if new is not None:
                bound = tuple(replace(binding, text=new) for binding in value.bindings)
                often = sum(mention.value == index for mention in mentions)
                value = replace(value, text=new, bindings=bound, count=often)
            if _count(request, value.text, value) > value.count:
                return None
            made.append(value)
        return tuple(made)

    def _answer(self, chosen: Mapping[int, str], request: str) -> Json:
        answer = copy_json(self.example.output)
        for index, text in chosen.items():
            for binding in self.values[index].bindings:
                put(answer, binding.place, as_json(binding.span, text))
        for slot in self.computed:
            put(answer, slot.path, compute(cast(Computed, slot.decision).function, request, answer))
        return answer


def layout(example: Example, plan: Plan) -> Layout:
    """Take a row apart.

    Raises:
        DataError: if the plan has no variant for the answer.
    """
    grouped: dict[str, list[Binding]] = {}
    for binding in bindings(plan, example.output):
        grouped.setdefault(binding.text, []).append(binding)
    found = [
        Value(
            text=text,
            bindings=tuple(bound),
            caseless=all(binding.span.format in CASELESS for binding in bound),
        )
        for text, bound in grouped.items()
    ]
    mentions = _mentions(example.input, found)
    values = tuple(_judged(value, index, mentions, example.input) for index, value in enumerate(found))
    computed = tuple(
        slot
        for slot in plan.root.slots.values()
        if isinstance(slot.decision, Computed) and at(example.output, slot.path) is not None
    )
    return Layout(example=example, values=values, mentions=mentions, computed=computed)


def bindings(plan: Plan, answer: Json) -> tuple[Binding, ...]:
    """Every copied value of `answer`, in the order of its steps.

    Raises:
        DataError: if the plan has no variant for the answer.
    """
    if not any(isinstance(slot.decision, Span) for group in plan.groups for slot in group.slots.values()):
        return ()
    return tuple(_bindings(plan, answer))


def _bindings(plan: Plan, answer: Json) -> Iterator[Binding]:
    reading = read(plan, answer)
    for group in plan.groups:
        steps = reading.get(group.path, [])
        for position, step in enumerate(steps):
            place = _place(plan, group, answer, position)
            for key in step:
                slot = group.slots[key]
                if isinstance(slot.decision, Span):
                    yield from _bound(slot, (*place, *slot.path), answer)


def _bound(slot: Slot, place: Place, answer: Json) -> Iterator[Binding]:
    found = at(answer, place)
    if slot.max_items is None:
        found, place = [found], place[:-1]
    if not isinstance(found, list):
        return
    for position, item in enumerate(found):
        if item is not None and not isinstance(item, dict | list):
            where = (*place, position) if slot.max_items is not None else (*place, slot.path[-1])
            yield Binding(place=where, slot=slot, text=as_text(item))


def _place(plan: Plan, group: Group, answer: Json, position: int) -> Place:
    if group.path:
        return (*group.path, position)
    if plan.sequence and answer.get(plan.sequence.tag[0]) == plan.sequence.tag[1]:
        return (plan.sequence.steps, position)
    return ()


# ------------------------------------------------------------------------------------------------------ values


# ---------------------------------------------------------------------------------------------------- mentions

_JOINERS = "._-@/\\:*"


def _mentions(text: str, values: list[Value]) -> tuple[Mention, ...]:
    """Where the values stand, the longest placed first so that no value is taken out of another."""
    taken = bytearray(len(text))
    mentions: list[Mention] = []
    for index in sorted(range(len(values)), key=lambda index: -len(values[index].text)):
        for start, end in places(text, values[index].text, caseless=values[index].caseless):
            if not any(taken[start:end]):
                taken[start:end] = b"\x01" * (end - start)
                mentions.append(Mention(start=start, end=end, value=index))
    return tuple(sorted(mentions, key=lambda mention: mention.start))


def places(text: str, value: str, *, caseless: bool) -> list[tuple[int, int]]:
    """Where `value` stands in `text` as a whole: free-standing, else as part of a longer token, else anywhere.

    Args:
        text: A request.
        value: What to look for; the empty text stands nowhere.
        caseless: True to find it in another casing too.
    """
    if not value:
        return []
    loosely = caseless and len(value) > 1 and value.casefold() not in SPOKEN
    graded = [(span, _tightness(text, value, *span)) for span in _slices(text, value, caseless=loosely)]
    best = min((grade for span, grade in graded if text[span[0] : span[1]] == value), default=0)
    return [span for span, grade in graded if grade <= best]


def _tightness(text: str, value: str, start: int, end: int) -> int:
    """0 for a free-standing slice, 1 for a part of a token, 2 for letters inside a word."""
    before = _edge(value[0], text[start - 1 : start], text[max(0, start - 2) : max(0, start - 1)])
    return max(before, _edge(value[-1], text[end : end + 1], text[end + 1 : end + 2]))


def _edge(own: str, next_: str, beyond: str) -> int:
    if next_.isalnum() or next_ == "_":
        return 2 if own.isalnum() or own == "_" else 1
    return 1 if next_ and next_ in _JOINERS and (beyond.isalnum() or beyond == next_) else 0


def _judged(value: Value, index: int, mentions: tuple[Mention, ...], text: str) -> Value:
    """`value` with what its mentions say: whether it may move, and how it stands in the request."""
    own = [mention for mention in mentions if mention.value == index]
    doubtful = len(own) > 1 and value.text.casefold() in SPOKEN
    grade = max((_tightness(text, value.text, mention.start, mention.end) for mention in own), default=2)
    graded = replace(value, movable=bool(own) and not doubtful, grade=grade)
    return replace(graded, count=_count(text, value.text, graded))


def _count(text: str, new: str, value: Value) -> int:
    """How often `new` stands in `text` in a way that a reader could take for `value`."""
    spans = _slices(text, new, caseless=value.caseless)
    return sum(_tightness(text, new, start, end) <= max(1, value.grade) for start, end in spans)


def _slices(text: str, value: str, *, caseless: bool) -> list[tuple[int, int]]:
    """Every slice equal to `value`, none overlapping another."""
    if caseless:
        lowered, low = text.lower(), value.lower()
        if len(lowered) != len(text) or len(low) != len(value):
            return [match.span() for match in re.finditer(re.escape(value), text, re.IGNORECASE)]
        text, value = lowered, low
    found, start = [], text.find(value)
    while start >= 0:
        found.append((start, start + len(value)))
        start = text.find(value, start + len(value))
    return found
