"""The rows of task-risk: valid, with the level that the figures give, within the pack's limits, without anybody's name."""

from __future__ import annotations

from typing import Any

import pytest

from microlith.data.load import load_examples, load_test
from microlith.data.rows import renderer
from microlith.task import load_task
from microlith.task.formulas import predicted_delay, risk_level
from microlith.task.packs import pack_folder
from tests.packs.conftest import rows_of

PACK = "task-risk"
FORBIDDEN = ("allocated hours", "predicted delay")
FILES = sorted(path.name for path in (pack_folder(PACK) / "data").glob("train*.jsonl"))


def texts(row: dict[str, Any]) -> list[str]:
    output = row["output"]
    return [*output["reasons"], *output["recommended_actions"]]


@pytest.mark.parametrize("file", FILES)
def test_the_level_is_what_the_figures_give(file: str) -> None:
    render = renderer(load_task(PACK))
    assert render is not None
    wrong = [
        number
        for number, row in enumerate(rows_of(PACK, file), 1)
        if risk_level(render(row["input"]), row["output"]) != row["output"]["risk_level"]
    ]
    assert wrong == []


@pytest.mark.parametrize("file", FILES)
def test_the_figures_agree_with_each_other(file: str) -> None:
    for number, row in enumerate(rows_of(PACK, file), 1):
        metrics = row["input"]["metrics"]
        assert metrics["steps_completed"] <= metrics["total_steps"], number
        stated = metrics["predicted_delay_hours"]
        assert predicted_delay(metrics) == pytest.approx(stated, abs=0.02), number


@pytest.mark.parametrize("file", FILES)
def test_texts_keep_to_the_packs_limits(file: str) -> None:
    for number, row in enumerate(rows_of(PACK, file), 1):
        output = row["output"]
        assert 1 <= len(output["reasons"]) <= 3, number
        assert 1 <= len(output["recommended_actions"]) <= 2, number
        assert isinstance(output["confidence"], int), number
        assert 0 <= output["confidence"] <= 100, number
        for text in texts(row):
            assert 3 <= len(text) <= 120, number
            assert text == text.strip(), number
            assert not any(word in text.casefold() for word in FORBIDDEN), number


@pytest.mark.parametrize("file", FILES)
def test_nobody_is_named(file: str) -> None:
    for number, row in enumerate(rows_of(PACK, file), 1):
        name = row["input"]["employeeContext"]["full_name"].casefold()
        said = " ".join(texts(row)).casefold()
        assert name not in said, number
        words = set(said.replace(",", " ").replace(".", " ").replace("'", " ").split())
        title = set(row["input"]["taskTitle"].casefold().split())
        assert not {part for part in name.split() if len(part) > 3} & words - title, number


def test_no_model_sees_a_name() -> None:
    task = load_task(PACK)
    assert task.private == ("employeeContext.full_name",)
    names = {row["input"]["employeeContext"]["full_name"] for row in rows_of(PACK)}
    assert len(names) > 50
    for one in load_examples(task).checked():
        assert "full_name" not in one.input, one.source
        assert not any(f": {name}" in one.input for name in names), one.source


def test_the_test_rows_are_good_too() -> None:
    assert len(load_test(load_task(PACK)).checked()) == 50


def test_every_level_is_trained_on() -> None:
    levels = [row["output"]["risk_level"] for row in rows_of(PACK)]
    assert all(levels.count(level) > 0.1 * len(levels) for level in ("low", "medium", "high"))
