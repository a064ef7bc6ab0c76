"""Which slices of one request may still fill which slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from microlith.inference.asks import Option, dumped
from microlith.inference.grounding import FEATURES, Grounding
from microlith.inference.typed import typed
from microlith.task.plan import Json, Slot, Span

_EDGES = (
    "whole words", "blank or edge before", "opening mark before", "blank or edge after", "closing mark after"
)  # fmt: skip


class Slices:
    """The slices of one request. The slices that an object uses (`taken`) are kept by the caller."""

    def __init__(self, request: str, grounding: Grounding, columns: Mapping[str, int]) -> None:
        """`columns` says which column of `grounding.allowed` is whose format."""
        self.request, self.grounding, self._columns = request, grounding, columns
        places, starts, ends = grounding.candidates, grounding.starts, grounding.ends
        self._ranges = list(zip(starts[places[:, 0]].tolist(), ends[places[:, 1]].tolist(), strict=True))
        self._alike: dict[str, list[int]] = {}
        self._offered: dict[int, list[tuple[Option, list[int]]]] = {}  # two groups may have slots of one key

    def free(self, taken: Sequence[int], slot: Slot) -> Iterator[Option]:
        """Texts of the request that stand somewhere where no other value of this object stands."""
        for option, candidates in self.spans(slot):
            for candidate in candidates:
                if self._has_room(taken, candidate):
                    first = candidate == option.candidate
                    yield option if first else option._replace(candidate=candidate)
                    break

    def spans(self, slot: Slot) -> list[tuple[Option, list[int]]]:
        """Every text of the request that may fill the slot, with the slices that spell it, those that stand alone first."""
        if id(slot) not in self._offered:
            decision, grounding = slot.decision, self.grounding
            assert isinstance(decision, Span)
            allowed = grounding.allowed[:, self._columns[decision.format]].nonzero()[0].tolist()
            found: dict[str, tuple[Option, list[int]]] = {}
            alone = _standing_alone(grounding)
            for candidate in sorted(allowed, key=lambda one: -alone[one]):
                text = self.request[slice(*self._ranges[candidate])]
                if text in found:
                    found[text][1].append(candidate)
                elif (value := typed(slot, text)) is not None:
                    found[text] = Option(_copied(value), value, candidate), [candidate]
            self._offered[id(slot)] = list(found.values())
        return self._offered[id(slot)]

    def _has_room(self, taken: Sequence[int], candidate: int) -> bool:
        """Is the slice free, or can the value that stands there stand elsewhere?"""
        clashing = [other for other in taken if self._clash(candidate, other)]
        return not clashing or (len(clashing) == 1 and self._elsewhere(taken, candidate, clashing[0]) >= 0)

    def take(self, taken: list[int], candidate: int) -> None:
        """Use a slice; what stood there stands elsewhere from now on."""
        for other in [one for one in taken if self._clash(candidate, one)]:
            taken[taken.index(other)] = self._elsewhere(taken, candidate, other)
        taken.append(candidate)

    def _elsewhere(self, taken: Sequence[int], candidate: int, other: int) -> int:
        """Another slice for a value that was taken at `other`, so that `candidate` gets free; -1 for none."""
        rest = [candidate, *(one for one in taken if one != other)]
        if not self._alike:
            for number, span in enumerate(self._ranges):
                self._alike.setdefault(self.request[slice(*span)], []).append(number)
        alike = self._alike[self.request[slice(*self._ranges[other])]]
        return next((one for one in alike if not any(self._clash(one, held) for held in rest)), -1)

    def _clash(self, one: int, other: int) -> bool:
        start, end = self._ranges[one]
        other_start, other_end = self._ranges[other]
        if start >= other_end or other_start >= end:
            return False
        text = self.request[start:end]
        return text != self.request[other_start:other_end] or self.request.count(text) < 2


def _standing_alone(grounding: Grounding) -> list[float]:
    """How much each slice stands by itself: whole words first, then those between blanks or quotes."""
    whole, *edges = (grounding.features[:, FEATURES.index(name)] for name in _EDGES)
    before, after = edges[0] + edges[1], edges[2] + edges[3]
    found: list[float] = (4 * whole + (before > 0) + (after > 0)).tolist()
    return found


def _copied(value: Json) -> tuple[str, ...]:
    """A copied text stands between quotes that are pieces of their own, so that it has the tokens it has anywhere."""
    if not isinstance(value, str):
        return (dumped(value),)
    return ('"', dumped(value)[1:-1], '"')
