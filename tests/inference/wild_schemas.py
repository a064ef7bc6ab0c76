"""Schemas drawn at random: every construct that a plan can be made of, in odd combinations."""

from __future__ import annotations

from random import Random
from typing import Any

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")
FORMATS = ("word", "text", "port", "ipv4", "hostname", "integer", "number", "path")
COMPUTED = "tests.inference.wild_schemas:given"


def given(request: str, answer: dict[str, Any]) -> int:
    """A computed value: how long the request is."""
    return len(request)


def wild_schema(rng: Random) -> dict[str, Any]:
    """The schema of a plain object, of branches, or of branches with steps and asking back."""
    kind = rng.random()
    if kind < 0.4:
        return closed(_members(rng, depth=0), rng)
    branches = [_branch(rng, action) for action in ("one", "two", "three")[: rng.randint(2, 3)]]
    if kind < 0.7:
        return {"oneOf": branches}
    return {"oneOf": [*branches, *_special(branches, rng)]}


def closed(properties: dict[str, Any], rng: Random, always: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object of which some properties are required."""
    required = [name for name in properties if name in always or rng.random() < 0.6]
    held = {name: one if name in required else _loose(one) for name, one in properties.items()}
    return {"type": "object", "properties": held, "additionalProperties": False, "required": required}


def _loose(member: dict[str, Any]) -> dict[str, Any]:
    """An object that may be absent requires nothing: of that decoding knows nothing."""
    if member.get("type") != "object":
        return member
    inner = {name: _loose(one) for name, one in member["properties"].items()}
    return {**member, "properties": inner, "required": []}


def _branch(rng: Random, action: str) -> dict[str, Any]:
    members = list({"action": {"const": action}, **_members(rng, depth=0, arrays=False)}.items())
    if rng.random() < 0.3:
        rng.shuffle(members)
    return closed(dict(members), rng, always=("action",))


def _special(branches: list[dict[str, Any]], rng: Random) -> list[dict[str, Any]]:
    steps = {"type": "array", "minItems": 2, "maxItems": 3, "items": {"oneOf": branches}}
    sequence = {**closed({"action": {"const": "several"}, "steps": steps}, rng, ("action", "steps"))}
    outside = closed({"action": {"const": "outside"}}, rng, ("action",))
    return [{**sequence, "x-role": "sequence"}, {**outside, "x-role": "out-of-scope"}]


def _members(rng: Random, *, depth: int, arrays: bool = True) -> dict[str, Any]:
    names = rng.sample(NAMES, rng.randint(0 if depth else 1, 4))
    return {name: _member(rng, depth, arrays=arrays) for name in names}


def _member(rng: Random, depth: int, *, arrays: bool) -> dict[str, Any]:
    kind = rng.random()
    if kind < 0.15 and depth < 2:
        return closed(_members(rng, depth=depth + 1, arrays=False), rng)
    if kind < 0.25 and arrays and depth == 0:
        return _objects(rng)
    if kind < 0.4:
        least = rng.choice([0, 0, 1, 2])
        return {
            "type": "array",
            "items": _scalar(rng),
            "minItems": least,
            "maxItems": least + rng.randint(1, 2),
        }
    if kind < 0.45:
        return {"type": "integer", "x-computed": COMPUTED}
    return {"const": rng.choice(["k", 3, True, 'q"\\'])} if kind < 0.5 else _scalar(rng)


def _objects(rng: Random) -> dict[str, Any]:
    least = rng.choice([0, 1])
    members = {"phase": {"enum": ["x", "y", "z"]}, **_members(rng, depth=2, arrays=False)}
    items = closed(members, rng)
    made = {"type": "array", "items": items, "minItems": least, "maxItems": least + rng.randint(1, 3)}
    return {**made, "x-ascending": "phase"} if rng.random() < 0.5 else made


def _scalar(rng: Random) -> dict[str, Any]:
    return rng.choice(
        [
            {"enum": rng.sample(["red", "green", "re", 1, 12, 2.5, True, False, '漢"\\'], 3)},
            {"type": "boolean"},
            {"type": "integer", "minimum": -3, "maximum": rng.choice([9, 120])},
            {"type": "integer", "minimum": rng.choice([-70_000, 5000]), "maximum": 99_999},
            {"type": "number", "minimum": -1.5, "maximum": rng.choice([-0.25, 2, 1e6])},
            {"type": "integer"},
            {"type": "number", "minimum": 0},
            {"type": "string", "minLength": rng.choice([0, 2]), "maxLength": rng.choice([2, 30])},
            {"type": "string", "maxLength": 40, "x-forbidden": ["AB", "漢"]},
            *({"type": "string", "x-source": "input", "x-format": name} for name in FORMATS),
            {"type": "integer", "x-source": "input", "minimum": 2, "maximum": 500},
            {"type": ["integer", "string"], "x-source": "input", "x-format": "port"},
        ]
    )
