"""What has changed between the schema that an artifact was made for and the schema of today."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from microlith.task.jsontext import pointer_of
from microlith.task.plan import Json

WORDS_ONLY = frozenset(
    {"title", "description", "$comment", "examples", "default", "deprecated", "$schema", "$id"}
)
"""Keywords that no model reads: they may change."""

_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


def schema_hash(schema: Mapping[str, Any]) -> str:
    """sha256 of what a model reads of a schema; the order of properties and options counts."""
    return hashlib.sha256(
        json.dumps(_bare(schema), ensure_ascii=False).encode("utf-8", "surrogatepass")
    ).hexdigest()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Every difference that a model would notice, as `pointer: what`; empty when there is none."""
    return tuple(f"#{pointer_of(path)}: {what}" for path, what in _differences(_bare(before), _bare(now), ()))


def _bare(node: Any, *, named: bool = False) -> Any:
    """`node` without what no model reads; the keys of a `named` object are names and not keywords."""
    if isinstance(node, Mapping):
        kept = {key: child for key, child in node.items() if named or key not in WORDS_ONLY}
        return {
            key: child
            if not named and key in ("const", "enum")
            else _bare(child, named=not named and key in _NAMED)
            for key, child in kept.items()
        }
    return [_bare(child) for child in node] if isinstance(node, list) else node


def _differences(
    before: Json, now: Json, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(before, dict) and isinstance(now, dict):
        yield from _object_differences(before, now, path)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _differences(old, new, (*path, index))
    elif before != now or type(before) is not type(now):
        yield path, f"was {_short(before)}, is {_short(now)}"


def _object_differences(
    before: dict[str, Json], now: dict[str, Json], path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for key in before:
        if key not in now:
            yield (*path, key), f"was {_short(before[key])}, is gone"
    for key in now:
        if key not in before:
            yield (*path, key), f"is new: {_short(now[key])}"
        else:
            yield from _differences(before[key], now[key], (*path, key))
    shared = [key for key in before if key in now]
    if shared != [key for key in now if key in before] and path and path[-1] in _NAMED:
        yield path, f"the order was {', '.join(shared)}"


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 70 else f"{text[:67]}..."
