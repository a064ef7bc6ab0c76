from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from microlith.registry import Artifact, Base, CardFacts, DataFacts, Metric, Parity, draft

SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "mood",
    "properties": {"mood": {"enum": ["glad", "sad"]}, "why": {"type": "string", "x-source": "input"}},
    "required": ["mood"],
    "additionalProperties": False,
}
WHEN = datetime(2025, 1, 31, 14, 22, 33, tzinfo=UTC)
FACTS = CardFacts(
    kind="encoder",
    base=Base(name="all-MiniLM-L6-v2", licence="Apache-2.0", sha256="0" * 64),
    data=DataFacts(hash="abc", splits={"train": 900, "validation": 100, "test": 50}),
    seed=7,
    libraries={"numpy": "2.0.0"},
    metrics={"exact": Metric(value=0.97, n=50, low=0.9, high=0.99), "recall": Metric(value=None, n=0)},
    parity=Parity(
        rows=100, different=0, allowed=0.005, confidence_shift=0.01, exact_before=0.97, exact_after=0.97
    ),
    settings={"size": 3, "lr": 0.1, "bf16": True, "note": None},
)


def register(
    root: Path, files: dict[str, str] | None = None, *, task: str = "mood", schema: Any = None
) -> Artifact:
    """Register an artifact of a few small files."""
    with draft(task, schema or SCHEMA, root=root) as made:
        for name, text in (files or {"model.onnx": "weights", "tokenizer/vocab.txt": "a b c"}).items():
            path = made.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return made.publish(FACTS, created=WHEN)


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return register(tmp_path)
