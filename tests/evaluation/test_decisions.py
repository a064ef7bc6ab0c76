from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from microlith.data.example import Example
from microlith.errors import DataError
from microlith.evaluation.decisions import (
    UNKNOWN,
    Labels,
    expected_readings,
    leading_slot,
    outside_label,
    reading_of,
    same,
    score_decisions,
)
from microlith.task.taskfile import Task

Examples = Callable[[dict[str, Any]], list[Example]]
HOST = {"action": "host_add", "host": "a.example"}
BOB = {"action": "user_add", "user": "bob"}
SECRET = {"action": "user_add", "user": "bob", "password": "hunter22"}
BOTH = {"action": "sequence", "steps": [HOST, BOB]}


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ([1, 2], [2, 1], False),
        ({"a": 1, "b": [None]}, {"b": [None], "a": 1.0}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ("1", 1, False),
        (None, None, True),
        ([], {}, False),
    ],
)
def test_same_is_equality_of_json(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal


def scores(task: Task, expected: Any, got: Any) -> dict[tuple[str, str], tuple[int, int]]:
    wanted, given = reading_of(task.plan, expected), reading_of(task.plan, got)
    assert wanted is not None
    return {
        (row.path, row.kind): (row.right.hits, row.right.n)
        for row in score_decisions(task.plan, [wanted], [given])
        if row.right.n
    }


def test_every_decision_of_a_right_answer_is_right(actions: Task) -> None:
    assert scores(actions, SECRET, SECRET) == {
        ("(answer)", "count"): (1, 1),
        ("action", "choice"): (1, 1),
        ("user", "span"): (1, 1),
        ("password", "presence"): (1, 1),
        ("password", "span"): (1, 1),
    }


def test_an_absent_value_counts_for_presence_only(actions: Task) -> None:
    found = scores(actions, BOB, SECRET)
    assert found[("password", "presence")] == (0, 1)
    assert ("password", "span") not in found


def test_steps_are_compared_by_position(actions: Task) -> None:
    found = scores(actions, BOTH, HOST)
    assert found[("(answer)", "count")] == (0, 1)
    assert found[("action", "choice")] == (1, 2)
    assert found[("host", "span")] == (1, 1)
    assert found[("user", "span")] == (0, 1)


@pytest.mark.parametrize(
    "got", [None, "text", {}, {"action": "nonsense"}, {"action": "sequence"}, {"action": []}]
)
def test_an_unreadable_answer_has_every_decision_wrong(actions: Task, got: Any) -> None:
    assert {hits for hits, _ in scores(actions, SECRET, got).values()} == {0}


def test_lists_have_a_count_and_a_value(tags: Task) -> None:
    found = scores(tags, {"label": "yes", "tags": ["a", "b"]}, {"label": "yes", "tags": ["a", "c"]})
    assert found[("tags", "count")] == (1, 1)
    assert found[("tags", "choice")] == (0, 1)


def test_true_is_not_one(tags: Task) -> None:
    assert scores(tags, {"label": "yes", "sure": True}, {"label": "yes", "sure": 1})[("sure", "choice")] == (
        0,
        1,
    )


def test_an_expected_answer_that_cannot_be_read_is_named(actions: Task, examples: Examples) -> None:
    rows = examples({"one": HOST, "two": {"action": "fly"}, "three": {}})
    with pytest.raises(DataError) as error:
        expected_readings(actions.plan, rows)
    assert [problem.place for problem in error.value.problems] == ["t.jsonl:2", "t.jsonl:3"]


def test_the_leading_slot_is_the_discriminator_or_the_first_choice(actions: Task, tags: Task) -> None:
    assert [slot.key for task in (actions, tags) if (slot := leading_slot(task.plan))] == ["action", "label"]


def test_the_out_of_scope_label_comes_from_the_plan(actions: Task, tags: Task) -> None:
    assert (outside_label(actions.plan), outside_label(tags.plan)) == ("other", "none")


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        (BOTH, "sequence"),
        (HOST, "host_add"),
        (None, None),
        ({}, None),
        ({"action": "my secret"}, UNKNOWN),
        (["x"], None),
    ],
)
def test_only_labels_of_the_schema_are_kept(actions: Task, answer: Any, label: str | None) -> None:
    assert Labels(actions.plan, leading_slot(actions.plan)).of(answer) == label
