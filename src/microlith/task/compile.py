"""From a JSON Schema to its decision plan.

The schema is first flattened into *shapes*: every combination of `oneOf` branches of one object, as a list of
leaves with their paths. Constants that differ between shapes become discriminators; every other leaf becomes a
slot; equal slots of several shapes are merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from microlith.errors import Problem, SchemaError
from microlith.task.formats import FORMATS
from microlith.task.plan import (
    Choice,
    Clarify,
    Computed,
    Decision,
    Group,
    Json,
    Number,
    Plan,
    Role,
    Slot,
    Span,
    Text,
    Variant,
)
from microlith.task.plan import Sequence as StepSequence
from microlith.task.schema import resolve

Path = tuple[str, ...]
MAX_VARIANTS = 512
"""More combinations of `oneOf` branches than this in one object are refused."""


@dataclass(frozen=True, kw_only=True)
class _Leaf:
    path: Path
    schema: Mapping[str, Any]
    required: bool


@dataclass(kw_only=True)
class _Shape:
    leaves: list[_Leaf] = field(default_factory=list)
    objects: list[Path] = field(default_factory=list)
    role: Role | None = None

    def consts(self) -> dict[Path, Json]:
        return {leaf.path: _const(leaf.schema) for leaf in self.leaves if _is_const(leaf.schema)}


def compile_plan(schema: Mapping[str, Any]) -> Plan:
    """Compile a schema (JSON Schema 2020-12 with `x-source`, `x-secret`, `x-computed`, `x-role`) into its plan.

    Args:
        schema: The parsed schema; its root describes one object.

    Raises:
        SchemaError: with every reason why no plan can be made.
    """
    root = resolve(schema)
    if not _is_object(root):
        raise SchemaError(
            "the answer must be one object", place="#", mend='set "type": "object" or use "oneOf"'
        )
    shapes = list(_shapes(root, (), required=True))
    plain = [shape for shape in shapes if shape.role in (None, "out-of-scope")]
    if not plain:
        raise SchemaError("every branch has an x-role; nothing is left to decide", place="#")
    sequence = _sequence(shapes)
    groups = [_group((), plain, counts=(1, sequence.max_count if sequence else 1))]
    groups += _array_groups(plain)
    return Plan(schema=schema, groups=tuple(groups), sequence=sequence, clarify=_clarify(shapes))


# ---------------------------------------------------------------------------------------------- shapes


def _shapes(node: Mapping[str, Any], path: Path, *, required: bool) -> Iterator[_Shape]:
    branches = node.get("oneOf") or node.get("anyOf")
    if branches:
        shared = {key: value for key, value in node.items() if key not in ("oneOf", "anyOf")}
        for branch in branches:
            yield from _shapes(_merge(shared, branch), path, required=required)
        return
    needed = set(node.get("required", ()))
    parts: list[list[_Shape]] = []
    for name, child in node.get("properties", {}).items():
        inner, is_needed = (*path, name), required and name in needed
        if _is_object(child):
            options = list(_shapes(child, inner, required=is_needed))
            if is_needed:
                options = [replace(option, objects=[inner, *option.objects]) for option in options]
            parts.append(options)
        else:
            parts.append([_Shape(leaves=[_Leaf(path=inner, schema=child, required=is_needed)])])
    count = 1
    for part in parts:
        count *= len(part)
    if count > MAX_VARIANTS:
        raise SchemaError(
            f"the branches of this object combine to {count} shapes, at most {MAX_VARIANTS} are planned",
            place="#/" + "/".join(path),
            mend="split the task, or move the choices into enums",
        )
    role = node.get("x-role")
    for combination in product(*parts):
        yield _Shape(
            leaves=[leaf for shape in combination for leaf in shape.leaves],
            objects=[inner for shape in combination for inner in shape.objects],
            role=role if not path else None,
        )


def _merge(outer: Mapping[str, Any], branch: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**outer, **branch}
    merged["properties"] = {**outer.get("properties", {}), **branch.get("properties", {})}
    merged["required"] = [*outer.get("required", ()), *branch.get("required", ())]
    return merged


def _is_object(node: Mapping[str, Any]) -> bool:
    if "x-computed" in node:
        return False
    branches = node.get("oneOf") or node.get("anyOf")
    if branches:
        return all(
            _is_object({**branch, "type": branch.get("type", node.get("type"))}) for branch in branches
        )
    return node.get("type") == "object" or "properties" in node


def _is_const(node: Mapping[str, Any]) -> bool:
    return "const" in node or len(node.get("enum", ())) == 1


def _const(node: Mapping[str, Any]) -> Json:
    return node["const"] if "const" in node else node["enum"][0]


# ---------------------------------------------------------------------------------------------- groups


def _group(path: Path, shapes: Sequence[_Shape], *, counts: tuple[int, int]) -> Group:
    tags = _tags(shapes, path)
    slots: dict[str, Slot] = {}
    choices: dict[Path, list[Json]] = {}
    outside: Json = None
    for shape, tagged in zip(shapes, tags, strict=True):
        for where in tagged:
            value = shape.consts()[where]
            if value not in choices.setdefault(where, []):
                choices[where].append(value)
            if shape.role == "out-of-scope":
                outside = value
    for position, (where, options) in enumerate(choices.items()):
        decision = Choice(options=tuple(options), out_of_scope=outside if position == 0 else None)
        slots[".".join(where)] = Slot(key=".".join(where), path=where, decision=decision)
    variants = tuple(_variant(shape, tagged, slots) for shape, tagged in zip(shapes, tags, strict=True))
    return Group(
        path=path,
        min_count=counts[0],
        max_count=counts[1],
        slots=slots,
        variants=variants,
        discriminators=tuple(".".join(where) for where in choices),
    )


def _tags(shapes: Sequence[_Shape], place: Path) -> list[tuple[Path, ...]]:
    """For every shape the constants that tell it from the others, outermost first."""
    chosen: list[tuple[Path, ...]] = [() for _ in shapes]
    pending = [list(range(len(shapes)))]
    while pending:
        members = pending.pop()
        if len(members) < 2:
            continue
        parts, where = _partition(shapes, members, place)
        for part in parts:
            for member in part:
                chosen[member] = (*chosen[member], where)
        pending.extend(parts)
    return chosen


def _partition(shapes: Sequence[_Shape], members: list[int], place: Path) -> tuple[list[list[int]], Path]:
    common = [set(shapes[member].consts()) for member in members]
    for where in shapes[members[0]].consts():
        if not all(where in paths for paths in common):
            continue
        parts: dict[str, list[int]] = {}
        for member in members:
            parts.setdefault(repr(shapes[member].consts()[where]), []).append(member)
        if len(parts) > 1:
            return list(parts.values()), where
    raise SchemaError(
        f"{len(members)} branches cannot be told apart: no constant differs between all of them",
        place="#/" + "/".join(place),
        mend='give each branch a property such as "action": {"const": "..."} of its own',
    )


def _variant(shape: _Shape, tagged: tuple[Path, ...], slots: dict[str, Slot]) -> Variant:
    consts = shape.consts()
    required: list[str] = []
    optional: list[str] = []
    computed: list[str] = []
    for leaf in shape.leaves:
        forced = leaf.path in consts and (leaf.required or leaf.path in tagged)
        if forced or _is_object_array(leaf.schema):
            continue
        slot = _intern(_slot(leaf), slots)
        (computed if slot.kind == "computed" else required if leaf.required else optional).append(slot.key)
    return Variant(
        tags={".".join(where): consts[where] for where in tagged},
        required=tuple(required),
        optional=tuple(optional),
        computed=tuple(computed),
        fixed={
            leaf.path: consts[leaf.path]
            for leaf in shape.leaves
            if leaf.path in consts and leaf.path not in tagged and leaf.required
        },
        order=tuple(leaf.path for leaf in shape.leaves),
        objects=tuple(shape.objects),
        role=shape.role,
    )


def _intern(slot: Slot, slots: dict[str, Slot]) -> Slot:
    """The slot already known under this key if it is the same decision, else `slot` under a free key."""
    key, count = slot.key, 1
    while key in slots and slots[key] != replace(slot, key=key):
        count += 1
        key = f"{slot.key}#{count}"
    slots[key] = replace(slot, key=key)
    return slots[key]


def _slot(leaf: _Leaf) -> Slot:
    schema, many = leaf.schema, leaf.schema.get("type") == "array"
    item = schema["items"] if many else schema
    decision = _decision(
        {**item, "x-computed": schema["x-computed"]} if "x-computed" in schema else item, leaf.path
    )
    key = ".".join(leaf.path)
    if isinstance(decision, Span):
        key = f"{key}:{decision.format}"
    return Slot(
        key=key,
        path=leaf.path,
        decision=decision,
        max_items=schema.get("maxItems", len(item.get("enum", ())) or None) if many else None,
        min_items=schema.get("minItems", 0) if many else 0,
        secret=bool(schema.get("x-secret") or item.get("x-secret")),
    )


def _decision(schema: Mapping[str, Any], path: Path) -> Decision:
    if "x-computed" in schema:
        return Computed(function=schema["x-computed"])
    if "const" in schema:
        return Choice(options=(schema["const"],))
    if "enum" in schema:
        return Choice(options=tuple(schema["enum"]), out_of_scope=schema.get("x-out-of-scope"))
    types = _types(schema)
    if schema.get("x-source") == "input":
        return Span(format=_format(schema, types), types=types, constraints=_constraints(schema))
    if types == {"boolean"}:
        return Choice(options=(True, False))
    if types & {"integer", "number"}:
        return Number(
            integer="number" not in types,
            minimum=schema.get("minimum", schema.get("exclusiveMinimum", float("-inf"))),
            maximum=schema.get("maximum", schema.get("exclusiveMaximum", float("inf"))),
        )
    if types == {"string"}:
        return Text(
            max_length=schema.get("maxLength", 2000),
            min_length=schema.get("minLength", 0),
            forbidden=tuple(phrase.casefold() for phrase in schema.get("x-forbidden", ())),
        )
    raise SchemaError(
        f"no decision can be made of type {schema.get('type')!r}",
        place="#/" + "/".join(path),
        mend='give it a "type" of string, integer, number, boolean, or an "enum"',
    )


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    types = schema.get("type", "string")
    return frozenset([types] if isinstance(types, str) else types) - {"null"}


def _format(schema: Mapping[str, Any], types: frozenset[str]) -> str:
    name = schema.get("x-format") or schema.get("format")
    if name in FORMATS:
        return str(name)
    return "text" if "string" in types else "integer" if types == {"integer"} else "number"


def _constraints(schema: Mapping[str, Any]) -> dict[str, Json]:
    kept = (
        "minLength",
        "maxLength",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
    )
    return {name: schema[name] for name in kept if name in schema}


# ------------------------------------------------------------------------------- arrays and special branches


def _is_object_array(schema: Mapping[str, Any]) -> bool:
    return (
        schema.get("type") == "array"
        and isinstance(schema.get("items"), Mapping)
        and _is_object(schema["items"])
    )


def _array_groups(shapes: Sequence[_Shape]) -> Iterator[Group]:
    seen: dict[Path, Mapping[str, Any]] = {}
    for shape in shapes:
        for leaf in shape.leaves:
            if _is_object_array(leaf.schema) and seen.setdefault(leaf.path, leaf.schema) != leaf.schema:
                raise SchemaError(
                    "two branches give this array different items",
                    place="#/" + "/".join(leaf.path),
                    mend="give the arrays different names, or one definition",
                )
    for path, schema in seen.items():
        inner = list(_shapes(schema["items"], (), required=True))
        nested = [leaf.path for shape in inner for leaf in shape.leaves if _is_object_array(leaf.schema)]
        if nested:
            raise SchemaError(
                "an array of objects inside an array of objects is not planned", place="#/" + "/".join(path)
            )
        group = _group(path, inner, counts=(schema.get("minItems", 0), schema["maxItems"]))
        yield _ascending(group, schema["x-ascending"]) if "x-ascending" in schema else group


def _ascending(group: Group, name: str) -> Group:
    """The same array of objects, whose property `name` never steps back from item to item."""
    slots = dict(group.slots)
    for key, slot in slots.items():
        if slot.path == (name,) and isinstance(slot.decision, Choice):
            slots[key] = replace(slot, decision=replace(slot.decision, ascending=True))
    return replace(group, slots=slots)


def _sequence(shapes: Sequence[_Shape]) -> StepSequence | None:
    for shape in shapes:
        if shape.role == "sequence":
            arrays = [leaf for leaf in shape.leaves if _is_object_array(leaf.schema)]
            if len(arrays) != 1 or len(arrays[0].path) != 1:
                raise SchemaError(
                    'a branch with "x-role": "sequence" needs exactly one array of objects', place="#"
                )
            schema = arrays[0].schema
            return StepSequence(
                tag=_tag(shape),
                steps=arrays[0].path[0],
                min_count=schema.get("minItems", 2),
                max_count=schema["maxItems"],
            )
    return None


def _clarify(shapes: Sequence[_Shape]) -> Clarify | None:
    for shape in shapes:
        if shape.role == "clarify":
            roles = {leaf.schema["x-role"]: leaf.path[0] for leaf in shape.leaves if "x-role" in leaf.schema}
            absent = [role for role in ("intent", "missing") if role not in roles]
            if absent:
                raise SchemaError(
                    'a branch with "x-role": "clarify" lacks ' + " and ".join(absent),
                    problems=[
                        Problem(what=f'no property has "x-role": "{role}"', place="#", mend="mark one")
                        for role in absent
                    ],
                )
            return Clarify(tag=_tag(shape), intent=roles["intent"], missing=roles["missing"])
    return None


def _tag(shape: _Shape) -> tuple[str, Json]:
    for path, value in shape.consts().items():
        return path[0], value
    raise SchemaError(f'the branch with "x-role": "{shape.role}" has no constant to be known by', place="#")
