"""TOML text with places: every mistake in it at once, and the line of every key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from microlith.errors import Problem

MAX_PROBLEMS = 20
"""After so many mistakes the rest of the text is not read."""

_WHERE = re.compile(
    r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL
)
_HEADER = re.compile(r"\s*\[{1,2}\s*(?P<name>[^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*(?P<name>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


@dataclass(frozen=True, kw_only=True)
class TomlText:
    """A parsed text: its value, the line of every key, and what is wrong with it."""

    value: Mapping[str, Any]
    """The value; where the text is broken, what could be read of it."""
    lines: Mapping[tuple[str, ...], int]
    """Key path -> line from 1; a table has the line of its header."""
    problems: tuple[Problem, ...]


def parse_toml(text: str, *, name: str) -> TomlText:
    """Parse `text`; never raises. A line with a mistake is left out and the rest read again, so that all mistakes show."""
    rows = text.replace("\r\n", "\n").split("\n")
    lines = _lines(rows)
    problems: list[Problem] = []
    seen: set[int] = set()
    while True:
        try:
            value = tomllib.loads("\n".join(rows))
            break
        except tomllib.TOMLDecodeError as error:
            match = _WHERE.match(str(error))
            line = int(match["line"]) if match and match["line"] else len(rows)
            what = match["what"] if match else str(error)
            problems.append(
                Problem(
                    what=f"not TOML: {what[:1].lower()}{what[1:]}",
                    place=f"{name}:{line}",
                    mend=_mend(rows[line - 1]),
                )
            )
            if line in seen or len(problems) >= MAX_PROBLEMS:
                value = {}
                break
            seen.add(line)
            rows[line - 1] = ""
    return TomlText(value=value, lines=lines, problems=tuple(problems))


def _mend(row: str) -> str | None:
    match = _KEY.match(row)
    if match is None:
        return 'write key = "value" or [table]' if row.strip() else None
    value = row[match.end() :].strip()
    if re.fullmatch(r"[A-Za-z][\w ./-]*", value) and value not in ("true", "false"):
        return f'a text stands in quotes: {match["name"]} = "{value}"'
    return None


def _lines(rows: list[str]) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    inside: str | None = None
    for number, row in enumerate(rows, start=1):
        if inside is not None:
            inside = None if inside in row else inside
            continue
        header = _HEADER.match(row)
        key = None if header else _KEY.match(row)
        if header:
            table = _parts(header["name"])
            found.setdefault(table, number)
        elif key:
            found.setdefault((*table, *_parts(key["name"])), number)
        inside = next((quote for quote in ('"""', "'''") if row.count(quote) % 2), None)
    return found


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
