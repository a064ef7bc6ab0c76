"""Making a task from rows, finding its schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from microlith.errors import DataError, SchemaError, TaskError, UnknownTask, UsageError
from microlith.task import load_task
from microlith.workflow.tasks import new, schema_of


@pytest.fixture
def rows(task_folder: Path) -> Path:
    return task_folder / "data" / "train.jsonl"


def test_a_new_task_loads_and_covers_its_rows(rows: Path, tmp_path: Path) -> None:
    made = new("staff", rows, folder=tmp_path / "staff", instruction="Add or stop.")
    task = load_task(made.folder)
    assert (task.name, task.instruction, task.test_file) == ("staff", "Add or stop.", None)
    assert all(task.validator.is_valid(json.loads(line)["output"]) for line in rows.read_text().splitlines())
    assert any(row[1] == "Span" for row in task.plan.decisions)
    assert made.rows == len(rows.read_text().splitlines())


def test_held_out_rows_become_the_frozen_test(rows: Path, tmp_path: Path) -> None:
    made = new("staff", rows, test=rows.parent / "test.jsonl", folder=tmp_path / "staff")
    task = load_task(made.folder)
    assert task.test_file is not None
    assert task.test_file.name == "test.jsonl"
    assert task.test_file not in task.train_files


def test_a_folder_that_is_there_is_not_touched(rows: Path, task_folder: Path) -> None:
    before = (task_folder / "task.toml").read_text()
    with pytest.raises(UsageError):
        new("people", rows, folder=task_folder)
    assert (task_folder / "task.toml").read_text() == before


def test_bad_rows_are_all_named_before_anything_is_written(tmp_path: Path) -> None:
    bad = tmp_path / "rows.jsonl"
    bad.write_text('{"input": "a"}\n{"output": {}}\n')
    with pytest.raises(DataError) as caught:
        new("staff", bad, folder=tmp_path / "staff")
    assert [problem.place for problem in caught.value.problems] == [f"{bad}:1", f"{bad}:2"]
    assert not (tmp_path / "staff").exists()


def test_the_schema_of_a_file_a_folder_and_a_pack(task_folder: Path) -> None:
    for target in (task_folder / "schema.json", task_folder, "cli-intent"):
        document, error = schema_of(target)
        assert document.name == "schema.json"
        assert error is None


def test_a_broken_task_still_gives_its_schema_and_its_error(task_folder: Path) -> None:
    (task_folder / "task.toml").write_text('name = "people"\n')
    document, error = schema_of(task_folder)
    assert document.value["oneOf"]
    assert isinstance(error, TaskError)


def test_what_is_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownTask):
        schema_of("no-such-task")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(SchemaError):
        schema_of(tmp_path / "x.json")
