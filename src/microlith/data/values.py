"""Values of every format, made up: what fills a slot when the value of a labelled row is replaced.

`value(format, rng, like=...)` draws a few candidates and takes the one that looks most like the value it
replaces (kind, casing, word count, digits, separators), so that the sentence around it stays natural.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from microlith.data import generators as made
from microlith.data import words
from microlith.data.generators import GENERATORS, Generator
from microlith.errors import UsageError
from microlith.task.formats import FORMATS

CANDIDATES = 5
"""How many values are drawn before the one most like the replaced value is taken."""

CASELESS = frozenset({"text", "word", "username", "name", "hostname", "host", "email"})
"""Formats in which another casing is still such a value, and one that people use."""


def value(format: str, rng: Random, like: str | None = None) -> str:
    """A made-up value of `format`, as the text that would stand in a request.

    Args:
        format: A name of `microlith.task.formats.FORMATS`.
        rng: Source of all chance; equal states give equal values.
        like: The value to be replaced; the result keeps its look. None for any look.

    Returns:
        A text that passes the format's check.

    Raises:
        UsageError: if no such format exists.
    """
    if format not in GENERATORS:
        raise UsageError(f"no format is called {format!r}", mend=f"one of: {', '.join(sorted(FORMATS))}")
    if like is None:
        return GENERATORS[format](rng)
    make = _kind_of(format, like)
    drawn = [make(rng) for _ in range(CANDIDATES)]
    best = max(drawn, key=lambda text: likeness(text, like))
    dressed = with_casing_of(best, like) if format in CASELESS else best
    check = FORMATS[format].check
    return dressed if check(dressed) else best if check(best) else GENERATORS[format](rng)


def likeness(text: str, like: str) -> float:
    """How alike two values look; larger is more alike, the scale has no meaning of its own."""
    score = 4.0 * (text.count(" ") == like.count(" ")) + 2.0 * (text.isascii() == like.isascii())
    score += 2.0 * (_marks(text) == _marks(like)) + 2.0 * (_has_digit(text) == _has_digit(like))
    score += 2.0 * (text.count(".") == like.count(".")) + 1.0 * (text[-1:].isalnum() == like[-1:].isalnum())
    return score - abs(len(text) - len(like)) / 8.0


def with_casing_of(text: str, like: str) -> str:
    """`text` in the casing of `like` where `like` has a clear one (lower, UPPER, Title); else as it is."""
    if like.islower():
        return text.lower()
    if like.isupper() and len(like) > 1:
        return text.upper()
    if " " in like and like.istitle():
        return text.title()
    if like[:1].isupper() and like[1:2].islower():
        return text[:1].upper() + text[1:]
    return text


def _marks(text: str) -> frozenset[str]:
    return frozenset(text) & _SEPARATORS


_SEPARATORS = frozenset("._-\\/@*:'&+$")
_DIGIT = re.compile(r"\d")


def _has_digit(text: str) -> bool:
    return _DIGIT.search(text) is not None


# ------------------------------------------------------------------------ the generator for the kind that `like` is


def _kind_of(format: str, like: str) -> Generator:
    kinds = _KINDS.get(format)
    return kinds(like) if kinds else GENERATORS[format]


def _address_like(like: str) -> Generator:
    if "/" in like:
        return made.cidr6 if ":" in like else made.cidr4
    return made.ipv6 if ":" in like else made.ipv4


def _host_like(like: str) -> Generator:
    return _address_like(like) if FORMATS["ip"].check(like) else _hostname_like(like)


def _hostname_like(like: str) -> Generator:
    if like == "*":
        return lambda rng: "*"
    labels = like.rstrip(".").split(".")
    dot = "." if like.endswith(".") else ""
    head = f"{labels[0]}." if labels[0].startswith(("*", "_")) and len(labels) > 1 else ""
    count = len(labels) - bool(head)
    return lambda rng: head + made.hostname_of(rng, count) + dot


def _username_like(like: str) -> Generator:
    if FORMATS["email"].check(like):
        return made.email
    return made.domain_login if "\\" in like else made.username


def _name_like(like: str) -> Generator:
    count = len(like.split())
    return lambda rng: made.name_of(rng, count)


def _text_like(like: str) -> Generator:
    count = len(like.split())
    return made.short_name if count == 1 else lambda rng: made.words_of(rng, count)


def _word_like(like: str) -> Generator:
    if FORMATS["email"].check(like):
        return made.email
    if re.fullmatch(r"[\w*-]+(?:\.[\w-]+)*\.[^\W\d]{2,}", like):
        return _hostname_like(like)
    return made.username if _has_digit(like) else made.short_name


def _path_like(like: str) -> Generator:
    kinds = (("/", made.unix_path), ("\\\\", made.unc_path), ("~", made.home_path), (".", made.relative_path))
    for sign, make in kinds:
        if like.startswith(sign):
            return make
    slash = "/" if "/" in like else "\\"
    if like[1:2] == ":":
        return lambda rng: made.windows_path(rng).replace("\\", slash)
    return lambda rng: f"{rng.choice(words.FOLDERS)}{slash}{made.short_name(rng)}"


def _port_like(like: str) -> Generator:
    return made.port_number if like.isdecimal() else made.service


def _number_like(like: str) -> Generator:
    parts = re.fullmatch(r"([+-]?)(\d*)([.,]?)(\d*)", like)
    if not parts:
        return GENERATORS["number"]
    sign, whole, mark, part = parts.groups()

    def make(rng: Random) -> str:
        head = str(rng.randrange(10 ** (len(whole) - 1), 10 ** len(whole))) if whole else ""
        return f"{sign}{head}{mark}{''.join(rng.choice('0123456789') for _ in part)}"

    return make


def _date_like(like: str) -> Generator:
    """Dates with the order, separators and digit counts of `like`; an unreadable one gives any date."""
    parts = re.fullmatch(r"(\d+)([./-])(\d+)[./-](\d+)", like)
    if not parts:
        return GENERATORS["date"]
    first, mark, second, third = parts.groups()
    month_first = len(first) == 4 or int(second) > 12
    ends = (13, 29) if month_first else (29, 13)

    def make(rng: Random) -> str:
        year = str(rng.randrange(2020, 2032))
        if len(first) == 4:
            return f"{year}{mark}{_padded(rng, 13, second)}{mark}{_padded(rng, 29, third)}"
        return (
            f"{_padded(rng, ends[0], first)}{mark}{_padded(rng, ends[1], second)}{mark}{year[-len(third) :]}"
        )

    return make


def _padded(rng: Random, end: int, like: str) -> str:
    drawn = rng.randrange(1, end)
    return f"{drawn:02d}" if len(like) == 2 else str(drawn)


_KINDS: dict[str, Callable[[str], Generator]] = {
    "text": _text_like,
    "word": _word_like,
    "name": _name_like,
    "username": _username_like,
    "password": lambda like: made.passphrase if " " in like else made.password,
    "ip": _address_like,
    "cidr": _address_like,
    "ip-or-cidr": _address_like,
    "hostname": _hostname_like,
    "host": _host_like,
    "path": _path_like,
    "port": _port_like,
    "integer": _number_like,
    "number": _number_like,
    "date": _date_like,
    "interface": lambda like: (
        made.windows_interface if " " in like or like[:1].isupper() else made.linux_interface
    ),
}
"""Format name -> what chooses the generator for a given look; formats without an entry have one kind."""
