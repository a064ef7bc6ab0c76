"""Is the confidence true, and how much can be answered at a given error? Pure functions of (confidence, right)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microlith.errors import UsageError
from microlith.evaluation.intervals import upper_bound, wilson

BINS = 15
TARGET_ERRORS = (0.005, 0.01, 0.02, 0.05)
"""Error rates, 0-1, for which the coverage is reported."""
BOUND_LEVEL = 0.95
MAX_POINTS = 200
"""A risk-coverage curve is thinned to this many points."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Answers of about the same confidence."""

    confidence: float
    """Their mean confidence, 0-1."""
    accuracy: float
    """The share of them that is right, 0-1."""
    low: float
    """Lower end of the accuracy's 95 % Wilson interval."""
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well confidence foretells being right; refusals and failures are not among the n."""

    n: int
    ece: float | None
    """Expected calibration error over `BINS` equal-mass bins, 0-1; None when n is 0."""
    brier: float | None
    """Mean squared difference of confidence and outcome, 0-1; None when n is 0."""
    bins: tuple[Bin, ...]


@dataclass(frozen=True, kw_only=True)
class RiskPoint:
    """What happens when only requests of at least `threshold` confidence are answered."""

    threshold: float
    coverage: float
    """Share of all requests that are answered, 0-1."""
    risk: float
    """Share of the answered ones that are wrong, 0-1."""
    upper: float
    """One-sided 95 % Clopper-Pearson upper bound of the risk, 0-1."""


@dataclass(frozen=True, kw_only=True)
class RiskTarget:
    """How much can be answered with at most `error` wrong."""

    error: float
    coverage: float
    """Largest coverage whose *upper bound* is at most `error`; 0 when these rows prove none."""
    threshold: float | None
    """Answer at or above this confidence; None when coverage is 0."""
    risk: float | None
    """Errors seen among the answered, 0-1; None when coverage is 0."""
    upper: float | None
    """The bound that was held, 0-1."""
    hoped: float
    """Largest coverage whose *seen* risk is at most `error`, without any bound."""


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """The trade between answering much and being wrong.

    The bound is pointwise: each threshold's own upper bound holds in 95 % of samples. Picking the largest coverage that
    passes uses the same rows twice. Simulated, the picked bound was still kept in 94-97 % of samples where risk grows as
    confidence falls, and in 85 % (1,000 rows) where confidence says nothing; so a router that enforces a threshold
    confirms it on other rows.
    """

    n: int
    """All requests, refusals and failures included."""
    aurc: float | None
    """Area under the risk-coverage curve (Geifman et al. 2019), 0-1, smaller is better; None when none was answered."""
    points: tuple[RiskPoint, ...]
    targets: tuple[RiskTarget, ...]


def calibration(confidence: Sequence[float], right: Sequence[bool], bins: int = BINS) -> Calibration:
    """Calibration over equal-mass bins (Nixon et al. 2019). Equal confidences always share a bin.

    Args:
        confidence: (n,) probabilities, 0-1.
        right: (n,) outcomes.
        bins: Most bins, at least 1.
    """
    values, truth = _arrays(confidence, right)
    n = len(values)
    if n == 0:
        return Calibration(n=0, ece=None, brier=None, bins=())
    order = np.argsort(values, kind="stable")
    values, truth = values[order], truth[order]
    number = np.searchsorted(values, values, side="left") * bins // n
    made = tuple(_bin(values[number == one], truth[number == one]) for one in np.unique(number))
    ece = sum(one.n * abs(one.accuracy - one.confidence) for one in made) / n
    return Calibration(n=n, ece=float(ece), brier=float(np.mean((values - truth) ** 2)), bins=made)


def risk_coverage(
    confidence: Sequence[float],
    right: Sequence[bool],
    n: int,
    errors: Sequence[float] = TARGET_ERRORS,
) -> RiskCoverage:
    """The risk-coverage curve of the answered requests.

    Args:
        confidence: (answered,) probabilities, 0-1. Equal ones are answered together or not at all.
        right: (answered,) outcomes.
        n: All requests, at least as many as were answered.
        errors: Error rates, 0-1, to report a coverage for.
    """
    values, truth = _arrays(confidence, right)
    if len(values) == 0:
        none = tuple(_target(error, ()) for error in errors)
        return RiskCoverage(n=n, aurc=None, points=(), targets=none)
    thresholds, answered, wrong = _blocks(values, truth)
    upper = upper_bound(wrong, answered, BOUND_LEVEL)
    points = tuple(
        RiskPoint(threshold=float(t), coverage=int(k) / n, risk=int(w) / int(k), upper=float(u))
        for t, k, w, u in zip(thresholds, answered, wrong, upper, strict=True)
    )
    return RiskCoverage(
        n=n,
        aurc=_area(answered, wrong),
        points=_thinned(points),
        targets=tuple(_target(error, points) for error in errors),
    )


def _arrays(confidence: Sequence[float], right: Sequence[bool]) -> tuple[Floats, Floats]:
    values, truth = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if values.shape != truth.shape:
        raise UsageError(f"{len(values)} confidences for {len(truth)} outcomes")
    return values, truth


def _bin(values: Floats, truth: Floats) -> Bin:
    low, high = wilson(int(truth.sum()), len(truth))
    return Bin(
        confidence=float(values.mean()), accuracy=float(truth.mean()), low=low, high=high, n=len(truth)
    )


def _blocks(values: Floats, truth: Floats) -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Distinct confidences from high to low, with how many answers and errors lie at or above each."""
    order = np.argsort(-values, kind="stable")
    values, wrong = values[order], (1.0 - truth[order]).cumsum()
    ends = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    return values[ends], (ends + 1).astype(np.int64), np.rint(wrong[ends]).astype(np.int64)


def _area(answered: npt.NDArray[np.int64], wrong: npt.NDArray[np.int64]) -> float:
    """Mean risk over all coverages; within a block of equal confidences the errors are spread evenly."""
    k = np.arange(1, int(answered[-1]) + 1)
    expected = np.interp(k, np.append(0, answered), np.append(0, wrong))
    return float(np.mean(expected / k))


def _target(error: float, points: Sequence[RiskPoint]) -> RiskTarget:
    proven = max((one for one in points if one.upper <= error), key=lambda one: one.coverage, default=None)
    hoped = max((one.coverage for one in points if one.risk <= error), default=0.0)
    return RiskTarget(
        error=error,
        coverage=proven.coverage if proven else 0.0,
        threshold=proven.threshold if proven else None,
        risk=proven.risk if proven else None,
        upper=proven.upper if proven else None,
        hoped=hoped,
    )


def _thinned(points: tuple[RiskPoint, ...]) -> tuple[RiskPoint, ...]:
    """At most `MAX_POINTS` points, evenly spaced, the first and last among them."""
    if len(points) <= MAX_POINTS:
        return points
    kept = np.unique(np.linspace(0, len(points) - 1, MAX_POINTS).round().astype(int))
    return tuple(points[i] for i in kept)
