"""What the linear model reads of a candidate slice: the words around it, its form, its place.

A slice's score is a sum of weights, one a feature that it has. Features belong to where the slice begins, to where it ends, to
the slice itself, to its place among the steps, or to the request (for "absent").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from microlith.inference.grounding import FEATURES, Grounding
from microlith.inference.linear_text import shape

_SEPARATORS = frozenset([",", ";", ".", "and", "then", "also", "plus", "und", "&", "|", "\n"])
_NEAR = 4
"""Words on either side whose mere nearness is a feature."""


@dataclass(frozen=True, kw_only=True)
class SliceFeatures:
    """Features of the candidates of one request, as columns of a vocabulary."""

    begin: tuple[tuple[int, ...], ...]
    """Per piece: what a slice that begins there has."""
    end: tuple[tuple[int, ...], ...]
    """Per piece: what a slice that ends there has."""
    own: tuple[tuple[int, ...], ...]
    """Per candidate: what it has of its own."""
    absent: tuple[int, ...]
    """What "no slice" has."""


class SliceReader:
    """Names the features of a request's candidates."""

    def __init__(self, grounding: Grounding) -> None:
        self.grounding = grounding
        self.words = [word.lower() for word in grounding.shown]
        sorts = [_sort(word) for word in grounding.request[:8000].split()]
        self._sorts = Counter(sorts)
        self._ranks = _ranks(sorts)
        self._word_of_piece = _words_of(grounding)
        self._clauses = list(accumulate((word in _SEPARATORS for word in self.words), initial=0))

    def begin(self, piece: int) -> list[str]:
        """Features of slices that begin at `piece`."""
        before = ["^", "^", "^", *self.words[:piece]][-3:]
        near = self.words[max(piece - _NEAR, 0) : piece]
        plain = next((word for word in reversed(self.words[:piece]) if word.isalpha()), "^")
        return [
            f"b1 {before[2]}",
            f"b2 {before[1]} {before[2]}",
            f"b3 {before[0]} {before[1]} {before[2]}",
            f"bw {plain}",
            f"bf {self.words[piece]}",
            f"bx {before[2]} {self.words[piece]}",
            *(f"bn {word}" for word in dict.fromkeys(near)),
        ]

    def end(self, piece: int) -> list[str]:
        """Features of slices that end at `piece`."""
        after = [*self.words[piece + 1 : piece + 4], "$", "$", "$"][:3]
        near = self.words[piece + 1 : piece + 1 + _NEAR]
        plain = next((word for word in self.words[piece + 1 :] if word.isalpha()), "$")
        return [
            f"e1 {after[0]}",
            f"e2 {after[0]} {after[1]}",
            f"e3 {after[0]} {after[1]} {after[2]}",
            f"ew {plain}",
            f"el {self.words[piece]}",
            f"ex {self.words[piece]} {after[0]}",
            *(f"en {word}" for word in dict.fromkeys(near)),
        ]

    def own(self, candidate: int) -> list[str]:
        """Features of the slice itself."""
        first, last = (int(piece) for piece in self.grounding.candidates[candidate])
        text = self.grounding.text(candidate)
        count = text.count(" ") + 1
        sort, rank, among = self._rank(first)
        return [
            f"v {text[:60].lower()}",
            f"s {shape(text)}",
            f"n {min(count, 6)}",
            f"r {sort} {rank}",
            f"o {sort} {rank} {among}",
            f"f {self.grounding.allowed[candidate].tobytes().hex()}",
            f"a {self.words[first - 1] if first else '^'} {self.words[last + 1] if last + 1 < len(self.words) else '$'}",
            *(f"i {word}" for word in self.words[first + 1 : min(last, first + 6)]),
            *_marks(self.grounding.features[candidate].tobytes(), count > 1),
        ]

    def absent(self) -> list[str]:
        """Features of "no slice"."""
        sorts = {sort: self._sorts[sort] for sort in ("host", "address", "number", "email", "path", "quoted")}
        return [
            "A",
            *(f"A {word}" for word in dict.fromkeys(self.words)),
            *(f"A {s} {min(n, 3)}" for s, n in sorts.items()),
        ]

    def place(self, candidate: int, step: int, steps: int) -> list[str]:
        """Features of the slice's place for step `step` of `steps`."""
        if steps < 2:
            return []
        first = int(self.grounding.candidates[candidate][0])
        clause, total = self._clauses[first], self._clauses[-1]
        sort, rank, among = self._rank(first)
        third = (6 * first) // max(len(self.words), 1)
        return [
            f"p {step}/{steps} {third}",
            f"q {step}/{steps} {min(clause, 5)} {min(total, 5)}",
            f"t {step}/{steps} {sort} {rank} {among}",
        ]

    def _rank(self, first: int) -> tuple[str, int, int]:
        """The sort of word that a piece stands in, its rank among words of this sort, and how many there are."""
        word = self._word_of_piece[first]
        sort, rank = self._ranks[word] if word < len(self._ranks) else ("word", 0)
        if sort == "word":
            return sort, 0, 0
        return sort, min(rank, 3), min(self._sorts[sort], 4)


