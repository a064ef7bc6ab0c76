from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from microlith.data.example import Example
from microlith.evaluation.constraint import SpeaksFreely
from microlith.evaluation.result import Constraint, Evaluation
from microlith.evaluation.scores import evaluate
from microlith.inference.generative import GenerativeModel
from microlith.inference.linear import LinearModel
from microlith.task.taskfile import Task

from .conftest import Free, notes_answer

Told = Callable[..., Evaluation]
Examples = Callable[[dict[str, Any]], list[Example]]
YES, NO = {"label": "yes"}, {"label": "no"}
SPOKEN: dict[str, Any] = {
    "right": json.dumps(YES),
    "wrong": json.dumps(NO),
    "unknown": '{"label": "perhaps"}',
    "cut": '{"label": "ye',
    "chatty": 'Sure! {"label": "yes"}',
    "broken": RuntimeError("out of memory"),
}


@pytest.fixture
def constraint(tags: Task, examples: Examples) -> Constraint:
    answers: dict[str, Any] = dict.fromkeys(SPOKEN, YES) | {"cut": NO, "chatty": None}
    found = evaluate(
        Free(answers, SPOKEN), examples(dict.fromkeys(SPOKEN, YES)), tags, timing_rows=0
    ).constraint
    assert found is not None
    return found


def test_generative_models_speak_freely_and_others_do_not() -> None:
    assert issubclass(GenerativeModel, SpeaksFreely)
    assert not issubclass(LinearModel, SpeaksFreely)


def test_free_answers_are_counted_by_hand(constraint: Constraint) -> None:
    free = constraint.free
    assert free.exact is not None
    assert (free.json.hits, free.valid.hits, free.exact.hits, free.wrong_but_valid.hits) == (3, 2, 1, 1)
    assert constraint.n == free.valid.n == 6


def test_constrained_answers_are_counted_on_the_same_rows(constraint: Constraint) -> None:
    held = constraint.constrained
    assert held.exact is not None
    assert (held.json.hits, held.valid.hits, held.exact.hits, held.wrong_but_valid.hits) == (5, 5, 4, 1)


def test_differences_are_constrained_minus_free(constraint: Constraint) -> None:
    assert constraint.exact is not None
    assert constraint.valid.value == pytest.approx(3 / 6)
    assert constraint.exact.value == pytest.approx(3 / 6)
    assert constraint.wrong_but_valid.value == 0.0
    assert constraint.valid.low < constraint.valid.value < constraint.valid.high
    assert constraint.rouge_l is None
    assert constraint.free.rouge_l is None


def test_texts_are_compared_by_rouge_l_instead_of_exactness(told: Told) -> None:
    right, half = json.dumps(notes_answer("a b c d")), json.dumps(notes_answer("a b"))
    found = told(["a b c d", "a b c d", "x"], spoken=[right, half, "{}"]).constraint
    assert found is not None
    assert found.rouge_l is not None
    assert found.free.rouge_l is not None
    assert found.exact is None
    assert found.free.exact is None
    assert found.free.rouge_l.value == pytest.approx((1 + 10 / 12 + 0) / 3)
    assert found.rouge_l.value == pytest.approx((0 + 2 / 12 + 6 / 11) / 3)
    assert found.rouge_l.low <= found.rouge_l.value <= found.rouge_l.high


def test_a_free_answer_may_be_as_long_as_the_longest_right_one(tags: Task, examples: Examples) -> None:
    long = {"label": "yes", "tags": ["a", "b", "c"]}
    model = Free({"one": YES, "two": long}, dict.fromkeys(("one", "two"), "{}"))
    evaluate(model, examples({"one": YES, "two": long}), tags)
    assert model.asked == [("one", len(json.dumps(long))), ("two", len(json.dumps(long)))]


@pytest.mark.parametrize(
    ("most", "asked"), [(0, []), (1, ["r0"]), (3, ["r0", "r4", "r9"]), (99, [f"r{i}" for i in range(10)])]
)
def test_rows_are_spread_evenly(tags: Task, examples: Examples, most: int, asked: list[str]) -> None:
    rows = {f"r{index}": YES for index in range(10)}
    model = Free(rows, dict.fromkeys(rows, "{}"))
    found = evaluate(model, examples(rows), tags, free_rows=most).constraint
    assert [request for request, _ in model.asked] == asked
    assert (found.n if found is not None else 0) == len(asked)


def test_a_model_that_cannot_speak_freely_has_no_constraint(scored: Callable[..., Evaluation]) -> None:
    assert scored([True]).constraint is None


def test_json_and_back(told: Told) -> None:
    found = told(["a b", "c"], spoken=["{}", "["])
    assert found.constraint is not None
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found
