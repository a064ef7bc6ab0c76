"""What a loss curve says."""

from __future__ import annotations

import math

import pytest

from microlith.training.loss_watch import LossCurve, LossLevels, findings, since_best

FALLING = tuple((step, 1.2 * 0.9**step) for step in range(1, 21))


def kinds(
    training: tuple[tuple[int, float], ...], validation: tuple[tuple[int, float], ...] = (), steps: int = 20
) -> list[str]:
    curve = LossCurve(training=training, validation=validation, steps=steps)
    return [one.kind for one in findings(curve, LossLevels(), rate=2e-4)]


def test_a_good_run_gives_no_finding() -> None:
    assert kinds(FALLING, ((10, 0.6), (20, 0.4))) == []


def test_a_curve_without_points_gives_no_finding() -> None:
    assert kinds(()) == []


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_fatal_and_the_only_finding(loss: float) -> None:
    curve = LossCurve(training=((1, 9.0), (2, loss)), steps=20)
    (found,) = findings(curve, LossLevels(), rate=2e-4)
    assert (found.kind, found.fatal) == ("not_finite", True)
    assert (
        found.text
        == f"the loss is {loss} at step 2; lower the rate, e.g. rate=5e-05, or compute with precision=float32"
    )


def test_a_validation_loss_that_is_no_number_is_fatal_too() -> None:
    assert kinds(FALLING, ((5, math.nan),)) == ["not_finite"]


def test_a_loss_that_does_not_fall_is_told_from_a_quarter_of_the_run_on() -> None:
    flat = tuple((step, 1.0) for step in range(1, 11))
    assert kinds(flat, steps=100) == []
    assert kinds(flat, steps=40) == ["no_fall"]


def test_rising_validation_beside_falling_training_is_over_fitting() -> None:
    assert kinds(FALLING, ((5, 0.50), (10, 0.55), (15, 0.60))) == ["over_fitting"]


@pytest.mark.parametrize(
    "validation",
    [
        ((5, 0.50), (10, 0.55)), ((5, 0.50), (10, 0.60), (15, 0.55)), ((5, 0.500), (10, 0.501), (15, 0.502)),
    ],
)  # fmt: skip
def test_one_rise_a_fall_between_or_a_tiny_rise_is_not_over_fitting(
    validation: tuple[tuple[int, float], ...],
) -> None:
    assert kinds(FALLING, validation) == []


def test_both_rising_is_not_over_fitting() -> None:
    rising = tuple((step, 0.2 + 0.01 * step) for step in range(1, 7))
    assert "over_fitting" not in kinds(rising, ((2, 0.5), (4, 0.6), (6, 0.7)))


@pytest.mark.parametrize(("last", "kind"), [(0.9, ["poor_end"]), (0.5, ["above_target"]), (0.2, [])])
def test_the_final_level_is_judged_at_the_end_only(last: float, kind: list[str]) -> None:
    training = ((1, 1.2), (10, 1.0), (20, last))
    assert kinds(training, steps=20) == kind
    assert kinds(training, steps=21) == []


def test_a_start_far_above_the_expected_is_told() -> None:
    assert kinds(((1, 3.7), (2, 3.0))) == ["high_start"]
    assert kinds(((1, 3.5), (2, 3.0))) == []


@pytest.mark.parametrize(
    ("losses", "count"), [((), 0), ((1.0,), 0), ((1.0, 0.9, 1.1, 1.0), 2), ((1.0, 1.0), 1)]
)
def test_validations_since_the_lowest_are_counted(losses: tuple[float, ...], count: int) -> None:
    assert since_best([(step, loss) for step, loss in enumerate(losses)]) == count
