"""What a set of values is: slices of their inputs, a closed set, numbers, or free text.

Decisions rest on counts only, so the same rows always give the same schema. Where the counts do not settle the matter, the
verdict says so in a doubt that a person reads.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from microlith.errors import DataError
from microlith.task.formats import FORMATS
from microlith.task.plan import Json

MOST_OPTIONS = 400
"""More different values than this are never a closed set."""
MOST_NUMBERS = 20
"""More different numbers than this are a range, not a closed set."""
UNSEEN_SHARE = 0.1
"""A closed set's chance that the next value is new is below this; estimated as values seen once / values (Good-Turing)."""
UNSEEN_SHARE_LABELS = 0.34
"""The same for values that look like labels (`card_arrival`), which few rows may name only once."""
SLICE_SHARE = 0.95
"""From this share on values are taken for slices, the rest for slips in the data."""
ENOUGH = 20
"""Fewer values than this do not prove that a field is always one word or always digits."""
FEW = 5
"""So few different slices, each seen often, may as well be a closed set."""

_LABEL = re.compile(r"[^\s,;!?]{1,48}")
_SECRET = re.compile(
    r"(?:^|[_-])(?:password|passwd|passphrase|passcode|secret|token|pin|api[_-]?key)$", re.IGNORECASE
)
_ATOMIC = ("ipv4", "ipv6", "ip", "cidr", "ip-or-cidr", "mac", "email", "url")
_PROVEN = ("date", "integer", "number")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A value in an answer."""

    value: Json
    row: int
    """Index of its row."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What values of one path are taken for."""

    schema: Mapping[str, Any]
    kind: str
    """"slice", "choice", "constant", "number" or "text"."""
    detail: str
    doubts: tuple[str, ...] = ()


def infer_scalar(seen: Sequence[Seen], inputs: Sequence[str], name: str) -> Verdict:
    """The verdict on the scalar values of one property called `name`.

    Raises:
        DataError: if values of kinds that no decision covers stand side by side.
    """
    values = [entry.value for entry in seen]
    kinds = {_kind(value) for value in values}
    if kinds == {"boolean"}:
        return Verdict(schema={"type": "boolean"}, kind="choice", detail=_balance(values))
    grounded = [stands_in(entry.value, inputs[entry.row]) for entry in seen]
    share = sum(grounded) / len(seen)
    if len(set(map(_key, values))) == 1 and share < 1:
        doubts = () if len(values) >= 5 else (f"only {len(values)} values seen",)
        return Verdict(
            schema={"const": values[0]}, kind="constant", detail=f"always {values[0]!r}", doubts=doubts
        )
    if share == 1:
        return _slices(seen, grounded, kinds, name)
    if is_closed(values):
        return choice(values)
    if share >= SLICE_SHARE:
        return _slices(seen, grounded, kinds, name)
    return _open(seen, inputs, kinds, share, name)


def stands_in(value: Json, text: str) -> bool:
    """True when `value` is a slice of `text` with word borders, in the same case; numbers by their digits."""
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int | float):
        return any(
            _same_number(match.group(), value) for match in re.finditer(r"[+-]?\d+(?:[.,]\d+)?|[.,]\d+", text)
        ) or (
            isinstance(value, int) and any(match.group() == str(value) for match in re.finditer(r"\d+", text))
        )
    if not value or value != value.strip():
        return False
    at = text.find(value)
    while at >= 0:
        if _is_border(text, at, value[0]) and _is_border(text[::-1], len(text) - at - len(value), value[-1]):
            return True
        at = text.find(value, at + 1)
    return False


def _is_border(text: str, at: int, first: str) -> bool:
    """True when a slice that starts at `at` with `first` does not start inside a word (digits may end before a unit)."""
    if at == 0 or not first.isalnum():
        return True
    before = text[at - 1]
    return not before.isalnum() or (before.isdigit() != first.isdigit())


def is_closed(values: Sequence[Json]) -> bool:
    """True when the values look like a closed set that the rows have shown (nearly) whole."""
    counts = Counter(map(_key, values))
    if len(counts) > MOST_OPTIONS or len(values) < 2:
        return False
    unseen = sum(count == 1 for count in counts.values()) / len(values)
    if any(isinstance(value, int | float) for value in values) and len(counts) > MOST_NUMBERS:
        return False
    labels = all(isinstance(value, str) and _LABEL.fullmatch(value) for value in values)
    return unseen <= (UNSEEN_SHARE_LABELS if labels else UNSEEN_SHARE)


def choice(values: Sequence[Json]) -> Verdict:
    """A closed set, in the order of first sight."""
    counts = Counter(map(_key, values))
    options = list({_key(value): value for value in values}.values())
    rare = [option for option in options if counts[_key(option)] == 1]
    doubts = []
    if rare:
        shown = ", ".join(map(str, rare[:5]))
        doubts.append(f"{len(rare)} of {len(options)} values were seen once ({shown}); others may be missing")
    return Verdict(
        schema={"enum": options},
        kind="choice",
        detail=f"{len(options)} different values in {len(values)}",
        doubts=tuple(doubts),
    )


# ---------------------------------------------------------------------------------------------- slices


