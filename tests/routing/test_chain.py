from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from microlith.inference.fake import FakeModel
from microlith.inference.protocol import Prediction
from microlith.routing.chain import Chain, Link, out_of_scope
from microlith.routing.route import Answer, Asked, Reason, Routed
from tests.inference.toys import toy

PLAN = toy("gate").plan
OPEN_22 = {"action": "open", "port": 22}
UNSUPPORTED = {"action": "unsupported"}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """A stage that does what it is told."""

    def __init__(
        self, name: str, does: Any, *, confidence: float = 0.99, refused_as: Reason = "no answer"
    ) -> None:
        self.name, self.model, self._does, self._confidence = name, f"{name}-model", does, confidence
        self._refused_as = refused_as
        self.asked: list[Asked] = []

    async def ask(self, asked: Asked, *, timeout_s: float) -> Answer:
        self.asked.append(asked)
        if callable(self._does):
            return await self._does(asked, timeout_s)
        model = FakeModel(lambda _: self._does, plan=PLAN, name=self.model, confidence=self._confidence)
        prediction = model.predict([asked.request])[0]
        return Answer(prediction=prediction, refused_as=self._refused_as, tokens_in=7, tokens_out=3, cost=0.5)


def raising(error: Exception) -> Callable[[Asked, float], Awaitable[Answer]]:
    async def does(asked: Asked, timeout_s: float) -> Answer:
        raise error

    return does


async def forever(asked: Asked, timeout_s: float) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


class Always:
    """A breaker that keeps what it was told."""

    def __init__(self, *, closed: bool) -> None:
        self.closed, self.told = closed, list[str]()

    def allows(self, now: float) -> bool:
        return self.closed

    def succeeded(self, now: float) -> None:
        self.told.append("succeeded")

    def failed(self, now: float) -> None:
        self.told.append("failed")


def routed(*links: Link, request: str = "open port 22", general: Any = None, **asked: Any) -> Routed:
    chain = Chain("gate", PLAN, links, clock=asked.pop("clock", Clock()))
    return asyncio.run(chain.answer(Asked(request=request, trace_id="t", **asked), general=general))


def left(found: Routed) -> list[tuple[str, str | None]]:
    return [(hop.stage, hop.left) for hop in found.hops]


def test_the_first_stage_that_is_sure_answers_and_no_other_is_asked() -> None:
    second = Scripted("general", OPEN_22)
    found = routed(Link(stage=Scripted("specialist", OPEN_22), floor=0.9), Link(stage=second))
    assert (found.prediction.output, found.stage, found.is_fallback) == (OPEN_22, "specialist", False)
    assert left(found) == [("specialist", None)]
    assert second.asked == []


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (Scripted("specialist", OPEN_22, confidence=0.5), "low confidence"),
        (Scripted("specialist", raising(OSError("the file is gone"))), "error"),
        (Scripted("specialist", raising(TimeoutError())), "timeout"),
        (Scripted("specialist", forever), "timeout"),
        (Scripted("specialist", None), "no answer"),
        (Scripted("specialist", {"action": "open", "port": "many"}), "no answer"),
        (Scripted("specialist", {"action": "open", "port": "many"}, refused_as="not valid"), "not valid"),
        (Scripted("specialist", {"action": "open", "port": 99}), "no answer"),
        (Scripted("specialist", UNSUPPORTED), "out of scope"),
    ],
)
def test_a_stage_is_left_for_a_named_reason_and_the_next_one_answers(first: Scripted, reason: str) -> None:
    found = routed(Link(stage=first, floor=0.9, timeout_s=0.01), Link(stage=Scripted("general", OPEN_22)))
    assert left(found) == [("specialist", reason), ("general", None)]
    assert (found.prediction.output, found.is_fallback) == (OPEN_22, True)
    assert found.hops[0].detail
    assert (found.hops[1].tokens_in, found.hops[1].tokens_out, found.hops[1].cost) == (7, 3, 0.5)


