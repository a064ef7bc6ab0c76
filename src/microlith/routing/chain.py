"""A route: stages that are asked in turn until one gives an answer that may be given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol

from microlith.errors import MicrolithError, first_line
from microlith.inference.protocol import Prediction
from microlith.routing.route import Answer, Asked, Hop, Reason, Routed, Stage
from microlith.task.plan import Json, Plan

LEAST_S = 0.002
"""With less time left than this, in seconds, no further stage is asked."""
KEPT_S, KEPT_SHARE = 0.5, 0.25
"""What a general model leaves of the time for the stages after it: seconds at most, and share of the time that is left."""


class Breaker(Protocol):
    """Knows whether a stage has failed too often of late; see `microlith.routing.circuit.Circuit`."""

    def allows(self, now: float) -> bool:
        """May it be asked at `now`, in seconds?"""
        ...

    def succeeded(self, now: float) -> None:
        """It answered."""

    def failed(self, now: float) -> None:
        """It failed or took too long."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """A stage in its place in the route."""

    stage: Stage
    floor: float | None = None
    """Confidence, 0-1, from which its answers are given; above 1 for none of them, None for every valid one."""
    timeout_s: float = 10.0
    """Longest time that it may take."""
    breaker: Breaker | None = None
    """None for a stage that is always asked."""
    why_floor: str = ""
    """Why the floor is what it is, told with answers that do not reach it."""


class Chain:
    """The route of one task. Used from one event loop."""

    def __init__(
        self, task: str, plan: Plan, links: Sequence[Link], *, limit_s: float = 10.0,
        clock: Callable[[], float] = perf_counter,
    ) -> None:  # fmt: skip
        """Ask `links` in turn, at most `limit_s` in all; `clock` gives seconds."""
        self.task, self.plan, self.links = task, plan, tuple(links)
        self._limit_s, self._clock = limit_s, clock

    async def answer(self, asked: Asked, *, general: Stage | None = None) -> Routed:
        """The answer to one request, or a refusal that names what became of it at every stage.

        Args:
            asked: The request.
            general: Asked in the place of the configured general model; None for that one.
        """
        walk = _Walk(asked, self._clock, self._limit_s)
        links = [one for one in self._in_turn(general) if asked.force in (None, one.stage.name)]
        for place, link in enumerate(links, 1):
            if await self._pass(walk, link, is_last=place == len(links)):
                break
        return walk.end(self.task)

    def _in_turn(self, general: Stage | None) -> Sequence[Link]:
        if general is None:
            return self.links
        brought = Link(stage=general, timeout_s=self._limit_s)
        if not any(link.stage.name == general.name for link in self.links):
            return _after_specialist(self.links, brought)
        return [brought if link.stage.name == general.name else link for link in self.links]

    async def _pass(self, walk: _Walk, link: Link, *, is_last: bool) -> bool:
        """Ask one stage; True where the route ends with it."""
        began = self._clock()
        if link.breaker is not None and not link.breaker.allows(began):
            walk.leave(link, began, "open circuit", "it failed too often of late")
            return False
        left_s = walk.deadline_s - began
        if left_s < LEAST_S:
            walk.leave(link, began, "timeout", "no time was left to ask")
            return False
        if link.stage.name == "general" and not is_last:
            # A remote model that hangs must not cost the request the answer of a stage that needs milliseconds.
            left_s -= min(KEPT_S, KEPT_SHARE * left_s)
        answer = await self._ask(walk, link, min(left_s, link.timeout_s))
        if answer is None:
            return False
        reason, detail = self._fault(answer, link)
        walk.note(link, began, answer, reason, detail)
        return reason is None

    async def _ask(self, walk: _Walk, link: Link, timeout_s: float) -> Answer | None:
        """The stage's answer; None where it failed, which is then noted."""
        began = self._clock()
        reason: Reason = "error"
        try:
            async with asyncio.timeout(timeout_s):
                answer = await link.stage.ask(walk.asked, timeout_s=timeout_s)
        except TimeoutError:
            reason, detail = "timeout", f"no answer within {timeout_s:.3g} s"
        except Exception as error:  # the boundary to models: whatever one raises is a reason to ask the next
            detail = (
                error.what
                if isinstance(error, MicrolithError)
                else f"{type(error).__name__}: {first_line(error)}"
            )
        else:
            if link.breaker is not None:
                link.breaker.succeeded(self._clock())
            return answer
        is_hurried = reason == "timeout" and walk.is_hurried and timeout_s < link.timeout_s
        if link.breaker is not None and not is_hurried:  # callers in a hurry do not shut it for all others
            link.breaker.failed(self._clock())
        walk.leave(link, began, reason, detail)
        return None

    def _fault(self, answer: Answer, link: Link) -> tuple[Reason | None, str]:
        """Why an answer is not given, and the words for it."""
        prediction = answer.prediction
        if prediction.output is None:
            return answer.refused_as, prediction.refusal or "it gave no answer"
        if link.floor is not None and prediction.confidence < link.floor:
            return (
                "low confidence",
                link.why_floor or f"{prediction.confidence:.3f} is below {link.floor:.3f}",
            )
        if link.stage.name != "general" and out_of_scope(self.plan, prediction.output):
            return "out of scope", "it says that the request is none of its task"
        return None, ""