def number(reader: SliceReader, columns: Mapping[str, int]) -> SliceFeatures:
    """The features that a vocabulary knows, as its columns."""

    def known(names: Sequence[str]) -> tuple[int, ...]:
        return tuple(columns[name] for name in names if name in columns)

    pieces = range(len(reader.words))
    return SliceFeatures(
        begin=tuple(known(reader.begin(piece)) for piece in pieces),
        end=tuple(known(reader.end(piece)) for piece in pieces),
        own=tuple(known(reader.own(candidate)) for candidate in range(len(reader.grounding.candidates))),
        absent=known(reader.absent()),
    )


def scores(
    features: SliceFeatures, candidates: npt.NDArray[np.int32], weights: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """(candidates, slots) sums of weights, the features of place left out.

    Args:
        features: Of one request.
        candidates: (candidates, 2) first and last piece.
        weights: (vocabulary, slots).
    """
    begin = _sums(features.begin, weights)
    end = _sums(features.end, weights)
    total: npt.NDArray[np.float32] = (
        begin[candidates[:, 0]] + end[candidates[:, 1]] + _sums(features.own, weights)
    )
    return total


@lru_cache(maxsize=8192)
def _marks(features: bytes, several: bool) -> tuple[str, ...]:
    """Names of the binary features of a candidate, told apart for one word and several."""
    return tuple(
        f"m {FEATURES[mark]} {several}" for mark in np.flatnonzero(np.frombuffer(features, dtype=np.float32))
    )


def _sums(rows: Sequence[Sequence[int]], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    summed = np.zeros((len(rows), weights.shape[1]), dtype=np.float32)
    sizes = np.array([len(row) for row in rows], dtype=np.int64)
    filled = np.flatnonzero(sizes)
    if len(filled):
        flat = np.fromiter((column for row in rows for column in row), dtype=np.int64, count=int(sizes.sum()))
        starts = np.concatenate([[0], np.cumsum(sizes[filled])[:-1]])
        summed[filled] = np.add.reduceat(weights[flat], starts, axis=0)
    return summed


def _words_of(grounding: Grounding) -> list[int]:
    """Which blank-separated word each piece stands in."""
    words: list[int] = []
    current = -1
    for index, start in enumerate(grounding.starts):
        if index == 0 or start > grounding.ends[index - 1]:
            current += 1
        words.append(current)
    return words


def _ranks(sorts: Sequence[str]) -> list[tuple[str, int]]:
    """For every word its sort, and how many words of this sort stand before it."""
    seen: Counter[str] = Counter()
    ranks = []
    for sort in sorts:
        ranks.append((sort, seen[sort]))
        seen[sort] += 1
    return ranks


def _sort(word: str) -> str:
    """A coarse sort of word, from its form alone."""
    bare = word.strip("\"'`.,;:!?()[]{}<>")
    if "@" in bare[1:]:
        return "email"
    if bare[:1] in ("/", "\\", "~") or bare[1:3] in (":\\", ":/"):
        return "path"
    if (bare.count(".") == 3 and bare.replace(".", "").replace("/", "").isdigit()) or bare.count(":") > 1:
        return "address"
    if bare.isdigit():
        return "number"
    if "." in bare[1:-1]:
        return "host"
    if word[:1] in "\"'`“‘" and word[-1:] in "\"'`”’" and len(word) > 2:
        return "quoted"
    return "word"
