from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.errors import UsageError
from microlith.routing.chain import Breaker
from microlith.routing.circuit import Circuit

MOST, FIRST_S, LONGEST_S = 3, 30.0, 100.0


def circuit() -> Circuit:
    return Circuit(failures=MOST, open_s=FIRST_S, longest_s=LONGEST_S)


def opened(now: float = 0.0) -> Circuit:
    one = circuit()
    for _ in range(MOST):
        one.failed(now)
    return one


def test_it_is_a_breaker_of_a_route_with_the_limits_that_are_told() -> None:
    one: Breaker = Circuit()
    for _ in range(4):
        one.failed(0.0)
    assert one.allows(0.0)
    one.failed(0.0)
    assert [one.allows(29.9), one.allows(30.0)] == [False, True]


@given(st.lists(st.tuples(st.floats(0.0, 150.0), st.booleans()), max_size=60))
def test_a_caller_is_turned_away_exactly_while_a_pause_lasts(calls: list[tuple[float, bool]]) -> None:
    one, now, failed, last = circuit(), 0.0, 0, 0.0
    for gap, is_good in calls:
        now += gap
        pause = min(FIRST_S * 2.0 ** (failed - MOST), LONGEST_S) if failed >= MOST else 0.0
        is_over = now >= last + pause
        assert one.state(now) == ("closed" if failed < MOST else "half-open" if is_over else "open")
        assert one.allows(now) == is_over
        if is_over:
            (one.succeeded if is_good else one.failed)(now)
            failed, last = 0 if is_good else failed + 1, now


@given(st.lists(st.sampled_from("FS"), max_size=40))
def test_fewer_failures_in_a_row_than_the_limit_never_open_it(outcomes: list[str]) -> None:
    one, row = circuit(), 0
    for outcome in outcomes:
        row = row + 1 if outcome == "F" else 0
        if row == MOST:
            return
        (one.failed if outcome == "F" else one.succeeded)(1.0)
        assert one.allows(1.0)


@given(st.integers(1, 50), st.floats(FIRST_S, 2 * FIRST_S, exclude_max=True))
def test_a_half_open_circuit_lets_exactly_one_of_many_callers_through(callers: int, now: float) -> None:
    one = opened()
    assert [one.allows(now) for _ in range(callers)] == [True] + [False] * (callers - 1)
    assert one.state(now) == "half-open"
    one.succeeded(now)
    assert all(one.allows(now) for _ in range(callers))


@given(st.integers(0, 300))
def test_failures_of_calls_made_before_it_opened_lengthen_no_pause(late: int) -> None:
    one = opened()
    for number in range(late):
        one.failed(FIRST_S * number / 301)
    assert [one.allows(29.9), one.allows(FIRST_S)] == [False, True]


def test_a_call_that_never_reports_back_blocks_the_way_no_longer_than_the_pause() -> None:
    one = opened()
    assert [one.allows(30.0), one.allows(59.9), one.allows(60.0), one.allows(60.0)] == [
        True,
        False,
        True,
        False,
    ]


def test_asking_for_the_state_takes_no_call() -> None:
    one = opened()
    assert [one.state(30.0), one.state(30.0), one.allows(30.0)] == ["half-open", "half-open", True]


@pytest.mark.parametrize(
    "wrong", [{"failures": 0}, {"open_s": 0.0}, {"open_s": 700.0}, {"open_s": float("nan")}]
)
def test_limits_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="circuit"):
        Circuit(**wrong)  # type: ignore[arg-type]
