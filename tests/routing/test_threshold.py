"""The error budget's promise, on draws from populations whose true error rates are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb, sqrt

import numpy as np
import numpy.typing as npt
import pytest

from microlith.errors import DataError, UsageError
from microlith.evaluation.intervals import wilson
from microlith.registry.heldout import Outcome
from microlith.routing.threshold import DOUBT, find_threshold, most_wrong, rows_needed, upper_bound

DRAWS = 1_000
BROKEN_AT_MOST = DOUBT * DRAWS + 2 * sqrt(DRAWS * DOUBT * (1 - DOUBT))
"""Draws of 1,000 whose promise may be broken: one in twenty, and two standard deviations of luck."""
PEOPLE = 10_000
Z90 = 1.6448536269514722

Floats = npt.NDArray[np.float64]
Rule = Callable[[Sequence[Outcome]], float | None]


def outcomes_of(*groups: tuple[float, int, int]) -> list[Outcome]:
    """Outcomes of (confidence, right ones, wrong ones)."""
    return [
        Outcome(confidence=sure, right=right)
        for sure, hits, misses in groups
        for right in [True] * hits + [False] * misses
    ]


# ------------------------------------------------------------------------------------------- populations


class Population:
    """Answers of one model to every request there is."""

    def __init__(self, confidence: Floats, error: Floats) -> None:
        order = np.argsort(-confidence, kind="stable")
        self.confidence = confidence[order]
        wrong = (
            np.diff(np.ceil(error[order].cumsum()), prepend=0) > 0
        )  # as many at every confidence as `error` says
        self.outcomes = [
            Outcome(confidence=sure, right=not miss)
            for sure, miss in zip(self.confidence.tolist(), wrong.tolist(), strict=True)
        ]
        self._risk = wrong.cumsum() / np.arange(1, len(order) + 1)

    def at(self, threshold: float) -> tuple[float, float]:
        """Coverage and true error rate of the answers of at least this confidence."""
        given = int(np.searchsorted(-self.confidence, -threshold, side="right"))
        return given / len(self.confidence), float(self._risk[given - 1])

    def best(self, budget: float) -> float:
        """Largest coverage that keeps the budget in truth."""
        found = [self.at(one) for one in np.unique(self.confidence)]
        return max((coverage for coverage, risk in found if risk <= budget), default=0.0)


def calibrated() -> Population:
    sure = np.random.default_rng(2).beta(20, 1, PEOPLE)
    return Population(sure, 1 - sure)


def over_confident() -> Population:
    sure = np.random.default_rng(3).beta(20, 1, PEOPLE)
    return Population(sure, (1 - sure) ** 0.7)


def under_confident() -> Population:
    right = np.random.default_rng(4).beta(40, 1, PEOPLE)
    return Population(right**3, 1 - right)


def with_few_confidences() -> Population:
    kind = np.random.default_rng(5).choice(4, PEOPLE, p=[0.4, 0.3, 0.2, 0.1])
    return Population(np.array([0.99, 0.95, 0.8, 0.5])[kind], np.array([0.01, 0.03, 0.2, 0.5])[kind])


def saying_nothing(error: float) -> Population:
    """Confidence has nothing to do with what is right."""
    return Population(np.random.default_rng(6).random(PEOPLE), np.full(PEOPLE, error))


def of_one_confidence() -> Population:
    return Population(np.full(PEOPLE, 0.97), np.full(PEOPLE, 0.022))


def wrong_where_surest() -> Population:
    sure = np.random.default_rng(7).random(PEOPLE)
    return Population(sure, np.where(sure > 0.9, 0.03, np.where(sure > 0.4, 0.004, 0.3)))


def all_right() -> Population:
    return Population(np.random.default_rng(8).random(PEOPLE), np.zeros(PEOPLE))


def all_wrong() -> Population:
    return Population(np.random.default_rng(9).random(PEOPLE), np.ones(PEOPLE))


def like_a_specialist() -> Population:
    """Most requests are clear, some are hard, a few are guessed."""
    chance = np.random.default_rng(10)
    kind = chance.choice(3, PEOPLE, p=[0.78, 0.15, 0.07])
    sure = np.choose(
        kind, [chance.beta(300, 1, PEOPLE), chance.beta(12, 1.2, PEOPLE), chance.beta(2, 2, PEOPLE)]
    )
    return Population(sure, 1 - sure)


@dataclass(frozen=True)
class Draws:
    """What a rule came to on many draws of held-out rows."""

    broken: int
    """Draws whose threshold lets more wrong answers through than the budget."""
    coverage: float
    """Share of all requests that are answered, mean over the draws."""


def drawn(people: Population, rule: Rule, *, budget: float, rows: int, draws: int = DRAWS) -> Draws:
    chance = np.random.default_rng(0)
    broken, coverage = 0, 0.0
    for _ in range(draws):
        found = rule([people.outcomes[one] for one in chance.integers(0, PEOPLE, rows).tolist()])
        if found is not None:
            share, risk = people.at(found)
            broken, coverage = broken + (risk > budget), coverage + share
    return Draws(broken=broken, coverage=coverage / draws)


def solved(budget: float) -> Rule:
    return lambda outcomes: find_threshold(outcomes, budget).value


# ------------------------------------------------------------------------------------------- the promise


@pytest.mark.parametrize(
    ("make", "budget", "rows"),
    [
        (calibrated, 0.02, 400),
        (over_confident, 0.1, 200),
        (under_confident, 0.02, 200),
        (with_few_confidences, 0.1, 200),
        (with_few_confidences, 0.02, 400),
        (lambda: saying_nothing(0.0201), 0.02, 300),
        (lambda: saying_nothing(0.1005), 0.1, 60),
        (of_one_confidence, 0.02, 300),
        (wrong_where_surest, 0.02, 300),
        (all_right, 0.02, 160),
        (all_wrong, 0.5, 40),
        (calibrated, 0.2, 15),
        (like_a_specialist, 0.02, 160),
        (like_a_specialist, 0.02, 400),
    ],
)
def test_the_budget_is_kept_in_95_of_100_draws(
    make: Callable[[], Population], budget: float, rows: int
) -> None:
    assert drawn(make(), solved(budget), budget=budget, rows=rows).broken <= BROKEN_AT_MOST


def test_a_rule_that_trusts_what_it_sees_breaks_the_promise() -> None:
    def seen(outcomes: Sequence[Outcome]) -> float | None:
        ordered = sorted(outcomes, key=lambda one: -one.confidence)
        wrong = np.cumsum([not one.right for one in ordered])
        fit = np.flatnonzero(wrong <= 0.02 * np.arange(1, len(ordered) + 1))
        return ordered[fit[-1]].confidence if len(fit) else None

    assert drawn(like_a_specialist(), seen, budget=0.02, rows=400).broken > 3 * BROKEN_AT_MOST


def test_picking_the_largest_group_that_passes_breaks_the_promise() -> None:
    def largest(outcomes: Sequence[Outcome]) -> float | None:
        ordered = sorted(outcomes, key=lambda one: -one.confidence)
        wrong = np.cumsum([not one.right for one in ordered])
        fit = [rows for rows in range(50, 1001, 50) if wrong[rows - 1] <= most_wrong(rows, 0.02)]
        return ordered[fit[-1] - 1].confidence if fit else None

    people = saying_nothing(0.0201)
    assert drawn(people, largest, budget=0.02, rows=1_000).broken > BROKEN_AT_MOST


@pytest.mark.parametrize(
    ("make", "budget", "rows", "short_by"),
    [
        (like_a_specialist, 0.02, 3_000, 0.06),
        (like_a_specialist, 0.02, 800, 0.12),
        (with_few_confidences, 0.1, 3_000, 0.01),
        (calibrated, 0.1, 3_000, 0.01),
        (all_right, 0.02, 200, 0.01),
    ],
)
def test_with_many_rows_nearly_as_much_is_answered_as_can_be(
    make: Callable[[], Population], budget: float, rows: int, short_by: float
) -> None:
    people = make()
    found = drawn(people, solved(budget), budget=budget, rows=rows, draws=50)
    assert found.coverage >= people.best(budget) - short_by


def test_a_chance_error_among_the_surest_does_not_end_it() -> None:
    found = find_threshold(outcomes_of((0.9999, 0, 1), (0.999, 400, 0), (0.998, 400, 0)), 0.02)
    assert (found.value, found.answered, found.wrong) == (0.998, 801, 1)


def test_equal_confidences_are_answered_together_or_not_at_all() -> None:
    found = find_threshold(outcomes_of((0.9, 200, 0), (0.5, 50, 50)), 0.02)
    assert (found.value, found.answered, found.wrong) == (0.9, 200, 0)
    assert find_threshold(outcomes_of((0.9, 190, 10)), 0.02).value is None


def test_the_order_of_the_rows_does_not_matter() -> None:
    found = outcomes_of((0.99, 200, 1), (0.9, 100, 3), (0.8, 100, 30))
    mixed = [found[one] for one in np.random.default_rng(0).permutation(len(found))]
    assert find_threshold(mixed, 0.05) == find_threshold(found, 0.05)
    assert find_threshold(found, 0.05).value == 0.9


def test_a_larger_budget_never_asks_for_more_confidence() -> None:
    people = like_a_specialist()
    found = [find_threshold(people.outcomes[::3], budget).value for budget in (0.005, 0.01, 0.02, 0.05, 0.2)]
    stated = [one for one in found if one is not None]
    assert len(stated) >= 4
    assert stated == sorted(stated, reverse=True)


# ------------------------------------------------------------------------------------------------- bounds


def at_most(wrong: int, rows: int, rate: float) -> float:
    return sum(comb(rows, k) * rate**k * (1 - rate) ** (rows - k) for k in range(wrong + 1))


@pytest.mark.parametrize("budget", [0.005, 0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("rows", [1, 30, 149, 400])
def test_most_wrong_is_the_last_number_that_the_bound_allows(rows: int, budget: float) -> None:
    most = most_wrong(rows, budget)
    assert most == -1 or at_most(most, rows, budget) <= DOUBT
    assert at_most(most + 1, rows, budget) > DOUBT
    assert (most >= 0) == (rows >= rows_needed(budget))


@pytest.mark.parametrize(
    ("wrong", "rows"), [(0, 1), (0, 149), (1, 30), (7, 400), (399, 400), (3, 3), (50, 9000)]
)
def test_the_bound_is_clopper_and_pearsons(wrong: int, rows: int) -> None:
    pytest.importorskip("scipy")
    from microlith.evaluation.intervals import upper_bound as exact

    assert upper_bound(wrong, rows) == pytest.approx(float(exact(np.array([wrong]), np.array([rows]))[0]))


def test_the_bound_is_nowhere_below_wilsons() -> None:
    pytest.importorskip("scipy")
    from microlith.evaluation.intervals import upper_bound as exact

    for rows in (1, 2, 5, 20, 133, 400, 3_000):
        bounds = exact(np.arange(rows), np.full(rows, rows))
        assert all(bounds[wrong] >= wilson(wrong, rows, Z90)[1] for wrong in range(rows))


def test_wilsons_bound_alone_would_break_the_promise() -> None:
    assert wilson(0, 133, Z90)[1] <= 0.02
    assert at_most(0, 133, 0.02) > 0.06
    assert rows_needed(0.02) == 149
    assert at_most(0, 149, 0.02) <= DOUBT < at_most(0, 148, 0.02)


# ------------------------------------------------------------------------------------------ words, edges


@pytest.mark.parametrize(
    ("outcomes", "budget", "why"),
    [
        ([], 0.02, "149 held-out rows are needed for 2 %, there are 0"),
        (outcomes_of((0.9, 80, 0)), 0.02, "149 held-out rows are needed for 2 %, there are 80"),
        (
            outcomes_of((0.9, 140, 60)), 0.02,
            "60 of the 200 surest held-out answers are wrong, so up to 35.8 % of such answers may be; the budget is 2 %",
        ),
        (
            outcomes_of((0.93, 300, 1), (0.4, 50, 49)), 0.02,
            "answers from 0.93 on: 75.2 % of 400 held-out rows, 1 of them wrong, so at most 1.57 %; the budget is 2 %",
        ),
        (outcomes_of((0.2, 3, 9)), 1.0, "every answer is given: the budget allows all to be wrong"),
    ],
)  # fmt: skip
def test_it_says_why(outcomes: list[Outcome], budget: float, why: str) -> None:
    assert find_threshold(outcomes, budget).why == why


def test_without_a_threshold_nothing_is_covered() -> None:
    found = find_threshold(outcomes_of((0.9, 140, 60)), 0.02)
    assert (found.value, found.coverage, found.answered, found.wrong) == (None, 0.0, 200, 60)
    none = find_threshold([], 0.02)
    assert (none.value, none.answered, none.upper_bound) == (None, 0, None)


def test_a_budget_of_1_gives_every_answer() -> None:
    found = find_threshold(outcomes_of((0.2, 3, 9)), 1.0)
    assert (found.value, found.answered, found.wrong, found.coverage) == (0.0, 12, 9, 1.0)
    assert find_threshold([], 1.0).value == 0.0


@pytest.mark.parametrize("sure", [0.0, 1.0])
def test_confidences_that_are_all_certain_are_solved(sure: float) -> None:
    assert find_threshold(outcomes_of((sure, 200, 0)), 0.02).value == sure
    assert find_threshold(outcomes_of((sure, 100, 100)), 0.02).value is None


@pytest.mark.parametrize("budget", [0.0, -0.1, 1.1, float("nan")])
def test_a_budget_that_is_no_share_is_refused(budget: float) -> None:
    with pytest.raises(UsageError, match="error budget"):
        find_threshold(outcomes_of((0.9, 10, 0)), budget)


@pytest.mark.parametrize("sure", [float("nan"), -0.1, 1.5, float("inf")])
def test_a_confidence_that_is_no_probability_is_refused(sure: float) -> None:
    with pytest.raises(DataError, match="confidence"):
        find_threshold([*outcomes_of((0.9, 10, 0)), Outcome(confidence=sure, right=True)], 0.02)
