from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.errors import UsageError
from microlith.evaluation.measures import MAX_POINTS, calibration, risk_coverage

ANSWERS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80)


def test_ece_by_hand() -> None:
    # two bins of two: |0.5 - 0.15| and |0.5 - 0.9|, each of weight one half
    found = calibration([0.1, 0.2, 0.85, 0.95], [True, False, True, False], bins=2)
    assert found.ece == pytest.approx(0.375)
    assert [one.n for one in found.bins] == [2, 2]


def test_brier_by_hand() -> None:
    assert calibration([0.8, 0.4], [True, False]).brier == pytest.approx((0.04 + 0.16) / 2)


def test_bins_hold_equal_mass() -> None:
    found = calibration([i / 150 for i in range(150)], [True] * 150)
    assert [one.n for one in found.bins] == [10] * 15


def test_equal_confidences_share_a_bin_so_their_order_does_not_matter() -> None:
    right = [True] * 45 + [False] * 5
    found = calibration([0.9] * 50, right)
    assert len(found.bins) == 1
    assert found.ece == pytest.approx(0.0)


def test_nothing_answered_is_not_scored() -> None:
    empty = calibration([], [])
    assert (empty.n, empty.ece, empty.brier, empty.bins) == (0, None, None, ())


def test_a_bin_bears_the_wilson_interval_of_its_accuracy() -> None:
    one = calibration([0.9] * 20, [False] * 20).bins[0]
    assert (one.low, one.high) == pytest.approx((0.0, 0.1611), abs=1e-4)


@settings(deadline=None)
@given(ANSWERS, st.randoms())
def test_calibration_does_not_depend_on_the_order(
    answers: list[tuple[float, bool]], shuffle: random.Random
) -> None:
    one = calibration(*zip(*answers, strict=True))
    shuffle.shuffle(answers)
    other = calibration(*zip(*answers, strict=True))
    assert one.ece == pytest.approx(other.ece)
    assert sum(item.n for item in one.bins) == len(answers)
    assert 0.0 <= (one.ece or 0.0) <= 1.0


def test_lengths_must_agree() -> None:
    with pytest.raises(UsageError):
        calibration([0.5], [])


def test_risk_coverage_by_hand() -> None:
    found = risk_coverage([0.9, 0.8, 0.7, 0.6], [True, True, False, True], n=5)
    assert [one.coverage for one in found.points] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert [one.risk for one in found.points] == pytest.approx([0.0, 0.0, 1 / 3, 0.25])
    assert found.aurc == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)


def test_equal_confidences_are_one_point_and_spread_their_errors() -> None:
    found = risk_coverage([0.9] * 4, [True, False, True, False], n=4)
    assert len(found.points) == 1
    assert found.aurc == pytest.approx(0.5)


def test_a_refusal_lowers_the_coverage() -> None:
    assert risk_coverage([0.9, 0.9], [True, True], n=4).points[-1].coverage == 0.5


@pytest.mark.parametrize(("rows", "coverage"), [(148, 0.0), (149, 1.0)])
def test_two_percent_needs_149_faultless_answers(rows: int, coverage: float) -> None:
    # 1 - 0.05 ** (1 / 149) is the first below 0.02
    target = risk_coverage([0.9] * rows, [True] * rows, n=rows, errors=[0.02]).targets[0]
    assert target.coverage == coverage
    assert target.hoped == 1.0


def test_a_target_names_the_threshold_that_keeps_the_bound() -> None:
    confidence = [0.99] * 400 + [0.5] * 100
    right = [True] * 399 + [False] + [False] * 100
    target = risk_coverage(confidence, right, n=500, errors=[0.02]).targets[0]
    assert (target.coverage, target.threshold) == (0.8, 0.99)
    assert target.risk == pytest.approx(1 / 400)
    assert target.upper is not None
    assert target.risk < target.upper <= 0.02


@settings(deadline=None)
@given(ANSWERS)
def test_the_bound_is_never_kinder_than_what_was_seen(answers: list[tuple[float, bool]]) -> None:
    found = risk_coverage(*zip(*answers, strict=True), n=len(answers) + 3)
    assert all(one.upper > one.risk or one.upper == 1.0 for one in found.points)
    assert all(target.coverage <= target.hoped for target in found.targets)
    assert found.aurc is not None
    assert -1e-12 <= found.aurc <= 1.0 + 1e-12


def test_a_long_curve_is_thinned_but_keeps_its_ends_and_targets() -> None:
    confidence = np.linspace(1, 0, 5000).tolist()
    found = risk_coverage(confidence, [True] * 5000, n=5000)
    assert len(found.points) == MAX_POINTS
    assert (found.points[0].threshold, found.points[-1].coverage) == (1.0, 1.0)
    assert found.targets[0].coverage == 1.0


def test_no_answer_at_all_proves_nothing() -> None:
    found = risk_coverage([], [], n=7)
    assert (found.aurc, found.points) == (None, ())
    assert all(target.coverage == 0.0 and target.threshold is None for target in found.targets)
