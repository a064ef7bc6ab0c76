"""A task's own rules, as a model: the baseline that is always there, and the last fallback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from microlith.inference.fields import AnswerCheck, answer_each
from microlith.inference.protocol import Prediction
from microlith.task.plan import Json, Plan
from microlith.task.validate import Validator

Parse = Callable[[str], Json | tuple[Json, float]]
"""An answer, or an answer with its confidence (0-1), or None where the rules have no answer."""


class RulesModel:
    """Answers by a task's function `parse` (`Task.rules`)."""

    def __init__(
        self,
        plan: Plan,
        parse: Parse,
        *,
        name: str = "rules",
        validator: Validator | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """A model of `plan` that answers by `parse`.

        Args:
            plan: The task's plan.
            parse: The rules; what they raise becomes a refusal.
            name: The model's name.
            validator: The compiled schema (`Task.validator`); None compiles it.
            clock: Seconds, for `latency_ms`.
        """
        self._parse, self._name, self._clock = parse, name, clock
        self._check = AnswerCheck(plan, name, validator=validator)

    @property
    def name(self) -> str:
        """Name shown beside every prediction."""
        return self._name

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        """Answer `requests`; see `Model.predict`. A rule that states no confidence is taken at its word (1.0)."""
        return answer_each(requests, self._answer, clock=self._clock)

    def _answer(self, request: str) -> Prediction:
        try:
            found = self._parse(request)
        except Exception as error:  # the request boundary: rules are other people's code
            return self._check.refusal(f"the rules failed: {type(error).__name__}: {error}")
        output, confidence = found if isinstance(found, tuple) and len(found) == 2 else (found, 1.0)
        if output is None:
            return self._check.refusal("the rules have no answer")
        if (
            isinstance(confidence, bool)
            or not isinstance(confidence, int | float)
            or not 0.0 <= confidence <= 1.0
        ):
            return self._check.refusal(
                f"the rules gave the confidence {confidence!r}, a number from 0 to 1 is expected"
            )
        return self._check.prediction(request, output, confidence=float(confidence))
