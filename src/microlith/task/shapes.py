"""Whether a decision follows from a subschema as a whole, by where it stands and what it describes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from microlith.task.keywords import BOUNDS, Kind
from microlith.task.plan import Json
from microlith.task.schema import Schema, is_object

_SCALARS = (str, int, float, bool)

Mode = Literal["answer", "check", "unused"]
"""Where a subschema stands: it is decided, it only constrains, or nothing refers to it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A subschema on the walk."""

    pointer: str
    mode: Mode
    path: tuple[str, ...] = ()
    """Property names from the answer to here; [] for items."""
    optional: bool = False
    """True inside an object that may be absent."""
    inherited: bool = False
    """True for a branch whose parent already says that it is an object."""
    within: Literal["", "array", "objects"] = ""
    """"array" for the items of an array, "objects" anywhere below the items of an array of objects."""


def kind_of(node: Any, *, inherited: bool) -> Kind:
    """What a resolved subschema asks to be decided; `inherited`: its parent says that it is an object."""
    if not isinstance(node, Mapping):
        return "none"
    if "x-computed" in node:
        return "computed"
    if is_object(node, inherited=inherited):
        return "union" if node.get("oneOf") or node.get("anyOf") else "object"
    if "const" in node or "enum" in node or node.get("type") == "boolean":
        return "choice"
    return _value_kind(node)


def faults(kind: Kind, node: Schema, place: Place) -> Iterator[tuple[str, str]]:
    """(keyword, reason) for everything that keeps a decision from following."""
    if kind in _SHAPES:
        yield from _SHAPES[kind](node, place)
    for low, high in BOUNDS:
        least, most = node.get(low), node.get(high)
        if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
            yield low, f"{low} {least} is above {high} {most}: nothing fits"


def types_of(node: Schema) -> frozenset[str]:
    """The names in `type`; empty where there is none."""
    types = node.get("type", ())
    return frozenset([types] if isinstance(types, str) else types)


def _value_kind(node: Schema) -> Kind:
    types = types_of(node)
    if types == {"array"}:
        return "array"
    if not types or types & {"object", "array", "null", "boolean"}:
        return "none"
    if "x-source" in node:
        return "span"
    if types == {"string"}:
        return "text"
    return "number" if types <= {"integer", "number"} else "none"


Reasons = Iterator[tuple[str, str]]


def _object_shape(node: Schema, place: Place) -> Reasons:
    names = node.get("properties", {})
    if node.get("type", "object") != "object":
        yield "type", f'is {node["type"]!r} beside "properties" -> make it "object"'
    branches = [*node.get("oneOf", ()), *node.get("anyOf", ())]
    for name in node.get("required", ()):
        if (
            name not in names
            and not place.inherited
            and not all(_declares(branch, name) for branch in branches or [{}])
        ):
            yield (
                "required",
                f'"{name}" is required and not declared in "properties": it could never be written',
            )
    if not names and not branches and not place.inherited:
        yield from _without_properties(node, place)
    if branches and place.optional:
        keyword = "oneOf" if "oneOf" in node else "anyOf"
        yield (
            keyword,
            "branches of an object that may be absent are not planned -> make it required, with a branch for none",
        )
    closed = node.get("additionalProperties") is False
    for branch in branches if closed else ():
        beyond = sorted(_all_names(branch) - set(names))
        if beyond:
            yield (
                "additionalProperties",
                f"false here forbids what the branches declare ({', '.join(beyond[:5])}) -> say it in each branch",
            )


def _without_properties(node: Schema, place: Place) -> Reasons:
    if "patternProperties" in node:
        yield (
            "patternProperties",
            "names by pattern are without end; the plan needs each name declared in properties",
        )
    elif node.get("additionalProperties") is not False:
        yield "properties", "an object with no declared properties is open: nothing says what may be written"
    elif place.optional:
        yield "properties", "an empty object that may be absent is never written -> use a boolean"


def _declares(branch: Any, name: str) -> bool:
    return isinstance(branch, Mapping) and name in _all_names(branch)


def _all_names(branch: Any) -> set[str]:
    if not isinstance(branch, Mapping):
        return set()
    inner = [_all_names(child) for key in ("oneOf", "anyOf") for child in branch.get(key, ())]
    return set(branch.get("properties", {})).union(*inner)


def _array_shape(node: Schema, place: Place) -> Reasons:
    if "prefixItems" in node or isinstance(node.get("items"), list):
        yield "items", "a tuple is not planned -> give an object with a name for each place"
        return
    items = node.get("items")
    if not isinstance(items, Mapping):
        yield "items", "nothing says what an item is"
        return
    if place.within == "array":
        yield "type", "an array inside an array is not planned -> wrap the inner one in an object"
    if place.within == "objects" and is_object(items):
        yield "type", "an array of objects inside an array of objects is not planned"
    counted = not is_object(items) and "enum" in items
    if "maxItems" not in node and not counted:
        yield "maxItems", "an array without maxItems has no end -> say how many items there can be"


def _choice_shape(node: Schema, place: Place) -> Reasons:
    keyword = "const" if "const" in node else "enum"
    options = [node["const"]] if "const" in node else node.get("enum", [True, False])
    if not isinstance(options, list):
        return
    if not options:
        yield keyword, "an empty enum leaves nothing to choose"
    structured = [option for option in options if not isinstance(option, _SCALARS) and option is not None]
    if structured:
        yield keyword, f"a choice is between strings, numbers and booleans, found {structured[0]!r}"
    elif None in options and not (keyword == "const" and not place.optional):
        yield (
            keyword,
            "null cannot be told from an absent value -> leave the property out of required instead",
        )
    elif len(set(options)) < len(options):
        yield keyword, "two options are equal"
    misfits = [option for option in options if not _has_type(option, types_of(node))]
    if misfits:
        yield keyword, f"{misfits[0]!r} is not of the declared type"


def _has_type(value: Json, types: frozenset[str]) -> bool:
    names = {bool: {"boolean"}, str: {"string"}, int: {"integer", "number"}, type(None): {"null"}}
    own = (
        {"number", "integer"}
        if isinstance(value, float) and value.is_integer()
        else names.get(type(value), {"number"})
    )
    return not types or bool(own & types)


def _no_shape(node: Schema, place: Place) -> Reasons:
    types = types_of(node)
    if "null" in types:
        yield (
            "type",
            'null is not planned -> leave the property out of "required", an absent value is then not written',
        )
    elif len(types) > 1:
        yield "type", f"several types ({', '.join(sorted(types))}) leave open what to decide -> choose one"
    elif "oneOf" in node or "anyOf" in node:
        keyword = "oneOf" if "oneOf" in node else "anyOf"
        yield (
            keyword,
            "a choice between schemas is planned for objects only -> give each value a property of its own",
        )
    elif "allOf" in node:
        yield "allOf", "is only checked, it declares nothing -> write its properties out beside it"
    else:
        yield "type", "no type: nothing says what to decide"


_SHAPES: dict[Kind, Callable[[Schema, Place], Reasons]] = {
    "union": _object_shape,
    "object": _object_shape,
    "array": _array_shape,
    "choice": _choice_shape,
    "none": _no_shape,
}
