"""Which tokens may go on a text between quotes: legal JSON, whole characters, within bounds, without forbidden phrases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from microlith.inference.asks import Write

Logits = npt.NDArray[np.float32]
_INNER = rb'(?:[^"\\\x00-\x1f]|\\["\\/nrt])*\\?'
_PLAIN = re.compile(_INNER)
"""Bytes that may stand inside a JSON text; the last escape may go on in the next token."""
_ESCAPE = re.compile(rb'["\\/nrt]' + _INNER)
"""Bytes that may follow a backslash which the token before ended in."""
_BROKEN = re.compile(
    rb"(?:[\xc2-\xf4]|\xe0[\xa0-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]|\xed[\x80-\x9f]|\xf0[\x90-\xbf][\x80-\xbf]?|"
    rb"[\xf1-\xf3][\x80-\xbf]{1,2}|\xf4[\x80-\x8f][\x80-\xbf]?)\Z"
)
"""A character that has only begun (The Unicode Standard, table 3-7)."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control signs; line ends and tabs may stand in a text."""
_RUN = re.compile(r"([^\w])\1{7}")
"""The same sign eight times: a small model that is at a loss goes on like that to the end."""
_LOOP = re.compile(r"\b([^\W\d_]{2,}(?:[^\w]+[^\W\d_]{2,}){0,2})[^\w]+\1\b", re.IGNORECASE)
"""One to three words, said twice in a row."""
_LONGEST = 4
"""Bytes of one character."""
_NEVER = np.float32(-np.inf)
MOST_DIGITS, MOST_PLACES = 16, 6
"""Digits that a written number may have before and after its point."""
_INTEGER = re.compile(r"-?(?P<first>0|[1-9]\d{0,15})?(?P<point>(?!))?(?P<places>(?!))?")
_NUMBER = re.compile(r"-?(?P<first>0|[1-9]\d{0,15})?(?P<point>(?<=\d)\.)?(?P<places>(?<=\.)\d{1,6})?")


class Lettering:
    """The tokens of one vocabulary, sorted by what they may do inside a text."""

    def __init__(self, vocabulary: Sequence[bytes]) -> None:
        """Look at every token once.

        Args:
            vocabulary: Token -> the bytes that it spells; empty for control tokens.
        """
        self.vocabulary = vocabulary
        plain = [bool(word) and _PLAIN.fullmatch(word) is not None for word in vocabulary]
        inner = [bool(word) and 0x80 <= word[0] < 0xC0 for word in vocabulary]
        self._begins = np.array([fits and not inside for fits, inside in zip(plain, inner, strict=True)])
        self._continues = np.array([fits and inside for fits, inside in zip(plain, inner, strict=True)])
        self._escapes = np.array([_ESCAPE.fullmatch(word) is not None for word in vocabulary])
        self._digits = np.array([bool(word and re.fullmatch(rb"-?[0-9.]*", word)) for word in vocabulary])

    def scores(self, logits: Logits, written: bytes) -> Logits:
        """(vocabulary,) logits of the tokens that make legal bytes after `written`; minus infinity for the others."""
        return np.where(self.allowed(written), logits, _NEVER)

    @staticmethod
    def ranked(scores: Logits) -> Iterator[int]:
        """Tokens by their scores, the most probable first; those of minus infinity are left out."""
        best = int(scores.argmax())
        if scores[best] > -np.inf:
            yield best
            order = np.argsort(-scores, kind="stable")
            for token in order.tolist():
                if scores[token] == -np.inf:
                    return
                if token != best:
                    yield token

    def allowed(self, written: bytes) -> npt.NDArray[np.bool_]:
        """Tokens that make legal bytes after `written`; (vocabulary,)."""
        if is_escaped(written):
            return self._escapes
        return self._continues if is_broken(written) else self._begins

    @property
    def digits(self) -> npt.NDArray[np.bool_]:
        """(vocabulary,) tokens of digits, sign and point."""
        return self._digits


def is_broken(written: bytes) -> bool:
    """Does the text end within a character?"""
    tail = written[-_LONGEST:]
    for length in range(1, min(_LONGEST, len(tail)) + 1):
        byte = tail[-length]
        if byte < 0x80:
            return False
        if byte >= 0xC0:
            return length < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4)
    return False


def is_escaped(written: bytes) -> bool:
    """Does the text end within an escape?"""
    return (len(written) - len(written.rstrip(b"\\"))) % 2 == 1


def is_text(written: bytes) -> bool:
    """May bytes that begin so be UTF-8?"""
    try:
        _BROKEN.sub(b"", written).decode()
    except UnicodeDecodeError:
        return False
    return True


def text_fits(written: bytes, ask: Write) -> bool:
    """May a text stand that begins so?

    Whole characters, at most `ask.most`, no control sign, no run of one sign, no words twice in a row, no forbidden phrase.
    """
    if not is_text(written):
        return False
    text = unescaped(written)
    if len(text) + (is_broken(written) or is_escaped(written)) > ask.most or _CONTROL.search(text):
        return False
    if _RUN.search(text) or _LOOP.search(text):
        return False
    lowered = text.casefold()
    return not any(phrase in lowered for phrase in ask.forbidden)


def number_fits(digits: str, ask: Write, *, whole: bool) -> bool:
    """May a number stand that begins so (`whole`: that is so)? What no digits lead into the bounds is refused."""
    number = ask.number
    assert number is not None
    match = (_INTEGER if number.integer else _NUMBER).fullmatch(digits)
    if match is None:
        return False
    least, most = Decimal(repr(number.minimum)), Decimal(repr(number.maximum))
    if match["first"] and (match["point"] is None or match["places"]) and least <= Decimal(digits) <= most:
        return True
    if whole:
        return False
    if digits.startswith("-"):
        least, most = -most, -least
    return any(low <= most and least <= high for low, high in _reached(match, integer=number.integer))


def _reached(match: re.Match[str], *, integer: bool) -> Iterator[tuple[Decimal, Decimal]]:
    """(smallest, greatest) size of the numbers that begin so, for every number of digits before the point."""
    first, places = match["first"] or "", match["places"] or ""
    finest = Decimal(0) if integer else Decimal(1).scaleb(-MOST_PLACES)
    if match["point"]:
        value, step = Decimal(f"{first}.{places or 0}"), Decimal(1).scaleb(-len(places))
        yield value, value + step - finest
        return
    more = range(1) if first == "0" else range(MOST_DIGITS - len(first) + 1)
    for count in more:
        low = Decimal(first or "0").scaleb(count)
        yield low, low + (Decimal(1).scaleb(count) if first or count else Decimal(1)) - (finest or Decimal(1))


def unescaped(written: bytes) -> str:
    """The text that JSON bytes stand for; a character that is not whole yet is left out."""
    text = (written[:-1] if is_escaped(written) else written).decode("utf-8", "ignore")
    if "\\" not in text:
        return text
    try:
        found: str = json.loads(f'"{text}"')
    except ValueError:
        return text
    return found
