"""The shapes that an answer can take, as members in the order in which they are written.

A shape is one variant of the plan, the answer of several steps, or the answer that asks back. Writing an answer means going
through the members of the shapes that are still possible, from left to right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from microlith.task.plan import Group, Json, Plan, Variant

Path = tuple[str, ...]
MemberKind = Literal["tag", "slot", "fixed", "computed", "open", "group", "steps", "missing"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One thing to be written inside an object."""

    kind: MemberKind
    """"open" begins a nested object that may stay empty; the others write a value."""
    path: Path
    """Property names from the shape's object to the value, or to the nested object."""
    key: str = ""
    """Slot key of a tag, slot or computed value; empty for the others."""
    required: bool = True
    value: Json = None
    """Of a tag or a fixed value."""

    @property
    def container(self) -> Path:
        """The object that it is written in."""
        return self.path if self.kind == "open" else self.path[:-1]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One way to write an object."""

    members: tuple[Member, ...]
    variant: Variant | None
    """None for the answer of several steps."""
    asks: bool = False
    """True for the answer that asks for what is missing."""
    needed: frozenset[str] = field(default_factory=frozenset)
    """Slot keys of which an asking answer must lack at least one."""


def shapes_of(plan: Plan, group: Group, *, inside: bool = False) -> tuple[Shape, ...]:
    """The shapes of a group's object.

    Args:
        plan: The task's plan.
        group: One of its groups.
        inside: True for one of several steps, which is no step sequence, does not ask back and is in scope.
    """
    arrays = {other.path for other in plan.groups[1:]} if not group.path else set()
    plain = [
        Shape(members=tuple(_members(group, variant, arrays)), variant=variant)
        for variant in group.variants
        if not (inside and variant.role == "out-of-scope")
    ]
    if group.path or inside:
        return tuple(plain)
    return (*plain, *_several(plan), *_asking(plan))


def _members(group: Group, variant: Variant, arrays: set[Path]) -> Iterator[Member]:
    keys = {group.slots[key].path: key for key in (*variant.tags, *variant.slots, *variant.computed)}
    opened: set[Path] = set()
    objects = set(variant.objects)
    for path in _with_empty_objects(variant):
        for depth in range(1, len(path) + (path in objects)):
            outer = path[:depth]
            if outer in objects and outer not in opened:
                opened.add(outer)
                yield Member(kind="open", path=outer)
        if path not in objects:
            yield _member(group, variant, path, keys.get(path, ""), arrays)


def _with_empty_objects(variant: Variant) -> list[Path]:
    """The paths of all values, and of the required objects that hold none, which end the object that they stand in."""
    held = {path[:depth] for path in variant.order for depth in range(1, len(path))}
    paths = list(variant.order)
    for empty in variant.objects:
        if empty not in held:
            outer = len(empty) - 1
            beside = [number for number, path in enumerate(paths) if path[:outer] == empty[:outer]]
            paths.insert(beside[-1] + 1 if beside else len(paths), empty)
    return paths


def _member(group: Group, variant: Variant, path: Path, key: str, arrays: set[Path]) -> Member:
    if path in arrays:
        return Member(kind="group", path=path)
    if key in variant.tags:
        return Member(kind="tag", path=path, key=key, value=variant.tags[key])
    if key in variant.computed:
        return Member(kind="computed", path=path, key=key)
    if not key:
        return Member(kind="fixed", path=path, value=variant.fixed[path])
    return Member(kind="slot", path=path, key=key, required=key in variant.required)


def _several(plan: Plan) -> Iterator[Shape]:
    if plan.sequence is not None:
        name, value = plan.sequence.tag
        yield Shape(
            members=(
                Member(kind="tag", path=(name,), key="#count", value=value),
                Member(kind="steps", path=(plan.sequence.steps,)),
            ),
            variant=None,
        )


def _asking(plan: Plan) -> Iterator[Shape]:
    """For every variant that can lack something: its values, all optional, then what is missing."""
    clarify, group = plan.clarify, plan.root
    if clarify is None or not group.discriminators:
        return
    outer = group.discriminators[0]
    for variant in group.variants:
        if variant.required and variant.role is None and outer in variant.tags:
            by_path = {group.slots[key].path: key for key in (*variant.tags, *variant.slots) if key != outer}
            given = [
                Member(
                    kind="tag",
                    path=path[:1],
                    key=by_path[path],
                    value=variant.tags[by_path[path]],
                    required=False,
                )
                if by_path[path] in variant.tags
                else Member(kind="slot", path=path[:1], key=by_path[path], required=False)
                for path in variant.order
                if path in by_path
            ]
            yield Shape(
                members=(
                    Member(kind="tag", path=(clarify.tag[0],), key="#asks", value=clarify.tag[1]),
                    Member(kind="tag", path=(clarify.intent,), key=outer, value=variant.tags[outer]),
                    *given,
                    Member(kind="missing", path=(clarify.missing,)),
                ),
                variant=variant, asks=True, needed=frozenset(variant.required),
            )  # fmt: skip
