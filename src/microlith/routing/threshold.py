"""The error budget: from which confidence on may answers be given, so that no more of them are wrong than promised?

**The promise.** Of the answers whose confidence is at least the threshold, at most the budget's share is wrong; this holds
with 95 % certainty over the held-out rows that were drawn, for requests that are like those rows.

**How it is kept.** The surest 5 %, 10 %, ... 100 % of the held-out answers are tried as groups, equal confidences always
together. A group passes when the one-sided 95 % upper bound of its error rate is within the budget. The groups are tried
from the sure to the unsure, and the first that does not pass ends it: *fixed sequence testing*, which needs no correction
for trying many (Angelopoulos, Bates, Candes, Jordan and Lei 2021, "Learn then test"). Picking the largest of all groups that
pass, instead, broke the promise in 13 % of simulated draws (1,000 rows, a confidence that says nothing).

**Which bound.** The exact one (Clopper and Pearson 1934), which is nowhere below Wilson's (1927). Wilson's passes 133 rows
without an error for a budget of 2 %, and so does a model that errs in 2.0 % of cases 6.8 % of the time; the exact bound asks
for 149.

**Where it begins.** A single chance error among the first, smallest group would end it too soon. So it begins at the group
that, were the stated confidences true, would pass most surely. Confidences choose the start, never the outcomes: the promise
stays whole where they are wrong, only the threshold is then less useful.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from microlith.errors import DataError, UsageError
from microlith.registry.heldout import Outcome

DOUBT = 0.05
"""Chance, 0-1, that the promise is not kept."""
STEPS = 20
"""Groups that are tried at most, in equal steps of coverage."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """From which confidence on a model's answers are given, and why."""

    value: float | None
    """Smallest confidence, 0-1, that is believed; None where no confidence keeps the budget."""
    budget: float
    """Largest share of given answers that may be wrong, above 0; at 1 every answer is given."""
    rows: int
    """Held-out answers that it was solved on."""
    answered: int
    """Those at or above the threshold; without one those of the first group that was tried, 0 where none was."""
    wrong: int
    """How many of `answered` were wrong."""
    upper_bound: float | None
    """One-sided 95 % upper bound, 0-1, of the error rate of such answers; None where nothing was answered."""

    @property
    def coverage(self) -> float:
        """Share of held-out answers that are given, 0-1."""
        return self.answered / self.rows if self.value is not None and self.rows else 0.0

    @property
    def why(self) -> str:
        """The threshold, or why there is none, in a sentence."""
        budget = _percent(self.budget)
        if self.budget >= 1:
            return "every answer is given: the budget allows all to be wrong"
        if self.upper_bound is None:
            return (
                f"{rows_needed(self.budget):,} held-out rows are needed for {budget}, there are {self.rows:,}"
            )
        bound = _percent(self.upper_bound)
        if self.value is None:
            seen = f"{self.wrong:,} of the {self.answered:,} surest held-out answers are wrong"
            return f"{seen}, so up to {bound} of such answers may be; the budget is {budget}"
        share = f"{_percent(self.coverage)} of {self.rows:,} held-out rows"
        return f"answers from {self.value:.6g} on: {share}, {self.wrong:,} of them wrong, so at most {bound}; the budget is {budget}"


def find_threshold(outcomes: Iterable[Outcome], error_budget: float) -> Threshold:
    """The lowest confidence from which on answers keep the budget, see the module.

    Args:
        outcomes: Held-out answers of one model, refusals left out, in any order.
        error_budget: Largest share of given answers that may be wrong, above 0; 1 asks for nothing and gives every answer.

    Raises:
        UsageError: if the budget is none.
        DataError: if a confidence is no probability.
    """
    if not 0 < error_budget <= 1:
        raise UsageError(f"the error budget is {error_budget}, a share above 0, at most 1, is expected")
    confidence, wrong = _from_the_surest(outcomes)
    if error_budget == 1:
        return _threshold(0.0, error_budget, wrong, len(wrong))
    groups = _groups(confidence, rows_needed(error_budget))
    if not groups:
        return _threshold(None, error_budget, wrong, 0)
    errors = np.cumsum(wrong)
    begin = _begin(groups, confidence, error_budget)
    passed = 0
    for rows in groups[begin:]:
        if errors[rows - 1] > most_wrong(rows, error_budget):
            break
        passed = rows
    if not passed:
        return _threshold(None, error_budget, wrong, groups[begin])
    return _threshold(float(confidence[passed - 1]), error_budget, wrong, passed)


