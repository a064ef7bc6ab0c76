from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from microlith.inference.fake import FakeModel
from microlith.inference.protocol import FieldPrediction, Prediction
from microlith.routing.route import Answer, Asked, Turn
from microlith.routing.stages import MEMORY, QUICK_S, SHORT, LocalStage, with_turns


def said(text: str, *fields: FieldPrediction) -> Prediction:
    return Prediction(output=text, confidence=1.0, fields=fields, model="m", latency_ms=0.0)


class Held:
    """A model that works while it is let to, and keeps the batches it was asked."""

    name = "held"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.error: Exception | None = None

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        self.batches.append(list(requests))
        self.begun.release()
        self.go.acquire()
        if self.error is not None:
            raise self.error
        return [said(one.upper()) for one in requests]


async def begun(model: Held) -> None:
    await asyncio.get_running_loop().run_in_executor(None, model.begun.acquire)


def asks(stage: LocalStage, *texts: str) -> list[asyncio.Task[Answer]]:
    return [
        asyncio.ensure_future(stage.ask(Asked(request=text, trace_id="t"), timeout_s=9)) for text in texts
    ]


def test_requests_that_arrive_while_a_batch_is_worked_on_are_answered_together_in_order() -> None:
    async def main() -> None:
        model = Held()
        with ThreadPoolExecutor(1) as threads:
            stage = LocalStage("specialist", model, threads, most=3)
            first = asks(stage, "a")
            await begun(model)
            later = asks(stage, *"bcdef")
            await asyncio.sleep(0)
            assert stage.waiting == 5
            model.go.release(3)
            found = await asyncio.gather(*first, *later)
        assert model.batches == [["a"], ["b", "c", "d"], ["e", "f"]]
        assert [one.prediction.output for one in found] == list("ABCDEF")

    asyncio.run(main())


def test_several_batches_go_at_a_time_where_there_are_several_workers() -> None:
    async def main() -> None:
        model = Held()
        with ThreadPoolExecutor(2) as threads:
            stage = LocalStage("specialist", model, threads, workers=2)
            work = asks(stage, "a", "b")
            await begun(model)
            await begun(model)  # both are at work before either may end
            model.go.release(2)
            await asyncio.gather(*work)
        assert sorted(model.batches) == [["a"], ["b"]]

    asyncio.run(main())


def test_a_request_whose_caller_has_gone_is_not_worked_on() -> None:
    async def main() -> None:
        model = Held()
        with ThreadPoolExecutor(1) as threads:
            stage = LocalStage("specialist", model, threads)
            first = asks(stage, "a")
            await begun(model)
            gone, stays = asks(stage, "gone", "stays")
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            model.go.release(2)
            assert (await stays).prediction.output == "STAYS"
            await first[0]
        assert model.batches == [["a"], ["stays"]]

    asyncio.run(main())


def test_a_failing_model_fails_its_batch_alone() -> None:
    async def main() -> None:
        model = Held()
        with ThreadPoolExecutor(1) as threads:
            stage = LocalStage("specialist", model, threads)
            model.error = OSError("gone")
            model.go.release(2)
            with pytest.raises(OSError, match="gone"):
                await asks(stage, "a")[0]
            model.error = None
            assert (await asks(stage, "b")[0]).prediction.output == "B"

    asyncio.run(main())


def test_what_answers_at_once_needs_no_thread() -> None:
    stage = LocalStage("rules", FakeModel({"hi": "yes"}, name="rules"), None)
    found = asyncio.run(stage.ask(Asked(request="hi", trace_id="t"), timeout_s=1))
    assert (found.prediction.output, stage.name, stage.model) == ("yes", "rules", "rules")


class Timed:
    """A model that takes a stated time by the clock that it is, and keeps which threads asked it."""

    name = "timed"

    def __init__(self, takes_s: float) -> None:
        self.now_s, self.takes_s = 0.0, takes_s
        self.asked_by: list[int] = []

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        self.asked_by.append(threading.get_ident())
        self.now_s += self.takes_s * len(requests)
        return [said(one) for one in requests]


def on_the_loop(takes_s: Sequence[float], last: str = "a") -> list[bool]:
    """For one request after the other, each taking so long: was it answered on the event loop?"""

    async def main() -> list[bool]:
        model = Timed(0.0)
        with ThreadPoolExecutor(2) as threads:
            stage = LocalStage("specialist", model, threads, workers=2, clock=lambda: model.now_s)
            for place, model.takes_s in enumerate(takes_s):
                request = last if place == len(takes_s) - 1 else "a"
                await stage.ask(Asked(request=request, trace_id="t"), timeout_s=9)
        return [one == threading.get_ident() for one in model.asked_by]

    return asyncio.run(main())


def test_a_model_that_has_shown_to_be_quick_is_asked_on_the_event_loop() -> None:
    assert on_the_loop([QUICK_S / 2] * 3) == [False, True, True]


def test_a_slow_model_is_asked_in_threads_alone() -> None:
    assert not any(on_the_loop([QUICK_S * 2] * 3))


def test_a_model_that_turns_slow_is_left_to_threads_again() -> None:
    assert on_the_loop([QUICK_S / 2, 1.0, 1.0]) == [False, True, False]


def test_a_slow_first_answer_is_forgotten() -> None:
    assert on_the_loop([2 * QUICK_S, *[QUICK_S / 2] * 2 * MEMORY])[-1]


def test_a_long_request_to_a_quick_model_goes_to_a_thread() -> None:
    assert on_the_loop([QUICK_S / 2] * 3, last="a" * (SHORT + 1)) == [False, True, False]


def test_a_quick_model_at_work_in_a_thread_is_not_asked_by_the_event_loop_too() -> None:
    async def main() -> None:
        model = Held()
        with ThreadPoolExecutor(1) as threads:
            stage = LocalStage("specialist", model, threads, clock=lambda: 0.0)
            model.go.release()
            await asks(stage, "a")[0]
            long = asks(stage, "b" * (SHORT + 1))
            await begun(model)
            short = asks(stage, "c")
            await asyncio.sleep(0)
            assert stage.waiting == 1
            model.go.release(2)
            await asyncio.gather(*long, *short)

    asyncio.run(main())


TURNS = (Turn(request="create vm\nweb", answer="{}"), Turn(request="start it", answer="{}"))


def test_earlier_requests_stand_before_the_request_a_line_each() -> None:
    assert (
        with_turns(Asked(request="stop it", trace_id="t", turns=TURNS)) == "create vm web\nstart it\nstop it"
    )


def test_ranges_are_counted_in_the_request_alone() -> None:
    fields = [
        FieldPrediction(path="name", value="web", confidence=1.0, span=(10, 13)),
        FieldPrediction(path="verb", value="stop", confidence=1.0, span=(23, 27)),
        FieldPrediction(path="kind", value="vm", confidence=1.0),
    ]
    stage = LocalStage("specialist", FakeModel(lambda _: said("x", *fields)), None)
    found = asyncio.run(stage.ask(Asked(request="stop it", trace_id="t", turns=TURNS), timeout_s=1))
    assert [one.span for one in found.prediction.fields] == [None, (0, 4), None]
