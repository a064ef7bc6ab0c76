"""Grounding: which slices of a request may fill which slot.

A request is cut into *pieces* (runs of letters and digits, single other characters). Values whose form leaves no
doubt (addresses, e-mail) are one piece and are shown to the encoder as one placeholder word, so that it
learns from the sentence and not from the digits. A *candidate* is a slice from the start of one piece to the end of
another. It is offered to a slot only if it satisfies the slot's format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from microlith.task.formats import FORMATS
from microlith.task.plan import Plan, Slot, Span

Integers = npt.NDArray[np.int32]
_PIECE = re.compile(r"\d+(?=[^\W\d_]{1,3}(?![^\W_]))|[^\W_]+|[^\s\w]|_")
_LONG_WORD = 24
"""Pieces of one word beyond which only slices that touch an end of the word are candidates."""
_BREAKS = frozenset(",;=|\"'()[]{}<>")
"""Signs between the values of a long word, such as JSON without blanks."""
_OPENING, _CLOSING = frozenset("\"'`«‹“”„‘’([{<"), frozenset("\"'`»›“”‘’)]}>")

FEATURES = (
    "whole words", "blank or edge before", "blank or edge after", "opening mark before", "closing mark after",
    "ends in punctuation", "starts with punctuation", "has upper case", "has digit", "has other sign", "has dot",
    "stands twice", "several words", "very long", "separator before", "separator after",
    "joint before", "joint after", "inside a word before", "inside a word after",
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

    def texts(self) -> list[str]:
        """`text` of every candidate."""
        starts, ends = self.starts[self.candidates[:, 0]], self.ends[self.candidates[:, 1]]
        return [self.request[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

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
        formats=tuple(names), atoms=tuple(atoms), max_words=min(max(longest + 2, 4), 14) if several else 1
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
    pairs = _pairs(shown, starts, ends, spec) if spec.formats else np.zeros((0, 2), dtype=np.int32)
    features, allowed = _describe(request, starts, ends, pairs, spec)
    return Grounding(
        request=request,
        shown=tuple(shown),
        starts=np.asarray(starts, dtype=np.int32),
        ends=np.asarray(ends, dtype=np.int32),
        candidates=pairs,
        features=features,
        allowed=allowed,
    )


def _pairs(shown: Sequence[str], starts: list[int], ends: list[int], spec: GroundingSpec) -> Integers:
    """(candidates, 2) first and last piece of every candidate."""
    count = len(starts)
    heads = [index for index in range(count) if index == 0 or starts[index] > ends[index - 1]]
    heads.append(count)
    lengths = [heads[word + 1] - heads[word] for word in range(len(heads) - 1)]
    stops: list[int] = []
    for word, length in enumerate(lengths):
        stops += [heads[min(word + spec.max_words, len(lengths))]] * length
    if max(lengths, default=0) > _LONG_WORD:
        return _pairs_of_long_words(shown, heads, stops)
    first = np.arange(count, dtype=np.int32)
    widths = np.asarray(stops, dtype=np.int32) - first
    firsts = np.repeat(first, widths)
    skipped = np.repeat(np.cumsum(widths) - widths, widths)
    lasts = np.arange(len(firsts)) - skipped + firsts
    return np.stack([firsts, lasts], axis=1).astype(np.int32)


def _pairs_of_long_words(shown: Sequence[str], heads: list[int], stops: list[int]) -> Integers:
    """As `_pairs`, without the slices inside a long word that touch neither of its ends, nor lie between two of its `_BREAKS`."""
    word = [number for number in range(len(heads) - 1) for _ in range(heads[number], heads[number + 1])]
    last_of = _ends_of_parts(shown, word)
    pairs: list[tuple[int, int]] = []
    for first, stop in enumerate(stops):
        here = word[first]
        inner = heads[here + 1] - heads[here] > _LONG_WORD and first > heads[here] + 2
        pairs += [
            (first, last)
            for last in range(first, stop)
            if not inner or last <= last_of[first] or last + 1 >= heads[word[last] + 1] - 2
        ]
    return np.asarray(pairs, dtype=np.int32).reshape(-1, 2)


def _ends_of_parts(shown: Sequence[str], word: Sequence[int]) -> list[int]:
    """For every piece the last piece of its part of a word, parts being parted by `_BREAKS`; -1 in parts that are long themselves."""
    ends = [-1] * len(shown)
    start = 0
    for piece in range(1, len(shown) + 1):
        if (
            piece == len(shown)
            or word[piece] != word[start]
            or shown[piece] in _BREAKS
            or shown[piece - 1] in _BREAKS
        ):
            if piece - start <= _LONG_WORD:
                ends[start:piece] = [piece - 1] * (piece - start)
            start = piece
    return ends


# ------------------------------------------------------------------------------------ what a candidate looks like

_COLUMN = {name: 1 << column for column, name in enumerate(FEATURES)}
_BEFORE_BLANK, _AFTER_BLANK = _COLUMN["blank or edge before"], _COLUMN["blank or edge after"]
_WHOLE, _TWICE, _LONG = _COLUMN["whole words"], _COLUMN["stands twice"], _COLUMN["very long"]
_UPPER, _DIGIT, _SIGN = _COLUMN["has upper case"], _COLUMN["has digit"], _COLUMN["has other sign"]
_DOT, _BLANK = _COLUMN["has dot"], _COLUMN["several words"]
_JOINT_BEFORE, _JOINT_AFTER = _COLUMN["joint before"], _COLUMN["joint after"]
_INSIDE_BEFORE, _INSIDE_AFTER = _COLUMN["inside a word before"], _COLUMN["inside a word after"]
_JOINTS = frozenset(".-_@")
"""Signs that hold the parts of one value together: a slice beside one is perhaps only a part."""
_STARTS, _ENDS = _COLUMN["starts with punctuation"], _COLUMN["ends in punctuation"]
_SLASH, _NEW_LINE, _TAB, _SPACED = (1 << bit for bit in range(len(FEATURES), len(FEATURES) + 4))
"""Beyond the features: a sign of a path, a line break, a tab, a blank of any kind."""
_SHIFTS = np.arange(len(FEATURES), dtype=np.int32)


def _beside(marks: frozenset[str], mark: str, separators: str, separator: str) -> dict[str, int]:
    found = dict.fromkeys(marks, _COLUMN[mark])
    for sign in separators:
        found[sign] = found.get(sign, 0) | _COLUMN[separator]
    return found


_BEFORE = _beside(_OPENING, "opening mark before", "=:,;/|>", "separator before")
_AFTER = _beside(_CLOSING, "closing mark after", ".,;:!?/|", "separator after")


def _describe(
    request: str, starts: list[int], ends: list[int], pairs: Integers, spec: GroundingSpec
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Features and formats of every candidate, put together from its pieces, its gaps and its two edges."""
    first, last = pairs[:, 0].tolist(), pairs[:, 1].tolist()
    looks = _looks(request, starts, ends, first, last)
    bits = (np.asarray(looks, dtype=np.int32)[:, None] >> _SHIFTS) & 1
    texts = [request[starts[begin] : ends[end]] for begin, end in zip(first, last, strict=True)]
    several, one = _several_words(spec.formats), _one_word(spec.formats)
    rows = [
        several(text, look) if look & _SPACED else one(text) for text, look in zip(texts, looks, strict=True)
    ]
    allowed = np.frombuffer(b"".join(rows), dtype=np.bool_).reshape(len(texts), len(spec.formats))
    return bits.astype(np.float32), allowed


