"""From a slice of the request to the JSON value its slot takes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache

from microlith.task.pattern import translate
from microlith.task.plan import Json, Slot, Span

LONGEST_NUMBER = 18
"""Characters of a slice that may become a number."""


def typed(slot: Slot, text: str) -> Json:
    """The slice as the JSON value the slot takes: digits become a number where both fit; None if it may not be."""
    decision = slot.decision
    assert isinstance(decision, Span)
    types, constraints = decision.types, decision.constraints
    if "integer" in types and text.lstrip("+-").isdecimal() and len(text) <= LONGEST_NUMBER:
        return _bounded(int(text), constraints)
    if "number" in types and len(text) <= LONGEST_NUMBER:
        with suppress(ValueError):
            return _bounded(float(text.replace(",", ".")), constraints)
    if "string" not in types:
        return None
    if not constraints:
        return text
    fits = constraints.get("minLength", 0) <= len(text) <= constraints.get("maxLength", len(text))
    pattern = constraints.get("pattern")
    return text if fits and (pattern is None or _pattern(pattern).search(text)) else None


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _bounded(value: float, constraints: Mapping[str, Json]) -> Json:
    bounds = (
        value >= constraints.get("minimum", value),
        value <= constraints.get("maximum", value),
        value > constraints.get("exclusiveMinimum", -math.inf),
        value < constraints.get("exclusiveMaximum", math.inf),
        "multipleOf" not in constraints or _is_multiple(value, constraints["multipleOf"]),
    )
    return value if math.isfinite(value) and all(bounds) else None


def _is_multiple(value: float, step: float) -> bool:
    return (
        value % step == 0 if isinstance(value, int) and isinstance(step, int) else (value / step).is_integer()
    )
