"""Answers drawn at random from a plan: what a model that knows nothing could write.

Used to prove that whatever the plan's decisions are, no keyword that decoding enforces is broken.
"""

from __future__ import annotations

import math
from random import Random

from microlith.task.plan import Choice, Decision, Group, Json, Number, Plan, Reading, Slot, Span, Text
from microlith.task.reading import write

SAMPLES: dict[str, tuple[str, ...]] = {
    "text": ("the big grey box", "north", "x"),
    "word": ("blue-7", "a"),
    "username": ("jo.smith", "amy"),
    "password": ("Tr4in!track", "open sesame"),
    "name": ("Sales Team", "ops"),
    "ipv4": ("192.0.2.17", "10.0.0.1"),
    "ipv6": ("2001:db8::7", "::1"),
    "ip": ("192.0.2.17", "::1"),
    "cidr": ("192.0.2.0/24", "2001:db8::/32"),
    "ip-or-cidr": ("192.0.2.0/24", "10.0.0.1"),
    "hostname": ("nas.example.org", "db1"),
    "host": ("mail.example.org", "192.0.2.17"),
    "email": ("kim@example.org", "a@b.example"),
    "path": ("/srv/share", "C:\\data"),
    "integer": ("12", "443"),
    "number": ("2.5", "40"),
    "port": ("443", "22"),
    "interface": ("eth0", "Wi-Fi 2"),
    "date": ("2024-05-17", "1.6.2025"),
    "mac": ("00:1a:2b:3c:4d:5e",),
    "url": ("https://example.org/a", "ssh://h"),
}
"""A few values of every format."""

_FAR = 10**6


def draw_answer(plan: Plan, source: Random, request: str = "") -> dict[str, Json]:
    """One answer whose every decision was drawn with `source`."""
    return write(plan, draw_reading(plan, source), request)


def draw_reading(plan: Plan, source: Random) -> Reading:
    """Random decisions for every group; each required slot has a value."""
    reading: Reading = {}
    for group in plan.groups:
        count = source.randint(group.min_count, min(group.max_count, group.min_count + 3))
        if plan.sequence and group is plan.root and count < plan.sequence.min_count:
            count = 1
        steps = [_step(group, source, several=count > 1) for _ in range(count)]
        reading[group.path] = _ascending(group, steps)
    return reading


def _ascending(group: Group, steps: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """The steps, whose values in properties that never step back are put in order."""
    for key, slot in group.slots.items():
        if isinstance(slot.decision, Choice) and slot.decision.ascending:
            given = [step for step in steps if step.get(key) is not None]
            values = sorted((step[key] for step in given), key=slot.decision.options.index)
            for step, value in zip(given, values, strict=True):
                step[key] = value
    return steps


def _step(group: Group, source: Random, *, several: bool) -> dict[str, Json]:
    variants = [one for one in group.variants if not (several and one.role == "out-of-scope")]
    variant = source.choice(variants)
    step: dict[str, Json] = dict(variant.tags)
    for key in variant.slots:
        if key not in step:
            given = key in variant.required or source.random() < 0.6
            step[key] = _value(group.slots[key], source) if given else _nothing(group.slots[key])
    return step


def _nothing(slot: Slot) -> Json:
    return None if slot.max_items is None else []


def _value(slot: Slot, source: Random) -> Json:
    if slot.max_items is None:
        return _scalar(slot.decision, source)
    least = max(slot.min_items, 0)
    return [
        _scalar(slot.decision, source)
        for _ in range(source.randint(least, max(least, min(slot.max_items, least + 3))))
    ]


def _scalar(decision: Decision, source: Random) -> Json:
    match decision:
        case Choice(options=options):
            return source.choice(options)
        case Span():
            return _span(decision, source)
        case Number(integer=integer, minimum=low, maximum=high):
            low, high = _near(low, high)
            return source.randint(math.ceil(low), math.floor(high)) if integer else source.uniform(low, high)
        case Text():
            return _text(decision, source)
        case _:
            return None


def _text(decision: Text, source: Random) -> str:
    least = decision.min_length
    length = source.randint(least, max(least, min(decision.max_length, 20)))
    text = "".join(source.choice("abc xyz,.") for _ in range(length))
    return "-" * length if any(phrase in text for phrase in decision.forbidden) else text


def _near(low: float, high: float) -> tuple[float, float]:
    if math.isinf(low):
        low = min(-_FAR, high - _FAR) if not math.isinf(high) else -_FAR
    return low, max(low, low + 2 * _FAR) if math.isinf(high) else high


def _span(decision: Span, source: Random) -> Json:
    least, most = decision.constraints.get("minLength", 0), decision.constraints.get("maxLength", math.inf)
    fitting = [text for text in SAMPLES[decision.format] if least <= len(text) <= most] or SAMPLES[
        decision.format
    ]
    text = source.choice(fitting)
    if text.isdecimal() and "integer" in decision.types:
        return int(text)
    return float(text) if "number" in decision.types else text
