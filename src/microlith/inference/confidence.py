"""How sure a model is of each decision that it took, for every backend that decides by a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from microlith.inference.calibration import Calibrator, log_odds_of
from microlith.inference.decode import Decided, Decoded
from microlith.inference.decode_step import FLOOR
from microlith.inference.fields import AnswerCheck, decision_facts
from microlith.inference.grounding import Grounding
from microlith.inference.protocol import Prediction
from microlith.task.plan import Json, Plan


@dataclass(frozen=True, kw_only=True)
class Thought:
    """One answer before it is checked."""

    output: Json
    """None where no valid answer exists."""
    decoded: Decoded
    """The decisions that it follows from."""
    grounding: Grounding
    """The request that they were taken on."""
    features: tuple[float, ...]
    """What the confidence of the whole answer is fitted on; each backend names its own."""
    why: str = ""
    """Why there is no answer; empty where there is one, or nothing more is known."""


ANSWER_FACTS = ("log odds", "lowest", "margin", "decisions", "steps", "incomplete", "out of scope")
"""Features that every backend knows of a whole answer: log-odds of its probability, the smallest of its decisions'
log-probabilities, the smallest lead over a second-best option, how many decisions and steps, whether the answer asks back or
declines."""


def answer_facts(
    plan: Plan, decisions: Sequence[Decided], output: Json, log_probability: float
) -> tuple[float, ...]:
    """Values of `ANSWER_FACTS` for an answer whose probability has the logarithm `log_probability`."""
    clarify, root = plan.clarify, plan.root
    asks = clarify is not None and isinstance(output, dict) and output.get(clarify.tag[0]) == clarify.tag[1]
    declined = any(
        item.value is not None and item.value == getattr(root.slots[item.key].decision, "out_of_scope", None)
        for item in decisions
        if item.key in root.discriminators
    )
    return (
        log_odds_of(log_probability),
        min((item.log_probability for item in decisions), default=FLOOR),
        min((item.margin for item in decisions), default=0.0),
        float(len(decisions)),
        float(max((item.step for item in decisions), default=0) + 1),
        float(asks),
        float(declined),
    )


class DecisionConfidence:
    """Calibrated probabilities of the decisions of one plan."""

    def __init__(self, plan: Plan, calibrator: Calibrator) -> None:
        """Probabilities as `calibrator` was fitted, for decisions of `plan`."""
        self.calibrator = calibrator
        self._kinds = {
            (group.path, key): slot.kind for group in plan.groups for key, slot in group.slots.items()
        }
        self._tags = {(group.path, key) for group in plan.groups for key in group.discriminators}

    def of(self, decisions: Sequence[Decided]) -> list[Decided]:
        """The decisions, each with the probability that it is right together with its step's discriminators.

        A host name is right only if the action is right that it is the host name of.
        """
        own = [
            self.calibrator.decision_log_confidence(
                self._kinds.get((item.group, item.key), "count"), item.log_probability
            )
            for item in decisions
        ]
        tags: dict[tuple[tuple[str, ...], int], float] = {}
        for item, sure in zip(decisions, own, strict=True):
            if (item.group, item.key) in self._tags:
                place = item.group, item.step
                tags[place] = tags.get(place, 0.0) + sure
        return [
            replace(item, log_probability=sure if self._stands_alone(item) else sure + tags.get((item.group, item.step), 0.0))
            for item, sure in zip(decisions, own, strict=True)
        ]  # fmt: skip

    def _stands_alone(self, item: Decided) -> bool:
        place = item.group, item.key
        return place in self._tags or place not in self._kinds

    def prediction(self, request: str, thought: Thought, check: AnswerCheck) -> Prediction:
        """The checked answer with its confidences, or a refusal where there is none."""
        if thought.output is None:
            why = f": {thought.why}" if thought.why else ""
            return check.refusal(f"no valid answer can be made of this request{why}")
        decisions = self.of(thought.decoded.decisions)
        decoded = Decoded(reading=thought.decoded.reading, decisions=decisions)
        confidences, spans = decision_facts(check.plan, decoded, thought.grounding, thought.output)
        sure = self.calibrator.answer_confidence(
            thought.features, [item.log_probability for item in decisions]
        )
        return check.prediction(
            request, thought.output, confidence=sure, confidences=confidences, spans=spans
        )
