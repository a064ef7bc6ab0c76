"""Tasks made by `microlith new` from public data sets, trained and scored on the published test sets.

    python -m benchmarks.public_sets FOLDER [snips|banking77|clinc150]...

FOLDER holds one folder a data set with `train.jsonl.gz`, `validation.jsonl` and `test.jsonl`; rows are
{"input", "output": {"intent", "slots"?}}. Training and validation rows are handed to `new` together; the recipe keeps its own
validation part of them. The test rows are read for the score only. Everything is kept below MICROLITH_HOME, so that a
second call reuses what is done.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microlith.data.dataset import build_dataset, finished
from microlith.data.example import Example
from microlith.data.formats import write_rows
from microlith.errors import MicrolithError
from microlith.evaluation.intervals import share_of, wilson
from microlith.events import Event, StageDone, Step, Validation
from microlith.registry import home
from microlith.registry.models import open_model
from microlith.task import Task, load_task
from microlith.workflow.order import Order, resolve_order
from microlith.workflow.tasks import labelled_rows, new
from microlith.workflow.train import train

OUTSIDE = "oos"
"""CLINC150's intent of requests that are none of its 150."""


@dataclass(frozen=True, kw_only=True)
class PublicSet:
    """A data set and what is asked of it."""

    target: float
    """Share of exact answers to reach."""
    published: str
    settings: dict[str, Any] = field(default_factory=dict)


PUBLISHED_SPLIT = {"fence": "text", "validation_share": 0.1}
"""Training rows may share wordings with test rows, as published; a tenth of them is kept for validation."""
SETS = {
    "snips": PublicSet(
        target=0.933, published="ALBERT 0.933, BERT-base 0.930, DistilBERT 0.910",
        settings={**PUBLISHED_SPLIT, "passes": 10, "refill": 0},
    ),
    "banking77": PublicSet(
        target=0.940, published="bge-small + SVC 0.931, TF-IDF 0.915",
        settings={**PUBLISHED_SPLIT, "passes": 8, "encoder_dropout": 0.1, "validation_share": 0.05},
    ),
    "clinc150": PublicSet(
        target=0.955, published="BERT 0.969 in scope with recall 0.403 out of scope", settings={**PUBLISHED_SPLIT, "passes": 4}
    ),
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Train and score the named sets; 2 where the data is absent or cannot be used."""
    if not arguments:
        print(__doc__)
        return 2
    folder, names = Path(arguments[0]), arguments[1:] or list(SETS)
    for name in names:
        if name not in SETS or not (folder / name / "test.jsonl").is_file():
            print(f"{name}: {folder / name} holds no such data set; known are {', '.join(SETS)}")
            return 2
    for name in names:
        try:
            measure(name, folder / name)
        except MicrolithError as error:
            print(f"{name}: {error}")
            return 2
    return 0


def measure(name: str, folder: Path) -> None:
    """Make the task, train it, print its figures."""
    wanted = SETS[name]
    task = _task(name, folder)
    order = Order(recipe="encoder", overrides=wanted.settings)
    begun = time.monotonic()
    trained = finished(train(task, order), on_event=_show)
    print(
        f"{name}: {trained.artifact.card.name} after {time.monotonic() - begun:.0f} s, reused: {trained.reused}"
    )
    model = open_model(task.name, model="encoder").model
    test = labelled_rows(folder / "test.jsonl")
    answers = model.predict([row.input for row in test])
    outside = [row.output["intent"] == OUTSIDE for row in test]
    right = [one.output == row.output for one, row in zip(answers, test, strict=True)]
    inside = [hit for hit, out in zip(right, outside, strict=True) if not out]
    intents = [
        isinstance(one.output, dict) and one.output["intent"] == row.output["intent"]
        for one, row in zip(answers, test, strict=True)
    ]
    print(f"{name}: exact {_share(inside)}, target {wanted.target}; published: {wanted.published}")
    print(
        f"{name}: intent alone {_share([hit for hit, out in zip(intents, outside, strict=True) if not out])}"
    )
    if any(outside):
        found = [hit for hit, out in zip(right, outside, strict=True) if out]
        print(f"{name}: out of scope by its class alone: recall {_share(found)}")
        threshold = _threshold(task, order, model, wanted.target)
        sure = [one.confidence >= threshold for one in answers]
        kept = [hit and safe for hit, safe, out in zip(right, sure, outside, strict=True) if not out]
        caught = [hit or not safe for hit, safe, out in zip(right, sure, outside, strict=True) if out]
        print(
            f"{name}: below confidence {threshold:.3f} (set on validation rows) declined: in scope {_share(kept)}, "
            f"target {wanted.target}; out of scope recalled {_share(caught)}, target 0.85"
        )


def _task(name: str, folder: Path) -> Task:
    """The task that `new` makes of the data set's training and validation rows."""
    place = home() / "public" / name
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        rows = place.parent / f"{name}.jsonl"
        write_rows(
            rows, [*labelled_rows(folder / "train.jsonl.gz"), *labelled_rows(folder / "validation.jsonl")]
        )
        part = place.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)  # of a call that was killed
        new(name, rows, test=folder / "test.jsonl", folder=part)
        part.rename(place)
    return load_task(place)


def _threshold(task: Task, order: Order, model: Any, target: float) -> float:
    """The highest confidence at which the validation requests in scope reach `target`, by the lower end of their interval."""
    data = resolve_order(task, order).data
    rows: Sequence[Example] = finished(build_dataset(task, seed=order.seed, **data)).validation
    rows = [row for row in rows if row.output["intent"] != OUTSIDE]
    answers = model.predict([row.input for row in rows])
    right = sorted(
        (one.confidence for one, row in zip(answers, rows, strict=True) if one.output == row.output),
        reverse=True,
    )
    kept = next((n for n in range(len(right)) if wilson(n, len(rows))[0] >= target), len(right))
    return float(right[kept - 1])


def _share(hits: Sequence[bool]) -> str:
    one = share_of(hits)
    return f"{one.value:.3f} ({one.low:.3f}-{one.high:.3f}, n = {one.n})" if one.n else "not scored, n = 0"


def _show(event: Event) -> None:
    if isinstance(event, StageDone):
        print(f"  {event.stage} {event.detail} {event.seconds:.0f} s", flush=True)
    elif isinstance(event, Validation) or (
        isinstance(event, Step) and event.step % max(1, event.steps // 10) == 0
    ):
        print(f"  {event}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
