"""Does an answer fit its schema? Compiled once, asked for every answer.

The verdict is the `jsonschema` library's. What is ours: `format` and `x-format` are assertions, patterns mean what
ECMA-262 says, `oneOf` over tagged branches looks only at the branches an answer's tags allow (the others cannot fit, so the
verdict is the same and comes sooner), and messages never show a value that `x-secret` marks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from microlith.errors import Problem
from microlith.task.formats import FORMATS
from microlith.task.jsontext import pointer_of
from microlith.task.pattern import translate
from microlith.task.plan import Json
from microlith.task.schema import Schema, children, dialect_of, resolve
from microlith.task.standard import check_of

CLASSES: dict[str, Any] = {
    "2020-12": Draft202012Validator,
    "2019-09": Draft201909Validator,
    "7": Draft7Validator,
    "6": Draft6Validator,
    "4": Draft4Validator,
}
"""Dialect -> the library's class for it."""

_SHOWN_CHARACTERS = 60
Errors = Iterator[ValidationError]


class Validator:
    """The compiled schema of one task.

    Raises:
        SchemaError: if a reference cannot be resolved.
        PatternError: if a regular expression cannot be checked; the linter names the place.
    """

    def __init__(self, schema: Schema) -> None:
        prepared = _Preparation().of(resolve(schema))
        self._library: Any = _library_for(dialect_of(schema))(prepared)

    def is_valid(self, answer: Json) -> bool:
        """True when `answer` fits the schema."""
        return bool(self._library.is_valid(answer))

    def problems(self, answer: Json) -> list[Problem]:
        """Everything in `answer` that does not fit, each with its JSON pointer; empty when it is valid."""
        found = [_problem(error) for error in self._library.iter_errors(answer)]
        return sorted(dict.fromkeys(found), key=lambda problem: problem.place or "")

    def broken_keywords(self, answer: Json, *, apart_from: frozenset[str] = frozenset()) -> frozenset[str]:
        """The keywords that `answer` breaks, apart from some; of a `oneOf` or `anyOf` that nothing fits, its nearest branch's."""
        return _keywords(self._library.iter_errors(answer), apart_from)


@cache
def _library_for(dialect: str) -> Any:
    own = {
        "oneOf": _one_of,
        "anyOf": _any_of,
        "format": _format,
        "x-format": _x_format,
        "x-forbidden": _x_forbidden,
        "x-ascending": _x_ascending,
    }
    return extend(CLASSES.get(dialect, Draft202012Validator), own)


# ---------------------------------------------------------------------------------------- preparation


class _Preparation:
    """Rewrites a resolved schema for the library: translated patterns, branches with their tags."""

    def __init__(self) -> None:
        self._done: dict[int, tuple[Any, Any]] = {}

    def of(self, schema: Any) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        if id(schema) in self._done:
            return self._done[id(schema)][1]
        made = dict(schema)
        for keyword, parts, child in children(schema):
            if len(parts) == 1:
                made[keyword] = self.of(child)
                continue
            if made[keyword] is schema[keyword]:
                made[keyword] = made[keyword].copy()
            made[keyword][parts[1]] = self.of(child)
        if isinstance(made.get("pattern"), str):
            made["pattern"] = translate(made["pattern"])
        if isinstance(made.get("patternProperties"), Mapping):
            made["patternProperties"] = {
                translate(key): value for key, value in made["patternProperties"].items()
            }
        for keyword in ("oneOf", "anyOf"):
            if isinstance(made.get(keyword), list):
                made[keyword] = Branches(made[keyword])
        self._done[id(schema)] = (schema, made)
        return made


class Branches(list[Any]):
    """The branches of a `oneOf` or `anyOf`, with the property whose constant tells them apart (None: no such property)."""

    def __init__(self, branches: Sequence[Any]) -> None:
        super().__init__(branches)
        self.tag: str | None = None
        self._by_value: dict[tuple[type, Json], list[int]] = {}
        for name in _tag_names(branches):
            table: dict[tuple[type, Json], list[int]] = {}
            for index, branch in enumerate(branches):
                for key in dict.fromkeys(map(_key, tag_values(branch, name) or ())):
                    table.setdefault(key, []).append(index)
            if len(table) > len(self._by_value):
                self.tag, self._by_value = name, table

    def candidates(self, instance: Json) -> Sequence[int]:
        """Numbers of the branches that `instance` may fit."""
        if self.tag is None:
            return range(len(self))
        if not isinstance(instance, dict):
            return range(len(self))
        if self.tag not in instance:
            return ()
        value = instance[self.tag]
        return self._by_value.get(_key(value), ()) if isinstance(value, _SCALARS) else ()

    @property
    def values(self) -> tuple[Json, ...]:
        """The tag's values in schema order."""
        return tuple(value for _, value in self._by_value)


