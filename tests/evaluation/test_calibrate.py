from __future__ import annotations

import numpy as np
import pytest

from microlith.errors import DataError, UsageError
from microlith.evaluation.calibrate import FLATTEST, SHARPEST, fit, fit_calibrator, fit_temperature, smoothed
from microlith.evaluation.measures import calibration
from microlith.inference.calibration import log_odds, sigmoid


def overconfident(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of a model whose true log-odds are the stated ones divided by `temperature`."""
    random = np.random.default_rng(seed)
    stated = random.normal(3.0, 2.0, n)
    right = random.random(n) < sigmoid(stated / temperature)
    return np.log(sigmoid(stated)), right


def test_platt_targets_by_hand() -> None:
    assert smoothed(np.array([True, True, False])).tolist() == pytest.approx([3 / 4, 3 / 4, 1 / 3])


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_temperature_is_recovered(temperature: float) -> None:
    assert fit_temperature(*overconfident(4000, temperature)) == pytest.approx(temperature, rel=0.1)


def test_calibration_gets_better_on_fresh_rows() -> None:
    log_probability, right = overconfident(2000, 3.0)
    found = fit_calibrator({"span": (log_probability, right)}, log_probability[:, None], right)
    fresh, truth = overconfident(2000, 3.0, seed=1)
    before = calibration(np.exp(fresh).tolist(), truth.tolist()).ece
    after = calibration(found.field_confidence("span", fresh).tolist(), truth.tolist()).ece
    assert before is not None
    assert after is not None
    assert after < before / 3


@pytest.mark.parametrize("right", [[True] * 30, [False] * 30])
def test_one_class_only_gives_a_bounded_temperature(right: list[bool]) -> None:
    assert SHARPEST <= fit_temperature([np.log(0.9)] * 30, right) <= FLATTEST


def test_no_rows_leave_the_temperature_alone() -> None:
    assert fit_temperature([], []) == 1.0


def test_the_mean_confidence_is_the_rate_even_where_errors_are_rare() -> None:
    random = np.random.default_rng(0)
    right = np.ones(600, dtype=bool)
    right[:6] = False
    features = random.normal(0, 1, (600, 3)) + right[:, None]
    assert fit(features, right).predict(features).mean() == pytest.approx(0.99, abs=0.004)


def test_a_telling_feature_separates_right_from_wrong() -> None:
    random = np.random.default_rng(0)
    right = random.random(500) < 0.95
    features = np.column_stack(
        [np.where(right, -0.1, -3.0) + random.normal(0, 0.3, 500), random.normal(0, 1, 500)]
    )
    confidence = fit(features, right).predict(features)
    assert confidence[right].mean() > 0.95
    assert confidence[~right].mean() < 0.5


@pytest.mark.parametrize(("value", "low", "high"), [(True, 0.9, 0.99), (False, 0.01, 0.1)])
def test_one_class_only_gives_a_modest_answer(value: bool, low: float, high: float) -> None:
    features = np.arange(30.0)[:, None]
    assert ((confidence := fit(features, [value] * 30).predict(features)) > low).all()
    assert (confidence < high).all()


def test_constant_and_infinite_features_do_no_harm() -> None:
    features = np.array([[1.0, -np.inf, np.nan], [1.0, 2.0, 3.0], [1.0, 1.0, 3.0], [1.0, np.inf, 3.0]])
    confidence = fit(features, [False, True, True, True]).predict(features)
    assert np.isfinite(confidence).all()


def test_fitting_twice_gives_the_same() -> None:
    features, right = np.random.default_rng(1).normal(0, 1, (50, 2)), [True, False] * 25
    assert fit(features, right) == fit(features, right)


def test_the_optimum_has_no_slope() -> None:
    random = np.random.default_rng(2)
    features, right = random.normal(0, 2, (80, 2)), random.random(80) < 0.7
    found = fit(features, right, l2=2.0)
    wrong = found.predict(features) - smoothed(right)
    scored = (features - np.array(found.mean)) / np.array(found.scale)
    assert scored.T @ wrong + 2.0 * np.array(found.weights) == pytest.approx([0, 0], abs=1e-3)
    assert wrong.sum() == pytest.approx(0, abs=1e-3)


def test_no_rows_cannot_be_fitted() -> None:
    with pytest.raises(DataError, match="no rows"):
        fit(np.zeros((0, 2)), [])


@pytest.mark.parametrize("wrong", [{"features": np.zeros((3, 2))}, {"names": ["a"]}, {"l2": 0.0}])
def test_shapes_and_strength_are_checked(wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {"features": np.zeros((2, 2)), "right": [True, False], **wrong}
    with pytest.raises(UsageError):
        fit(**arguments)  # type: ignore[arg-type]


def test_log_odds_of_a_half_is_zero() -> None:
    assert log_odds(np.log(np.array([0.5])))[0] == pytest.approx(0.0)
