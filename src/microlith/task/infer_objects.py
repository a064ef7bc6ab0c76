"""Reads objects, lists and branches off the answers of all rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from microlith.errors import DataError, Problem
from microlith.task.formats import FORMATS
from microlith.task.infer_roles import (
    PERHAPS_OUT_OF_SCOPE,
    Roles,
    clarify_branch,
    is_out_of_scope,
    roles_of,
    sequence_branch,
)
from microlith.task.infer_tags import (
    SEVERAL,
    Property,
    among,
    determined,
    discriminator,
    dotted,
    escaped,
    key_order,
    object_schema,
    shape_of,
)
from microlith.task.infer_values import Seen, infer_scalar
from microlith.task.plan import Json

FEW_ROWS = 3
"""A branch seen in fewer rows may require too much."""


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """What one path of the answers was taken for."""

    path: str
    """Property names with dots, `[]` for items; "(answer)" for the whole."""
    kind: str
    """"slice", "choice", "constant", "number", "text", "object", "list" or "branches"."""
    detail: str
    given: int
    """Times it was given."""
    possible: int
    """Times it could have been given: objects that it stands in."""
    doubts: tuple[str, ...] = ()
    """What a person should look at."""


Depth = Literal["roles", "branches", "flat"]
"""How much is read into the rows: branches with roles, branches, or one object with optional keys."""


class Inference:
    """Collects what the rows show; `findings` and `problems` grow while a schema is read off them."""

    def __init__(self, inputs: Sequence[str], depth: Depth) -> None:
        self._inputs = inputs
        self._depth = depth
        self.findings: list[Inferred] = []
        self.problems: list[Problem] = []

    # ---------------------------------------------------------------------------------------- objects

    def root(self, seen: list[Seen]) -> dict[str, Any]:
        """The schema of whole answers, without `$schema` and `title`."""
        roles = roles_of(seen) if self._depth == "roles" else None
        if roles is None:
            return self.object(seen, "")
        return self._with_roles(seen, roles)

    def object(self, seen: list[Seen], path: str, *, always: bool = True) -> dict[str, Any]:
        """The schema of objects at `path`; one that is not always given gets no branches."""
        properties = self._properties(seen, path)
        tag = discriminator(seen, properties) if always and self._depth != "flat" else None
        if tag is None:
            return self._closed(seen, properties, path)
        self._note(path, "branches", f"by {tag}", len(seen), len(seen), _thin(seen, tag))
        return {"oneOf": list(self._branches(seen, properties, tag, path, ()).values())}

    def _properties(self, seen: list[Seen], path: str) -> dict[str, Property]:
        found: dict[str, Property] = {}
        for name in key_order(seen):
            inner = [Seen(value=entry.value[name], row=entry.row) for entry in seen if name in entry.value]
            by_shape: dict[str, list[Seen]] = {}
            for item in inner:
                by_shape.setdefault(shape_of(item.value), []).append(item)
            schemas = {
                shape: self._value(items, dotted(path, name), name, len(seen))
                for shape, items in by_shape.items()
            }
            found[name] = Property(name=name, seen=inner, schemas=schemas)
        return found

    def _value(self, seen: list[Seen], path: str, name: str, possible: int) -> dict[str, Any]:
        shape = shape_of(seen[0].value)
        if shape == "object":
            self._note(path, "object", "", len(seen), possible)
            return self.object(seen, path, always=len(seen) == possible)
        if shape == "list":
            return self._list(seen, path, name, possible)
        if shape == "null":
            self._note(path, "constant", "null", len(seen), possible)
            return {"const": None}
        try:
            verdict = infer_scalar(seen, self._inputs, name)
        except DataError as error:
            self.problems += [replace(problem, place=path) for problem in error.problems]
            return {}
        self._note(path, verdict.kind, verdict.detail, len(seen), possible, verdict.doubts)
        return dict(verdict.schema)

    def _list(self, seen: list[Seen], path: str, name: str, possible: int) -> dict[str, Any]:
        lengths = [len(entry.value) for entry in seen]
        items = [Seen(value=item, row=entry.row) for entry in seen for item in entry.value]
        unclear = 0 in lengths and len(seen) < possible
        doubts = ("some lists are empty and some rows leave it out",) if unclear else ()
        self._note(path, "list", f"{min(lengths)} to {max(lengths)} items", len(seen), possible, doubts)
        if not items:
            return {"type": "array", "items": {"type": "string", "x-source": "input"}, "maxItems": 1}
        shapes = {shape_of(item.value) for item in items}
        if len(shapes) > 1 or shapes == {"list"}:
            kinds = f"items of several kinds ({', '.join(sorted(shapes))})"
            what = "lists inside a list" if shapes == {"list"} else kinds
            self.problems.append(
                Problem(what=f"{what}: no decision covers them", place=path, mend="give every item one kind")
            )
            return {}
        inner = self._value(items, f"{path}[]", name, len(items))
        least = {"minItems": min(lengths)} if min(lengths) else {}
        return {"type": "array", "items": inner, **least, "maxItems": max(lengths)}

    def _closed(self, seen: list[Seen], properties: Mapping[str, Property], path: str) -> dict[str, Any]:
        schemas = {name: entry.common(path) for name, entry in properties.items()}
        if path == "":
            _mark_out_of_scope(schemas, self.findings)
        required = [name for name, entry in properties.items() if len(entry.seen) == len(seen)]
        return object_schema(schemas, required)

    # ---------------------------------------------------------------------------------------- branches

    def _branches(
        self, seen: list[Seen], properties: Mapping[str, Property], tag: str, path: str, tags: tuple[str, ...]
    ) -> dict[Json, dict[str, Any]]:
        """Value of `tag` -> schema of the objects that hold it, in the order of first sight."""
        fixed = determined(seen, properties, tag)
        by_value: dict[Json, list[Seen]] = {}
        for entry in seen:
            by_value.setdefault(entry.value[tag], []).append(entry)
        branches = {}
        for value, members in by_value.items():
            branch = self._branch(members, properties, {*tags, tag}, fixed, path)
            if is_out_of_scope(value) and path == "":
                branch = {"type": "object", "x-role": "out-of-scope", **branch}
            branches[value] = branch
        return branches

    def _branch(
        self, seen: list[Seen], properties: Mapping[str, Property], tags: set[str], fixed: set[str], path: str
    ) -> dict[str, Any]:
        present = among(seen, properties)
        inner = None if fixed else discriminator(seen, present, beside=tags)
        if inner is not None:
            return {"oneOf": list(self._branches(seen, present, inner, path, tuple(tags)).values())}
        schemas: dict[str, Any] = {}
        for name, entry in present.items():
            alone = name in tags or name in fixed
            schemas[name] = {"const": entry.seen[0].value} if alone else self._narrowed(entry, path)
        return object_schema(schemas, [name for name in schemas if all(name in one.value for one in seen)])

    def _narrowed(self, entry: Property, path: str) -> dict[str, Any]:
        """The property's common schema, cut down to what its branch shows of it."""
        where = dotted(path, entry.name)
        shapes = {shape_of(item.value) for item in entry.seen}
        if len(shapes) > 1:
            return {SEVERAL: (entry, where)}
        schema = entry.schemas[shapes.pop()]
        if "properties" in schema:
            return self._narrowed_object(entry, schema, where)
        if schema.get("x-format") == "ip":
            texts = [item.value for item in entry.seen]
            tight = next((name for name in ("ipv4", "ipv6") if all(map(FORMATS[name].check, texts))), "ip")
            return {**schema, "x-format": tight}
        return schema

    def _narrowed_object(self, entry: Property, schema: Mapping[str, Any], path: str) -> dict[str, Any]:
        schemas: dict[str, Any] = {}
        for name, inner in schema["properties"].items():
            seen = [Seen(value=one.value[name], row=one.row) for one in entry.seen if name in one.value]
            if seen:
                known = inner[SEVERAL][0].schemas if SEVERAL in inner else {shape_of(seen[0].value): inner}
                schemas[name] = self._narrowed(Property(name=name, seen=seen, schemas=known), path)
        return object_schema(
            schemas, [name for name in schemas if all(name in one.value for one in entry.seen)]
        )

    def settle(self, schema: Any) -> None:
        """Note every place where values of several shapes stand and no branch tells them apart."""
        if isinstance(schema, list):
            for item in schema:
                self.settle(item)
        elif isinstance(schema, dict) and SEVERAL in schema:
            self.problems.append(_mixed(*schema[SEVERAL]))
        elif isinstance(schema, dict):
            for item in schema.values():
                self.settle(item)

    # ---------------------------------------------------------------------------------------- roles

    def _with_roles(self, seen: list[Seen], roles: Roles) -> dict[str, Any]:
        asking = [one for one in seen if roles.is_clarify(one.value)]
        several = [one for one in seen if roles.is_sequence(one.value)]
        plain = [one for one in seen if not roles.is_clarify(one.value) and not roles.is_sequence(one.value)]
        steps = [Seen(value=step, row=one.row) for one in several for step in one.value[roles.steps]]
        apart = (roles.intent, roles.missing)
        given = [
            replace(one, value={key: value for key, value in one.value.items() if key not in apart})
            for one in asking
        ]
        properties = self._properties(plain + steps + given, "")
        self._note("", "branches", f"by {roles.tag}", len(seen), len(seen), _thin(seen, roles.tag))
        branches = self._branches(plain + steps, among(plain + steps, properties), roles.tag, "", ())
        definitions = {str(value): branch for value, branch in branches.items()}
        if several:
            used = {step.value[roles.tag] for step in steps}
            counts = [len(one.value[roles.steps]) for one in several]
            self._note(roles.steps, "list", f"{min(counts)} to {max(counts)} steps", len(counts), len(counts))
            definitions[str(roles.sequence)] = sequence_branch(
                roles, [_reference(value) for value in branches if value in used], counts
            )
        if asking:
            self._note(roles.missing, "list", "names of missing values", len(asking), len(asking))
            definitions[str(roles.clarify)] = clarify_branch(roles, list(branches), properties, asking)
        return {"oneOf": [_reference(name) for name in definitions], "$defs": definitions}

    def _note(
        self, path: str, kind: str, detail: str, given: int, possible: int, doubts: Sequence[str] = ()
    ) -> None:
        self.findings.append(
            Inferred(
                path=path or "(answer)",
                kind=kind,
                detail=detail,
                given=given,
                possible=possible,
                doubts=tuple(doubts),
            )
        )


