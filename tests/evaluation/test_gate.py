from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from microlith.errors import GateFailed, UsageError
from microlith.evaluation.gate import METRICS, Threshold, check, parse_threshold
from microlith.evaluation.result import Evaluation

from .conftest import notes_answer

Scored = Callable[..., Evaluation]


@pytest.mark.parametrize(
    ("text", "metric", "value"),
    [
        ("exact=0.95", "exact", 0.95),
        (" ece = 0.05 ", "ece", 0.05),
        ("exact=95%", "exact", 0.95),
        ("p50_ms=3", "p50_ms", 3.0),
        ("decision:zone:span=0.9", "decision:zone:span", 0.9),
    ],
)
def test_a_threshold_is_read(text: str, metric: str, value: float) -> None:
    assert parse_threshold(text) == Threshold(metric=metric, value=pytest.approx(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exact", "write metric=value"),
        ("=0.9", "write metric=value"),
        ("exact=", "write metric=value"),
        ("exact=high", "'high' is no number"),
        ("exact=nan", "'nan' is no number"),
        ("exact=95", "write exact=0.95 or exact=95%"),
        ("exakt=0.9", "did you mean exact?"),
        ("speed=1", "known are: n, exact, "),
    ],
)
def test_a_wrong_threshold_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        parse_threshold(text)


def test_a_threshold_that_is_just_reached_passes(scored: Scored) -> None:
    check(
        scored([True] * 19 + [False]),
        [parse_threshold("exact=0.95"), parse_threshold("wrong_but_valid=0.05")],
    )


def test_every_missed_threshold_is_named_with_value_and_demand(scored: Scored) -> None:
    with pytest.raises(GateFailed) as error:
        check(
            scored([True] * 9 + [False], name="m"),
            [Threshold(metric="exact", value=0.95), Threshold(metric="ece", value=0.0)],
        )
    text = str(error.value)
    assert "exact is 0.9 (n = 10), at least 0.95 is demanded" in text
    assert len(error.value.problems) == 1
    with pytest.raises(GateFailed, match=r"at most 0\.01 is demanded"):
        check(scored([False] * 10), [Threshold(metric="ece", value=0.01)])


def test_what_was_not_scored_does_not_pass(scored: Scored) -> None:
    with pytest.raises(GateFailed, match="out_of_scope_recall was not scored"):
        check(scored([True]), [parse_threshold("out_of_scope_recall=0.5")])


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.lower_is_better])
def test_lower_is_better_fails_above_and_passes_below(scored: Scored, name: str) -> None:
    evaluation = scored([True] * 5 + [False] * 5)
    value = METRICS[name].read(evaluation)
    if value is None:
        pytest.skip("not scored here")
    check(evaluation, [Threshold(metric=name, value=value + 0.1)])
    with pytest.raises(GateFailed):
        check(evaluation, [Threshold(metric=name, value=value - 0.01)])


def test_a_decision_can_be_demanded(scored: Scored) -> None:
    check(scored([True] * 3 + [False]), [parse_threshold("decision:label=0.75")])
    with pytest.raises(GateFailed, match=r"decision:label:choice is 0\.75"):
        check(scored([True] * 3 + [False]), [parse_threshold("decision:label:choice=0.8")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rouge_l", (1 + 10 / 12) / 2), ("repetition", 0.0), ("agreement", 1.0), ("distinct", 0.75), ("free_valid", 0.5),
    ],
)  # fmt: skip
def test_texts_and_free_answers_can_be_demanded(told: Scored, name: str, value: float) -> None:
    spoken = [json.dumps(notes_answer("a")), "{}"]
    assert METRICS[name].read(told(["a b c d", "a b"], spoken=spoken)) == pytest.approx(value)


@pytest.mark.parametrize(
    "name", ["rouge_l", "rouge_l_low", "repetition", "agreement", "distinct", "free_valid"]
)
def test_what_a_plan_without_text_has_not_is_not_scored(scored: Scored, name: str) -> None:
    assert METRICS[name].read(scored([True])) is None


def test_less_repetition_passes(told: Scored) -> None:
    found = told(["x y x y x y"])
    check(found, [Threshold(metric="repetition", value=0.5)])
    with pytest.raises(GateFailed, match=r"at most 0\.1 is demanded"):
        check(found, [Threshold(metric="repetition", value=0.1)])


def test_an_unknown_decision_lists_the_known(scored: Scored) -> None:
    with pytest.raises(UsageError, match="decision:label:choice"):
        check(scored([True]), [parse_threshold("decision:zone=0.8")])


def test_a_near_miss_does_not_look_like_a_hit(scored: Scored) -> None:
    with pytest.raises(GateFailed, match=r"exact is 0\.949749"):
        check(scored([True] * 189 + [False] * 10), [parse_threshold("exact=0.95")])


def test_the_documented_metrics_exist() -> None:
    assert {"exact", "ece", "valid", "false_alarms", "p99_ms", "artifact_mb", "coverage_at_2"} <= set(METRICS)
