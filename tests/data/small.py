"""A small task with every kind of branch, and rows for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from microlith.data.example import Example
from microlith.task.compile import compile_plan
from microlith.task.plan import Json
from microlith.task.taskfile import Task, load_task
from microlith.task.validate import Validator


def span(format: str, **more: Json) -> dict[str, Json]:
    return {"type": "string", "x-source": "input", "x-format": format, **more}


def branch(
    action: str, properties: dict[str, Json], optional: tuple[str, ...] = (), role: str | None = None
) -> dict[str, Json]:
    made: dict[str, Json] = {
        "type": "object",
        "properties": {"action": {"const": action}, **properties},
        "required": ["action", *(name for name in properties if name not in optional)],
        "additionalProperties": False,
    }
    return made | ({"x-role": role} if role else {})


STEPS = [
    branch(
        "user_add",
        {"username": span("username"), "password": span("password", **{"x-secret": True})},
        ("password",),
    ),
    branch("group_add", {"username": span("username"), "group": span("name")}),
    branch("dns_add", {"zone": span("hostname", maxLength=60), "ip": span("ipv4")}),
    branch(
        "share_add",
        {"share": span("name"), "path": span("path"), "access": {"enum": ["read", "write"]}},
        ("access",),
    ),
    branch(
        "port_open",
        {"port": span("port") | {"type": ["integer", "string"], "minimum": 1, "maximum": 65535}},
    ),
]
SCHEMA: dict[str, Any] = {
    "oneOf": [
        *STEPS,
        branch("sequence", {"steps": {"type": "array", "minItems": 2, "maxItems": 3, "items": {"oneOf": STEPS}}}, role="sequence"),
        branch(
            "clarify",
            {
                "intent": {"enum": ["user_add", "group_add", "dns_add", "share_add", "port_open"], "x-role": "intent"},
                "username": span("username"),
                "group": span("name"),
                "zone": span("hostname"),
                "missing": {"type": "array", "items": {"enum": ["username", "group", "ip", "zone"]}, "minItems": 1, "x-role": "missing"},
            },
            ("username", "group", "zone"),
            role="clarify",
        ),
        branch("none", {}, role="out-of-scope"),
    ]
}  # fmt: skip
PLAN = compile_plan(SCHEMA)
VALIDATOR = Validator(SCHEMA)

KIND_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"kind": {"enum": ["command", "prompt"]}},
    "required": ["kind"],
    "additionalProperties": False,
}
KIND_PLAN = compile_plan(KIND_SCHEMA)


def row(text: str, output: Json, source: str = "rows.jsonl:1", **more: Any) -> Example:
    return Example(input=text, output=output, source=source, **more)


def user(text: str, name: str, password: str | None = None, **more: Any) -> Example:
    output = {"action": "user_add", "username": name}
    return row(text, output | ({"password": password} if password else {}), **more)


def member(text: str, name: str, group: str, **more: Any) -> Example:
    return row(text, {"action": "group_add", "username": name, "group": group}, **more)


def dns(text: str, zone: str, ip: str, **more: Any) -> Example:
    return row(text, {"action": "dns_add", "zone": zone, "ip": ip}, **more)


def other(text: str, **more: Any) -> Example:
    return row(text, {"action": "none"}, **more)


def wordy(count: int) -> list[Example]:
    """Rows with quite different wordings, of four actions in turn."""
    rows: list[Example] = []
    for number in range(count):
        word = _word(number)
        name, source = f"user{number}", f"rows.jsonl:{number + 1}"
        rows.append(
            (
                user(f"{word} calls for a login named {name} {_word(number + 7)}", name, source=source),
                member(f"into ops-{number} goes {name} says {word}", name, f"ops-{number}", source=source),
                dns(f"{word}: web{number}.lan lives at 10.0.0.{number % 250}", f"web{number}.lan", f"10.0.0.{number % 250}", source=source),
                other(f"why does {word} {_word(number + 3)} fail", source=source),
            )[number % 4]
        )  # fmt: skip
    return rows


def _word(number: int) -> str:
    letters = "bdfghjklmnprstvz"
    return "".join(
        letters[(number * factor + shift) % 16] + "aeiou"[(number // (shift + 1)) % 5]
        for shift, factor in enumerate((7, 3, 11, 5, 13))
    )


def write_lines(path: Path, rows: list[Example]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        json.dumps({"input": example.input, "output": example.output}, ensure_ascii=False) for example in rows
    )
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def make_task(
    folder: Path,
    train: list[Example],
    test: list[Example] | None = None,
    *,
    validation: list[Example] | None = None,
    schema: Json = SCHEMA,
    kind: str = "text",
) -> Task:
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "data" / "train.jsonl", train)
    lines = [
        'name = "small"',
        'instruction = "Turn a request into an action."',
        f'input = "{kind}"',
        "[data]",
    ]
    lines.append('train = ["data/train*.jsonl"]')
    if test is not None:
        write_lines(folder / "data" / "test.jsonl", test)
        lines.append('test = "data/test.jsonl"')
    if validation is not None:
        write_lines(folder / "data" / "validation.jsonl", validation)
        lines.append('validation = ["data/validation.jsonl"]')
    (folder / "task.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    return load_task(folder)
