from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.data.example import Example
from microlith.errors import MissingExtra
from microlith.evaluation.result import Evaluation
from microlith.evaluation.scores import evaluate
from microlith.evaluation.texts import (
    agreed,
    distinct,
    repetition,
    rouge_l,
    scorer,
    texts_of,
    words_of,
)
from microlith.task.taskfile import Task

from .conftest import notes_answer

Told = Callable[..., Evaluation]
Examples = Callable[[dict[str, Any]], list[Example]]
SENTENCES = st.lists(st.text(alphabet="abc é7.\n", max_size=30), max_size=3)
SENTENCE = "the quick brown fox jumps over it"


def test_a_plan_knows_whether_it_writes(notes: Task, tags: Task, actions: Task) -> None:
    assert [one.plan.writes_text for one in (notes, tags, actions)] == [True, False, False]


def test_texts_stand_in_the_order_of_the_schema(notes: Task) -> None:
    answer = {
        "summary": "last",
        "meta": {"reasons": ["third", "fourth"]},
        "steps": [{"title": "first", "phase": "plan"}, {"phase": "build", "title": "second"}],
        "risk": "low",
    }
    assert texts_of(notes.plan, answer) == ("first", "second", "third", "fourth", "last")


def test_an_absent_text_is_left_out(notes: Task) -> None:
    assert texts_of(notes.plan, notes_answer("why", title="what")) == ("what", "why")


@pytest.mark.parametrize("answer", [None, [], "text", {}, {"steps": 3}, {"steps": [4]}])
def test_an_answer_of_any_shape_has_its_texts_read(notes: Task, answer: Any) -> None:
    assert texts_of(notes.plan, answer) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop: 2 left!", ["don", "t", "stop", "2", "left"]),
        ("Größe prüfen", ["grösse", "prüfen"]),
        ("snake_case", ["snake", "case"]),
        ("план работ", ["план", "работ"]),
        (" …", []),
    ],
)
def test_words_are_runs_of_letters_and_digits(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("reference", "texts", "score"),
    [
        (["a b c d"], ["a c"], 2 * 1.0 * 0.5 / 1.5),
        (["a b", "c d"], ["A b c, D!"], 1.0),
        (["a b c d"], ["d c b a"], 0.25),
        (["a"], ["b"], 0.0),
        (["a"], [], 0.0),
        ([], [], 1.0),
        (["Größe"], ["größe"], 1.0),
    ],
)
def test_rouge_l_by_hand(reference: list[str], texts: list[str], score: float) -> None:
    assert rouge_l(reference, texts) == pytest.approx(score)


@settings(deadline=None)
@given(SENTENCES)
def test_equal_texts_score_one(texts: list[str]) -> None:
    assert rouge_l(texts, texts) == pytest.approx(1.0)


@settings(deadline=None)
@given(SENTENCES, SENTENCES)
def test_rouge_l_is_a_share_and_even_handed(one: list[str], other: list[str]) -> None:
    assert 0.0 <= rouge_l(one, other) <= 1.0
    assert rouge_l(one, other) == pytest.approx(rouge_l(other, one))


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        ([], 0.0),
        (["one two"], 0.0),
        (["a a a a"], 0.5),
        ([SENTENCE], 0.0),
        ([SENTENCE, SENTENCE], 5 / 12),
        ([f"{SENTENCE}! {SENTENCE.upper()}?"], 5 / 12),
    ],
)
def test_repetition_by_hand(texts: list[str], share: float) -> None:
    assert repetition(texts) == pytest.approx(share)


@given(st.integers(2, 20))
def test_what_is_said_again_and_again_is_repetition(times: int) -> None:
    assert repetition([SENTENCE] * times) > repetition([SENTENCE] * (times - 1))


@pytest.mark.parametrize(
    ("answers", "share"), [([], None), ([[]], None), ([["a", "b"], ["a", "c"]], 0.75), ([["a"]] * 4, 0.25)]
)
def test_distinct_by_hand(answers: list[list[str]], share: float | None) -> None:
    assert distinct(answers) == share


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (notes_answer("other words", title="And others"), [True, True]),
        (notes_answer("x", risk="high"), [False, True]),
        (notes_answer("x", phase="build"), [True, False]),
        (None, [False, False]),
        ({"risk": "low"}, [True, False]),
        ({"nothing": 1}, [False, False]),
        ("low", [False, False]),
    ],
)
def test_levels_agree_where_computed_values_and_choices_are_equal(
    notes: Task, answer: Any, found: list[bool]
) -> None:
    assert list(agreed(notes.plan, notes_answer("why"), answer)) == found