def rows_needed(error_budget: float) -> int:
    """Answers, all of them right, from which on the budget can be shown to be kept: (1 - budget)^rows <= 5 %."""
    return math.ceil(math.log(DOUBT) / math.log1p(-error_budget))


@lru_cache(maxsize=4096)
def most_wrong(rows: int, error_budget: float) -> int:
    """Most of `rows` answers that may be wrong, so that the upper bound is within the budget; -1 where even none is too much."""
    counts = np.arange(int(rows * error_budget) + 1)  # the bound is above the share that was seen
    return int((np.cumsum(_chances(counts, rows, error_budget)) <= DOUBT).sum()) - 1


@lru_cache(maxsize=4096)
def upper_bound(wrong: int, rows: int) -> float:
    """One-sided exact 95 % upper bound, 0-1, of an error rate (Clopper and Pearson 1934), by bisection; 1 without rows."""
    if wrong >= rows:
        return 1.0
    low, high = wrong / rows, 1.0
    counts = np.arange(wrong + 1)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _chances(counts, rows, middle).sum() > DOUBT else (low, middle)
    return high


def _from_the_surest(outcomes: Iterable[Outcome]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Confidences from high to low, and beside each 1 for a wrong answer."""
    found = sorted(outcomes, key=lambda one: -one.confidence)
    for one in found:
        if not 0 <= one.confidence <= 1:  # NaN neither
            raise DataError(f"a held-out confidence is {one.confidence}, 0 to 1 is expected")
    return np.array([one.confidence for one in found]), np.array(
        [not one.right for one in found], dtype=np.int64
    )


def _groups(confidence: Floats, least: int) -> list[int]:
    """Sizes of the groups to try, from small to large, at least `least` each."""
    rows = len(confidence)
    ends = {math.ceil(rows * step / STEPS) for step in range(1, STEPS + 1) if rows}
    sizes = {int(np.searchsorted(-confidence, -confidence[end - 1], side="right")) for end in ends}
    return sorted(size for size in sizes if size >= least)


def _begin(groups: list[int], confidence: Floats, error_budget: float) -> int:
    """Index of the group that would pass most surely if the confidences were true; of equals the smallest.

    Roots of counts are compared, whose spread is the same for small and large counts (Bartlett 1936).
    """
    expected = np.cumsum(1.0 - confidence)[np.array(groups) - 1]
    allowed = np.array([most_wrong(rows, error_budget) for rows in groups])
    return int(np.argmax(np.sqrt(allowed + 1) - np.sqrt(expected)))


def _chances(counts: npt.NDArray[np.int64], rows: int, rate: float) -> Floats:
    """Binomial chances of 0, 1, ... wrong answers; `counts` is 0, 1, ..., `rate` above 0 and below 1."""
    later = counts[1:]
    ways = np.append(0.0, np.cumsum(np.log(rows - later + 1) - np.log(later)))
    return np.asarray(
        np.exp(ways + counts * math.log(rate) + (rows - counts) * math.log1p(-rate)), dtype=np.float64
    )


def _threshold(value: float | None, budget: float, wrong: npt.NDArray[np.int64], answered: int) -> Threshold:
    errors = int(wrong[:answered].sum())
    return Threshold(
        value=value, budget=budget, rows=len(wrong), answered=answered, wrong=errors,
        upper_bound=upper_bound(errors, answered) if answered else None,
    )  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