class _Walk:
    """One request on its way through the route."""

    def __init__(self, asked: Asked, clock: Callable[[], float], limit_s: float) -> None:
        self.asked, self._clock, self.began = asked, clock, clock()
        limit = self.began + limit_s
        self.deadline_s = limit if asked.deadline_s is None else min(asked.deadline_s, limit)
        self.is_hurried = self.deadline_s < limit
        """Does the caller wait for a shorter time than the route takes?"""
        self.hops: list[Hop] = []
        self.given: Prediction | None = None
        self._left: list[Prediction] = []
        self._declined: tuple[Hop, Prediction] | None = None
        """A valid answer that says "out of scope": given where nobody after it knows better."""
        self.model_ms = 0.0

    def leave(self, link: Link, began: float, reason: Reason, detail: str) -> None:
        """Note a stage that gave nothing."""
        took = 1000.0 * (self._clock() - began)
        self.model_ms += took
        self.hops.append(
            Hop(stage=link.stage.name, model=link.stage.model, latency_ms=took, left=reason, detail=detail)
        )

    def note(self, link: Link, began: float, answer: Answer, reason: Reason | None, detail: str) -> None:
        """Note a stage that said something."""
        took = 1000.0 * (self._clock() - began)
        self.model_ms += took
        hop = Hop(
            stage=link.stage.name, model=answer.prediction.model, latency_ms=took, left=reason, detail=detail,
            confidence=answer.prediction.confidence if answer.prediction.output is not None else None,
            tokens_in=answer.tokens_in, tokens_out=answer.tokens_out, cost=answer.cost,
        )  # fmt: skip
        self.hops.append(hop)
        if reason is None:
            self.given = answer.prediction
            return
        self._left.append(answer.prediction)
        if reason == "out of scope":
            self._declined = self._declined or (hop, answer.prediction)

    def end(self, task: str) -> Routed:
        """What the route comes to."""
        if self.given is None and self._declined is not None:
            hop, self.given = self._declined
            self.hops.append(
                replace(hop, left=None, latency_ms=0.0, detail="nobody after it knew better", tokens_in=0, tokens_out=0, cost=0.0)
            )  # fmt: skip
        took = 1000.0 * (self._clock() - self.began)
        given = replace(self.given or self._refusal(task), latency_ms=took)
        return Routed(
            trace_id=self.asked.trace_id, task=task, request=self.asked.request, prediction=given, hops=tuple(self.hops),
            latency_ms=took, model_ms=self.model_ms, left=tuple(self._left),
        )  # fmt: skip

    def _refusal(self, task: str) -> Prediction:
        told = "; ".join(
            f"{hop.stage}: {hop.left}{f' ({hop.detail})' if hop.detail else ''}" for hop in self.hops
        )
        why = told or (
            f"the task has no stage {self.asked.force!r}" if self.asked.force else "the route is empty"
        )
        return Prediction(output=None, confidence=0.0, fields=(), model=task, latency_ms=0.0, refusal=why)


def out_of_scope(plan: Plan, output: Json) -> bool:
    """Does an answer say that the request is none of the task?"""
    if not isinstance(output, dict):
        return False
    return any(
        name in output and output[name] == getattr(plan.root.slots[name].decision, "out_of_scope", None)
        for name in plan.root.discriminators
        if name in plan.root.slots and output.get(name) is not None
    )


def _after_specialist(links: Sequence[Link], brought: Link) -> Sequence[Link]:
    places = [index for index, link in enumerate(links) if link.stage.name == "specialist"]
    place = places[-1] + 1 if places else len(links)
    return [*links[:place], brought, *links[place:]]
