"""Grounding: which slices of a request may fill which slot.

A request is cut into *pieces* (runs of letters and digits, single other characters). Values whose form leaves no
doubt (addresses, e-mail) are one piece and are shown to the encoder as one placeholder word, so that it
learns from the sentence and not from the digits. A *candidate* is a slice from the start of one piece to the end of
another. It is offered to a slot only if it satisfies the slot's format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from microlith.task.formats import FORMATS
from microlith.task.plan import Plan, Slot, Span

_PIECE = re.compile(r"\d+(?=[^\W\d_]{1,3}(?![^\W_]))|[^\W_]+|[^\s\w]|_")
_LONG_WORD = 24
"""Pieces of one word beyond which only slices that touch an end of the word are candidates."""
_OPENING, _CLOSING = frozenset("\"'`«‹“”„‘’([{<"), frozenset("\"'`»›“”‘’)]}>")

FEATURES = (
    "whole words", "blank or edge before", "blank or edge after", "opening mark before", "closing mark after",
    "ends in punctuation", "starts with punctuation", "has upper case", "has digit", "has other sign", "has dot",
    "stands twice", "several words", "very long", "separator before", "separator after",
)  # fmt: skip
"""Names of the binary features of a candidate, in column order."""


@dataclass(frozen=True, kw_only=True)
class GroundingSpec:
    """What grounding needs to know of a task."""

    formats: tuple[str, ...]
    """Formats of the plan's spans, sorted; the columns of `Grounding.allowed`."""
    atoms: tuple[str, ...]
    """Formats whose values are shown as one placeholder word, the most specific first."""
    max_words: int
    """Most blank-separated words in one candidate, at least 1."""
    max_pieces: int = 160
    """Pieces of a request that are read; the rest is not seen."""


@dataclass(frozen=True, kw_only=True)
class Grounding:
    """A request cut into pieces, with its candidate slices."""

    request: str
    shown: tuple[str, ...]
    """The pieces as the encoder's tokenizer gets them."""
    starts: npt.NDArray[np.int32]
    """(pieces,) first character of each piece."""
    ends: npt.NDArray[np.int32]
    """(pieces,) character after each piece."""
    candidates: npt.NDArray[np.int32]
    """(candidates, 2) first and last piece, inclusive, ordered by first then last."""
    features: npt.NDArray[np.float32]
    """(candidates, len(FEATURES)) of 0 and 1."""
    allowed: npt.NDArray[np.bool_]
    """(candidates, formats): does the slice satisfy the format?"""

    def text(self, candidate: int) -> str:
        """The slice as it stands in the request."""
        start, end = self.span(candidate)
        return self.request[start:end]

    def span(self, candidate: int) -> tuple[int, int]:
        """Half-open character range of a candidate."""
        first, last = self.candidates[candidate]
        return int(self.starts[first]), int(self.ends[last])


def spec_of(plan: Plan, values: Sequence[str] = ()) -> GroundingSpec:
    """What grounding needs for `plan`; `values` are known span values, which set the longest candidate."""
    names = sorted({slot.decision.format for slot in span_slots(plan) if isinstance(slot.decision, Span)})
    atoms = [name for name in ("cidr", "ip-or-cidr", "email", "ip", "ipv6", "ipv4") if name in names]
    lengths = sorted(len(value.split()) for value in values)
    longest = lengths[int(0.999 * (len(lengths) - 1))] if lengths else 4
    several = any(FORMATS[name].words for name in names)
    return GroundingSpec(
        formats=tuple(names), atoms=tuple(atoms), max_words=min(max(longest + 1, 3), 14) if several else 1
    )


def span_slots(plan: Plan) -> tuple[Slot, ...]:
    """Every slot of the plan that is filled by a slice."""
    return tuple(slot for group in plan.groups for slot in group.slots.values() if slot.kind == "span")


@lru_cache(maxsize=64)
def _atom_pattern(atoms: tuple[str, ...]) -> re.Pattern[str] | None:
    patterns = [FORMATS[name].atom for name in atoms]
    parts = [pattern.pattern for pattern in patterns if pattern is not None]
    return re.compile("|".join(f"(?:{part})" for part in parts)) if parts else None


_PLACEHOLDERS = (("email", "[email]"), ("ipv4", "[ipv4]"), ("ipv6", "[ipv6]"), ("cidr", "[cidr]"))
PLACEHOLDERS = tuple(word for _, word in _PLACEHOLDERS)
"""Words that stand for atoms; added to the encoder's vocabulary."""


