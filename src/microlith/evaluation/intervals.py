"""Shares and means with their uncertainty: Wilson, Clopper-Pearson, Newcombe's paired interval and the bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from microlith.errors import MissingExtra, UsageError

Z95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""
RESAMPLES = 1_000
"""Samples that a bootstrap interval is read off."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """`hits` of `n`, with the 95 % Wilson interval. With n = 0 it is not scored, which is not zero."""

    hits: int
    n: int
    value: float | None
    """hits / n, 0-1; None when n is 0."""
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of a score over `n` rows, with its 95 % bootstrap interval. With n = 0 it is not scored."""

    n: int
    value: float | None
    """None when n is 0."""
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What the first of two models has more than the second on the same rows, with its 95 % paired interval."""

    value: float
    """First minus second, -1 to 1."""
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Does the interval leave out zero, so that the difference is not luck?"""
        return self.low > 0 or self.high < 0


Bounded = Share | Mean
"""A value that knows its interval."""


def share(hits: int, n: int) -> Share:
    """`hits` of `n` as a `Share`.

    Raises:
        UsageError: if not 0 <= hits <= n.
    """
    if not 0 <= hits <= n:
        raise UsageError(f"{hits} hits of {n} is no share; 0 <= hits <= n is expected")
    if n == 0:
        return Share(hits=0, n=0, value=None, low=None, high=None)
    low, high = wilson(hits, n)
    return Share(hits=hits, n=n, value=hits / n, low=low, high=high)


def share_of(flags: Sequence[bool]) -> Share:
    """The share of true values in `flags`."""
    return share(sum(flags), len(flags))


def wilson(hits: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Two-sided score interval of hits / n (Wilson 1927); (0, 1) when n is 0."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = hits / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    return low, 1.0 if hits == n else min(1.0, centre + half)


def upper_bound(
    hits: npt.NDArray[np.int64], n: npt.NDArray[np.int64], level: float = 0.95
) -> npt.NDArray[np.float64]:
    """One-sided exact upper bound of each hits / n (Clopper and Pearson 1934); 1 where n is 0.

    Args:
        hits: (k,) counts.
        n: (k,) totals, hits <= n.
        level: Chance, 0-1, that a bound lies above the true rate.
    """
    left = np.maximum(n - hits, 1)
    bound = np.asarray(scipy("special").betaincinv(hits + 1, left, level), dtype=np.float64)
    return np.where(hits >= n, 1.0, bound)


def paired_difference(both: int, first: int, second: int, neither: int) -> tuple[float, float, float]:
    """Difference of two shares of the same rows, with its 95 % interval (Newcombe 1998, method 10).

    Args:
        both: Rows that both have right.
        first: Rows that only the first has right.
        second: Rows that only the second has right.
        neither: Rows that neither has right.

    Returns:
        (first - second, low, high), each -1 to 1.

    Raises:
        UsageError: if there is no row.
    """
    n = both + first + second + neither
    if n == 0:
        raise UsageError("two models cannot be compared on no rows")
    p1, p2 = (both + first) / n, (both + second) / n
    (l1, u1), (l2, u2) = wilson(both + first, n), wilson(both + second, n)
    phi = _correlation(both, first, second, neither)
    below = _norm(p1 - l1, u2 - p2, phi)
    above = _norm(u1 - p1, p2 - l2, phi)
    return p1 - p2, max(-1.0, p1 - p2 - below), min(1.0, p1 - p2 + above)


def mean_of(values: Sequence[float], seed: int = 0) -> Mean:
    """The mean of `values` with its `bootstrap` interval."""
    if not values:
        return Mean(n=0, value=None, low=None, high=None)
    low, high = bootstrap(values, seed)
    return Mean(n=len(values), value=float(np.mean(values)), low=low, high=high)


def bootstrap(values: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Two-sided 95 % percentile interval of the mean of `values` (Efron 1979); it always holds the mean itself.

    Args:
        values: At least one, one a row.
        seed: Draws the samples; the same seed gives the same interval.
        resamples: How many samples of len(values) rows are drawn.

    Raises:
        UsageError: if there is no value.
    """
    if not values:
        raise UsageError("a mean over no rows has no interval")
    rows, source = np.asarray(values, dtype=np.float64), np.random.default_rng(seed)
    means = [rows[source.integers(0, len(rows), len(rows))].mean() for _ in range(resamples)]
    low, high = (float(end) for end in np.percentile(means, (2.5, 97.5)))
    mean = float(rows.mean())
    return min(low, mean), max(high, mean)


def scipy(part: str) -> Any:
    """The module `scipy.PART`, loaded on first use.

    Raises:
        MissingExtra: if scipy is not installed.
    """
    try:
        return import_module(f"scipy.{part}")
    except ImportError as error:
        raise MissingExtra(
            "scipy is not installed; bounds, paired tests and calibration need it",
            mend='run: pip install "microlith[train]"',
        ) from error


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Phi of the paired table, its numerator corrected for continuity as method 10 asks."""
    n = both + first + second + neither
    spread = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = float(both * neither - first * second)
    if product > 0:
        product = max(0.0, product - n / 2)
    return product / sqrt(spread) if spread else 0.0


def _norm(one: float, other: float, phi: float) -> float:
    squared = one * one - 2 * phi * one * other + other * other
    return sqrt(squared) if squared > 0 else 0.0