def _looks(request: str, starts: list[int], ends: list[int], first: list[int], last: list[int]) -> list[int]:
    """Bits of every candidate, which come in the order of their first piece and grow from it."""
    pieces = [_piece(request[start:end]) for start, end in zip(starts, ends, strict=True)]
    gaps = [0, *(_gap(request[end:start]) for end, start in zip(ends, starts[1:], strict=False))]
    before = [_before(request, start) for start in starts]
    after = [_after(request, end) for end in ends]
    whole = _BEFORE_BLANK | _AFTER_BLANK
    looks: list[int] = []
    now, reached, held, twice = -1, -1, 0, True
    for begin, end in zip(first, last, strict=True):
        if begin != now:
            now, reached, twice = begin, begin, True
            held = pieces[begin]
        while reached < end:
            reached += 1
            held |= gaps[reached] | pieces[reached]
        start, stop = starts[begin], ends[end]
        twice = twice and request.count(request[start:stop]) > 1  # nor does then any longer slice from here
        edges = before[begin] | after[end]
        look = (held & ~(_STARTS | _ENDS)) | edges | (pieces[begin] & _STARTS) | (pieces[end] & _ENDS)
        looks.append(look | _TWICE * twice | _LONG * (stop - start > 24) | _WHOLE * (edges & whole == whole))
    return looks


