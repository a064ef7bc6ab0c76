from __future__ import annotations

from pathlib import Path

import pytest

from microlith.data.load import load_examples, load_files, load_test, problems_of
from microlith.errors import DataError
from tests.data.small import KIND_SCHEMA, PLAN, VALIDATOR, make_task, member, other, row, user, write_lines


def test_rows_are_read_with_their_place_in_the_task(tmp_path: Path) -> None:
    task = make_task(tmp_path, [user("add bob", "bob"), other("why")], [other("test")])
    loaded = load_examples(task)
    assert [one.source for one in loaded.checked()] == ["data/train.jsonl:1", "data/train.jsonl:2"]
    assert [one.source for one in load_test(task).examples] == ["data/test.jsonl:1"]


def test_a_task_without_a_test_has_no_test_rows(tmp_path: Path) -> None:
    assert load_test(make_task(tmp_path, [other("why")])).examples == ()


def test_bad_rows_are_named_and_the_others_are_kept(tmp_path: Path) -> None:
    task = make_task(
        tmp_path,
        [user("add bob", "bob"), user("add bob", "carl"), row("fly", {"action": "fly"}), other("why")],
    )
    loaded = load_examples(task)
    path = tmp_path / "data" / "train.jsonl"
    assert [one.input for one in loaded.examples] == ["add bob", "why"]
    assert [problem.place for problem in loaded.bad] == [f"{path}:2", f"{path}:3"]
    assert "'carl' is not a slice of the request" in loaded.bad[0].what
    with pytest.raises(DataError, match="2 mistakes") as error:
        loaded.checked()
    assert len(error.value.problems) == 2


def test_a_secret_that_was_not_copied_is_not_shown() -> None:
    (problem,) = problems_of(user("add bob", "bob", "hunter2"), PLAN, VALIDATOR)
    assert "hunter2" not in problem.what
    assert "password" in problem.what


def test_the_place_within_a_sequence_is_told() -> None:
    steps = [
        {"action": "user_add", "username": "bob"},
        {"action": "group_add", "username": "bob", "group": "ops"},
    ]
    (problem,) = problems_of(row("add bob", {"action": "sequence", "steps": steps}), PLAN, VALIDATOR)
    assert problem.what == "steps[1].group: 'ops' is not a slice of the request"


def test_no_files_is_an_error(tmp_path: Path) -> None:
    task = make_task(tmp_path, [other("why")])
    (tmp_path / "data" / "train.jsonl").unlink()
    with pytest.raises(DataError):
        load_examples(task)


def test_files_from_elsewhere_are_checked_too(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task", [other("why")])
    path = write_lines(tmp_path / "more.jsonl", [member("bob to ops", "bob", "ops")])
    assert [one.source for one in load_files(task, [path]).examples] == ["more.jsonl:1"]


def test_unused_keys_are_noted(tmp_path: Path) -> None:
    task = make_task(tmp_path, [other("why")])
    (tmp_path / "data" / "train.jsonl").write_text(
        '{"input": "x", "output": {"action": "none"}, "label": 1}\n'
    )
    assert "'label' of 1 rows" in load_examples(task).notes[0]


def test_json_inputs_are_rendered_where_the_task_takes_them(tmp_path: Path) -> None:
    task = make_task(tmp_path, [row("x", {"kind": "prompt"})], schema=KIND_SCHEMA, kind="json")
    (tmp_path / "data" / "train.jsonl").write_text(
        '{"input": {"title": "x"}, "output": {"kind": "prompt"}}\n'
    )
    assert load_examples(task).examples[0].input == "title: x"
