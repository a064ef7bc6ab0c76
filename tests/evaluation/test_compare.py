from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.errors import DataError, UsageError
from microlith.evaluation.compare import compare, mcnemar, spread, text_preference
from microlith.evaluation.result import Evaluation

Scored = Callable[..., Evaluation]


@pytest.mark.parametrize(
    ("first", "second", "p_value"),
    [(0, 0, 1.0), (5, 5, 1.0), (5, 0, 2 / 32), (6, 0, 2 / 64), (8, 1, 2 * 10 / 512), (1, 8, 2 * 10 / 512)],
)
def test_mcnemar_by_hand(first: int, second: int, p_value: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p_value)


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_two_sided_binomial_test(first: int, second: int) -> None:
    total = first + second
    tail = sum(comb(total, k) for k in range(min(first, second) + 1)) / 2**total
    assert mcnemar(first, second) == pytest.approx(min(1.0, 2 * tail))


def test_cells_are_counted(scored: Scored) -> None:
    one = scored([True] * 8 + [False] * 2, name="new")
    other = scored([True, False] * 5, name="old")
    pair = compare(one, other).pairs[0]
    assert (pair.both, pair.only_candidate, pair.only_reference, pair.neither) == (4, 4, 1, 1)
    assert pair.difference == pytest.approx(0.3)
    assert pair.low < pair.difference < pair.high


@pytest.mark.parametrize(
    ("new", "old", "words"),
    [
        ([True] * 20, [True] * 10 + [False] * 10, "new is better than old: +50.0 points"),
        ([True] * 10 + [False] * 10, [True] * 20, "new is worse than old: −50.0 points"),
        ([True] * 20, [True] * 19 + [False], "no difference between new and old is shown"),
        ([True], [True], "no difference"),
    ],
)
def test_the_verdict_says_what_the_test_found(
    scored: Scored, new: list[bool], old: list[bool], words: str
) -> None:
    pair = compare(scored(new, name="new"), scored(old, name="old")).pairs[0]
    assert words in pair.verdict
    assert (pair.better, pair.worse) == ("better" in words, "worse" in words)


def test_order_does_not_matter(scored: Scored) -> None:
    one, other = scored([True, True, False, False], name="a"), scored([True, False, True, False], name="b")
    mixed = list(other.outcomes)
    random.Random(3).shuffle(mixed)
    assert compare(one, replace(other, outcomes=tuple(mixed))).pairs == compare(one, other).pairs


def test_different_examples_are_refused(scored: Scored) -> None:
    with pytest.raises(DataError, match="1 stand alone"):
        compare(scored([True, True]), scored([True]))


def test_different_tasks_are_refused(scored: Scored) -> None:
    with pytest.raises(DataError, match="one task"):
        compare(scored([True]), replace(scored([True]), task="another"))


def test_a_candidate_alone_is_refused(scored: Scored) -> None:
    with pytest.raises(UsageError):
        compare(scored([True]))


def test_comparison_turns_into_json(scored: Scored) -> None:
    found = compare(scored([True]), scored([False]), scored([True])).to_json()
    assert [pair["only_candidate"] for pair in found["pairs"]] == [1, 0]


def test_spread_over_seeds_by_hand(scored: Scored) -> None:
    runs = [scored([True] * hits + [False] * (10 - hits)) for hits in (8, 9, 10)]
    (exact,) = spread(runs, ["exact"])
    assert (exact.mean, exact.sd, exact.low, exact.high, exact.n) == pytest.approx((0.9, 0.1, 0.8, 1.0, 3))


def test_one_seed_has_no_deviation_and_an_unscored_metric_is_left_out(scored: Scored) -> None:
    found = spread([scored([True])], ["exact", "confidence_wrong"])
    assert [(one.metric, one.sd) for one in found] == [("exact", None)]


def test_spread_refuses_an_unknown_metric(scored: Scored) -> None:
    with pytest.raises(UsageError, match="exactness"):
        spread([scored([True])], ["exactness"])


def test_texts_are_compared_beside_exactness(told: Scored) -> None:
    pair = compare(told(["a b c d", "a b"] * 5, "new"), told(["a b", "x"] * 5, "old")).pairs[0]
    assert pair.texts is not None
    assert pair.texts.candidate == pytest.approx((1 + 10 / 12) / 2)
    assert pair.texts.reference == pytest.approx((10 / 12 + 6 / 11) / 2)
    assert pair.texts.difference.value == pytest.approx(pair.texts.candidate - pair.texts.reference)
    assert pair.difference == 0.5


@pytest.mark.parametrize(
    ("new", "old", "words"),
    [
        (
            ["a b c d"] * 9,
            ["a b"] * 8 + ["x"],
            "the texts of new are nearer to the right ones than those of old: +19.9 points of ROUGE-L",
        ),
        (
            ["x"] * 9,
            ["a b"] * 9,
            "the texts of new are farther from the right ones than those of old: −28.8 points",
        ),
        (
            ["a b", "x"] * 4,
            ["x", "a b"] * 4,
            "no difference between the texts of new and old is shown: +0.0 points",
        ),
    ],
)
def test_the_verdict_on_answers_with_text_is_on_their_texts(
    told: Scored, new: list[str], old: list[str], words: str
) -> None:
    pair = compare(told(new, "new"), told(old, "old")).pairs[0]
    assert words in pair.verdict
    assert pair.texts is not None
    assert (pair.texts.better, pair.texts.worse) == ("nearer" in words, "farther" in words)


def test_texts_of_the_same_example_are_paired(told: Scored) -> None:
    one, other = told(["a b c d", "a b", "x"], "a"), told(["x", "a b", "a"], "b")
    turned = replace(other, outcomes=other.outcomes[::-1])
    assert compare(one, turned).pairs == compare(one, other).pairs


def test_evaluations_without_text_scores_are_compared_by_exactness_alone(
    scored: Scored, told: Scored
) -> None:
    assert compare(scored([True]), scored([True])).pairs[0].texts is None
    new = told(["a"])
    old = replace(new, outcomes=tuple(replace(row, rouge_l=None) for row in new.outcomes))
    pair = compare(new, old).pairs[0]
    assert pair.texts is None
    assert "of ROUGE-L" not in pair.verdict


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_a_text_preference_turns_over_with_its_sides(rows: list[tuple[float, float]]) -> None:
    first, second = [one for one, _ in rows], [other for _, other in rows]
    value, low, high = text_preference(first, second)
    back = text_preference(second, first)
    assert low - 1e-9 <= value <= high + 1e-9
    assert (value, low, high) == pytest.approx((-back[0], -back[2], -back[1]), abs=1e-9)


def test_a_steady_lead_is_no_luck_and_one_row_by_itself_may_be() -> None:
    hard_and_easy = [0.1, 0.9, 0.3, 0.7] * 5
    _, low, high = text_preference([value + 0.05 for value in hard_and_easy], hard_and_easy)
    assert (low, high) == pytest.approx((0.05, 0.05))
    _, low, _ = text_preference([*hard_and_easy, 1.0], [*hard_and_easy, 0.0])
    assert low == 0.0


@pytest.mark.parametrize(("first", "second"), [([], []), ([0.5], [0.5, 0.5])])
def test_a_text_preference_needs_pairs(first: list[float], second: list[float]) -> None:
    with pytest.raises(UsageError):
        text_preference(first, second)
