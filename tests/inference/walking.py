"""Drives walks through answers without a model: at random."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

from microlith.inference.asks import Ask, DeadEnd, Forced, Pick, Walked, Write
from microlith.inference.grounding import spec_of
from microlith.inference.spelling import Speller
from microlith.task.compile import compile_plan
from microlith.task.plan import Json, Number

SIGNS = 'aB9 ,.:{}[]"\\/\n\tß漢🙂e\u0301'
FAR = 10**6
ODD_REQUESTS = {
    "one letter": "x",
    "a blank": " ",
    "a dot": ".",
    "a quote": '"',
    "one long word": "x" * 20_000,
    "control characters": "open\x00port\x0722\x1b[31m\x7f\x85",
    "emoji": "👩‍👩‍👧‍👦 open 🚪 port 443 🙏🏽",
    "surrogates": "open port \ud83d 80 \udc00",
    "addresses": " ".join(f"10.0.{one // 250}.{one % 250}" for one in range(300)),
    "quotes and backslashes": 'point "a\\b.lan" at C:\\dir\\"x" \\\\srv\\share',
    "json": '{"action": "open", "port": 22, "x": ["a", null]}',
    "metrics": "metrics.allocated_hours: 8\nmetrics.elapsed_hours: 7\nmetrics.progress_ratio: 0.5",
}


class Ended(Exception):
    """A driven walk took more asks than any answer needs."""


def speller_of(schema: dict[str, Any]) -> Speller:
    plan = compile_plan(schema)
    return Speller(plan, spec_of(plan))


def drive(speller: Speller, request: str, rng: Random, most: int = 5000) -> tuple[str, Walked]:
    """The text and the answer of a walk whose every ask is answered at random."""
    walk = speller.walk(request, speller.ground(request))
    said: list[str] = []
    reply: Any = None
    for _ in range(most):
        try:
            ask: Ask = walk.send(reply)
        except StopIteration as stop:
            return "".join(said), stop.value
        pieces, reply = answered(ask, rng)
        said.extend(pieces)
    raise Ended(f"more than {most} asks")


def drive_or_end(speller: Speller, request: str, rng: Random) -> tuple[str, Json] | None:
    """`drive`, or None where the walk came to a dead end, which says why."""
    try:
        text, walked = drive(speller, request, rng)
    except DeadEnd:
        return None
    return text, walked.output


def answered(ask: Ask, rng: Random) -> tuple[tuple[str, ...], Any]:
    if isinstance(ask, Forced):
        return ask.pieces, None
    if isinstance(ask, Pick):
        number = rng.randrange(len(ask.options))
        return ask.options[number].pieces, number
    if ask.number is not None:
        digits = json.dumps(any_number(ask.number, rng))
        return (digits,), digits
    text = any_text(ask, rng)
    return (json.dumps(text, ensure_ascii=False)[1:-1],), text


def any_text(ask: Write, rng: Random) -> str:
    least = int(ask.least)
    length = rng.randint(least, min(int(ask.most), least + 12))
    while True:
        text = "".join(rng.choice(SIGNS) for _ in range(length))
        if not any(phrase in text.casefold() for phrase in ask.forbidden):
            return text


def any_number(number: Number, rng: Random) -> float:
    low = number.minimum if math.isfinite(number.minimum) else min(-FAR, number.maximum - FAR)
    high = number.maximum if math.isfinite(number.maximum) else max(FAR, low + FAR)
    if number.integer:
        return rng.randint(math.ceil(low), math.floor(high))
    value = rng.uniform(low, high)
    return round(value, 6) if low <= round(value, 6) <= high else value