def test_where_nobody_answers_the_refusal_names_every_stage() -> None:
    found = routed(
        Link(stage=Scripted("specialist", OPEN_22, confidence=0.5), floor=0.9, why_floor="too few rows to be sure"),
        Link(stage=Scripted("general", raising(ConnectionError("refused")))),
    )  # fmt: skip
    assert found.prediction.output is None
    assert found.stage is None
    assert found.prediction.refusal == (
        "specialist: low confidence (too few rows to be sure); general: error (ConnectionError: refused)"
    )


def test_an_answer_out_of_scope_is_given_where_nobody_after_it_knows_better() -> None:
    found = routed(
        Link(stage=Scripted("specialist", UNSUPPORTED), floor=0.9),
        Link(stage=Scripted("general", raising(OSError("down")))),
    )
    assert found.prediction.output == UNSUPPORTED
    assert left(found) == [("specialist", "out of scope"), ("general", "error"), ("specialist", None)]


def test_the_general_model_may_say_that_a_request_is_out_of_scope() -> None:
    found = routed(Link(stage=Scripted("specialist", None)), Link(stage=Scripted("general", UNSUPPORTED)))
    assert (found.prediction.output, found.stage) == (UNSUPPORTED, "general")


def test_a_forced_stage_is_the_only_one_asked() -> None:
    links = [Link(stage=Scripted("specialist", OPEN_22)), Link(stage=Scripted("general", OPEN_22))]
    assert left(routed(*links, force="general")) == [("general", None)]
    refused = routed(links[0], force="general")
    assert refused.prediction.refusal == "the task has no stage 'general'"


def test_an_open_circuit_is_not_asked_and_a_closed_one_is_told_what_came() -> None:
    broken = Scripted("general", OPEN_22)
    assert left(routed(Link(stage=broken, breaker=Always(closed=False)))) == [("general", "open circuit")]
    assert broken.asked == []
    for does, told in ((OPEN_22, "succeeded"), (raising(OSError("x")), "failed"), (forever, "failed")):
        breaker = Always(closed=True)
        routed(Link(stage=Scripted("general", does), breaker=breaker, timeout_s=0.01))
        assert breaker.told == [told]


def test_a_deadline_is_kept_over_all_stages() -> None:
    clock = Clock()

    async def slow(asked: Asked, timeout_s: float) -> Answer:
        assert timeout_s == pytest.approx(3.0)
        clock.now += 2.9995
        raise OSError("late and wrong")

    last = Scripted("rules", OPEN_22)
    found = routed(Link(stage=Scripted("specialist", slow)), Link(stage=last), clock=clock, deadline_s=103.0)
    assert left(found) == [("specialist", "error"), ("rules", "timeout")]
    assert last.asked == []
    assert found.latency_ms == pytest.approx(2999.5)


def test_a_general_model_that_the_caller_brings_takes_the_configured_one_s_place() -> None:
    own, brought = Scripted("general", OPEN_22), Scripted("general", OPEN_22)
    specialist = Link(stage=Scripted("specialist", None))
    assert left(routed(specialist, Link(stage=own), general=brought))[-1] == ("general", None)
    assert (len(own.asked), len(brought.asked)) == (0, 1)
    rules = Link(stage=Scripted("rules", OPEN_22))
    assert left(routed(specialist, rules, general=brought)) == [
        ("specialist", "no answer"),
        ("general", None),
    ]


def test_time_in_models_is_told_apart_from_the_route_s_own() -> None:
    clock = Clock()

    async def takes(asked: Asked, timeout_s: float) -> Answer:
        clock.now += 0.25
        given = Prediction(output=OPEN_22, confidence=1.0, fields=(), model="m", latency_ms=0.0)
        return Answer(prediction=given)

    found = routed(Link(stage=Scripted("specialist", takes)), clock=clock)
    assert found.model_ms == pytest.approx(250.0)
    assert found.latency_ms == pytest.approx(250.0)
    assert found.prediction.latency_ms == pytest.approx(250.0)


@pytest.mark.parametrize(
    ("output", "expected"),
    [(UNSUPPORTED, True), (OPEN_22, False), (None, False), ("unsupported", False), ({}, False)],
)
def test_out_of_scope_is_what_the_schema_calls_so(output: Any, expected: bool) -> None:
    assert out_of_scope(PLAN, output) is expected