_SCALARS = (str, int, float, bool, type(None))


def _key(value: Json) -> tuple[type, Json]:
    """1 and 1.0 are one JSON number, 1 and true are not one value."""
    return (
        (bool, value)
        if isinstance(value, bool)
        else (float if isinstance(value, int | float) else type(value), value)
    )


def _tag_names(branches: Sequence[Any]) -> list[str]:
    """Properties that hold a required constant in every branch."""
    if len(branches) < 2:
        return []
    names = _constant_names(branches[0])
    return [name for name in names if all(tag_values(branch, name) is not None for branch in branches)]


def _constant_names(branch: Any) -> list[str]:
    if not isinstance(branch, Mapping):
        return []
    inner = branch.get("oneOf") or branch.get("anyOf") or ()
    nested = _constant_names(inner[0]) if inner else []
    return list(dict.fromkeys([*branch.get("properties", {}), *nested]))


def tag_values(branch: Any, name: str) -> tuple[Json, ...] | None:
    """The scalars that an object of `branch` may hold in its required property `name`; None where it may hold anything."""
    if not isinstance(branch, Mapping):
        return None
    if name in branch.get("required", ()):
        node = branch.get("properties", {}).get(name)
        values = _constants(node)
        if values is not None:
            return values
    for keyword in ("oneOf", "anyOf"):
        inner = [tag_values(child, name) for child in branch.get(keyword, ())]
        if inner and all(values is not None for values in inner):
            return tuple(value for values in inner if values is not None for value in values)
    return None


def _constants(node: Any) -> tuple[Json, ...] | None:
    if not isinstance(node, Mapping):
        return None
    values = [node["const"]] if "const" in node else node.get("enum")
    if not isinstance(values, list) or not all(isinstance(value, _SCALARS) for value in values):
        return None
    return tuple(values)


# ---------------------------------------------------------------------------------------- keywords


def _one_of(validator: Any, branches: Any, instance: Json, schema: Schema) -> Errors:
    numbers = _candidates(branches, instance)
    if len(numbers) == 1:
        yield from validator.descend(instance, branches[numbers[0]], schema_path=numbers[0])
        return
    fitting = [number for number in numbers if validator.evolve(schema=branches[number]).is_valid(instance)]
    if not fitting:
        yield from _nearest(validator, branches, numbers, instance, "oneOf")
    elif len(fitting) > 1:
        yield ValidationError(f"fits {len(fitting)} branches of oneOf, expected exactly one")


def _any_of(validator: Any, branches: Any, instance: Json, schema: Schema) -> Errors:
    numbers = _candidates(branches, instance)
    if len(numbers) == 1:
        yield from validator.descend(instance, branches[numbers[0]], schema_path=numbers[0])
    elif not any(validator.evolve(schema=branches[number]).is_valid(instance) for number in numbers):
        yield from _nearest(validator, branches, numbers, instance, "anyOf")


def _candidates(branches: Any, instance: Json) -> Sequence[int]:
    return branches.candidates(instance) if isinstance(branches, Branches) else range(len(branches))


def _nearest(validator: Any, branches: Any, numbers: Sequence[int], instance: Json, keyword: str) -> Errors:
    """The errors of the branch that needs the least change."""
    if not numbers:
        yield ValidationError(_untagged(branches, instance))
        return
    found = [
        (number, list(validator.descend(instance, branches[number], schema_path=number)))
        for number in numbers
    ]
    fewest = min(len(errors) for _, errors in found)
    nearest = [errors for _, errors in found if len(errors) == fewest]
    if len(nearest) == 1 and isinstance(branches, Branches) and branches.tag is not None:
        yield from nearest[0]
    else:
        branches_errors = [ValidationError("", context=errors) for _, errors in found]
        yield ValidationError(
            f"fits none of the {len(branches)} branches of {keyword}", context=branches_errors
        )


def _untagged(branches: Branches, instance: dict[str, Json]) -> str:
    known = ", ".join(_short(value) for value in branches.values[:8])
    more = f", ... ({len(branches.values)})" if len(branches.values) > 8 else ""
    if branches.tag not in instance:
        return f'property "{branches.tag}" is missing, expected one of {known}{more}'
    return f'"{branches.tag}" is {_short(instance[branches.tag])}, expected one of {known}{more}'