@lru_cache(maxsize=16384)
def _piece(text: str) -> int:
    """Bits of one piece; it holds no blank."""
    return (
        _UPPER * (text.lower() != text)
        | _DIGIT * any(map(str.isdigit, text))
        | _SIGN * (not text.isalnum())
        | _DOT * ("." in text)
        | _ENDS * (not text[-1].isalnum())
        | _STARTS * (not text[0].isalnum())
        | _SLASH * any(sign in text for sign in _REQUIRED["path"])
    )


def _gap(text: str) -> int:
    """Bits of what stands between two pieces: nothing, or blanks."""
    if not text:
        return 0
    if text == " ":
        return _BLANK | _SPACED
    odd = _SIGN * (text.strip(" ") != "")
    return _SPACED | odd | _BLANK * (" " in text) | _NEW_LINE * ("\n" in text) | _TAB * ("\t" in text)


def _before(request: str, start: int) -> int:
    """Bits of what stands before a slice."""
    sign = request[start - 1 : start]
    if not sign or sign.isspace():
        return _BEFORE_BLANK
    if sign.isalnum():
        return _INSIDE_BEFORE
    joint = sign in _JOINTS and request[start - 2 : start - 1].isalnum()
    return _BEFORE.get(sign, 0) | _JOINT_BEFORE * joint


def _after(request: str, end: int) -> int:
    """Bits of what stands after a slice."""
    sign = request[end : end + 1]
    if not sign or sign.isspace():
        return _AFTER_BLANK
    if sign.isalnum():
        return _INSIDE_AFTER
    joint = sign in _JOINTS and request[end + 1 : end + 2].isalnum()
    return _AFTER.get(sign, 0) | _JOINT_AFTER * joint


# --------------------------------------------------------------------------------------- what a candidate may fill

_REQUIRED = {
    "ipv4": ".", "ipv6": ":", "ip": ".:", "cidr": "/", "ip-or-cidr": ".:", "email": "@", "mac": ":-", "url": ":",
    "date": ".-/", "path": "/\\~",
}  # fmt: skip
"""Signs of which a value of the format holds at least one: the check of a slice without them is spared."""
_ADDRESSES = frozenset({"ipv4", "ipv6", "ip", "cidr", "ip-or-cidr"})
_ADDRESS = re.compile(r"[0-9A-Fa-f.:/]+")
_ANY_WORDS = {"text": (0, 0), "name": (80, _NEW_LINE), "password": (128, _NEW_LINE | _TAB)}
"""Formats that several words always satisfy, but for their length (0: any) and what stands between the words."""


@lru_cache(maxsize=64)
def _one_word(formats: tuple[str, ...]) -> Callable[[str], bytes]:
    """A function from a text without a blank to one byte a format, 1 where the text satisfies it."""
    free = [(column, FORMATS[name].check) for column, name in enumerate(formats) if name not in _REQUIRED]
    bound = [
        (column, FORMATS[name].check, frozenset(_REQUIRED[name]), name in _ADDRESSES)
        for column, name in enumerate(formats)
        if name in _REQUIRED
    ]
    signs = frozenset().union(*(needed for _, _, needed, _ in bound))

    @lru_cache(maxsize=16384)
    def found(text: str) -> bytes:
        row = bytearray(len(formats))
        for column, check in free:
            row[column] = check(text)
        held = signs.intersection(text)
        if held:
            address = _ADDRESS.fullmatch(text) is not None
            for column, check, needed, is_address in bound:
                row[column] = (address or not is_address) and not held.isdisjoint(needed) and check(text)
        return bytes(row)

    return found


@lru_cache(maxsize=64)
def _several_words(formats: tuple[str, ...]) -> Callable[[str, int], bytes]:
    """As `_formats_of` for a slice with blanks, of which the bits are known already."""
    plain = [(formats.index(name), *_ANY_WORDS[name]) for name in formats if name in _ANY_WORDS]
    checked = [
        (column, FORMATS[name].check, _SLASH if name == "path" else _SPACED)
        for column, name in enumerate(formats)
        if FORMATS[name].words and name not in _ANY_WORDS
    ]

    def found(text: str, look: int) -> bytes:
        row = bytearray(len(formats))
        for column, longest, barred in plain:
            row[column] = not look & barred and (not longest or len(text) <= longest)
        for column, check, needed in checked:
            row[column] = look & needed != 0 and check(text)
        return bytes(row)

    return found
