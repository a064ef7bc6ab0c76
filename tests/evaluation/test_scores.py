from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from microlith.data.example import Example
from microlith.errors import DataError
from microlith.evaluation.result import Evaluation
from microlith.evaluation.scores import evaluate
from microlith.task.taskfile import Task

Examples = Callable[[dict[str, Any]], list[Example]]
HOST = {"action": "host_add", "host": "a.example"}
SECRET = {"action": "user_add", "user": "bob", "password": "hunter22"}
OTHER = {"action": "other"}
ROWS = {
    "add a.example": HOST,
    "please add bob with hunter22": SECRET,
    "what is the time": OTHER,
    "tell me a joke": OTHER,
    "b.example too": {"action": "host_add", "host": "b.example"},
}
ANSWERS: dict[str, Any] = {
    "add a.example": (HOST, 0.99),
    "please add bob with hunter22": ({**SECRET, "password": "hunter2"}, 0.8),
    "what is the time": (OTHER, 0.95),
    "tell me a joke": None,
    "b.example too": RuntimeError("out of memory"),
}


@pytest.fixture
def evaluation(actions: Task, scripted: Any, examples: Examples) -> Evaluation:
    return evaluate(scripted(ANSWERS), examples(ROWS), actions, artifact_bytes=5_000_000)


def test_counts_by_hand(evaluation: Evaluation) -> None:
    shares = ("exact", "valid", "wrong_but_valid", "refused", "failed")
    assert {name: getattr(evaluation, name).hits for name in shares} == {
        "exact": 2, "valid": 3, "wrong_but_valid": 1, "refused": 1, "failed": 1,
    }  # fmt: skip
    assert evaluation.n == 5


def test_scope_counts_a_refusal_as_not_recognised(evaluation: Evaluation) -> None:
    assert evaluation.scope is not None
    assert (evaluation.scope.recall.hits, evaluation.scope.recall.n) == (1, 2)
    assert (evaluation.scope.false_alarms.hits, evaluation.scope.false_alarms.n) == (0, 3)
    assert (evaluation.scope.in_scope_exact.hits, evaluation.scope.in_scope_exact.n) == (1, 3)


def test_a_false_alarm_is_an_in_scope_request_turned_away(
    actions: Task, scripted: Any, examples: Examples
) -> None:
    found = evaluate(scripted({"add a.example": OTHER}), examples({"add a.example": HOST}), actions)
    assert found.scope is not None
    assert found.scope.false_alarms.value == 1.0


def test_a_plan_without_an_out_of_scope_option_has_no_scope(evaluation: Evaluation, scripted: Any) -> None:
    from microlith.task.compile import compile_plan

    schema = {"type": "object", "properties": {"label": {"enum": ["yes", "no"]}}, "required": ["label"]}
    task = _like(evaluation, schema, compile_plan(schema))
    rows = [Example(input="x", output={"label": "yes"}, source="t:1")]
    assert evaluate(scripted({"x": {"label": "yes"}}), rows, task).scope is None


def _like(evaluation: Evaluation, schema: Any, plan: Any) -> Any:
    from types import SimpleNamespace

    from microlith.task.validate import Validator

    return SimpleNamespace(name=evaluation.task, plan=plan, validator=Validator(schema))


def test_confidence_is_of_answers_only(evaluation: Evaluation) -> None:
    assert evaluation.confidence_right == pytest.approx(0.97)
    assert evaluation.confidence_wrong == pytest.approx(0.8)
    assert evaluation.calibration.n == 3
    assert evaluation.risk.n == 5
    assert evaluation.risk.points[-1].coverage == 0.6


def test_fields_are_calibrated_against_the_expected_value_at_their_path(evaluation: Evaluation) -> None:
    assert evaluation.field_calibration.n == 2 + 3 + 1
    assert sum(round(one.accuracy * one.n) for one in evaluation.field_calibration.bins) == 5


