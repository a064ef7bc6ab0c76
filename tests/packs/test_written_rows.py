"""What holds for the rows of every pack whose answers hold free text."""

from __future__ import annotations

import json

import pytest

from microlith.data.kin import normalise
from microlith.task import load_task
from microlith.task.packs import pack_folder
from tests.packs.conftest import rows_of

TITLES = {"task-plan": "title", "task-risk": "taskTitle"}
"""Pack -> the field of a request that names its task."""
FILES = [
    (pack, path.name) for pack in TITLES for path in sorted((pack_folder(pack) / "data").glob("train*.jsonl"))
]


@pytest.mark.parametrize(("pack", "file"), FILES)
def test_every_answer_fits_the_schema(pack: str, file: str) -> None:
    validator = load_task(pack).validator
    rows = rows_of(pack, file)
    assert len(rows) >= 100
    wrong = [number for number, row in enumerate(rows, 1) if not validator.is_valid(row["output"])]
    assert wrong == []


@pytest.mark.parametrize(("pack", "field"), TITLES.items())
def test_no_task_of_the_test_is_trained_on(pack: str, field: str) -> None:
    def titles(pattern: str) -> set[str]:
        return {normalise(row["input"][field]) for row in rows_of(pack, pattern)}

    shared = len(titles("train*.jsonl") & titles("test.jsonl"))
    assert shared == 0  # rows of the test set are not shown when this fails


@pytest.mark.parametrize("pack", TITLES)
def test_no_row_stands_twice(pack: str) -> None:
    requests = [json.dumps(row["input"], sort_keys=True) for row in rows_of(pack)]
    assert len(set(requests)) == len(requests)
