"""The functions that shipped schemas compute values with."""

from __future__ import annotations

import json

import pytest

from microlith.data.rows import render_input
from microlith.errors import DataError
from microlith.task.formulas import predicted_delay, risk_level
from microlith.task.packs import pack_folder


def level(**metrics: object) -> str:
    return risk_level(render_input({"metrics": metrics, "taskTitle": "x"}), {})


@pytest.mark.parametrize(
    ("metrics", "hours"),
    [
        ({"allocated_hours": 8.0, "elapsed_hours": 4.0, "progress_ratio": 0.5}, 0.0),
        ({"allocated_hours": 8.0, "elapsed_hours": 6.0, "progress_ratio": 0.5}, 4.0),
        ({"allocated_hours": 8.0, "elapsed_hours": 2.0, "progress_ratio": 0.0}, 0.0),
        ({"allocated_hours": 8.0, "elapsed_hours": 9.5}, 1.5),
        ({"allocated_hours": 8.0, "elapsed_hours": 4.0, "total_steps": 4.0, "steps_completed": 1.0}, 8.0),
        ({"allocated_hours": 8.0, "elapsed_hours": 4.0, "total_steps": 0.0, "progress_ratio": 0.25}, 8.0),
        ({"allocated_hours": 8.0, "predicted_delay_hours": 3.0}, 3.0),
        ({"allocated_hours": 8.0}, None),
        ({}, None),
    ],
)
def test_the_delay_follows_from_progress(metrics: dict[str, float], hours: float | None) -> None:
    assert predicted_delay(metrics) == hours


@pytest.mark.parametrize(
    ("hours", "risk"),
    [(0.0, "low"), (0.5, "low"), (0.51, "medium"), (2.0, "medium"), (2.01, "high")],
)
def test_the_level_follows_from_the_delay(hours: float, risk: str) -> None:
    assert level(allocated_hours=100, predicted_delay_hours=hours) == risk
    assert level(predicted_delay_hours=hours) == risk


def test_a_small_delay_of_a_small_task_is_a_high_risk() -> None:
    assert level(allocated_hours=1, predicted_delay_hours=0.3) == "high"
    assert level(allocated_hours=1, predicted_delay_hours=0.2) == "low"


@pytest.mark.parametrize(
    "request_text",
    ["", "hello", "metrics.allocated_hours: soon", "metrics.allocated_hours: true", "xmetrics.a: 1"],
)
def test_without_figures_there_is_no_level(request_text: str) -> None:
    with pytest.raises(DataError, match="neither a delay nor the times"):
        risk_level(request_text, {})


def test_the_shipped_rows_have_the_level_that_is_computed() -> None:
    for path in sorted((pack_folder("task-risk") / "data").glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            row = json.loads(line)
            given = row["input"] if isinstance(row["input"], str) else render_input(row["input"])
            assert risk_level(given, {}) == row["output"]["risk_level"], f"{path.name}:{number}"
