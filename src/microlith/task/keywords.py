"""What each JSON Schema keyword comes to here: the tables that the linter reads.

A keyword is enforced while decoding where the plan has no way to break it, checked afterwards where the
`jsonschema` library asserts it, and refused otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

Kind = Literal["union", "object", "array", "choice", "span", "number", "text", "computed", "none"]
"""What a subschema asks to be decided; "none" where no decision follows from it."""

OURS = frozenset(
    {
        "x-source",
        "x-format",
        "x-secret",
        "x-role",
        "x-computed",
        "x-out-of-scope",
        "x-forbidden",
        "x-ascending",
    }
)
"""Keywords that Microlith adds to JSON Schema."""

ANNOTATIONS = frozenset(
    {"title", "description", "$comment", "examples", "default", "deprecated", "readOnly", "writeOnly"}
)
"""Keywords that say nothing about which answers are right."""

IDENTIFIERS = frozenset({"$schema", "$id", "id", "$anchor", "$defs", "definitions"})
"""Keywords that name things."""

COMPANIONS = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
"""Keyword -> the keyword without which it means nothing."""

REFUSED = {
    "$dynamicRef": "what it points at depends on who refers to it",
    "$dynamicAnchor": "what it names depends on who refers to it",
    "$recursiveRef": "a recursive schema has no end of decisions",
    "$recursiveAnchor": "a recursive schema has no end of decisions",
    "$vocabulary": "a schema with its own vocabulary is not read",
    "contentEncoding": "what a text encodes is not checked",
    "contentMediaType": "what a text encodes is not checked",
    "contentSchema": "what a text encodes is not checked",
}
"""Keywords of JSON Schema that are never supported, and why."""

MENDS = {
    "nullable": 'leave the property out of "required" where it may be absent',
    "example": 'use "examples"',
    "discriminator": 'branches are told apart by a property with "const" in each',
    "dependencies": 'use "dependentRequired" or "dependentSchemas"',
    "additionalItems": "use an array whose items all have one schema",
    "optional": 'leave the property out of "required"',
    "maxSize": 'use "maxItems" or "maxLength"',
}
"""Keyword that people expect -> what to write instead."""

DECODING: dict[Kind, frozenset[str]] = {
    "union": frozenset(
        {"type", "properties", "required", "additionalProperties", "oneOf", "anyOf", "x-role"}
    ),
    "object": frozenset({"type", "properties", "required", "additionalProperties", "x-role"}),
    "array": frozenset({"type", "items", "minItems", "maxItems", "x-role", "x-secret", "x-ascending"}),
    "choice": frozenset({"type", "const", "enum", "x-out-of-scope", "x-role", "x-secret"}),
    "span": frozenset(
        {"type", "x-source", "x-format", "x-secret", "minLength", "maxLength", "minimum", "maximum"}
    ),
    "number": frozenset({"type", "minimum", "maximum", "x-secret"}),
    "text": frozenset({"type", "minLength", "maxLength", "x-secret", "x-forbidden"}),
    "computed": frozenset({"x-computed", "x-secret"}),
    "none": frozenset(),
}
"""Kind -> keywords that a decoded answer cannot break."""

REASONS = {
    "type": "the plan writes no other type",
    "properties": "only these properties are written",
    "required": "a required property always gets a value",
    "additionalProperties": "only declared properties are written",
    "oneOf": "the branch is a choice",
    "anyOf": "the branch is a choice",
    "items": "every item is decided by this schema",
    "minItems": "the number of items is a decision",
    "maxItems": "the number of items is a decision",
    "const": "forced text",
    "enum": "the value is a choice",
    "x-source": "only slices of the request are candidates",
    "x-format": "only slices of this format are candidates",
    "x-secret": "masked before anything is logged, shown or trained on",
    "x-role": "says what the part is for",
    "x-out-of-scope": "names the value that stands for everything else",
    "x-computed": "a function gives the value",
    "x-forbidden": "a text that would hold such a phrase goes on with other words",
    "x-ascending": "an item takes no earlier option than the item before it",
    "minLength": "values of another length are left out",
    "maxLength": "longer values are left out",
    "minimum": "values out of bounds are left out",
    "maximum": "values out of bounds are left out",
}
"""Keyword -> how decoding enforces it."""

ROLES = frozenset({"sequence", "clarify", "out-of-scope", "intent", "missing"})
"""Values of `x-role`."""

BOUNDS = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minimum", "maximum"),
    ("minContains", "maxContains"),
)
"""Pairs of which the first must not exceed the second."""

TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
"""Names that `type` may hold."""


def _is_schema(value: Any) -> bool:
    return isinstance(value, bool | Mapping)


def _is_count(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value == int(value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_names(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(item, str) for item in value)
        and len(set(value)) == len(value)
    )


def _is_type(value: Any) -> bool:
    return (isinstance(value, str) and value in TYPES) or (
        _is_names(value) and bool(value) and set(value) <= TYPES
    )


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_schema(item) for item in value.values())


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_schema(item) for item in value)


_FORMS: tuple[tuple[str, Callable[[Any], bool], tuple[str, ...]], ...] = (
    ("a text", lambda value: isinstance(value, str), (
        "title", "description", "$comment", "pattern", "format", "$ref", "$id", "id", "$anchor", "$schema",
    )),
    ("a whole number from 0", _is_count, (
        "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains",
    )),
    ("a number", _is_number, ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")),
    ("a number above 0", lambda value: _is_number(value) and value > 0, ("multipleOf",)),
    ("true or false", lambda value: isinstance(value, bool), ("uniqueItems", "deprecated", "readOnly", "writeOnly")),
    ("a list", lambda value: isinstance(value, list), ("enum", "examples")),
    ("a list of different names", _is_names, ("required",)),
    (f"one or more of {', '.join(sorted(TYPES))}", _is_type, ("type",)),
    ("a schema", _is_schema, (
        "not", "if", "then", "else", "contains", "propertyNames", "additionalProperties", "unevaluatedItems",
        "unevaluatedProperties", "additionalItems",
    )),
    ("a schema (a tuple is written with prefixItems)", _is_schema, ("items",)),
    ("an object of schemas", _is_map, ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")),
    ("a list of schemas, at least one", _is_list, ("allOf", "anyOf", "oneOf", "prefixItems")),
    ("an object of lists of names", lambda value: isinstance(value, Mapping) and all(map(_is_names, value.values())), (
        "dependentRequired",
    )),
    ("an object of schemas or lists of names", lambda value: isinstance(value, Mapping) and all(
        _is_schema(item) or _is_names(item) for item in value.values()
    ), ("dependencies",)),
)  # fmt: skip
_FORM_OF = {keyword: (wanted, check) for wanted, check, keywords in _FORMS for keyword in keywords}


def malformed(keyword: str, value: Any, dialect: str) -> str | None:
    """What form was expected of a keyword's value; None where it has it, or the keyword is not known."""
    if keyword == "items" and dialect != "2020-12" and _is_list(value):
        return None
    if keyword in ("exclusiveMinimum", "exclusiveMaximum") and dialect == "4":
        return None if isinstance(value, bool) else "true or false (draft 4)"
    if keyword == "required" and isinstance(value, bool):
        return "a list of names, on the object that holds the property"
    wanted, check = _FORM_OF.get(keyword, ("", lambda _: True))
    return None if check(value) else wanted
