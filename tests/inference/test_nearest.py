"""The nearest example answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from microlith.data.example import Example
from microlith.errors import ArtifactError, TrainingError
from microlith.inference.nearest import NearestModel
from microlith.inference.word_index import words
from microlith.task.compile import compile_plan
from microlith.task.plan import Plan
from tests.inference.test_spelling import FIGURES, SCHEMAS, of
from tests.inference.toys import span, toy

PLAN = compile_plan(of(why={"type": "string", "maxLength": 40}))
REQUESTS = ("paint the fence green", "mow the lawn", "paint the wall", "call a doctor")


def model_of(requests: tuple[str, ...] = REQUESTS, plan: Plan = PLAN) -> NearestModel:
    return NearestModel(plan, requests, [{"why": one} for one in requests])


def test_a_known_request_gets_its_own_answer_surely() -> None:
    for request, found in zip(REQUESTS, model_of().predict(REQUESTS), strict=True):
        assert found.output == {"why": request}
        assert found.confidence == pytest.approx(1.0)


def test_the_most_similar_request_answers_less_surely() -> None:
    (found,) = model_of().predict(["Please paint my FENCE, blue"])
    assert found.output == {"why": "paint the fence green"}
    assert 0.0 < found.confidence < 1.0


def test_a_request_with_no_known_word_is_answered_without_confidence() -> None:
    (found,) = model_of().predict(["zzz !!!"])
    assert found.confidence == 0.0
    assert found.output is not None


@pytest.mark.parametrize("request_text", ["", " \n"])
def test_an_empty_request_is_refused(request_text: str) -> None:
    assert model_of().predict([request_text])[0].refusal == "the request is empty"


def test_a_copy_that_is_not_in_the_request_is_refused() -> None:
    plan = compile_plan(of(host=span("hostname")))
    model = NearestModel(plan, ["point a.lan"], [{"host": "a.lan"}])
    (same, other) = model.predict(["point a.lan there", "point b.lan"])
    assert same.output == {"host": "a.lan"}
    assert other.refusal is not None
    assert "does not stand in the request" in other.refusal


def test_what_is_computed_follows_from_the_request_and_not_from_the_example() -> None:
    answer = {"risk_level": "low", "confidence": 5, "reasons": ["abc"], "recommended_actions": ["abc"]}
    model = NearestModel(compile_plan(SCHEMAS["task-risk"]), ["x"], [answer])
    high, none = model.predict([FIGURES, "x"])
    assert high.output == {**answer, "risk_level": "high"}
    assert none.refusal is not None


@pytest.mark.parametrize("requests", [("one", "two"), ("!!!", "..."), ("a",), ("", "b"), ("same", "same")])
def test_any_known_requests_can_be_indexed(requests: tuple[str, ...]) -> None:
    for found in model_of(requests).predict(["one two", "!!!", "a", "x" * 30_000]):
        assert found.output is not None
        assert 0.0 <= found.confidence <= 1.0


def test_without_examples_there_is_no_model() -> None:
    with pytest.raises(TrainingError, match="not one example"):
        NearestModel.of(PLAN, [])


def test_saved_and_loaded_it_answers_alike(tmp_path: Path) -> None:
    odd = (
        "line\u2028end",
        "form\x0cfeed \x85 \x1c",
        "lone \ud83d surrogate",
        'quote " and \\',
        "two\nlines",
        "漢 🙂",
    )
    model = model_of((*REQUESTS, *odd))
    model.save(tmp_path)
    again = NearestModel.load(tmp_path, name="other")
    assert again.name == "other"
    for one, other in zip(model.predict([*REQUESTS, *odd]), again.predict([*REQUESTS, *odd]), strict=True):
        assert (one.output, one.confidence, one.refusal) == (other.output, other.confidence, other.refusal)


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]\n", '{"input": "x"}\n', '{"input": 3, "output": {}}\n', "\xff"]
)
def test_damaged_examples_are_refused(tmp_path: Path, content: str | None) -> None:
    model_of().save(tmp_path)
    if content is None:
        (tmp_path / "examples.jsonl").unlink()
    else:
        (tmp_path / "examples.jsonl").write_text(content, encoding="latin-1")
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        NearestModel.load(tmp_path)


def test_words_are_folded_and_stand_once() -> None:
    assert words("Ärger, ärger! x2 (x2) Straße a_b") == ["ärger", "x2", "strasse", "a", "b"]


def test_the_toys_are_answered_by_heart() -> None:
    made = toy("music")
    seen: dict[str, Example] = {}
    for row in made.examples:
        seen.setdefault(row.input, row)
    model = NearestModel.of(made.plan, list(seen.values()))
    assert [one.output for one in model.predict(list(seen))] == [row.output for row in seen.values()]
