"""Phrasings: sentences with holes, optional parts and alternatives, as template files write them.

    (add|create) [the] user {username} [with password {password}]

`(a|b)` is one of several, `[x]` may be left out, `{name}` is a hole; both nest. A backslash before one of
`()[]{}|\\` makes it an ordinary character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, kw_only=True, slots=True)
class Hole:
    """A place for a value."""

    name: str
    format: str | None = None
    """The format written in the hole itself, `{name:format}`; None to take the one of its slot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OneOf:
    """Several ways to say a part; an empty one where it may be left out."""

    ways: tuple[Phrase, ...]


Node = str | Hole | OneOf
Phrase = tuple[Node, ...]


class BadPhrasing(ValueError):
    """A phrasing that cannot be parsed; `column` counts from 1."""

    def __init__(self, what: str, column: int) -> None:
        super().__init__(what)
        self.what = what
        self.column = column


_TOKEN = re.compile(r"\\([()\[\]{}|\\])|(\{)([^{}]*)(\})|([()\[\]|{}])|([^()\[\]{}|\\]+|\\)")
_HOLE = re.compile(r"([A-Za-z_][\w-]*)(?::([a-z0-9-]+))?")


def parse(text: str) -> Phrase:
    """Parse one phrasing.

    Raises:
        BadPhrasing: if brackets do not match or a hole has no proper name.
    """
    stack: list[tuple[str, int, list[list[Node]]]] = [("", 1, [[]])]
    for match in _TOKEN.finditer(text):
        escaped, _, hole, closed, mark, plain = match.groups()
        column = match.start() + 1
        if closed:
            stack[-1][2][-1].append(_hole(hole, column))
        elif mark in ("(", "["):
            stack.append((mark, column, [[]]))
        elif mark == "|" and len(stack) > 1:
            stack[-1][2].append([])
        elif mark in (")", "]"):
            _close(stack, mark, column)
        elif mark in ("{", "}"):
            raise BadPhrasing(f"a single {mark!r}; write \\{mark} for the character itself", column)
        else:
            stack[-1][2][-1].append(escaped or mark or plain)
    if len(stack) > 1:
        raise BadPhrasing(f"{stack[-1][0]!r} is never closed", stack[-1][1])
    return tuple(stack[0][2][0])


def _hole(text: str, column: int) -> Hole:
    match = _HOLE.fullmatch(text.strip())
    if match is None:
        raise BadPhrasing(f"{{{text}}} is no hole; write {{name}} or {{name:format}}", column)
    return Hole(name=match.group(1), format=match.group(2))


def _close(stack: list[tuple[str, int, list[list[Node]]]], mark: str, column: int) -> None:
    opened, _, ways = stack[-1]
    if {"(": ")", "[": "]"}.get(opened) != mark:
        raise BadPhrasing(f"{mark!r} closes nothing", column)
    stack.pop()
    made = tuple(tuple(way) for way in ways)
    stack[-1][2][-1].append(OneOf(ways=(*made, ()) if mark == "]" else made))


def expand(phrase: Phrase, rng: Random) -> list[str | Hole]:
    """One way to say `phrase`: its texts and holes in order."""
    made: list[str | Hole] = []
    for node in phrase:
        if isinstance(node, OneOf):
            optional = node.ways[-1] == () and len(node.ways) > 1
            way = (
                ()
                if optional and rng.random() < 0.5
                else rng.choice(node.ways[:-1] if optional else node.ways)
            )
            made += expand(way, rng)
        else:
            made.append(node)
    return made


def holes(phrase: Phrase) -> tuple[set[str], set[str]]:
    """Names of the holes that every way of saying `phrase` has, and of those that some way has."""
    always: set[str] = set()
    ever: set[str] = set()
    for node in phrase:
        if isinstance(node, Hole):
            always.add(node.name)
            ever.add(node.name)
        elif isinstance(node, OneOf):
            parts = [holes(way) for way in node.ways]
            always |= set.intersection(*(part[0] for part in parts))
            ever |= set.union(*(part[1] for part in parts))
    return always, ever


def every_hole(phrases: Sequence[Node]) -> list[Hole]:
    """All holes of a phrase, nested ones too, in order."""
    found: list[Hole] = []
    for node in phrases:
        if isinstance(node, Hole):
            found.append(node)
        elif isinstance(node, OneOf):
            found += [hole for way in node.ways for hole in every_hole(way)]
    return found


def joined(pieces: Sequence[str]) -> str:
    """The pieces as one text, without the double blanks that left-out parts leave behind."""
    text = re.sub(r"[ \t]{2,}", " ", "".join(pieces)).strip()
    return re.sub(r" ([,.;:!?])", r"\1", text)
