from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.errors import DataError, UsageError
from microlith.evaluation.compare import compare, mcnemar, spread
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
