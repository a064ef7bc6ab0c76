"""Small tasks that every backend can be made for, with rows to learn them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microlith.data.example import Example
from microlith.task.compile import compile_plan
from microlith.task.plan import Plan


def span(form: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "x-source": "input", "x-format": form, **more}


def thing(action: str, optional: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    named = {"action": {"const": action}, **properties}
    return {
        "type": "object",
        "properties": named,
        "required": [name for name in named if name not in optional],
        "additionalProperties": False,
    }


PORT = {
    "type": ["integer", "string"],
    "x-source": "input",
    "x-format": "port",
    "minimum": 1,
    "maximum": 65535,
}
PROTOCOL = {"enum": ["tcp", "udp"]}
STEPS = [
    thing("open", ("protocol",), port=PORT, protocol=PROTOCOL),
    thing("point", host=span("hostname"), ip=span("ipv4")),
    thing("login", ("password",), user=span("username"), password=span("password", **{"x-secret": True})),
]
GATE = {
    "oneOf": [
        *STEPS,
        {
            **thing(
                "sequence", steps={"type": "array", "minItems": 2, "maxItems": 3, "items": {"oneOf": STEPS}}
            ),
            "x-role": "sequence",
        },
        {
            **thing(
                "clarify",
                ("host", "ip", "port", "protocol", "user", "password"),
                intent={"enum": ["open", "point", "login"], "x-role": "intent"},
                host=span("hostname"),
                ip=span("ipv4"),
                port=PORT,
                protocol=PROTOCOL,
                user=span("username"),
                password=span("password", **{"x-secret": True}),
                missing={
                    "type": "array",
                    "items": {"enum": ["host", "ip", "port", "user"]},
                    "minItems": 1,
                    "x-role": "missing",
                },
            ),
            "x-role": "clarify",
        },
        {**thing("unsupported"), "x-role": "out-of-scope"},
    ]
}
MUSIC = {
    "type": "object",
    "properties": {
        "intent": {"enum": ["play", "add"]},
        "slots": {
            "type": "object",
            "properties": {
                "artist": {"type": "array", "items": span("text"), "maxItems": 2},
                "playlist": {"type": "array", "items": span("text"), "maxItems": 1},
            },
            "additionalProperties": False,
        },
    },
    "required": ["intent", "slots"],
    "additionalProperties": False,
}
ORDERS = {
    "type": "object",
    "properties": {
        "urgent": {"type": "boolean"},
        "tags": {"type": "array", "items": {"enum": ["gift", "cold"]}, "maxItems": 2},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {"name": span("word"), "count": {"type": "integer", "x-source": "input"}},
                "required": ["name"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["urgent", "items"],
    "additionalProperties": False,
}
MOOD = {
    "type": "object",
    "properties": {"mood": {"enum": ["glad", "sad", "none"], "x-out-of-scope": "none"}},
    "required": ["mood"],
    "additionalProperties": False,
}


@dataclass(frozen=True, kw_only=True)
class Toy:
    name: str
    plan: Plan
    examples: tuple[Example, ...]


def toy(name: str) -> Toy:
    kinds: dict[str, tuple[dict[str, Any], Callable[[random.Random], tuple[str, dict[str, Any]]]]] = {
        "gate": (GATE, gate_row),
        "music": (MUSIC, music_row),
        "orders": (ORDERS, order_row),
        "mood": (MOOD, mood_row),
    }
    schema, make = kinds[name]
    rng = random.Random(7)
    rows = [make(rng) for _ in range(90)]
    examples = tuple(
        Example(input=text, output=answer, source=f"{name}:{line}")
        for line, (text, answer) in enumerate(rows, 1)
    )
    return Toy(name=name, plan=compile_plan(schema), examples=examples)


NAMES = ("ann", "bob", "carla", "dmitri", "eve")


def gate_step(rng: random.Random) -> tuple[str, dict[str, Any]]:
    kind = rng.randrange(3)
    if kind == 0:
        port, protocol = rng.randrange(1, 65000), rng.choice(["", "tcp", "udp"])
        answer: dict[str, Any] = {"action": "open", "port": port}
        return f"open port {port} {protocol}".strip(), {
            **answer,
            "protocol": protocol,
        } if protocol else answer
    if kind == 1:
        host = f"{rng.choice(NAMES)}{rng.randrange(9)}.lan"
        ip = f"10.{rng.randrange(255)}.0.{rng.randrange(255)}"
        return f"point {host} at {ip}", {"action": "point", "host": host, "ip": ip}
    user, password = rng.choice(NAMES), rng.choice(["", "Tr0ub4dor&3", "x!9", "no-w4y"])
    made = {"action": "login", "user": user}
    if password:
        return f"make a login for {user} with password {password}", {**made, "password": password}
    return f"make a login for {user}", made


def gate_row(rng: random.Random) -> tuple[str, dict[str, Any]]:
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(["why is it slow?", "hello there", "what is a port", "thanks a lot"]), {
            "action": "unsupported"
        }
    if kind < 0.2:
        return "open the port please", {"action": "clarify", "intent": "open", "missing": ["port"]}
    steps = [gate_step(rng) for _ in range(2 if kind < 0.4 else 1)]
    if len(steps) == 1:
        return steps[0]
    return ", then ".join(text for text, _ in steps), {
        "action": "sequence",
        "steps": [answer for _, answer in steps],
    }


def music_row(rng: random.Random) -> tuple[str, dict[str, Any]]:
    artist = f"{rng.choice(['The', 'Los', 'Old'])} {rng.choice(['Otters', 'Lamps', 'Rivers'])}"
    if rng.random() < 0.5:
        return f"play something by {artist}", {"intent": "play", "slots": {"artist": [artist]}}
    playlist = rng.choice(["morning run", "Deep Focus", "kitchen"])
    text = f"add {artist} to my {playlist} playlist"
    return text, {"intent": "add", "slots": {"artist": [artist], "playlist": [playlist]}}


def order_row(rng: random.Random) -> tuple[str, dict[str, Any]]:
    names = rng.sample(["apples", "bread", "milk", "soap"], rng.randrange(1, 4))
    items: list[dict[str, Any]] = []
    for name in names:
        items.append({"name": name, "count": rng.randrange(2, 90)} if rng.random() < 0.6 else {"name": name})
    urgent, cold = rng.random() < 0.3, rng.random() < 0.3
    text = " and ".join(
        f"{item['count']} {item['name']}" if "count" in item else item["name"] for item in items
    )
    answer = {"urgent": urgent, **({"tags": ["cold"]} if cold else {}), "items": items}
    return f"send {text}{' cold' if cold else ''}{' right now' if urgent else ''}", answer


def mood_row(rng: random.Random) -> tuple[str, dict[str, Any]]:
    mood = rng.choice(["glad", "sad", "none"])
    words = {
        "glad": ["great", "lovely", "super"],
        "sad": ["awful", "gloomy", "bad"],
        "none": ["parcel", "invoice", "bus"],
    }
    return f"{rng.choice(['today is', 'so', 'what a'])} {rng.choice(words[mood])}", {"mood": mood}


def gate_rules(text: str) -> Any:
    """Rules for the gate task: with a confidence, without one, without an answer, and with faults."""
    if match := re.search(r"point ([\w.]+) at ([\d.]+)", text):
        return {"action": "point", "host": match[1], "ip": match[2]}, 0.9
    if match := re.search(r"port (\d{1,5})", text):
        return {"action": "open", "port": int(match[1])}
    return None if "crash" not in text else 1 // 0


def write_task(folder: Path, schema: dict[str, Any], rules: str | None = None) -> Path:
    """A task folder on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text('name = "toy"\ninstruction = "A toy."\n', encoding="utf-8")
    (folder / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    if rules is not None:
        (folder / "rules.py").write_text(rules, encoding="utf-8")
    return folder
