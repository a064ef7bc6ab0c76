from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.inference.protocol import Prediction
from microlith.routing.cost import Ledger, Savings, savings_of
from microlith.routing.route import Hop, Reason, Routed
from microlith.task.plan import Json

PRICES: dict[str, Any] = {"price_in": 2.0, "price_out": 10.0}


def hop(stage: str, *, left: Reason | None = None, tokens: tuple[int, int] = (0, 0)) -> Hop:
    cost = (tokens[0] * 2.0 + tokens[1] * 10.0) / 1_000_000
    return Hop(
        stage=stage, model=stage, latency_ms=1.0, left=left, tokens_in=tokens[0], tokens_out=tokens[1], cost=cost
    )  # fmt: skip


def routed(*hops: Hop, request: str = "", output: Json = None) -> Routed:
    given = Prediction(output=output, confidence=1.0, fields=(), model="m", latency_ms=1.0)
    return Routed(trace_id="t", task="toy", request=request, prediction=given, hops=hops, latency_ms=1.0)


LOCAL = routed(hop("specialist"), request="x" * 100, output={"a": 1})
ASKED = routed(hop("specialist", left="low confidence"), hop("general", tokens=(900, 30)), output={})
HALF = routed(hop("general", left="not valid", tokens=(1100, 50)), hop("rules"), output={})
FAILED = routed(hop("general", left="error"))


def test_who_answered_is_counted() -> None:
    found = savings_of([LOCAL, LOCAL, ASKED, HALF, FAILED])
    assert (found.requests, found.local, found.general, found.refused) == (5, 3, 1, 1)
    assert found.local_share == 0.6


def test_an_answer_that_was_paid_for_and_not_given_is_spent() -> None:
    found = savings_of([ASKED, HALF])
    assert (found.tokens_in, found.tokens_out) == (2000, 80)
    assert found.cost == pytest.approx(0.0048)
    assert (found.saved_tokens, found.saved_cost) == (0, 0)


def test_requests_that_the_general_model_did_not_see_cost_as_much_as_the_mean_of_those_it_did() -> None:
    found = savings_of([LOCAL, LOCAL, ASKED, HALF, FAILED], **PRICES)
    assert not found.estimated
    assert (found.all_tokens_in, found.all_tokens_out) == (5000, 200)
    assert found.all_cost == pytest.approx(0.012)
    assert found.saved_tokens == 3120
    assert found.saved_cost == pytest.approx(0.0072)


def test_without_a_measured_call_the_length_of_the_texts_is_the_estimate() -> None:
    found = savings_of([LOCAL, LOCAL], prompt_characters=3000, **PRICES)
    assert found.estimated
    assert (found.all_tokens_in, found.all_tokens_out) == (2 * 775, 2 * 2)
    assert found.saved_cost == pytest.approx(2 * (775 * 2.0 + 2 * 10.0) / 1_000_000)
    assert (found.tokens_in, found.cost) == (0, 0.0)


def test_the_first_measured_call_takes_the_place_of_the_estimate() -> None:
    ledger = Ledger(prompt_characters=3000, **PRICES)
    ledger.add(LOCAL)
    assert ledger.savings().estimated
    ledger.add(ASKED)
    found = ledger.savings()
    assert (found.estimated, found.all_tokens_in, found.saved_tokens) == (False, 1800, 930)


def test_no_request_has_no_share_and_no_cost() -> None:
    found = savings_of([])
    assert found.local_share is None
    assert (found.requests, found.all_cost, found.saved_cost, found.estimated) == (0, 0.0, 0.0, True)


REQUESTS = st.lists(st.sampled_from([LOCAL, ASKED, HALF, FAILED]), max_size=30)


@given(REQUESTS, st.randoms(use_true_random=False))
def test_the_order_of_the_requests_does_not_matter_and_nothing_is_lost(
    requests: list[Routed], rng: object
) -> None:
    found = savings_of(requests, prompt_characters=40, **PRICES)
    again = list(requests)
    rng.shuffle(again)  # type: ignore[attr-defined]
    other = savings_of(again, prompt_characters=40, **PRICES)
    assert _rounded(found) == _rounded(other)
    assert found.local + found.general + found.refused == found.requests == len(requests)
    assert found.saved_tokens >= -1e-6
    assert found.saved_cost >= -1e-9


def _rounded(found: Savings) -> list[float]:
    return [round(float(value), 6) for value in vars(found).values()]