def _format(validator: Any, name: Json, instance: Json, schema: Schema) -> Errors:
    check = check_of(name) if isinstance(name, str) else None
    if isinstance(instance, str) and check is not None and not check(instance):
        yield ValidationError(f"is no {name}")


def _x_format(validator: Any, name: Json, instance: Json, schema: Schema) -> Errors:
    known = FORMATS.get(name) if isinstance(name, str) else None
    text = shown(instance)
    if known is not None and text is not None and not known.check(text):
        yield ValidationError(f"is no {name}")


def _x_forbidden(validator: Any, phrases: Json, instance: Json, schema: Schema) -> Errors:
    if isinstance(instance, str) and isinstance(phrases, list):
        text = instance.casefold()
        yield from (ValidationError(f"holds {one!r}") for one in phrases if str(one).casefold() in text)


def _x_ascending(validator: Any, name: Json, instance: Json, schema: Schema) -> Errors:
    options = schema["items"]["properties"][name]["enum"]
    if not isinstance(instance, list):
        return
    values = [item.get(name) if isinstance(item, dict) else None for item in instance]
    places = [(number, options.index(value)) for number, value in enumerate(values) if value in options]
    for (_, before), (number, after) in pairwise(places):
        if after < before:
            yield ValidationError(f'item {number}: "{name}" steps back to {_short(options[after])}')


def shown(value: Json) -> str | None:
    """A string or number as it stands in a request; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    return f"{value:.9f}".rstrip("0")


def _keywords(errors: Iterable[ValidationError], apart_from: frozenset[str]) -> frozenset[str]:
    found: set[str] = set()
    for error in errors:
        if error.context and error.validator in ("oneOf", "anyOf"):
            found |= min((_keywords(branch.context, apart_from) for branch in error.context), key=len)
        else:
            found.add(str(error.validator))
    return frozenset(found) - apart_from


# ---------------------------------------------------------------------------------------- messages

_MESSAGES: dict[str, Callable[[Any, Any], str]] = {
    "type": lambda value, found: f"expected {' or '.join([value] if isinstance(value, str) else value)}, found {_kind(found)}",
    "const": lambda value, found: f"expected {_short(value)}",
    "enum": lambda value, found: "expected one of " + ", ".join(_short(option) for option in value[:8]) + (", ..." if len(value) > 8 else ""),
    "minLength": lambda value, found: f"shorter than {value} characters",
    "maxLength": lambda value, found: f"longer than {value} characters",
    "pattern": lambda value, found: f"does not match the pattern {str(value).removeprefix('(?a)')}",
    "minItems": lambda value, found: f"has {len(found)} items, expected at least {value}",
    "maxItems": lambda value, found: f"has {len(found)} items, expected at most {value}",
    "uniqueItems": lambda value, found: "holds an item twice",
    "minProperties": lambda value, found: f"has {len(found)} properties, expected at least {value}",
    "maxProperties": lambda value, found: f"has {len(found)} properties, expected at most {value}",
    "minimum": lambda value, found: f"expected at least {value}",
    "maximum": lambda value, found: f"expected at most {value}",
    "exclusiveMinimum": lambda value, found: f"expected more than {value}",
    "exclusiveMaximum": lambda value, found: f"expected less than {value}",
    "multipleOf": lambda value, found: f"expected a multiple of {value}",
    "not": lambda value, found: "fits a schema that it must not fit",
    "contains": lambda value, found: "holds the wrong number of items that fit contains",
}  # fmt: skip
_WITH_VALUE = frozenset({
    "const", "enum", "format", "x-format", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf",
})  # fmt: skip
_SAFE_MESSAGES = frozenset(
    {"required", "additionalProperties", "dependentRequired", "oneOf", "anyOf", "format", "x-format", "x-forbidden",
     "x-ascending"}
)  # fmt: skip


def _problem(error: ValidationError) -> Problem:
    keyword = str(error.validator)
    make = _MESSAGES.get(keyword)
    if make is not None:
        what = make(error.validator_value, error.instance)
    else:
        what = error.message if keyword in _SAFE_MESSAGES else f'breaks "{keyword}"'
    if keyword in _WITH_VALUE and isinstance(error.instance, _SCALARS):
        secret = isinstance(error.schema, Mapping) and error.schema.get("x-secret")
        what = f"{'the secret value' if secret else _short(error.instance)}: {what}"
    return Problem(what=what, place=f"#{pointer_of(list(error.absolute_path))}")


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _kind(value: Json) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
