"""The two streams: answers go to standard output, everything about the work to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from microlith.errors import MicrolithError, Problem

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 120
"""Columns of tables that are written to a file or a pipe."""


def out() -> Console:
    """Standard output, for people."""
    return _console(sys.stdout)


def err() -> Console:
    """Standard error, for people."""
    return _console(sys.stderr)


@cache
def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else PLAIN_WIDTH, highlight=False, emoji=False)


def emit(value: Any, *, stream: TextIO | None = None) -> None:
    """Write one line of JSON, on standard output unless told otherwise."""
    target = stream or sys.stdout
    target.write(to_line(value) + "\n")
    target.flush()


def to_line(value: Any) -> str:
    """`value` as one line of JSON; half characters (lone surrogates) are escaped, since UTF-8 has none."""
    text = json.dumps(value, ensure_ascii=False)
    return text if _encodable(text) else json.dumps(value)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def say(text: str = "", *, style: str | None = None) -> None:
    """A line for people on standard output; `text` is taken literally."""
    out().print(text, style=style, markup=False, soft_wrap=True)


def counted(number: int, word: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def show_error(error: MicrolithError, *, as_json: bool, debug: bool) -> None:
    """Write an error to standard error: what, and for every finding its place and its mend."""
    if as_json:
        emit({"error": error_facts(error)}, stream=sys.stderr)
        return
    console = err()
    console.print(f"error: {error.what}", style="bold red", markup=False, soft_wrap=True)
    own = [one for one in error.problems if one.what != error.what]
    for problem in own or error.problems:
        _show_problem(problem, repeat_what=bool(own))
    if debug:
        console.print_exception()


def _show_problem(problem: Problem, *, repeat_what: bool) -> None:
    console = err()
    if problem.place:
        console.print(f"  at   {problem.place}", style="cyan", markup=False, soft_wrap=True)
    if repeat_what:
        indent = "       " if problem.place else "  -    "
        console.print(indent + problem.what, markup=False, soft_wrap=True)
    if problem.mend:
        console.print(f"  mend {problem.mend}", style="green", markup=False, soft_wrap=True)


def error_facts(error: MicrolithError) -> Mapping[str, Any]:
    """An error as JSON: its kind, what is wrong and every finding."""
    problems: Sequence[Mapping[str, Any]] = [
        {"what": one.what, "place": one.place, "mend": one.mend} for one in error.problems
    ]
    return {"kind": type(error).__name__, "what": error.what, "problems": problems}
