"""What a walk through an answer asks of whoever drives it."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from microlith.errors import MicrolithError
from microlith.inference.answer_shapes import Path
from microlith.task.plan import Json, Number, Reading

SEPARATORS = (",", "}", "]")
"""What may follow a value."""


class Option(NamedTuple):
    """One way to go on."""

    pieces: tuple[str, ...]
    value: Json
    candidate: int = -1
    """Slice of the request that the value was copied from; -1 for none."""
    key: str = ""
    """Slot key that it decides where options decide several; empty for that of the pick."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The decision that an ask is about."""

    group: Path
    step: int
    key: str
    """Slot key, or `#count` for the number of steps or items."""
    kind: str
    """"choice", "span", "number", "text", "presence" or "count"."""


@dataclass(frozen=True, kw_only=True)
class Forced:
    """Text that follows."""

    pieces: tuple[str, ...]
    place: Place | None = None
    """Of the only option that a decision has left; None for brackets, names and constants."""
    option: Option | None = None


@dataclass(frozen=True, kw_only=True)
class Pick:
    """One of several options has to be taken; answered with its number."""

    place: Place
    options: tuple[Option, ...]
    open_ended: bool = False
    """True where an option may be the beginning of another, so that only what follows says that it has ended."""


@dataclass(frozen=True, kw_only=True)
class Write:
    """A text (between quotes), or a wide number, has to be written; answered with the text or the number's digits."""

    place: Place
    least: float
    """Characters at least; of a number its smallest value, which may be infinite."""
    most: float
    """Characters at most; of a number its greatest value, which may be infinite."""
    forbidden: tuple[str, ...] = ()
    """Lower-case phrases that the text may not hold."""
    number: Number | None = None
    """None for a text."""
    said: tuple[str, ...] = ()
    """Texts that stand at the same place of the answer before: of earlier items, or earlier in the list."""


Ask = Forced | Pick | Write
Walk = Generator[Ask, Any, "Walked"]


@dataclass(kw_only=True)
class Walked:
    """A finished walk."""

    reading: Reading
    output: Json


class DeadEnd(MicrolithError):
    """No valid answer can be made of this request."""


def is_open(options: Sequence[Option]) -> bool:
    """May an option be the beginning of another, such as 1 of 10?"""
    return any(option.pieces[-1][-1:] not in ('"', "}", "]") for option in options)


def dumped(value: Json) -> str:
    """JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
