"""The decision plan: the few decisions that a task's schema leaves open.

A plan is made from a schema once (`microlith.task.compile.compile_plan`) and read by every other part.
Its vocabulary:

- a **slot** is one decision of one object: its kind, its place in the object, the values it may take.
  Slots of the same path and format in several `oneOf` branches are one slot, so they share one head.
- a **variant** is one fully resolved shape of an object: the discriminator values that select it and
  the slots it holds. A plain object has exactly one variant.
- a **group** is an object that occurs `min_count` to `max_count` times: the answer itself (once, or
  once a step where the schema has a branch with `"x-role": "sequence"`), or an array of objects.
- a **reading** is an answer in these terms: for every group a list of steps, each a mapping from slot
  key to value, with `None` for "absent". `read` and `write` (microlith.task.reading) turn an answer into its
  reading and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Json = Any
"""A JSON value as the standard library parses it."""

Role = Literal["sequence", "clarify", "out-of-scope"]
SlotKind = Literal["choice", "span", "number", "text", "computed"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a closed set of JSON scalars (`const`, `enum`, boolean, discriminator)."""

    options: tuple[Json, ...]
    out_of_scope: Json = None
    """The option that says "not for this task" (`x-role: out-of-scope`, `x-out-of-scope`); None for none."""
    ascending: bool = False
    """True where no item of the array may take an earlier option than the item before it (`x-ascending`)."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """A slice of the request that satisfies `format`."""

    format: str
    """A name of `microlith.task.formats.FORMATS`; "text" is any run of whole words."""
    types: frozenset[str]
    """JSON types the value may take: "string", "integer", "number". Digits become a number where both fit."""
    constraints: Mapping[str, Json]
    """The property's schema, for what the format does not say (length, pattern, bounds)."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number that is not in the request."""

    integer: bool
    minimum: float
    maximum: float


@dataclass(frozen=True, kw_only=True)
class Text:
    """Free text of `min_length` to `max_length` characters."""

    max_length: int
    min_length: int = 0
    forbidden: tuple[str, ...] = ()
    """Lower-case phrases that may not be written, in whatever case (`x-forbidden`)."""


@dataclass(frozen=True, kw_only=True)
class Computed:
    """A value that a function of the request and the rest of the answer gives."""

    function: str
    """`module:function`, called as `function(request, answer)`."""


Decision = Choice | Span | Number | Text | Computed


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One decision of one object."""

    key: str
    """Unique in its group, e.g. `zone:hostname`, `access`, `slots.artist:text`."""
    path: tuple[str, ...]
    """Property names from the group's object down to the value."""
    decision: Decision
    max_items: int | None = None
    """None for a single value; for an array of scalars the most it may hold."""
    min_items: int = 0
    secret: bool = False
    """True for `x-secret`: masked before anything is logged, shown or trained on."""

    @cached_property
    def kind(self) -> SlotKind:
        """The decision's kind in one lower-case word."""
        names: dict[type, SlotKind] = {
            Choice: "choice", Span: "span", Number: "number", Text: "text", Computed: "computed",
        }  # fmt: skip
        return names[type(self.decision)]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One resolved shape of a group's object."""

    tags: Mapping[str, Json]
    """Discriminator slot key -> the value that selects this variant; empty for a plain object."""
    required: tuple[str, ...]
    """Keys of the slots that must have a value."""
    optional: tuple[str, ...]
    """Keys of the slots that may be absent (each guarded by a Presence decision)."""
    computed: tuple[str, ...]
    """Keys of the slots that a function fills; they are no decision."""
    fixed: Mapping[tuple[str, ...], Json]
    """Path -> value for every `const` that is not a discriminator: forced text."""
    order: tuple[tuple[str, ...], ...]
    """Paths of all values in the order in which the schema names them."""
    objects: tuple[tuple[str, ...], ...] = ()
    """Paths of nested objects that are required, written even when empty."""
    role: Role | None = None
    """"out-of-scope" where the schema marks the branch so; the other roles never reach a variant."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Keys of all slots to be decided, the required ones first."""
        return self.required + self.optional


@dataclass(frozen=True, kw_only=True)
class Group:
    """An object that occurs `min_count` to `max_count` times."""

    path: tuple[str, ...]
    """Empty for the answer itself, else the path of the array in the answer."""
    min_count: int
    max_count: int
    slots: Mapping[str, Slot]
    variants: tuple[Variant, ...]
    discriminators: tuple[str, ...]
    """Slot keys that tell variants apart, outermost first; empty for a plain object."""


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """The branch that holds several steps: where its tag and its array stand."""

    tag: tuple[str, Json]
    """Discriminator property and its value, e.g. ("action", "sequence")."""
    steps: str
    """The array property."""
    min_count: int
    max_count: int


@dataclass(frozen=True, kw_only=True)
class Clarify:
    """The branch that names what is missing. It is never learnt: it follows from absent required spans."""

    tag: tuple[str, Json]
    """Discriminator property and its value, e.g. ("action", "clarify")."""
    intent: str
    """Property that holds the outer discriminator's value of the wanted action."""
    missing: str
    """Property that holds the list of missing required properties."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a model has to decide to answer a task."""

    schema: Mapping[str, Json]
    groups: tuple[Group, ...]
    """The answer's own group first, then arrays of objects in schema order."""
    sequence: Sequence | None = None
    clarify: Clarify | None = None

    @property
    def root(self) -> Group:
        """The group of the answer itself."""
        return self.groups[0]

    @property
    def decisions(self) -> tuple[tuple[str, str, str], ...]:
        """Rows (path, kind, detail) for people: every Choice, Presence, Span, Count, Number, Text and Computed."""
        rows: list[tuple[str, str, str]] = []
        for group in self.groups:
            prefix = ".".join(group.path)
            if group.max_count > group.min_count:
                rows.append((prefix or "(answer)", "Count", f"{group.min_count}-{group.max_count}"))
            optional = {key for variant in group.variants for key in variant.optional}
            for slot in group.slots.values():
                path = ".".join((*group.path, *slot.path))
                if slot.key in optional and slot.max_items is None:
                    rows.append((path, "Presence", "given or absent"))
                if slot.max_items is not None:
                    rows.append((path, "Count", f"{slot.min_items}-{slot.max_items}"))
                rows.append((path, slot.kind.capitalize(), _detail(slot.decision)))
        return tuple(rows)

    @property
    def writes_text(self) -> bool:
        """Does an answer hold free text, so that no two right answers need be equal?"""
        return any(slot.kind == "text" for group in self.groups for slot in group.slots.values())

    def beyond_encoder(self) -> tuple[str, ...]:
        """Paths of decisions that an encoder cannot make (Text, Number); empty when it can make all."""
        return tuple(
            ".".join((*group.path, *slot.path))
            for group in self.groups
            for slot in group.slots.values()
            if slot.kind in ("text", "number")
        )


Reading = dict[tuple[str, ...], list[dict[str, Json]]]
"""Group path -> steps; each step maps slot key -> value, None for absent. Keys of other variants are left out.

A slot with `max_items` holds a list (empty for none)."""


def _detail(decision: Decision) -> str:
    match decision:
        case Choice(options=options):
            shown = ", ".join(str(option) for option in options[:6])
            return shown if len(options) <= 6 else f"{shown}, ... ({len(options)})"
        case Span(format=name, types=types):
            return f"{name} ({'/'.join(sorted(types))})"
        case Number(integer=integer, minimum=low, maximum=high):
            return f"{'integer' if integer else 'number'} {low:g}..{high:g}"
        case Text(max_length=length):
            return f"up to {length} characters"
        case Computed(function=function):
            return function
