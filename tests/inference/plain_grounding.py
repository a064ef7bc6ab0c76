"""Grounding as plainly as it can be written, one candidate at a time: what the fast version must equal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microlith.inference.grounding import FEATURES, Grounding, GroundingSpec, cut
from microlith.task.formats import FORMATS

OPENING, CLOSING = frozenset("\"'`«‹“”„‘’([{<"), frozenset("\"'`»›“”‘’)]}>")
LONG_WORD = 24
BREAKS = frozenset(",;=|\"'()[]{}<>")


def ground(request: str, spec: GroundingSpec) -> Grounding:
    """Cut `request` and list its candidates. An empty request has no pieces and no candidates."""
    shown, starts, ends = cut(request, spec.atoms, spec.max_pieces)
    pairs = _pairs(shown, starts, ends, spec) if spec.formats else []
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


def _pairs(
    shown: list[str], starts: list[int], ends: list[int], spec: GroundingSpec
) -> list[tuple[int, int]]:
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
        long = heads[here + 1] - heads[here] > LONG_WORD
        for last in range(first, stop):
            touches = first <= heads[here] + 2 or last + 1 >= heads[word[last] + 1] - 2
            if long and not touches and not _in_one_part(shown, word, first, last):
                continue
            pairs.append((first, last))
    return pairs


def _in_one_part(shown: list[str], word: list[int], first: int, last: int) -> bool:
    """Do the pieces lie between two breaks of one word, in a part that is not long?"""

    def joined(left: int) -> bool:
        return word[left] == word[left + 1] and not {shown[left], shown[left + 1]} & BREAKS

    low, high = first, first
    while low > 0 and joined(low - 1):
        low -= 1
    while high + 1 < len(shown) and joined(high):
        high += 1
    return last <= high and high - low + 1 <= LONG_WORD


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
            not blank_before and request[begin - 1] in OPENING, not blank_after and request[end] in CLOSING,
            *_look(text), request.count(text) > 1, " " in text, end - begin > 24,
            not blank_before and request[begin - 1] in "=:,;/|>", not blank_after and request[end] in ".,;:!?/|",
            begin > 1 and request[begin - 1] in ".-_@" and request[begin - 2].isalnum(),
            end + 1 < size and request[end] in ".-_@" and request[end + 1].isalnum(),
            begin > 0 and request[begin - 1].isalnum(), end < size and request[end].isalnum(),
        )  # fmt: skip
        allowed[row] = _formats_of(text, spec.formats)
    return features, allowed


def _look(text: str) -> tuple[bool, ...]:
    return (
        not text[-1].isalnum(), not text[0].isalnum(), not text.islower() and text.lower() != text,
        any(map(str.isdigit, text)), not text.replace(" ", "").isalnum(), "." in text,
    )  # fmt: skip


def _formats_of(text: str, formats: tuple[str, ...]) -> tuple[bool, ...]:
    blank = any(map(str.isspace, text))
    return tuple((FORMATS[name].words or not blank) and FORMATS[name].check(text) for name in formats)
