"""Why a keyword is not supported, wherever it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from microlith.task.formats import FORMATS
from microlith.task.keywords import (
    ANNOTATIONS,
    COMPANIONS,
    DECODING,
    IDENTIFIERS,
    MENDS,
    OURS,
    REFUSED,
    ROLES,
    Kind,
)
from microlith.task.pattern import PatternError, translate
from microlith.task.plan import Json
from microlith.task.schema import DIALECTS, Schema, SchemaDocument, dialect_of
from microlith.task.shapes import Place, types_of
from microlith.task.standard import STANDARD, check_of
from microlith.task.validate import CLASSES

_ANY_DIALECT: frozenset[str] = frozenset(name for library in CLASSES.values() for name in library.VALIDATORS)
_ROLE_KINDS: dict[str, tuple[Kind, ...]] = {
    "sequence": ("object", "union"),
    "clarify": ("object", "union"),
    "out-of-scope": ("object", "union"),
    "intent": ("choice",),
    "missing": ("array",),
}


class Refusals:
    """What one document's dialect does not support."""

    def __init__(self, document: SchemaDocument) -> None:
        self._dialect = document.dialect
        library = CLASSES.get(document.dialect, CLASSES["2020-12"])
        own = ANNOTATIONS | IDENTIFIERS | OURS | frozenset(COMPANIONS)
        self._known: frozenset[str] = frozenset(library.VALIDATORS) | own

    def of(self, place: Place, raw: Schema, node: Schema, kind: Kind, keyword: str) -> str | None:
        """Why `keyword` of the schema `raw` (resolved: `node`) is refused at `place`; None where it is supported."""
        value = raw[keyword]
        if keyword in REFUSED:
            return REFUSED[keyword]
        if keyword not in self._known:
            return self._unknown(keyword)
        if keyword in COMPANIONS and COMPANIONS[keyword] not in node:
            return f'means nothing without "{COMPANIONS[keyword]}"'
        if keyword in ("id", "$id", "$schema", "$ref"):
            return self._naming(place, raw, keyword)
        if keyword == "format":
            return _format_refusal(value, node)
        if keyword in ("pattern", "patternProperties"):
            return _pattern_refusal(value)
        return _own_refusal(place, node, kind, keyword, value) if keyword in OURS else None

    def _unknown(self, keyword: str) -> str:
        if keyword in MENDS:
            return f"unknown keyword -> {MENDS[keyword]}"
        close = get_close_matches(keyword, sorted(self._known | _ANY_DIALECT), n=1, cutoff=0.7)
        if not close:
            return "unknown keyword -> remove it, or say it in $comment"
        if close[0] == keyword:
            return f"no keyword of draft {self._dialect} -> name another draft in $schema"
        return f"unknown keyword -> did you mean {close[0]!r}?"

    def _naming(self, place: Place, raw: Schema, keyword: str) -> str | None:
        value = raw[keyword]
        if keyword == "$schema":
            if self._dialect not in DIALECTS.values():
                return f"{value!r} is not read -> use https://json-schema.org/draft/2020-12/schema"
            return None if dialect_of(raw) == self._dialect else "a subschema cannot change the draft"
        if keyword == "$ref":
            beside = sorted(set(raw) - ANNOTATIONS - IDENTIFIERS - {"$ref"})
            ignored = beside and self._dialect in ("7", "6", "4")
            return (
                f"draft {self._dialect} ignores what stands beside $ref: {', '.join(beside)}"
                if ignored
                else None
            )
        if keyword == "id" and self._dialect != "4":
            return self._unknown("id")
        nested = place.pointer and not str(value).startswith("#")
        return "a subschema with its own base address is not read -> remove it" if nested else None


def _own_refusal(place: Place, node: Schema, kind: Kind, keyword: str, value: Json) -> str | None:
    if place.mode == "check":
        return "says nothing inside a schema that is only checked -> put it where the value is declared"
    wrong = _own_form(node, keyword, value)
    if wrong is not None or place.mode == "unused":
        return wrong
    if keyword not in DECODING[kind]:
        wanted = ", ".join(sorted(name for name, keywords in DECODING.items() if keyword in keywords))
        return f"means nothing here ({_KINDS[kind]}); it belongs to {wanted}"
    if keyword == "x-role" and (
        kind not in _ROLE_KINDS[value] or (kind in ("object", "union") and place.path)
    ):
        where = (
            "a branch of the answer" if _ROLE_KINDS[value][0] == "object" else f"a {_ROLE_KINDS[value][0]}"
        )
        return f"the role {value!r} belongs to {where}"
    return None


_KINDS: dict[Kind, str] = {
    "union": "branches", "object": "an object", "array": "an array", "choice": "a choice", "span": "a slice",
    "number": "a number that is not copied", "text": "free text", "computed": "a computed value", "none": "nothing to decide",
}  # fmt: skip


def _own_form(node: Schema, keyword: str, value: Json) -> str | None:
    """What is wrong with the value of one of our own keywords."""
    if keyword == "x-source":
        return None if value == "input" else f'expected "input", found {brief(value)}'
    if keyword == "x-format":
        if "x-source" not in node:
            return 'says which slices fit and means nothing without "x-source": "input"'
        known = isinstance(value, str) and value in FORMATS
        return None if known else f"unknown format {brief(value)}{_meant(value, FORMATS)}"
    if keyword == "x-secret":
        return None if isinstance(value, bool) else f"expected true or false, found {brief(value)}"
    if keyword == "x-role":
        known = isinstance(value, str) and value in ROLES
        return None if known else f"{brief(value)} is no role{_meant(value, ROLES)}"
    if keyword == "x-computed":
        fits = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value)
        return None if fits else f'expected "module:function", found {brief(value)}'
    if keyword == "x-forbidden":
        phrases = isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)
        return None if phrases else f"expected a list of phrases, found {brief(value)}"
    if keyword == "x-ascending":
        items = node.get("items")
        names = items.get("properties") if isinstance(items, Mapping) else None
        held = names.get(value) if isinstance(names, Mapping) and isinstance(value, str) else None
        named = isinstance(held, Mapping) and isinstance(held.get("enum"), list)
        return None if named else f"expected the name of a property with an enum, found {brief(value)}"
    return None if value in node.get("enum", ()) else f"{brief(value)} is not among the values of enum"


def _format_refusal(value: str, node: Schema) -> str | None:
    if check_of(value) is None:
        return f"unknown format {value!r}{_meant(value, {**STANDARD, **FORMATS})}"
    types = types_of(node)
    if types and "string" not in types:
        found = " or ".join(sorted(types))
        return f"a format is asserted of strings only, this is {found} -> use minimum and maximum"
    return None


def _pattern_refusal(value: Json) -> str | None:
    for pattern in value if isinstance(value, Mapping) else [value]:
        try:
            translate(pattern)
        except PatternError as error:
            return f"{pattern!r}: {error}"
    return None


def brief(value: Json) -> str:
    """A value as JSON of at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _meant(value: Json, known: Iterable[str]) -> str:
    close = get_close_matches(str(value), list(known), n=1, cutoff=0.6)
    return f" -> did you mean {close[0]!r}?" if close else f" -> known are {', '.join(sorted(known))}"
