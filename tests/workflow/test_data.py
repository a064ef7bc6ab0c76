"""Looking at rows, taking them in, making more, giving them out."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from microlith.data.dataset import finished
from microlith.errors import DataError, UsageError
from microlith.task import load_task
from microlith.workflow.data import (
    check_data,
    export_rows,
    file_facts,
    from_templates,
    import_rows,
    resampled,
    split_rows,
)


def run(work: Generator[Any, None, Any]) -> Any:
    return finished(work)


def append(folder: Path, *rows: object) -> None:
    with (folder / "data" / "train.jsonl").open("a") as file:
        file.writelines(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def test_a_check_finds_bad_rows_duplicates_contradictions_and_leaks(task_folder: Path) -> None:
    append(
        task_folder,
        {"input": "x", "output": {"action": "add", "name": "not there"}},
        "not json",
        {"input": "Stop it!", "output": {"action": "stop"}},
        {"input": "halt it", "output": {"action": "add", "name": "it"}},
        {"input": "abort it", "output": {"action": "stop"}},
    )
    found = check_data(load_task(task_folder))
    assert [problem.place.rpartition("/")[2] for problem in found.bad if problem.place] == [
        "train.jsonl:40",
        "train.jsonl:39",
    ]
    assert [one.example.input for one in found.duplicates] == ["Stop it!"]
    assert any(one.certain for one in found.conflicts)
    assert "abort it" in {one.example.input for one in found.fenced}
    assert dict(found.labels)["add"] == 33
    json.dumps(found.to_json())


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    task = load_task("infra")
    path = tmp_path / "rows.jsonl"
    row = {
        "input": "add user bo with password Xy7-secret",
        "output": {"action": "user_add", "username": "bo", "password": "Xy7-secret"},
    }
    path.write_text(json.dumps(row))
    shown = json.dumps(file_facts(path, task).to_json())
    assert "Xy7-secret" not in shown
    assert "Xy7-secret" in json.dumps(file_facts(path).to_json())


def test_rows_are_taken_in_from_another_format(task_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "alpaca.json"
    path.write_text(
        json.dumps(
            [
                {
                    "instruction": "i",
                    "input": "please hire ada now",
                    "output": '{"action": "add", "name": "ada"}',
                }
            ]
        )
    )
    facts, count, target = import_rows(load_task(task_folder), path)
    assert (facts.format, facts.container, count, target.name) == ("alpaca", "array", 1, "train-alpaca.jsonl")
    assert target in load_task(task_folder).train_files
    with pytest.raises(UsageError, match="there already"):
        import_rows(load_task(task_folder), path)


def test_rows_that_do_not_fit_are_refused_unless_told_otherwise(task_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"input": "stop", "output": {"action": "stop"}}\n{"input": "x", "output": {"action": "fly"}}\n'
    )
    with pytest.raises(DataError):
        import_rows(load_task(task_folder), path)
    assert import_rows(load_task(task_folder), path, skip_bad=True)[1] == 1


def test_resampled_rows_fit_the_schema_and_copy_their_values(task_folder: Path, tmp_path: Path) -> None:
    task = load_task(task_folder)
    facts = run(resampled(task, tmp_path / "made.jsonl", count=50, seed=1))
    rows = [json.loads(line) for line in (tmp_path / "made.jsonl").read_text().splitlines()]
    assert facts["rows"] == len(rows) > 30
    assert all(task.validator.is_valid(row["output"]) for row in rows)
    assert all(row["output"].get("name", "") in row["input"] for row in rows)


def test_rows_from_templates(task_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text('-> {"action": "add", "name": "{name}"}\n(hire|enlist) {name} [today]\n')
    facts = run(
        from_templates(load_task(task_folder), tmp_path / "t.txt", tmp_path / "made.jsonl", count=20, seed=0)
    )
    assert facts["rows"] == 20
    assert facts["phrasings"] == 1


@pytest.mark.parametrize("row_format", ["native", "chat"])
def test_a_dataset_is_given_out_with_its_lineage(row_format: str, task_folder: Path, tmp_path: Path) -> None:
    dataset = run(split_rows(load_task(task_folder), seed=0, validation_share=0.2, refill=0))
    written = export_rows(dataset, tmp_path / "out", row_format, instruction="Do it.")
    assert written["train.jsonl"] + written["validation.jsonl"] == 38
    assert written["lineage.jsonl"] == sum(dataset.sizes.values())
    first = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert ("messages" in first) == (row_format == "chat")


def test_an_unknown_format_names_the_known_ones(task_folder: Path, tmp_path: Path) -> None:
    dataset = run(split_rows(load_task(task_folder), seed=0, validation_share=0.2, refill=0))
    with pytest.raises(UsageError, match="csv"):
        export_rows(dataset, tmp_path, "csv", instruction="")
