from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.errors import ArtifactError, UsageError
from microlith.inference.calibration import Calibrator, LogisticCalibrator, sigmoid

LOGISTIC = LogisticCalibrator(
    names=("sum", "margin"), mean=(-1.0, 2.0), scale=(0.5, 1.0), weights=(1.0, 0.5), bias=0.3
)


def test_prediction_by_hand() -> None:
    # (-0.5 + 1) / 0.5 = 1; (3 - 2) / 1 = 1; 1 + 0.5 + 0.3 = 1.8
    assert LOGISTIC.predict([[-0.5, 3.0]]) == pytest.approx([1 / (1 + np.exp(-1.8))])


def test_one_row_is_one_answer() -> None:
    assert LOGISTIC.predict([-1.0, 2.0]).shape == (1,)


@pytest.mark.parametrize("features", [[[1.0]], [[1.0, 2.0, 3.0]], [[[1.0, 2.0]]]])
def test_another_number_of_features_is_refused(features: Any) -> None:
    with pytest.raises(UsageError, match="sum, margin"):
        LOGISTIC.predict(features)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(), st.floats()), min_size=1, max_size=20))
def test_any_features_give_a_probability(features: list[tuple[float, float]]) -> None:
    found = LOGISTIC.predict(features)
    assert ((found >= 0) & (found <= 1)).all()


def test_an_outlier_does_not_rule() -> None:
    assert LOGISTIC.predict([[-1e9, 2.0]]) == pytest.approx(sigmoid(np.array([-8.0 + 0.3])))


@pytest.mark.parametrize(("temperature", "confidence"), [(1.0, 0.9), (2.0, 0.75), (0.5, 81 / 82)])
def test_a_temperature_divides_the_log_odds(temperature: float, confidence: float) -> None:
    found = Calibrator(temperatures={"span": temperature}).field_confidence("span", np.log([0.9]))
    assert found == pytest.approx([confidence])


def test_a_kind_without_a_temperature_is_left_alone() -> None:
    assert Calibrator().field_confidence("choice", np.log([0.2, 0.7])) == pytest.approx([0.2, 0.7])


@pytest.mark.parametrize("value", [0.0, -1e-320, -np.inf, np.nan, -1e9])
def test_certainty_and_nonsense_stay_finite(value: float) -> None:
    found = Calibrator(temperatures={"span": 2.0}).field_confidence("span", value)
    assert np.isfinite(found).all()


@settings(deadline=None)
@given(st.lists(st.floats(-40, 0), min_size=2, max_size=30), st.floats(0.2, 10))
def test_a_temperature_keeps_the_order(values: list[float], temperature: float) -> None:
    found = Calibrator(temperatures={"k": temperature}).field_confidence("k", sorted(values))
    assert (np.diff(found) >= 0).all()


@given(st.lists(st.floats(), min_size=2, max_size=2))
def test_one_answer_as_in_the_array(features: list[float]) -> None:
    assert LOGISTIC.predict_one(features) == pytest.approx(float(LOGISTIC.predict([features])[0]), rel=1e-9)


def test_an_answer_is_no_surer_than_its_least_sure_decision() -> None:
    calibrator = Calibrator(answer=LOGISTIC)
    assert calibrator.answer_confidence((3.0, 3.0), [math.log(0.4), -0.01]) == pytest.approx(0.4)
    assert calibrator.answer_confidence((-9.0, 0.0), [-0.01]) == pytest.approx(
        LOGISTIC.predict_one((-9.0, 0.0))
    )
    assert Calibrator().answer_confidence((0.0,), []) == 0.5


@given(st.floats(max_value=0.0) | st.just(math.nan), st.floats(0.05, 20.0))
def test_one_decision_as_in_the_array(value: float, temperature: float) -> None:
    one = Calibrator(temperatures={"k": temperature})
    found = math.exp(one.decision_log_confidence("k", value))
    assert found == pytest.approx(float(one.field_confidence("k", value)[0]), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("answer", [None, LOGISTIC])
def test_json_and_back(answer: LogisticCalibrator | None) -> None:
    calibrator = Calibrator(temperatures={"span": 1.5, "choice": 0.8}, answer=answer)
    assert Calibrator.from_json(json.loads(json.dumps(calibrator.to_json()))) == calibrator


def damaged(**changes: Any) -> dict[str, Any]:
    data = Calibrator(temperatures={"span": 1.5}, answer=LOGISTIC).to_json()
    data["answer"].update(changes)
    return data


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"temperatures": [], "answer": None},
        {"temperatures": {"span": 0}, "answer": None},
        {"temperatures": {"span": "hot"}, "answer": None},
        {"temperatures": {}, "answer": []},
        damaged(weights=[1.0]),
        damaged(scale=[0.0, 1.0]),
        damaged(bias=None),
        damaged(mean=3),
        damaged(mean=[float("nan"), 1.0]),
        damaged(names=3),
    ],
)
def test_damaged_calibration_is_an_artifact_error(data: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError):
        Calibrator.from_json(data)


def test_serving_needs_no_scipy() -> None:
    code = (
        "import sys; from microlith.inference.calibration import Calibrator;"
        "Calibrator().field_confidence('a', -0.1);"
        "sys.exit(any(name.split('.')[0] in ('scipy', 'sklearn', 'torch', 'pydantic') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
