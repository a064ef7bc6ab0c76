"""From a model's raw scores to probabilities that can be believed. Numpy only; fitting is `evaluation.calibrate`.

Two steps. A **temperature** per decision kind turns the raw probability of one decision into the confidence of its field.
A **logistic calibrator** turns features of the whole answer (sum of log-probabilities, smallest field probability, margin,
number of steps, ...) into the confidence of the answer. Which features there are is the model's own affair: the calibrator
keeps their names and refuses a vector of another length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from microlith.errors import ArtifactError, UsageError

Array = npt.NDArray[np.float64]

MAX_LOGIT = 30.0
"""Log-odds are kept within +- this, so that 0 and 1 stay finite."""
LARGEST = 1e100
"""Features are kept within +- this, so that infinities can be standardised."""
MAX_SCORE = 8.0
"""Standardised features are kept within +- this many standard deviations, so that no outlier rules the answer."""


@dataclass(frozen=True, kw_only=True)
class LogisticCalibrator:
    """Logistic regression on standardised features of an answer."""

    names: tuple[str, ...]
    """What each feature is, in the order of the columns."""
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    """Standard deviation of each feature when fitted, > 0; 1 for a constant one."""
    weights: tuple[float, ...]
    """One a standardised feature."""
    bias: float

    def predict(self, features: npt.ArrayLike) -> Array:
        """Probability that each answer is right.

        Args:
            features: (n, d) raw features; infinities are capped, NaN counts as the mean.

        Returns:
            (n,) probabilities, 0-1.

        Raises:
            UsageError: if there are not d columns.
        """
        rows = np.atleast_2d(np.asarray(features, dtype=np.float64))
        if rows.ndim != 2 or rows.shape[1] != len(self.names):
            raise UsageError(
                f"features of shape {rows.shape} given, (n, {len(self.names)}) expected: {', '.join(self.names)}"
            )
        return np.array([self.predict_one(row) for row in rows.tolist()])

    def predict_one(self, features: Sequence[float]) -> float:
        """Probability that one answer is right, from as many features as `names`; see `predict`."""
        logit = self.bias
        for value, mean, scale, weight in zip(features, self.mean, self.scale, self.weights, strict=True):
            if not math.isnan(value):
                scored = (min(max(value, -LARGEST), LARGEST) - mean) / scale
                logit += weight * min(max(scored, -MAX_SCORE), MAX_SCORE)
        return _sigmoid(logit)

    def to_json(self) -> dict[str, Any]:
        """The calibrator as a JSON object."""
        return {
            "names": list(self.names),
            "mean": list(self.mean),
            "scale": list(self.scale),
            "weights": list(self.weights),
            "bias": self.bias,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LogisticCalibrator:
        """Read what `to_json` wrote.

        Raises:
            ArtifactError: if a key is missing, a value is no finite number or the lengths differ.
        """
        lists = {name: _numbers(data, name) for name in ("mean", "scale", "weights")}
        names = tuple(str(name) for name in _list(data, "names"))
        if any(len(values) != len(names) for values in lists.values()) or not all(
            v > 0 for v in lists["scale"]
        ):
            raise ArtifactError(
                f"the calibration has {len(names)} names but other lists, or a scale that is not positive",
                mend="train or export the model again",
            )
        return cls(names=names, bias=_number(data, "bias"), **lists)


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """Everything that turns one model's raw scores into probabilities."""

    temperatures: Mapping[str, float] = field(default_factory=dict)
    """Decision kind (or any name the model gives a decision) -> temperature, > 0; a kind without one takes 1."""
    answer: LogisticCalibrator | None = None
    """Confidence of the whole answer; None leaves the model's own."""

    def field_confidence(self, kind: str, log_probability: npt.ArrayLike) -> Array:
        """Confidence of decisions of one kind.

        Args:
            kind: A key of `temperatures`; an unknown kind is left as it is.
            log_probability: (n,) natural logarithms of the raw probabilities, at most 0; one number is one decision.

        Returns:
            (n,) probabilities, 0-1: the log-odds divided by the temperature (Guo et al. 2017, section 4.2, two classes).
        """
        values = np.atleast_1d(np.asarray(log_probability, dtype=np.float64)).tolist()
        return np.array([math.exp(self.decision_log_confidence(kind, one)) for one in values])

    def decision_log_confidence(self, kind: str, log_probability: float) -> float:
        """Natural logarithm of the confidence of one decision; see `field_confidence`."""
        scaled = log_odds_of(log_probability) / self.temperatures.get(kind, 1.0)
        return min(scaled, 0.0) - math.log1p(math.exp(-abs(scaled)))

    def answer_confidence(self, features: Sequence[float], decisions: Iterable[float]) -> float:
        """Confidence of a whole answer: as fitted, but never above that of its least sure decision.

        Args:
            features: What `answer` is fitted on; the first is the model's own log-odds, which count where nothing is fitted.
            decisions: Natural logarithms of the decisions' confidences, as `decision_log_confidence` gives them.
        """
        fitted = _sigmoid(features[0]) if self.answer is None else self.answer.predict_one(features)
        return min(fitted, math.exp(min(decisions, default=0.0)))

    def to_json(self) -> dict[str, Any]:
        """The calibrator as a JSON object."""
        return {
            "temperatures": dict(self.temperatures),
            "answer": None if self.answer is None else self.answer.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibrator:
        """Read what `to_json` wrote.

        Raises:
            ArtifactError: if it is damaged.
        """
        raw = _entry(data, "temperatures")
        if not isinstance(raw, Mapping):
            raise ArtifactError(f"the calibration's temperatures are {raw!r}, an object is expected")
        temperatures = {str(kind): _number(raw, kind) for kind in raw}
        if not all(value > 0 for value in temperatures.values()):
            raise ArtifactError(
                f"a temperature of {temperatures} is not above 0", mend="train or export the model again"
            )
        answer = _entry(data, "answer")
        return cls(
            temperatures=temperatures, answer=None if answer is None else LogisticCalibrator.from_json(answer)
        )


def sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-x)) elementwise, exact for any finite x."""
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def _sigmoid(value: float) -> float:
    small = math.exp(-abs(value))
    return (1.0 if value >= 0 else small) / (1.0 + small)


def log_odds(log_probability: Array) -> Array:
    """log(p / (1 - p)) from log(p), within +- `MAX_LOGIT`; NaN becomes the lowest."""
    return np.array([log_odds_of(one) for one in log_probability.tolist()])


def log_odds_of(log_probability: float) -> float:
    """`log_odds` of one number."""
    low = -MAX_LOGIT if math.isnan(log_probability) else log_probability
    kept = min(max(low, -MAX_LOGIT), -math.exp(-MAX_LOGIT))
    return min(max(kept - math.log(-math.expm1(kept)), -MAX_LOGIT), MAX_LOGIT)


def standardise(features: Array, mean: Array, scale: Array) -> Array:
    """(features - mean) / scale within +- `MAX_SCORE`; NaN becomes 0."""
    scored = (np.clip(features, -LARGEST, LARGEST) - mean) / scale
    return np.nan_to_num(np.clip(scored, -MAX_SCORE, MAX_SCORE), nan=0.0)


def _entry(data: Mapping[str, Any], name: str) -> Any:
    if not isinstance(data, Mapping) or name not in data:
        raise ArtifactError(f'the calibration has no "{name}"', mend="train or export the model again")
    return data[name]


def _numbers(data: Mapping[str, Any], name: str) -> tuple[float, ...]:
    return tuple(_number({name: value}, name) for value in _list(data, name))


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    values = _entry(data, name)
    if not isinstance(values, list):
        raise ArtifactError(f'"{name}" of the calibration is {values!r}, a list is expected')
    return values


def _number(data: Mapping[str, Any], name: str) -> float:
    value = _entry(data, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ArtifactError(f'"{name}" of the calibration is {value!r}, a finite number is expected')
    return float(value)
