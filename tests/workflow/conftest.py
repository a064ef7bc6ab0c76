"""A small task that a tiny model learns in a second."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SCHEMA = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"action": {"const": "add"}, "name": {"type": "string", "x-source": "input", "x-format": "word"}},
            "required": ["action", "name"],
            "additionalProperties": False,
        },
        {"type": "object", "properties": {"action": {"const": "stop"}}, "required": ["action"], "additionalProperties": False},
    ]
}  # fmt: skip
NAMES = ("bob", "eve", "ann", "joe", "kim", "lea", "max", "ida")
TOML = """\
name = "{name}"
instruction = "Add people, or stop."
[data]
train = ["data/train*.jsonl"]
test = "data/test.jsonl"
"""
RULES = """\
def parse(text):
    return {"action": "stop"} if "stop" in text else None
"""


def rows_of(
    verbs: tuple[str, ...], names: tuple[str, ...], stops: tuple[str, ...]
) -> list[dict[str, object]]:
    """Rows of both actions."""
    adds = [
        {"input": f"please {verb} {name} now", "output": {"action": "add", "name": name}}
        for verb in verbs
        for name in names
    ]
    return [*adds, *({"input": f"{stop} it", "output": {"action": "stop"}} for stop in stops)]


def write_task(folder: Path, name: str = "people") -> Path:
    """Write the task into `folder`."""
    (folder / "data").mkdir(parents=True)
    (folder / "task.toml").write_text(TOML.format(name=name))
    (folder / "schema.json").write_text(json.dumps(SCHEMA, indent=2))
    (folder / "rules.py").write_text(RULES)
    train = rows_of(
        ("add", "create", "make", "invite"), NAMES, ("stop", "halt", "end", "quit", "cease", "finish")
    )
    test = rows_of(("enrol",), ("tom", "zoe"), ("abort",))
    for part, rows in (("train", train), ("test", test)):
        (folder / "data" / f"{part}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    """The task, in a folder of this test alone."""
    return write_task(tmp_path / "people")


TEXT_SCHEMA = {
    "type": "object",
    "properties": {
        "late": {"enum": ["low", "medium", "high"], "x-computed": "microlith.task.formulas:risk_level"},
        "mood": {"enum": ["calm", "firm"]},
        "reasons": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "minLength": 3, "maxLength": 24}},
    },
    "required": ["late", "mood", "reasons"],
    "additionalProperties": False,
}  # fmt: skip
TEXT_TOML = """\
name = "delay"
instruction = "Say why the job is late."
input = "json"
private = ["who"]
[data]
train = ["data/train.jsonl"]
test = "data/test.jsonl"
"""
JOBS = ("paint", "wall", "roof", "door", "lamp", "pipe", "road", "desk")


def delay_row(job: str, delay: float) -> dict[str, object]:
    """A structured request, and an answer with words and a computed value."""
    late = "high" if delay > 2 else "medium" if delay > 0.5 else "low"
    metrics = {"predicted_delay_hours": delay}
    output = {"late": late, "mood": "firm" if delay > 2 else "calm", "reasons": [f"the {job} waits"]}
    return {"input": {"metrics": metrics, "job": job, "who": "Zelda Quick"}, "output": output}


def write_text_task(folder: Path) -> Path:
    """Write a task whose answers hold words and a computed value into `folder`."""
    (folder / "data").mkdir(parents=True)
    (folder / "task.toml").write_text(TEXT_TOML)
    (folder / "schema.json").write_text(json.dumps(TEXT_SCHEMA, indent=2))
    train = [delay_row(job, delay) for job in JOBS for delay in (0.0, 0.25, 1.0, 1.5, 3.0, 4.0)]
    test = [delay_row(job, delay) for job in ("shed", "gate") for delay in (0.1, 5.0)]
    for part, rows in (("train", train), ("test", test)):
        (folder / "data" / f"{part}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


@pytest.fixture
def text_task(tmp_path: Path) -> Path:
    """A task whose answers hold words, in a folder of this test alone."""
    return write_text_task(tmp_path / "delay")
