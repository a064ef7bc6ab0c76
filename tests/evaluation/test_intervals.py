from __future__ import annotations

import sys
from math import comb
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.errors import MissingExtra, UsageError
from microlith.evaluation.intervals import (
    Difference,
    Mean,
    bootstrap,
    mean_of,
    paired_difference,
    scipy,
    share,
    share_of,
    upper_bound,
    wilson,
)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Stat Med 17:857, table I
        (15, 148, 0.0624, 0.1605),  # the same
        (0, 20, 0.0, 0.1611),  # the same
        (1, 29, 0.0061, 0.1718),  # the same
        (5, 5, 0.5655, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_agrees_with_published_values(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None)
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_estimate_and_stays_a_share(pair: tuple[int, int]) -> None:
    hits, n = pair
    low, high = wilson(hits, n)
    assert 0.0 <= low <= hits / n <= high <= 1.0


def test_an_empty_share_is_not_scored() -> None:
    empty = share(0, 0)
    assert (empty.value, empty.low, empty.high) == (None, None, None)


def test_share_of_counts_true_values() -> None:
    assert (share_of([True, False, True]).hits, share_of([True, False, True]).n) == (2, 3)


@pytest.mark.parametrize(("hits", "n"), [(3, 2), (-1, 2)])
def test_an_impossible_share_is_refused(hits: int, n: int) -> None:
    with pytest.raises(UsageError, match="no share"):
        share(hits, n)


def test_upper_bound_is_the_closed_form_without_errors() -> None:
    n = np.array([1, 59, 149, 298])
    assert upper_bound(np.zeros(4, dtype=np.int64), n) == pytest.approx(1 - 0.05 ** (1 / n))


def test_upper_bound_solves_the_binomial_equation() -> None:
    bound = upper_bound(np.array([3]), np.array([120]))[0]
    assert sum(comb(120, k) * bound**k * (1 - bound) ** (120 - k) for k in range(4)) == pytest.approx(0.05)


def test_upper_bound_is_one_when_all_are_errors_or_there_are_none() -> None:
    assert upper_bound(np.array([4, 0]), np.array([4, 0])).tolist() == [1.0, 1.0]


def test_paired_difference_agrees_with_newcombe() -> None:
    # Newcombe 1998, Stat Med 17:2635, table III, method 10: 36, 12, 2, 0
    assert paired_difference(36, 12, 2, 0) == pytest.approx((0.2, 0.0569, 0.3404), abs=5e-5)


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 60)] * 4).filter(lambda cells: sum(cells) > 0))
def test_paired_difference_is_antisymmetric_and_holds_the_estimate(cells: tuple[int, int, int, int]) -> None:
    both, first, second, neither = cells
    difference, low, high = paired_difference(both, first, second, neither)
    swapped = paired_difference(both, second, first, neither)
    assert low - 1e-12 <= difference <= high + 1e-12
    assert swapped == pytest.approx((-difference, -high, -low))


def test_no_rows_cannot_be_compared() -> None:
    with pytest.raises(UsageError):
        paired_difference(0, 0, 0, 0)


def test_without_scipy_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtra, match="pip install"):
        scipy("special")


VALUES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40)


@settings(deadline=None, max_examples=50)
@given(VALUES, st.integers(0, 100))
def test_a_bootstrap_interval_holds_the_mean(values: list[float], seed: int) -> None:
    low, high = bootstrap(values, seed)
    assert min(values) - 1e-9 <= low <= fmean(values) + 1e-9
    assert fmean(values) - 1e-9 <= high <= max(values) + 1e-9


def test_a_bootstrap_interval_is_about_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(5).normal(0.5, 0.1, 400).tolist()
    low, high = bootstrap(values)
    half = 1.96 * stdev(values) / 20
    assert (low, high) == pytest.approx((fmean(values) - half, fmean(values) + half), abs=0.1 * half)


def test_a_bootstrap_is_repeated_by_its_seed() -> None:
    values = [0.1, 0.5, 0.9, 0.3]
    assert bootstrap(values, 3) == bootstrap(values, 3)


def test_a_bootstrap_over_no_rows_is_refused() -> None:
    with pytest.raises(UsageError, match="no rows"):
        bootstrap([])


def test_a_mean_over_no_rows_is_not_scored() -> None:
    assert mean_of([]) == Mean(n=0, value=None, low=None, high=None)


@pytest.mark.parametrize(
    ("low", "high", "shown"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.0, False)]
)
def test_a_difference_is_shown_where_its_interval_leaves_out_zero(
    low: float, high: float, shown: bool
) -> None:
    assert Difference(value=(low + high) / 2, low=low, high=high).shown is shown
