"""Registered models that are made in no time, for tests of servers over a real registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from microlith.data.example import Example
from microlith.inference.nearest import NearestModel
from microlith.registry import draft
from microlith.registry.heldout import Outcome, write_heldout
from microlith.task.taskfile import Task, load_task
from tests.inference.toys import GATE, MOOD, MUSIC, ORDERS, toy
from tests.registry.conftest import FACTS as ANY_FACTS

FACTS = replace(ANY_FACTS, kind="nearest", base=None, parity=None)
SCHEMAS = {"gate": GATE, "mood": MOOD, "music": MUSIC, "orders": ORDERS}
CREATED = datetime(2026, 1, 2, tzinfo=UTC)
ALWAYS_RIGHT = tuple(Outcome(confidence=0.1 + 0.9 * number / 400, right=True) for number in range(400))
"""Held-out outcomes that keep a budget of 2 % from the least confidence on."""
UNPROVEN: Sequence[Outcome] = ()


def task_folder(
    root: Path, name: str, *, route: Sequence[str] = ("specialist",), more: str = "", rules: str = ""
) -> Task:
    """A toy as a task folder below `root`."""
    folder = root / name
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "schema.json").write_text(json.dumps(SCHEMAS[name]), encoding="utf-8")
    rows = [json.dumps({"input": one.input, "output": one.output}) for one in toy(name).examples]
    (folder / "data" / "train.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "task.toml").write_text(
        f'name = "{name}"\ninstruction = "Turn the request into an action."\nroute = {json.dumps(list(route))}\n{more}\n',
        encoding="utf-8",
    )
    if rules:
        (folder / "rules.py").write_text(rules, encoding="utf-8")
    return load_task(folder)


def register(
    task: Task,
    home: Path,
    *,
    examples: Sequence[Example] | None = None,
    heldout: Sequence[Outcome] = ALWAYS_RIGHT,
) -> int:
    """Register a model that answers as the most similar example was answered; gives its version."""
    with draft(task.name, task.schema.value, root=home) as made:
        NearestModel.of(task.plan, toy(task.name).examples if examples is None else examples).save(
            made.folder
        )
        write_heldout(made.folder, heldout)
        return made.publish(FACTS, created=CREATED).card.version


def corrupt(home: Path, task: str, version: int) -> None:
    """Replace a registered model's file by rubbish, as a careless copy would."""
    folder = home / "artifacts" / task / str(version)
    next(folder.glob("examples.jsonl")).write_bytes(b"\x00rubbish")


def remove(home: Path, task: str) -> None:
    """Take a task's artifacts away."""
    shutil.rmtree(home / "artifacts" / task)
