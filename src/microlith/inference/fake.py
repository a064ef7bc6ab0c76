"""A model whose answers are scripted: for the tests of everything that calls a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from microlith.inference.fields import AnswerCheck, answer_each
from microlith.inference.protocol import Prediction
from microlith.task.plan import Json, Plan

Script = Mapping[str, Json] | Callable[[str], Json]
"""Request -> answer, or a function of the request; a `Prediction` is handed on as it is, None is a refusal."""


class FakeModel:
    """Answers from a script, through the same checks as any other model.

    >>> model = FakeModel({"hello": None}, plan=None)
    >>> model.predict(["hello"])[0].refusal
    'not in the script'
    """

    def __init__(
        self,
        script: Script,
        *,
        plan: Plan | None = None,
        name: str = "fake",
        confidence: float = 1.0,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """Answer as `script` says.

        Args:
            script: The answers; a request it does not hold is refused.
            plan: Answers are checked and get fields by this plan; None hands them on unchecked, without fields.
            name: The model's name.
            confidence: Confidence of every scripted answer, 0-1.
            clock: Seconds, for `latency_ms`.
        """
        self._script, self._name, self._confidence, self._clock = script, name, confidence, clock
        self._check = AnswerCheck(plan, name) if plan is not None else None
        self.requests: list[str] = []
        """Every request that was asked, in order."""

    @property
    def name(self) -> str:
        """Name shown beside every prediction."""
        return self._name

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        """The scripted answers; see `Model.predict`."""
        self.requests.extend(requests)
        return answer_each(requests, self._answer, clock=self._clock)

    def _answer(self, request: str) -> Prediction:
        scripted = self._script(request) if callable(self._script) else self._script.get(request)
        if isinstance(scripted, Prediction):
            return scripted
        refused = scripted is None
        if self._check is not None and not refused:
            return self._check.prediction(request, scripted, confidence=self._confidence)
        return Prediction(
            output=scripted,
            confidence=0.0 if refused else self._confidence,
            fields=(),
            model=self._name,
            latency_ms=0.0,
            refusal="not in the script" if refused else None,
        )