def test_levels_are_compared_step_by_step(notes: Task) -> None:
    def answer(*phases: str) -> dict[str, Any]:
        steps = [{"phase": phase, "title": "x"} for phase in phases]
        return {"risk": "low", "steps": steps, "meta": {"reasons": ["x"]}}

    found = list(agreed(notes.plan, answer("plan", "build", "build"), answer("plan", "plan")))
    assert found == [True, True, False, False]


def test_levels_of_several_steps_are_found(actions: Task) -> None:
    host = {"action": "host_add", "host": "a.example"}
    user = {"action": "user_add", "user": "bob"}
    both = {"action": "sequence", "steps": [host, user]}
    assert list(agreed(actions.plan, both, both)) == [True, True]
    assert list(agreed(actions.plan, both, {**both, "steps": [host, host]})) == [True, False]


def test_a_test_set_by_hand(told: Told) -> None:
    found = told(["a b c d", "a b", "x y x y x y"]).texts
    assert found is not None
    assert found.n == 3
    assert found.rouge_l.value == pytest.approx((1.0 + 2 * 5 / 12 + 2 * 3 / 16) / 3)
    assert found.repetition == pytest.approx((0 + 0 + 2 / 7) / 3)
    assert found.words == pytest.approx((7 + 5 + 9) / 3)
    assert found.distinct == pytest.approx(4 / 6)
    assert (found.agreement.hits, found.agreement.n) == (6, 6)
    assert (found.reference_repetition, found.reference_words) == (0.0, 7.0)
    assert found.reference_distinct == pytest.approx(2 / 6)


def test_the_interval_holds_the_mean(told: Told) -> None:
    found = told(["a b c d", "a b", "x"] * 10).texts
    assert found is not None
    low, value, high = found.rouge_l.low, found.rouge_l.value, found.rouge_l.high
    assert low is not None
    assert value is not None
    assert high is not None
    assert 0 < low < value < high < 1


@pytest.mark.parametrize("answer", [None, {"risk": "low"}, RuntimeError("out of memory")])
def test_a_request_without_a_valid_answer_scores_nothing(
    notes: Task, scripted: Any, examples: Examples, answer: Any
) -> None:
    right = notes_answer("a b c d")
    found = evaluate(scripted({"r": answer, "s": right}), examples({"r": right, "s": right}), notes)
    assert found.texts is not None
    assert [one.rouge_l for one in found.outcomes] == [0.0, 1.0]
    assert found.texts.rouge_l.value == 0.5
    assert (found.texts.agreement.hits, found.texts.agreement.n) == (2, 4)
    assert found.texts.words == 7.0


def test_a_model_that_never_answers_has_no_manner_of_writing(
    notes: Task, scripted: Any, examples: Examples
) -> None:
    found = evaluate(scripted({"r": None}), examples({"r": notes_answer("a")}), notes).texts
    assert found is not None
    assert (found.rouge_l.value, found.repetition, found.words, found.distinct) == (0.0, None, None, None)


def test_a_plan_without_text_has_no_text_scores(scored: Callable[..., Evaluation]) -> None:
    found = scored([True])
    assert found.texts is None
    assert found.outcomes[0].rouge_l is None


def test_json_and_back(told: Told) -> None:
    found = told(["a b", "c d"])
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_json_of_before_texts_were_scored_loads(scored: Callable[..., Evaluation]) -> None:
    found = scored([True, False])
    old = found.to_json()
    del old["texts"], old["constraint"]
    for outcome in old["outcomes"]:
        del outcome["rouge_l"]
    assert Evaluation.from_json(old) == found


@pytest.fixture
def without_rouge(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    scorer.cache_clear()
    yield
    scorer.cache_clear()


@pytest.mark.usefixtures("without_rouge")
def test_what_is_missing_is_said_before_the_model_works(
    notes: Task, scripted: Any, examples: Examples
) -> None:
    model = scripted({"r": notes_answer("a")})
    with pytest.raises(MissingExtra, match=r"microlith\[train\]"):
        evaluate(model, examples({"r": notes_answer("a")}), notes)
    assert model.calls == []


@pytest.mark.usefixtures("without_rouge")
def test_a_plan_without_text_needs_no_rouge_score(scored: Callable[..., Evaluation]) -> None:
    assert scored([True]).exact.value == 1.0
