"""Single settings of a recipe, overridden by name: converted to their type, held to their bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from microlith.errors import UsageError

Settings = TypeVar("Settings")


def overridden(settings: Settings, overrides: Mapping[str, Any], *, recipe: str) -> Settings:
    """The settings with single values replaced.

    Args:
        settings: A dataclass.
        overrides: Field name -> value; text is converted to the field's type.
        recipe: Named in errors.

    Raises:
        UsageError: if a field is unknown or a value cannot be converted.
    """
    kinds = {item.name: type(getattr(settings, item.name)) for item in fields(settings)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in overrides.items():
        if name not in kinds:
            raise UsageError(
                f"the {recipe} recipe has no setting {name!r}", mend=f"choose one of {', '.join(kinds)}"
            )
        values[name] = converted(name, value, kinds[name])
    return replace(settings, **values)  # type: ignore[type-var]


def converted(name: str, value: Any, kind: type) -> Any:
    """`value` as a value of type `kind`: text is read, a number stays the number that it is.

    Raises:
        UsageError: if it cannot be one.
    """
    try:
        if kind is bool and isinstance(value, str):
            return {"true": True, "false": False}[value.lower()]
        found = kind(value)
        if isinstance(value, str) or (found == value and isinstance(value, bool) == (kind is bool)):
            return found
        raise ValueError("another value")
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise UsageError(
            f"{name}={value!r} is not a {kind.__name__}", mend=f"e.g. --set {name}={kind()!r}"
        ) from error


def as_toml(values: Mapping[str, Any]) -> str:
    """Names and values as lines of TOML, in which numbers, texts and truths are written as in JSON."""
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())


def check_bounds(settings: Any, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Hold settings to their bounds, both ends included.

    Raises:
        UsageError: naming the first value outside.
    """
    for name, (low, high) in bounds.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise UsageError(f"{name}={value} is outside {low} to {high}")
