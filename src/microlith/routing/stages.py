"""Stages of this machine: the specialist, rules and the nearest example, asked in batches of what is waiting."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from math import inf
from time import perf_counter
from typing import NamedTuple

from microlith.inference.protocol import Model, Prediction
from microlith.routing.route import Answer, Asked, Turn

MOST = 32
"""Requests that are answered together at most: more only lengthens the wait of the first."""
QUICK_S = 0.001
"""A model that usually takes less for a request is asked on the event loop: a thread costs as much to wake and to hear."""
SHORT = 2_000
"""Longest request, in characters, that is answered there, since the usual time says nothing of longer ones."""
MEMORY = 16
"""About so many requests make the usual time."""


class LocalStage:
    """A model of this process. Requests that arrive while it works are answered together. Used from one event loop."""

    def __init__(
        self, name: str, model: Model, executor: Executor | None, *, workers: int = 1, most: int = MOST,
        clock: Callable[[], float] = perf_counter,
    ) -> None:  # fmt: skip
        """Ask `model` under the name `name`.

        Args:
            name: The stage's name.
            model: The model; it is asked from other threads, `workers` at a time.
            executor: Its threads; None always asks on the event loop itself, for what answers in microseconds.
            workers: Batches that are answered at a time, at least 1.
            most: Requests of one batch, at least 1.
            clock: Gives seconds.
        """
        self._name, self._model, self._executor, self._clock = name, model, executor, clock
        self._usual_s = inf
        """Seconds that the model takes for a request; infinite before it was asked."""
        self._workers, self._free, self._most = workers, workers, most
        self._waiting: deque[_Waiting] = deque()

    @property
    def name(self) -> str:
        """Its name in the route."""
        return self._name

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._model.name

    @property
    def waiting(self) -> int:
        """Requests that no batch has taken yet."""
        return len(self._waiting)

    async def ask(self, asked: Asked, *, timeout_s: float) -> Answer:
        """Answer one request; see `Stage.ask`. The caller ends it after `timeout_s`."""
        request = with_turns(asked)
        if self._executor is None:
            return Answer(prediction=_shifted(asked, self._model.predict([request])[0]))
        if self._is_quick(request):
            return Answer(prediction=_shifted(asked, self._timed([request])[0]))
        future: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(request, future))
        if self._free:
            self._start()
        return Answer(prediction=_shifted(asked, await future))

    def _is_quick(self, request: str) -> bool:
        """Is it answered sooner than a thread would be heard? Not while one works: a model may be made for one at a time."""
        return self._usual_s < QUICK_S and len(request) <= SHORT and self._free == self._workers

    def _start(self) -> None:
        """Hand the next batch to a thread; requests whose callers have gone are dropped."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._most:
            one = self._waiting.popleft()
            if not one.future.done():
                batch.append(one)
        if not batch:
            return
        self._free -= 1
        work = asyncio.get_running_loop().run_in_executor(
            self._executor, self._timed, [one.request for one in batch]
        )
        work.add_done_callback(lambda done: self._finish(batch, done))

    def _timed(self, requests: list[str]) -> list[Prediction]:
        """Ask the model, and keep how long it takes."""
        began = self._clock()
        answers = self._model.predict(requests)
        took_s = (self._clock() - began) / len(requests)
        usual_s = took_s if self._usual_s == inf else self._usual_s
        self._usual_s = (
            usual_s + (took_s - usual_s) / MEMORY
        )  # two threads may lose one of two updates, which is no harm
        return answers

    def _finish(self, batch: Sequence[_Waiting], done: asyncio.Future[list[Prediction]]) -> None:
        self._free += 1
        error = done.exception() if not done.cancelled() else RuntimeError("the server is stopping")
        for place, one in enumerate(batch):
            if one.future.done():
                continue
            if error is not None:
                one.future.set_exception(error)
            else:
                one.future.set_result(done.result()[place])
        if self._waiting and not done.cancelled():
            self._start()


class _Waiting(NamedTuple):
    request: str
    future: asyncio.Future[Prediction]


def with_turns(asked: Asked) -> str:
    """The request as a model of this machine reads it: earlier requests first, a line each."""
    return asked.request if not asked.turns else "\n".join([*map(_line, asked.turns), asked.request])


def _shifted(asked: Asked, prediction: Prediction) -> Prediction:
    """The prediction with ranges counted in the request alone; a value of an earlier turn has none."""
    before = len(with_turns(asked)) - len(asked.request)
    if not before:
        return prediction
    fields = tuple(replace(one, span=_moved(one.span, before)) for one in prediction.fields)
    return replace(prediction, fields=fields)


def _moved(span: tuple[int, int] | None, before: int) -> tuple[int, int] | None:
    return None if span is None or span[0] < before else (span[0] - before, span[1] - before)


def _line(turn: Turn) -> str:
    return " ".join(turn.request.split())