_NAMES = {"object": "an object", "list": "a list", "null": "null", "scalar": "a single value"}


def _mixed(entry: Property, path: str) -> Problem:
    shapes = Counter(shape_of(item.value) for item in entry.seen)
    shown = " and ".join(f"{_NAMES[shape]} in {count}" for shape, count in sorted(shapes.items()))
    rare = min(sorted(shapes), key=lambda shape: shapes[shape])
    first = next(item.row for item in entry.seen if shape_of(item.value) == rare)
    mend = "leave the key out where there is no value" if "null" in shapes else "write one kind of value"
    return Problem(what=f"{shown} rows (e.g. row {first + 1})", place=path, mend=mend)


def _reference(name: Json) -> dict[str, str]:
    return {"$ref": f"#/$defs/{escaped(str(name))}"}


def _thin(seen: list[Seen], tag: str) -> tuple[str, ...]:
    counts = Counter(entry.value[tag] for entry in seen)
    rare = [str(value) for value, count in counts.items() if count < FEW_ROWS]
    if not rare:
        return ()
    return (
        f"{len(rare)} of {len(counts)} branches rest on fewer than {FEW_ROWS} rows ({', '.join(rare[:5])})",
    )


def _mark_out_of_scope(schemas: dict[str, Any], findings: list[Inferred]) -> None:
    """Name the value that stands for everything else, on the answer's own choices."""
    for name, schema in schemas.items():
        options = schema.get("enum", ())
        outside = [value for value in options if is_out_of_scope(value)]
        if not outside and len(schemas) == 1 and len(options) > 2:
            outside = [value for value in options if is_out_of_scope(value, PERHAPS_OUT_OF_SCOPE)]
        if len(outside) == 1:
            schemas[name] = {**schema, "x-out-of-scope": outside[0]}
            doubt = f"{outside[0]!r} taken for everything else"
            findings[:] = [
                replace(found, doubts=(*found.doubts, doubt)) if found.path == name else found
                for found in findings
            ]
