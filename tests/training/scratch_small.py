"""A tiny task and tiny language models of its own, for the tests of the scratch recipe."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from microlith.data.example import Example
from microlith.events import Event, Warned
from microlith.inference.grounding import GroundingSpec, spec_of
from microlith.task.compile import compile_plan
from microlith.task.plan import Plan
from microlith.training.scratch import TrainedScratch, train_scratch
from microlith.training.scratch_settings import ScratchSettings, scratch_settings_of

SCHEMA = {
    "type": "object",
    "properties": {
        "lamp": {"enum": ["on", "off"]},
        "name": {"type": "string", "x-source": "input", "x-format": "word"},
    },
    "required": ["lamp", "name"],
    "additionalProperties": False,
}
NAMES = ("bob", "eve", "ann", "joe", "kim", "lea", "max", "ida")
TINY: dict[str, Any] = {
    "layers": 1, "width": 32, "heads": 2, "inner": 64, "vocabulary": 300, "passes": 1, "least_rows": 60, "context_tokens": 128,
    "batch_tokens": 256, "threads": 1, "precision": "float32", "validations": 2,
}  # fmt: skip


def plan() -> Plan:
    return compile_plan(SCHEMA)


def rows(names: Sequence[str] = NAMES) -> list[Example]:
    return [
        Example(
            input=f"turn {lamp} the lamp of {name} 42",
            output={"lamp": lamp, "name": name},
            source=f"train.jsonl:{number}",
        )
        for number, (lamp, name) in enumerate(((lamp, name) for lamp in ("on", "off") for name in names), 1)
    ]


def spec() -> GroundingSpec:
    return spec_of(plan(), NAMES)


def settings(**changes: Any) -> ScratchSettings:
    return scratch_settings_of("quick", {**TINY, **changes})


def work(
    folder: Path, *, train: Sequence[Example] | None = None, validation: Sequence[Example] | None = None, **changes: Any
) -> Generator[Event, None, TrainedScratch]:  # fmt: skip
    """A training that is about to begin."""
    folder.mkdir(exist_ok=True)
    known = rows() if train is None else train
    scored = rows(("tom", "zoe")) if validation is None else validation
    return train_scratch(plan(), spec(), known, scored, settings(**changes), folder)


def run(folder: Path, **changes: Any) -> tuple[list[Event], TrainedScratch]:
    """Train to the end; every event and the model."""
    begun, events = work(folder, **changes), []
    while True:
        try:
            events.append(next(begun))
        except StopIteration as stop:
            return events, stop.value


def told(events: Sequence[Event]) -> str:
    return "\n".join(one.what for one in events if isinstance(one, Warned))
