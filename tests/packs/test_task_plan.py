"""The rows of task-plan: valid, phases in their order, within the pack's limits, none kin to a test row."""

from __future__ import annotations

from typing import Any

import pytest

from microlith.data.load import load_examples, load_test
from microlith.task import load_task
from microlith.task.packs import pack_folder
from tests.packs.conftest import rows_of

PACK = "task-plan"
PHASES = ("requirement_refiner", "design_guidance", "build_guidance", "acceptance_criteria", "deployment")
FILES = sorted(path.name for path in (pack_folder(PACK) / "data").glob("train*.jsonl"))


def texts(row: dict[str, Any]) -> list[str]:
    output = row["output"]
    steps = [step[name] for step in output["suggested_plan"] for name in ("title", "note")]
    return [*steps, *output["ai_metadata"]["overall_risks"], *output["ai_metadata"]["assumptions"]]


@pytest.mark.parametrize("file", FILES)
def test_phases_stand_in_their_order(file: str) -> None:
    for number, row in enumerate(rows_of(PACK, file), 1):
        places = [PHASES.index(step["phase"]) for step in row["output"]["suggested_plan"]]
        assert places == sorted(places), number


@pytest.mark.parametrize("file", FILES)
def test_plans_keep_to_the_packs_limits(file: str) -> None:
    for number, row in enumerate(rows_of(PACK, file), 1):
        steps, facts = row["output"]["suggested_plan"], row["output"]["ai_metadata"]
        assert 1 <= len(steps) <= 8, number
        assert {step["duration"] for step in steps} <= {2, 4}, number
        assert {step["risk"] for step in steps} <= {"low", "medium", "high"}, number
        assert 1 <= len(facts["overall_risks"]) <= 3, number
        assert 1 <= len(facts["assumptions"]) <= 3, number
        for text in texts(row):
            assert 3 <= len(text) <= 80, number
            assert text == text.strip(), number
        titles = [step["title"].casefold() for step in steps]
        assert len(set(titles)) == len(titles), number


def test_requests_say_what_the_pack_names() -> None:
    for one in load_examples(load_task(PACK)).checked():
        assert one.input.startswith("title: "), one.source
        assert "\ntaskType: " in one.input, one.source


def test_the_test_rows_are_good_too() -> None:
    assert len(load_test(load_task(PACK)).checked()) == 40
