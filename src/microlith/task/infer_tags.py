"""Which property of an object tells its shapes apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from microlith.task.infer_values import Seen, is_closed
from microlith.task.plan import Json

SETTLED_SHARE = 0.5
"""A discriminator must settle at least this share of the (value, optional key) pairs."""
ROWS_PER_VALUE = 5
"""Fewer rows per value do not prove that one key's value fixes another's."""

SEVERAL = "\0several"
"""Key of a stand-in for a schema that only branches can give; holds (property, path)."""


@dataclass(kw_only=True)
class Property:
    """One property of an object, as all rows show it."""

    name: str
    seen: list[Seen]
    schemas: Mapping[str, dict[str, Any]]
    """Shape ("scalar", "null", "object", "list") -> schema of all its values of that shape, in whatever branch."""

    @property
    def schema(self) -> dict[str, Any] | None:
        """The schema of all values; None where they are of several shapes, so that only branches can tell them apart."""
        return next(iter(self.schemas.values())) if len(self.schemas) == 1 else None

    def common(self, path: str) -> dict[str, Any]:
        """The schema of all values, or a stand-in that says at `path` that there is none."""
        return self.schema if self.schema is not None else {SEVERAL: (self, dotted(path, self.name))}


def discriminator(
    seen: list[Seen], properties: Mapping[str, Property], beside: Iterable[str] = ()
) -> str | None:
    """The property whose value settles which other keys occur, or what they hold; None where none does it well enough."""
    best: tuple[float, str] | None = None
    for name, entry in properties.items():
        if name in beside or not _may_tell(entry, len(seen)):
            continue
        settled = _settled(seen, name)
        if settled >= SETTLED_SHARE and (best is None or settled > best[0]):
            best = (settled, name)
    if best is not None:
        return best[1]
    fixing = [
        name
        for name, entry in properties.items()
        if name not in beside and _may_tell(entry, len(seen)) and determined(seen, properties, name)
    ]
    return max(fixing, key=lambda name: len(_values(properties[name])), default=None)


def _may_tell(entry: Property, count: int) -> bool:
    values = [item.value for item in entry.seen]
    return (
        len(values) == count
        and all(isinstance(value, str) for value in values)
        and 1 < len(set(values)) <= max(2, count // 2)
        and is_closed(values)
    )


def _settled(seen: list[Seen], tag: str) -> float:
    """Share of (value, optional key) pairs in which the key occurs always or never; 0 where no key is optional."""
    counts: dict[Json, Counter[tuple[str, ...]]] = {}
    sizes: Counter[Json] = Counter()
    for entry in seen:
        value = entry.value[tag]
        sizes[value] += 1
        counts.setdefault(value, Counter()).update(_key_paths(entry.value))
    totals = sum(counts.values(), Counter[tuple[str, ...]]())
    optional = [path for path, count in totals.items() if count < len(seen)]
    if not optional:
        return 0.0
    settled = sum(counts[value][path] in (0, size) for value, size in sizes.items() for path in optional)
    return settled / (len(sizes) * len(optional))


def determined(seen: list[Seen], properties: Mapping[str, Property], tag: str) -> set[str]:
    """Properties of several values of which each value of `tag` allows one."""
    found = set()
    tags = len(_values(properties[tag]))
    for name, entry in properties.items():
        if (
            name == tag
            or not set(entry.schemas) <= {"scalar", "null"}
            or len(entry.seen) < ROWS_PER_VALUE * tags
        ):
            continue
        pairs = {(one.value[tag], repr(one.value[name])) for one in seen if name in one.value}
        held = {value for _, value in pairs}
        if 1 < len(held) < tags and len(pairs) == len({value for value, _ in pairs}) and _is_choice(entry):
            found.add(name)
    return found


def _is_choice(entry: Property) -> bool:
    return "enum" in entry.schemas.get("scalar", {})


def _values(entry: Property) -> set[Json]:
    return {item.value for item in entry.seen}


def among(seen: list[Seen], properties: Mapping[str, Property]) -> dict[str, Property]:
    """The properties with the values that they have in `seen`."""
    found = {}
    for name, entry in properties.items():
        inner = [Seen(value=one.value[name], row=one.row) for one in seen if name in one.value]
        if inner:
            found[name] = replace(entry, seen=inner)
    return found


def _key_paths(answer: Mapping[str, Json]) -> list[tuple[str, ...]]:
    """Keys of an object and of the plain objects in it, each with the shape of its value last."""
    found: list[tuple[str, ...]] = []
    for name, value in answer.items():
        found.append((name, shape_of(value)))
        if isinstance(value, dict):
            found.extend((name, *path) for path in _key_paths(value))
    return found


def object_schema(schemas: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """An object of these properties and no others."""
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": dict(schemas), **needed, "additionalProperties": False}


def key_order(seen: Iterable[Seen]) -> list[str]:
    """All keys, each after the key that it followed when first seen."""
    order: list[str] = []
    for entry in seen:
        at = 0
        for name in entry.value:
            if name in order:
                at = order.index(name) + 1
            else:
                order.insert(at, name)
                at += 1
    return order


def shape_of(value: Json) -> str:
    """ "object", "list", "null" or "scalar"."""
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "list"
    return "null" if value is None else "scalar"


def dotted(path: str, name: str) -> str:
    """The path of property `name` of the object at `path`."""
    return f"{path}.{name}" if path else name


def escaped(name: str) -> str:
    """`name` as a part of a `$ref`."""
    return name.replace("~", "~0").replace("/", "~1").replace("%", "%25")