def _slices(seen: Sequence[Seen], grounded: Sequence[bool], kinds: set[str], name: str) -> Verdict:
    texts = [_text(entry.value) for entry, stands in zip(seen, grounded, strict=True) if stands]
    chosen = (
        "port"
        if kinds == {"integer", "string"} and all(map(FORMATS["port"].check, texts))
        else _format(texts, kinds)
    )
    kinds = {"number"} if kinds == {"integer", "number"} else kinds
    types = sorted(kinds) if len(kinds) > 1 else next(iter(kinds))
    schema: dict[str, Any] = {"type": types, "x-source": "input", "x-format": chosen}
    doubts = []
    different = len(set(texts))
    if different <= FEW and len(texts) >= ENOUGH * different:
        doubts.append(f"only {different} different values in {len(seen)}; an enum would do as well")
    if isinstance(types, str) and types == "integer" and all(int(text) >= 0 for text in texts):
        schema["minimum"] = 0
    if _SECRET.search(name):
        schema |= {
            "x-format": "password" if all(map(FORMATS["password"].check, texts)) else chosen,
            "x-secret": True,
        }
        doubts.append("marked x-secret because of its name")
    astray = [entry for entry, stands in zip(seen, grounded, strict=True) if not stands]
    if astray:
        shown = "a secret value" if schema.get("x-secret") else repr(astray[0].value)
        doubts.append(
            f"{len(astray)} of {len(seen)} are no slice of their input (row {astray[0].row + 1}: {shown})"
        )
        schema = _wide(schema, [_text(entry.value) for entry in astray])
    detail = f"{schema.get('x-format', 'any')}, {different} different in {len(seen)}"
    return Verdict(schema=schema, kind="slice", detail=detail, doubts=tuple(doubts))


def _wide(schema: dict[str, Any], astray: Sequence[str]) -> dict[str, Any]:
    """A format that the values that are no slices satisfy too, so that every row still validates."""
    if all(map(FORMATS[schema["x-format"]].check, astray)):
        return schema
    if all(text.strip() for text in astray):
        return {**schema, "x-format": "text"}
    return {key: value for key, value in schema.items() if key != "x-format"}


def _format(texts: Sequence[str], kinds: set[str]) -> str:
    """The tightest format that all values satisfy and that enough of them prove."""
    if kinds <= {"integer", "number"}:
        return "integer" if kinds == {"integer"} else "number"
    distinct = list(dict.fromkeys(texts))

    def fit(name: str) -> bool:
        return all(map(FORMATS[name].check, distinct))

    tight = next((name for name in _ATOMIC if fit(name)), None)
    if tight is not None:
        return tight
    if len(texts) >= ENOUGH:
        proven = next((name for name in _PROVEN if fit(name)), None)
        if proven is not None:
            return proven
    dotted = sum("." in text for text in distinct) / len(distinct)
    if fit("path"):
        return "path"
    if dotted >= 0.5 and fit("host"):
        return "host" if any(map(FORMATS["ip"].check, distinct)) else "hostname"
    return "word" if len(texts) >= ENOUGH and fit("word") else "text"


# ---------------------------------------------------------------------------------------------- the rest


def _open(seen: Sequence[Seen], inputs: Sequence[str], kinds: set[str], share: float, name: str) -> Verdict:
    values = [entry.value for entry in seen]
    if kinds <= {"integer", "number"}:
        return _number(values, kinds, share)
    if kinds != {"string"}:
        raise DataError(
            f"{name} is {' in some rows and '.join(sorted(kinds))} in others, and no closed set",
            mend="write one kind of value",
        )
    longest = max(len(value) for value in values)
    limit = max(20, math.ceil(longest * 1.5 / 10) * 10)
    doubts = [f"free text (the longest has {longest} characters); an encoder cannot write it"]
    other_case = sum(stands_in(entry.value.casefold(), inputs[entry.row].casefold()) for entry in seen) / len(
        seen
    )
    if share >= 0.5:
        doubts.append(f"{share:.0%} are slices of the input; were all, it would be copied and not written")
    elif other_case >= 0.5:
        doubts.append(
            f"{other_case:.0%} stand in the input in other case; write them as typed to have them copied"
        )
    schema: dict[str, Any] = {"type": "string", "maxLength": limit}
    if _SECRET.search(name):
        schema["x-secret"] = True
        doubts.append("marked x-secret because of its name")
    return Verdict(schema=schema, kind="text", detail=f"up to {limit} characters", doubts=tuple(doubts))


def _number(values: Sequence[Json], kinds: set[str], share: float) -> Verdict:
    low, high = min(values), max(values)
    schema = {"type": "integer" if kinds == {"integer"} else "number", "minimum": low, "maximum": high}
    doubts = ("the bounds are those of these rows",) + (
        (f"{share:.0%} stand in the input",) if share >= 0.5 else ()
    )
    return Verdict(schema=schema, kind="number", detail=f"{low} to {high}", doubts=doubts)


def _kind(value: Json) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return names[type(value)]


def _key(value: Json) -> tuple[str, Json]:
    return (type(value).__name__, value)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _same_number(text: str, value: float) -> bool:
    try:
        return float(text.replace(",", ".")) == value
    except ValueError:
        return False


def _balance(values: Sequence[Json]) -> str:
    yes = sum(value is True for value in values)
    return f"true in {yes}, false in {len(values) - yes}"
