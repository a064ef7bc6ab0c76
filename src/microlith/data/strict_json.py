"""JSON as the standard says it, and nothing more.

Python's parser takes `NaN`, lets a repeated key win silently, turns `1e999` into infinity and passes on half a
surrogate pair. Each of these is a mistake in somebody's data that would otherwise show up much later.
"""

from __future__ import annotations

import json
import math
from typing import Any

from microlith.task.plan import Json


class NotStrictJson(ValueError):
    """A text that is not strict JSON."""

    def __init__(self, what: str, *, position: int | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.position = position
        """Character at which reading stopped, None where the parser does not say."""


def loads(text: str) -> Json:
    """Parse one JSON value that is the whole of `text`.

    Raises:
        NotStrictJson: if it is anything else.
    """
    value, end = raw_loads(text, _blank(text, 0))
    end = _blank(text, end)
    if end != len(text):
        raise NotStrictJson(f"there is more after the value: {_shown(text[end:])}", position=end)
    return value


def raw_loads(text: str, start: int) -> tuple[Json, int]:
    """Parse the JSON value that begins at `start`; returns it and where it ends.

    Raises:
        NotStrictJson: if no strict JSON value begins there.
    """
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise NotStrictJson(f"{error.msg} at {_shown(text[error.pos :])}", position=error.pos) from None
    except RecursionError:
        raise NotStrictJson("it is nested too deeply", position=start) from None
    if "\\u" in text[start:end] or "\\U" in text[start:end]:
        _no_halves(value)
    return value, end


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _shown(text: str) -> str:
    return repr(text[:20]) if text else "the end"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise NotStrictJson(f"the key {twice!r} stands twice in one object")
    return made


def _constant(name: str) -> Any:
    raise NotStrictJson(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotStrictJson(f"the number {text} is too large")
    return number


def _int(text: str) -> int:
    if len(text) > 4000:
        raise NotStrictJson(f"a number of {len(text)} digits is too large")
    return int(text)


def _no_halves(value: Json) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise NotStrictJson("a \\u escape is half of a surrogate pair, which no text can hold") from None


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float, parse_int=_int
)
