"""What the linear model reads of a whole request: TF-IDF of words, word pairs and letters within words.

Written here and not taken from scikit-learn so that training and serving read with the same few lines, and serving
needs no more than numpy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import log

import numpy as np
import numpy.typing as npt

READ_CHARACTERS = 4000
"""Characters of a request that are read; the rest is not seen."""
LONGEST_TOKEN = 40
"""Characters of one word that letter groups are taken from."""

_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
_DIGIT = re.compile(r"\d")
_DIGITS = re.compile(r"\d+")
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, kw_only=True)
class TextVocabulary:
    """The features that were seen in training, each with its column and its weight."""

    columns: Mapping[str, int]
    """Feature -> column, 0 to len - 1."""
    idf: npt.NDArray[np.float32]
    """(features,) inverse document frequency, smoothed as scikit-learn does: log((1 + n) / (1 + df)) + 1."""
    placed: bool = False
    """True where it counts in which third of the request a word stands: for answers of several steps."""

    def vector(self, request: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Columns and values of a request; each kind of feature has length 1, so that none drowns the others."""
        columns: list[int] = []
        values: list[npt.NDArray[np.float32]] = []
        for grams in _kinds(request, placed=self.placed):
            counted = Counter(map(self.columns.get, grams))
            counted.pop(None, None)
            if counted:
                mine = [column for column in counted if column is not None]
                weights = (1.0 + np.log(list(counted.values()))) * self.idf[mine]
                columns.extend(mine)
                values.append((weights / np.sqrt(weights @ weights)).astype(np.float32))
        joined = np.concatenate(values) if values else np.zeros(0, dtype=np.float32)
        return np.array(columns, dtype=np.int32), joined


def fit_vocabulary(
    requests: Sequence[str], *, rarest: int, largest: int, placed: bool = False
) -> TextVocabulary:
    """The features of `requests` that stand in at least `rarest` of them, the `largest` most frequent ones."""
    seen: Counter[str] = Counter()
    for request in requests:
        for grams in _kinds(request, placed=placed):
            seen.update(set(grams))
    kept = [(gram, rows) for gram, rows in seen.items() if rows >= rarest]
    kept.sort(key=lambda item: (-item[1], item[0]))
    names = sorted(kept[:largest])
    idf = [log((1 + len(requests)) / (1 + rows)) + 1.0 for _, rows in names]
    return TextVocabulary(
        columns={gram: column for column, (gram, _) in enumerate(names)},
        idf=np.array(idf, dtype=np.float32),
        placed=placed,
    )


def _kinds(request: str, *, placed: bool) -> list[list[str]]:
    return [word_grams(request), letter_grams(request), *([place_grams(request)] if placed else [])]


def word_grams(request: str) -> list[str]:
    """Words, pairs of neighbouring words, and the shapes of words that hold more than letters."""
    words = _words(request)
    pairs = (f"{first} {second}" for first, second in pairwise(words))
    shapes = (f"\t{shape(token)}" for token in request[:READ_CHARACTERS].split() if not token.isalpha())
    return [*words, *pairs, *shapes]


def place_grams(request: str) -> list[str]:
    """Words with the third of the request that they stand in."""
    words = _words(request)
    return [f"\v{3 * index // len(words)} {word}" for index, word in enumerate(words)]


def _words(request: str) -> list[str]:
    found = _WORD.findall(request[:READ_CHARACTERS].lower())
    return ["0" * min(len(word), 5) if word.isdigit() else word for word in found]


def letter_grams(request: str) -> list[str]:
    """Groups of 3 to 5 letters within words, with the blank at either end; digits are all alike."""
    text = _DIGIT.sub("0", request[:READ_CHARACTERS].lower())
    return [gram for token in text.split() for gram in _grams_of(token[:LONGEST_TOKEN])]


@lru_cache(maxsize=65536)
def _grams_of(token: str) -> tuple[str, ...]:
    padded = f" {token} "
    sizes = [size for size in (3, 4, 5) if size <= len(padded)]
    return tuple(
        f"\n{padded[start : start + size]}" for size in sizes for start in range(len(padded) - size + 1)
    )


@lru_cache(maxsize=65536)
def shape(token: str) -> str:
    """The form of a word: letters become a, digits 0, other signs stay, runs are shortened."""
    return _LETTERS.sub("a", _DIGITS.sub("0", token[:LONGEST_TOKEN].lower()))
