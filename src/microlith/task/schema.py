"""A task's schema: read with places, its local references resolved.

`SchemaDocument` is what a person wrote, with the line of every part. `resolve` gives the same schema without
`$ref`, which is what the compiler and the validator read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from microlith.errors import Problem, SchemaError
from microlith.task.jsontext import MAX_DEPTH, parse_json, pointer_of, read_text

Schema = Mapping[str, Any]

DIALECTS: dict[str, str] = {
    "json-schema.org/draft/2020-12/schema": "2020-12",
    "json-schema.org/draft/2019-09/schema": "2019-09",
    "json-schema.org/draft-07/schema": "7",
    "json-schema.org/draft-06/schema": "6",
    "json-schema.org/draft-04/schema": "4",
}
"""`$schema` without "http://" and a trailing "#" -> dialect. A schema without `$schema` is 2020-12."""

MAX_NODES = 200_000
"""A schema that its references blow up to more subschemas than this is refused."""

_ONE = frozenset({
    "not", "if", "then", "else", "items", "contains", "additionalProperties", "additionalItems", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_MAPS = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"}
)
DEFINITIONS = frozenset({"$defs", "definitions"})
_DROPPED = DEFINITIONS | {"$ref", "$id", "$anchor"}
_BESIDE_REF = frozenset({
    "type", "enum", "const", "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "required", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
})  # fmt: skip
_LOOSE = frozenset(
    {"title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"}
)


@dataclass(frozen=True, kw_only=True)
class SchemaDocument:
    """A schema as a person wrote it."""

    name: str
    """File name for messages, e.g. `schema.json`."""
    value: Schema
    """The parsed schema, references and all."""
    lines: Mapping[str, int]
    """JSON pointer -> line from 1."""

    def line(self, pointer: str) -> int:
        """The line of a pointer, or of its nearest known ancestor."""
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer, 1)

    def place(self, pointer: str) -> str:
        """`file:line` of a pointer."""
        return f"{self.name}:{self.line(pointer)}"

    @property
    def dialect(self) -> str:
        """ "2020-12", "2019-09", "7", "6" or "4"; an unknown `$schema` is given back as it stands."""
        return dialect_of(self.value)


def dialect_of(schema: Schema) -> str:
    """The dialect that `$schema` names; see `DIALECTS`."""
    name = str(schema.get("$schema", "https://json-schema.org/draft/2020-12/schema"))
    return DIALECTS.get(re.sub(r"^https?://|#$", "", name), name)


def parse_schema(text: str, *, name: str = "schema.json") -> SchemaDocument:
    """Read a schema from its text.

    Raises:
        SchemaError: with every syntax error and duplicate key, each with file, line and column.
    """
    parsed = parse_json(text, name=name)
    problems = list(parsed.problems)
    if not problems and not isinstance(parsed.value, dict):
        kind = type(parsed.value).__name__
        problems.append(
            Problem(
                what=f"a schema is one JSON object, found {kind}",
                place=f"{name}:1",
                mend='write {"type": "object", ...}',
            )
        )
    if problems:
        raise SchemaError(f"{name} is not a JSON object that can be read", problems=problems)
    return SchemaDocument(name=name, value=parsed.value, lines=parsed.lines)


def load_schema(path: Path) -> SchemaDocument:
    """Read a schema from a UTF-8 file.

    Raises:
        SchemaError: if the file is missing, not UTF-8 or not JSON; see `parse_schema`.
    """
    return parse_schema(read_text(path, error=SchemaError), name=path.name)


def document_of(schema: Schema, *, name: str = "schema.json") -> SchemaDocument:
    """The document of a schema that was made by a program, with the lines it gets when written with an indent of 2."""
    return parse_schema(json.dumps(schema, indent=2, ensure_ascii=False), name=name)


# ------------------------------------------------------------------------------------------- subschemas


def children(schema: Schema) -> Iterator[tuple[str, tuple[str | int, ...], Any]]:
    """Every direct subschema as (keyword, pointer parts from here, subschema); data such as `enum` is not looked into."""
    for keyword, value in schema.items():
        if keyword in _MAPS and isinstance(value, Mapping):
            for name, child in value.items():
                if isinstance(child, Mapping | bool):
                    yield keyword, (keyword, name), child
        elif keyword in _LISTS and isinstance(value, list):
            for index, child in enumerate(value):
                yield keyword, (keyword, index), child
        elif keyword in _ONE and isinstance(value, Mapping | bool):
            yield keyword, (keyword,), value


def is_object(node: Any, *, inherited: bool = False) -> bool:
    """True when a resolved subschema describes objects, itself or in every branch; `inherited`: its parent says so."""
    if not isinstance(node, Mapping) or "x-computed" in node:
        return False
    declared = node.get("type") == "object" or (inherited and "type" not in node)
    branches = node.get("oneOf") or node.get("anyOf")
    if branches:
        return all(is_object(branch, inherited=declared) for branch in branches)
    return declared or "properties" in node


# ------------------------------------------------------------------------------------------- references


def target_of(root: Schema, reference: str) -> tuple[str, Any]:
    """What a local reference points at: its JSON pointer and value.

    Raises:
        SchemaError: if it is remote or points at nothing.
    """
    own = str(root.get("$id", root.get("id", ""))).rstrip("#")
    local = reference[len(own) :] if own and reference.startswith(own + "#") else reference
    if local in ("", "#") or (own and reference == own):
        return "", root
    if not local.startswith("#"):
        raise SchemaError(
            f"$ref {reference!r} is remote", mend='copy the schema into "$defs" and refer to "#/$defs/..."'
        )
    fragment = unquote(local[1:])
    if not fragment.startswith("/"):
        return _anchored(root, fragment)
    return _pointed(root, fragment, reference)


def _pointed(root: Schema, pointer: str, reference: str) -> tuple[str, Any]:
    node: Any = root
    for part in pointer[1:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping) and name in node:
            node = node[name]
        elif isinstance(node, list) and re.fullmatch(r"0|[1-9]\d*", name) and int(name) < len(node):
            node = node[int(name)]
        else:
            known = sorted(root.get("$defs", root.get("definitions", {})))
            raise SchemaError(
                f"$ref {reference!r} points at nothing",
                mend=f"defined are {', '.join(known[:12]) or 'no $defs'}",
            )
    return pointer, node


def _anchored(root: Schema, anchor: str) -> tuple[str, Any]:
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    while pending:
        parts, node = pending.pop()
        if not isinstance(node, Mapping):
            continue
        if node.get("$anchor") == anchor or "#" + anchor in (node.get("$id"), node.get("id")):
            return pointer_of(parts), node
        pending.extend(((*parts, *inner), child) for _, inner, child in children(node))
    raise SchemaError(f'no "$anchor" is called {anchor!r}', mend='refer to "#/$defs/..."')


def resolve(schema: Schema) -> dict[str, Any]:
    """The schema without `$ref` and definitions; equal parts are shared objects, so nothing may be changed in place.

    Raises:
        SchemaError: with every reference that is remote, points at nothing or leads back to itself, by JSON pointer.
    """
    references = References(schema)
    resolved = references.at("")
    if references.problems:
        raise SchemaError(
            "the schema's references cannot be resolved", problems=list(references.problems.values())
        )
    return dict(resolved)


class References:
    """A schema's references: where they lead, what the schema is with them written out, what is wrong with them."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._ignores_siblings = dialect_of(root) in ("7", "6", "4")
        self._done: dict[str, Any] = {}
        self.problems: dict[str, Problem] = {}
        """Pointer of the schema that holds a bad `$ref` -> what is wrong."""
        self._write("", root, ())
        if _size(self._done.get(""), {}) > MAX_NODES:
            what = f"with its references written out the schema has more than {MAX_NODES} parts"
            self.problems[""] = Problem(what=what, place="#", mend="make it smaller")

    def raw(self, pointer: str) -> Any:
        """The subschema at a pointer as it was written."""
        return _pointed(self._root, pointer, pointer)[1] if pointer else self._root

    def at(self, pointer: str) -> Any:
        """The subschema at a pointer without references; as it was written where nothing leads to it."""
        return self._done[pointer] if pointer in self._done else self.raw(pointer)

    def target(self, pointer: str) -> tuple[str, bool] | None:
        """Where the `$ref` of the schema at `pointer` leads, and whether both are read as one schema; None if nowhere."""
        if pointer in self.problems or pointer not in self._done:
            return None
        place, _ = target_of(self._root, self.raw(pointer)["$ref"])
        both, written = self._done[pointer], self._done.get(place)
        apart = isinstance(both, Mapping) and any(part is written for part in both.get("allOf", ()))
        return place, not apart

    def _write(self, pointer: str, schema: Any, trail: tuple[str, ...]) -> Any:
        """`schema` (which stands at `pointer`) without references; `trail` holds the pointers being written out."""
        if not isinstance(schema, Mapping):
            return schema
        if pointer in self._done:
            return self._done[pointer]
        plain: dict[str, Any] = {key: value for key, value in schema.items() if key not in _DROPPED}
        inside = (*trail, pointer)
        for keyword, parts, child in children(schema):
            if keyword in DEFINITIONS:
                continue
            written = self._write(pointer + pointer_of(parts), child, inside)
            if len(parts) == 1:
                plain[keyword] = written
                continue
            if plain[keyword] is schema[keyword]:
                plain[keyword] = schema[keyword].copy()
            plain[keyword][parts[1]] = written
        reference = schema.get("$ref")
        if isinstance(reference, str):
            plain = self._follow(reference, plain, pointer, inside)
        self._done[pointer] = plain
        return plain

    def _follow(self, reference: str, beside: dict[str, Any], pointer: str, trail: tuple[str, ...]) -> Any:
        try:
            place, target = target_of(self._root, reference)
        except SchemaError as error:
            self._note(pointer, error.problems[0].what, error.problems[0].mend)
            return beside
        if place in trail:
            what = f"$ref {reference!r} leads back to itself; a recursive schema has no end of decisions"
            self._note(pointer, what, "write out as many levels as the task needs")
        elif len(trail) > MAX_DEPTH:
            self._note(pointer, f"references nest deeper than {MAX_DEPTH} levels", "make the schema flatter")
        elif not isinstance(target, Mapping | bool):
            self._note(pointer, f"$ref {reference!r} points at no schema", 'refer to "#/$defs/..."')
        else:
            written = self._write(place, target, trail)
            return written if self._ignores_siblings else joined(written, beside)
        return beside

    def _note(self, pointer: str, what: str, mend: str | None) -> None:
        self.problems[pointer] = Problem(what=what, place=f"#{pointer}/$ref", mend=mend)


def joined(target: Any, beside: dict[str, Any]) -> Any:
    """One schema that means both: merged where no keyword of one changes the meaning of the other, else `allOf`."""
    if not beside:
        return target
    if not isinstance(target, Mapping):
        return {**beside, "allOf": [*beside.get("allOf", ()), target]}
    free = all(
        key in _LOOSE or key.startswith(("x-", "$")) or (key in _BESIDE_REF and key not in target)
        for key in beside
    )
    if free or not target:
        return {**target, **beside}
    return {**beside, "allOf": [*beside.get("allOf", ()), target]}


def _size(node: Any, known: dict[int, int]) -> int:
    """Subschemas in the written-out tree; shared parts count each time but are walked once."""
    if not isinstance(node, Mapping):
        return 1
    if id(node) not in known:
        known[id(node)] = 1 + sum(_size(child, known) for _, _, child in children(node))
    return known[id(node)]