def test_an_invalid_answer_is_wrong_and_says_why(actions: Task, scripted: Any, examples: Examples) -> None:
    found = evaluate(
        scripted({"add a.example": {"action": "host_add"}}), examples({"add a.example": HOST}), actions
    )
    assert (found.valid.hits, found.wrong_but_valid.hits, found.exact.hits) == (0, 0, 0)
    assert "host" in str(found.worst[0].note)


def test_worst_are_the_most_confident_wrong_answers(tags: Task, scripted: Any, examples: Examples) -> None:
    rows = {f"r{i}": {"label": "yes"} for i in range(40)}
    answers = {text: ({"label": "no" if i % 2 else "yes"}, i / 100) for i, text in enumerate(rows)}
    found = evaluate(scripted(answers), examples(rows), tags)
    assert [case.input for case in found.worst[:3]] == ["r39", "r37", "r35"]
    assert len(found.worst) == 20


def test_slowest_come_first(tags: Task, scripted: Any, examples: Examples) -> None:
    rows = {f"r{i}": {"label": "yes"} for i in range(3)}
    ticks = iter([0, 0, 0, 1, 1, 9, 9, 12])
    found = evaluate(scripted(rows), examples(rows), tags, clock=lambda: float(next(ticks)))
    assert [(case.input, case.latency_ms) for case in found.slowest] == [
        ("r1", 8000),
        ("r2", 3000),
        ("r0", 1000),
    ]
    assert found.speed.rows_per_s is None


def test_failures_are_data(evaluation: Evaluation) -> None:
    assert [(case.input, case.note) for case in evaluation.failures] == [
        ("b.example too", "RuntimeError: out of memory")
    ]


def test_groups_labels_and_lengths_are_scored(actions: Task, scripted: Any, examples: Examples) -> None:
    rows = [replace(row, group="odd" if i % 2 else "even") for i, row in enumerate(examples(ROWS))]
    found = evaluate(scripted(ANSWERS), rows, actions)
    assert {(row.by, row.name): (row.exact.hits, row.exact.n) for row in found.groups} == {
        ("group", "even"): (2, 3), ("group", "odd"): (0, 2),
        ("label", "host_add"): (1, 2), ("label", "user_add"): (0, 1), ("label", "other"): (1, 2),
        ("length", "0-20 characters"): (2, 4), ("length", "21-40 characters"): (0, 1),
    }  # fmt: skip


def test_confusion_counts_expected_against_got(evaluation: Evaluation) -> None:
    assert evaluation.confusion is not None
    assert evaluation.confusion.labels == ("host_add", "user_add", "other")
    assert {(cell.expected, cell.got): cell.count for cell in evaluation.confusion.cells} == {
        ("host_add", "host_add"): 1, ("user_add", "user_add"): 1, ("other", "other"): 1, ("other", None): 1, ("host_add", None): 1,
    }  # fmt: skip


def test_no_secret_is_kept(evaluation: Evaluation) -> None:
    assert "hunter" not in json.dumps(evaluation.to_json())


def test_json_and_back(evaluation: Evaluation) -> None:
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation


def test_damaged_json_names_every_fault(evaluation: Evaluation) -> None:
    data = evaluation.to_json()
    del data["exact"]
    data["n"] = "many"
    with pytest.raises(DataError) as error:
        Evaluation.from_json(data)
    assert {problem.place for problem in error.value.problems} == {"#/exact", "#/n"}


def test_no_examples_is_an_error(actions: Task, scripted: Any) -> None:
    with pytest.raises(DataError, match="no examples"):
        evaluate(scripted({}), [], actions)


def test_outcomes_keep_the_order_and_the_keys(evaluation: Evaluation, examples: Examples) -> None:
    assert [one.key for one in evaluation.outcomes] == [row.key for row in examples(ROWS)]


def test_timing_can_be_left_out(tags: Task, scripted: Any, examples: Examples) -> None:
    found = evaluate(
        scripted({"a": {"label": "yes"}}), examples({"a": {"label": "yes"}}), tags, timing_rows=0
    )
    assert (found.speed.latency, found.slowest) == (None, ())
