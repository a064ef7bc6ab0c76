"""Single values: as text, as JSON, against the rules of their slot, and at their place in an answer."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from functools import cache

from microlith.task.formats import FORMATS
from microlith.task.pattern import translate
from microlith.task.plan import Json, Span

Place = tuple[str | int, ...]
"""Keys and indices from the answer down to a value."""


def as_text(value: Json) -> str:
    """A JSON scalar as it would be typed: `443`, `3.5`, `true`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def as_json(span: Span, text: str) -> Json:
    """A slice as the JSON value its slot takes; digits become a number where the slot allows both."""
    if "integer" in span.types and re.fullmatch(r"[+-]?\d{1,18}", text):
        return int(text)
    if "number" in span.types and re.fullmatch(r"[+-]?(?:\d{1,18}(?:[.,]\d{1,9})?|[.,]\d{1,9})", text):
        return float(text.replace(",", "."))
    return text


def satisfies(span: Span, text: str) -> bool:
    """True when `text` is a value of the slot: format, JSON type, length, pattern and bounds."""
    if not text or not FORMATS[span.format].check(text):
        return False
    value = as_json(span, text)
    rules = span.constraints
    if isinstance(value, str):
        return "string" in span.types and _string_fits(value, rules)
    if as_text(value) != text:
        return False
    return _number_fits(value, rules)


def _string_fits(value: str, rules: Mapping[str, Json]) -> bool:
    if not rules:
        return True
    if not rules.get("minLength", 0) <= len(value) <= rules.get("maxLength", len(value)):
        return False
    return "pattern" not in rules or _pattern(rules["pattern"]).search(value) is not None


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _number_fits(value: float, rules: Mapping[str, Json]) -> bool:
    low, high = rules.get("minimum", value), rules.get("maximum", value)
    above = value > rules["exclusiveMinimum"] if "exclusiveMinimum" in rules else True
    below = value < rules["exclusiveMaximum"] if "exclusiveMaximum" in rules else True
    step = rules.get("multipleOf")
    return bool(low <= value <= high and above and below and (not step or value % step == 0))


def at(answer: Json, place: Place) -> Json:
    """The value at `place`, None where there is nothing."""
    for key in place:
        if isinstance(answer, dict) and isinstance(key, str):
            answer = answer.get(key)
        elif isinstance(answer, list) and isinstance(key, int) and key < len(answer):
            answer = answer[key]
        else:
            return None
    return answer


def put(answer: Json, place: Place, value: Json) -> None:
    """Set the value at `place`, in place."""
    for key in place[:-1]:
        answer = answer[key]
    answer[place[-1]] = value


def copy_json(value: Json) -> Json:
    """A deep copy of a JSON value."""
    if isinstance(value, dict):
        return {
            key: copy_json(item) if isinstance(item, dict | list) else item for key, item in value.items()
        }
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return copy.copy(value)
