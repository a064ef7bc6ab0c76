"""Fit the calibration of a model. Give it validation rows only: that none is a test row is for the caller to guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from microlith.errors import DataError, UsageError
from microlith.evaluation.intervals import scipy
from microlith.inference.calibration import (
    Array,
    Calibrator,
    LogisticCalibrator,
    log_odds,
    sigmoid,
    standardise,
)

SHARPEST, FLATTEST = 0.2, 10.0
"""Bounds of a fitted temperature."""
PRIOR_SPREAD = 0.5
"""Standard deviation of the normal prior on log(temperature); a few rows cannot move it far from 1."""


def fit(
    features: npt.ArrayLike,
    right: Sequence[bool] | npt.NDArray[np.bool_],
    *,
    names: Sequence[str] | None = None,
    l2: float = 1.0,
    own: int | None = None,
) -> LogisticCalibrator:
    """Fit the confidence of whole answers.

    The targets are smoothed as Platt (1999) does, (right + 1) / (right + 2) and 1 / (wrong + 2), so that rows of one
    class only, or perfectly separable ones, give a finite and modest answer. Classes are not re-weighted: with 3 wrong
    rows of 300 the mean confidence stays near 0.99, as it must.

    Args:
        features: (n, d) raw features of the answers to validation rows; infinities are capped, NaN counts as the mean.
        right: (n,) whether each answer was right.
        names: What the d columns are; `f0`, `f1`, ... when None.
        l2: Strength of the penalty l2 / 2 * sum(w^2) beside the summed loss, > 0; the bias is free.
        own: Column of the log-odds that the model itself gives its answers. Weights and bias are then held not to 0 but to
            the model's own confidence, so that a few rows, or hardly any errors, move it little. None where there is none.

    Raises:
        DataError: if there is no row.
        UsageError: if the shapes do not fit, or l2 is not above 0.
    """
    rows, truth = _checked(features, right)
    columns = tuple(names) if names is not None else tuple(f"f{i}" for i in range(rows.shape[1]))
    if len(columns) != rows.shape[1]:
        raise UsageError(f"{len(columns)} names for {rows.shape[1]} features")
    if not l2 > 0:
        raise UsageError(f"l2 is {l2}, a number above 0 is expected")
    mean, scale = _moments(rows)
    start = np.zeros(len(mean) + 1)
    held = np.append(np.ones(len(mean)), 0.0 if own is None else 1.0)
    if own is not None:
        start[own], start[-1] = scale[own], mean[own]
    weights, bias = _minimise(standardise(rows, mean, scale), smoothed(truth), l2 * held, start)
    return LogisticCalibrator(
        names=columns,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(weights.tolist()),
        bias=bias,
    )


def fit_temperature(log_probability: npt.ArrayLike, right: Sequence[bool] | npt.NDArray[np.bool_]) -> float:
    """The temperature that makes raw probabilities of one kind of decision fit what came true.

    Args:
        log_probability: (n,) natural logarithms of the raw probability of the decision taken, at most 0.
        right: (n,) whether that decision was right.

    Returns:
        A temperature, `SHARPEST` to `FLATTEST`; above 1 where the model is too sure; 1 when there is no row.

    Raises:
        UsageError: if the lengths differ.
    """
    values = np.atleast_1d(np.asarray(log_probability, dtype=np.float64))
    truth = np.asarray(right, dtype=bool)
    if values.shape != truth.shape:
        raise UsageError(f"{values.shape} log-probabilities for {truth.shape} outcomes")
    if not len(values):
        return 1.0
    odds, signs = log_odds(values), np.where(truth, 1.0, -1.0)

    def loss(log_temperature: float) -> float:
        summed = np.logaddexp(0.0, -signs * odds / np.exp(log_temperature)).sum()
        return float(summed) + 0.5 * (log_temperature / PRIOR_SPREAD) ** 2

    found = scipy("optimize").minimize_scalar(
        loss, bounds=(np.log(SHARPEST), np.log(FLATTEST)), method="bounded"
    )
    return float(np.exp(found.x))


def fit_calibrator(
    decisions: Mapping[str, tuple[npt.ArrayLike, Sequence[bool]]],
    features: npt.ArrayLike,
    right: Sequence[bool],
    *,
    names: Sequence[str] | None = None,
    l2: float = 1.0,
) -> Calibrator:
    """Fit a whole `Calibrator`.

    Args:
        decisions: Decision kind -> (log-probabilities, outcomes), as `fit_temperature` takes them.
        features: (n, d) features of whole answers, as `fit` takes them; the first is the model's own log-odds.
        right: (n,) whether each whole answer was right.
        names: What the columns of `features` are.
        l2: As in `fit`.
    """
    temperatures = {kind: fit_temperature(values, truth) for kind, (values, truth) in decisions.items()}
    return Calibrator(temperatures=temperatures, answer=fit(features, right, names=names, l2=l2, own=0))


def smoothed(right: npt.NDArray[np.bool_]) -> Array:
    """Platt's targets (Platt 1999, section 2.2): a little less than 1 for right, a little more than 0 for wrong."""
    hits = int(right.sum())
    misses = len(right) - hits
    return np.where(right, (hits + 1.0) / (hits + 2.0), 1.0 / (misses + 2.0))


def _checked(
    features: npt.ArrayLike, right: Sequence[bool] | npt.NDArray[np.bool_]
) -> tuple[Array, npt.NDArray[np.bool_]]:
    rows, truth = np.asarray(features, dtype=np.float64), np.asarray(right, dtype=bool)
    if not len(truth):
        raise DataError("a calibration cannot be fitted on no rows", mend="give the task validation rows")
    if rows.ndim != 2 or len(rows) != len(truth):
        raise UsageError(
            f"features of shape {rows.shape} for {len(truth)} outcomes; ({len(truth)}, d) is expected"
        )
    return rows, truth


def _moments(rows: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the finite values of each column; 0 and 1 where there is none."""
    mean, scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    for column, values in enumerate(rows.T):
        finite = values[np.isfinite(values)]
        if len(finite):
            mean[column] = finite.mean()
            spread = float(finite.std())
            scale[column] = spread if spread > 1e-12 * (1.0 + abs(mean[column])) else 1.0
    return mean, scale


def _minimise(scored: Array, targets: Array, l2: Array, prior: Array) -> tuple[Array, float]:
    """Weights and bias of least cross-entropy, drawn to `prior` by `l2` each; convex, so the start does not matter."""
    n, d = scored.shape

    def loss(parameters: Array) -> tuple[float, Array]:
        logits, off = scored @ parameters[:d] + parameters[d], parameters - prior
        value = (np.logaddexp(0.0, logits) - targets * logits).sum() + 0.5 * (l2 * off) @ off
        wrong = sigmoid(logits) - targets
        gradient = np.append(scored.T @ wrong, wrong.sum()) + l2 * off
        return float(value) / n, gradient / n

    found = scipy("optimize").minimize(
        loss, prior, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-9}
    )
    return np.asarray(found.x[:d], dtype=np.float64), float(found.x[d])