def _placeholder(text: str) -> str | None:
    for name, word in _PLACEHOLDERS:
        if FORMATS[name].check(text):
            return word
    return None


def cut(request: str, atoms: tuple[str, ...], limit: int) -> tuple[list[str], list[int], list[int]]:
    """Cut a request into at most `limit` pieces: what the encoder sees, first characters, ends."""
    shown: list[str] = []
    starts: list[int] = []
    ends: list[int] = []

    def plain(begin: int, end: int) -> None:
        for match in _PIECE.finditer(request, begin, end):
            shown.append(match.group())
            starts.append(match.start())
            ends.append(match.end())
            if len(shown) >= limit:
                return

    position = 0
    pattern = _atom_pattern(atoms)
    request_end = min(len(request), 40 * limit)
    for match in pattern.finditer(request, 0, request_end) if pattern else ():
        word = _placeholder(match.group())
        if word is None:
            continue
        plain(position, match.start())
        shown.append(word)
        starts.append(match.start())
        ends.append(match.end())
        position = match.end()
        if len(shown) >= limit:
            break
    if len(shown) < limit:
        plain(position, request_end)
    return shown[:limit], starts[:limit], ends[:limit]


def ground(request: str, spec: GroundingSpec) -> Grounding:
    """Cut `request` and list its candidates. An empty request has no pieces and no candidates."""
    shown, starts, ends = cut(request, spec.atoms, spec.max_pieces)
    pairs = _pairs(starts, ends, spec) if spec.formats else []
    features, allowed = _describe(request, starts, ends, pairs, spec)
    return Grounding(
        request=request,
        shown=tuple(shown),
        starts=np.asarray(starts, dtype=np.int32),
        ends=np.asarray(ends, dtype=np.int32),
        candidates=np.asarray(pairs, dtype=np.int32).reshape(-1, 2),
        features=features,
        allowed=allowed,
    )


def _pairs(starts: list[int], ends: list[int], spec: GroundingSpec) -> list[tuple[int, int]]:
    """First and last piece of every candidate."""
    count = len(starts)
    word = [0] * count
    for index in range(1, count):
        word[index] = word[index - 1] + (starts[index] > ends[index - 1])
    heads = [index for index in range(count) if index == 0 or word[index] != word[index - 1]]
    heads.append(count)
    pairs: list[tuple[int, int]] = []
    for first in range(count):
        here = word[first]
        stop = heads[min(here + spec.max_words, len(heads) - 1)]
        long = heads[here + 1] - heads[here] > _LONG_WORD
        for last in range(first, stop):
            if long and first > heads[here] + 2 and last + 1 < heads[word[last] + 1] - 2:
                continue
            pairs.append((first, last))
    return pairs


def _describe(
    request: str, starts: list[int], ends: list[int], pairs: list[tuple[int, int]], spec: GroundingSpec
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    features = np.zeros((len(pairs), len(FEATURES)), dtype=np.float32)
    allowed = np.zeros((len(pairs), len(spec.formats)), dtype=np.bool_)
    size = len(request)
    for row, (first, last) in enumerate(pairs):
        begin, end = starts[first], ends[last]
        text = request[begin:end]
        blank_before = begin == 0 or request[begin - 1].isspace()
        blank_after = end == size or request[end].isspace()
        features[row] = (
            blank_before and blank_after, blank_before, blank_after,
            not blank_before and request[begin - 1] in _OPENING, not blank_after and request[end] in _CLOSING,
            *_look(text), request.count(text) > 1, " " in text, end - begin > 24,
            not blank_before and request[begin - 1] in "=:,;/|>", not blank_after and request[end] in ".,;:!?/|",
        )  # fmt: skip
        allowed[row] = _formats_of(text, spec.formats)
    return features, allowed


@lru_cache(maxsize=65536)
def _look(text: str) -> tuple[bool, ...]:
    return (
        not text[-1].isalnum(), not text[0].isalnum(), not text.islower() and text.lower() != text,
        any(map(str.isdigit, text)), not text.replace(" ", "").isalnum(), "." in text,
    )  # fmt: skip


@lru_cache(maxsize=65536)
def _formats_of(text: str, formats: tuple[str, ...]) -> tuple[bool, ...]:
    blank = any(map(str.isspace, text))
    return tuple((FORMATS[name].words or not blank) and FORMATS[name].check(text) for name in formats)
