"""How sure a model is of each decision that it took, for every backend that decides by a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from microlith.inference.calibration import Calibrator
from microlith.inference.decode import Decided
from microlith.task.plan import Plan


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
