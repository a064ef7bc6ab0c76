"""What a loss curve says about a training, and the remedy: pure functions over its points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[int, float]
"""(step from 1, mean loss in nats a token)."""
RISEN_OVER = 0.02
"""Share of its lowest value by which a validation loss must have risen to count as risen."""
FALLEN_BELOW = 0.98
"""Share of the first loss below which a training loss counts as fallen."""
LEAST_POINTS = 8
"""Points before a curve is judged: single batches differ."""
TOO_HIGH_START = 3.0
"""Times the expected start from which a first loss is called wrong."""


@dataclass(frozen=True, kw_only=True)
class LossLevels:
    """Losses to expect, in nats a token."""

    start: float = 1.2
    target: float = 0.3
    warn: float = 0.8
    """A final loss above this is called poor."""


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """The losses of a run so far, in the order of their steps."""

    training: tuple[Point, ...] = ()
    validation: tuple[Point, ...] = ()
    steps: int = 0
    """Steps of the whole run."""

    @property
    def done(self) -> int:
        """The last step that has a loss; 0 before the first."""
        return max((step for step, _ in (*self.training, *self.validation)), default=0)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a curve shows."""

    kind: str
    """"not_finite", "no_fall", "over_fitting", "high_start", "above_target" or "poor_end"."""
    what: str
    remedy: str
    fatal: bool = False
    """Must the run stop?"""

    @property
    def text(self) -> str:
        """What and remedy in a line."""
        return f"{self.what}; {self.remedy}"


def findings(curve: LossCurve, levels: LossLevels, *, rate: float) -> list[Finding]:
    """Everything that the curve shows, the fatal first.

    Args:
        curve: The losses so far.
        levels: The losses to expect.
        rate: Peak learning rate of the run, for the remedies.
    """
    broken = _not_finite(curve, rate)
    if broken:
        return [broken]
    found = (_high_start(curve, levels), _no_fall(curve, rate), _over_fitting(curve), _end(curve, levels))
    return [one for one in found if one]


def since_best(validation: Sequence[Point]) -> int:
    """Validations since the lowest loss; 0 where the last is the lowest, or there is none."""
    losses = [loss for _, loss in validation]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def _not_finite(curve: LossCurve, rate: float) -> Finding | None:
    for step, loss in (*curve.training, *curve.validation):
        if not math.isfinite(loss):
            return Finding(
                kind="not_finite", what=f"the loss is {loss} at step {step}", fatal=True,
                remedy=f"lower the rate, e.g. rate={rate / 4:g}, or compute with precision=float32",
            )  # fmt: skip
    return None


def _high_start(curve: LossCurve, levels: LossLevels) -> Finding | None:
    if not curve.training or curve.training[0][1] <= TOO_HIGH_START * levels.start:
        return None
    step, loss = curve.training[0]
    return Finding(
        kind="high_start", what=f"the loss at step {step} is {loss:.2f}, expected about {levels.start:g}",
        remedy="see that the base is one that follows instructions and that the answers are in its language",
    )  # fmt: skip


def _no_fall(curve: LossCurve, rate: float) -> Finding | None:
    """From a quarter of the run on, the training loss must lie below where it began."""
    if len(curve.training) < LEAST_POINTS or curve.done * 4 < curve.steps:
        return None
    first, last = _ends(curve.training)
    if last < FALLEN_BELOW * first:
        return None
    return Finding(
        kind="no_fall", what=f"the loss has not fallen: {first:.3f} at first, {last:.3f} at step {curve.done}",
        remedy=f"raise the rate, e.g. rate={rate * 4:g}, and look for rows whose answers contradict each other",
    )  # fmt: skip


def _over_fitting(curve: LossCurve) -> Finding | None:
    """The validation loss has risen twice in a row, well over its lowest, while the training loss fell."""
    losses = [loss for _, loss in curve.validation]
    if len(losses) < 3 or len(curve.training) < 2:
        return None
    lowest = min(losses)
    risen = losses[-1] > losses[-2] > losses[-3] and losses[-1] > (1.0 + RISEN_OVER) * lowest
    best_step = curve.validation[losses.index(lowest)][0]
    before = [loss for step, loss in curve.training if step <= best_step] or [curve.training[0][1]]
    if not risen or curve.training[-1][1] >= before[-1]:
        return None
    return Finding(
        kind="over_fitting",
        what=f"the validation loss rises ({lowest:.3f} at step {best_step}, {losses[-1]:.3f} now) while the training loss falls",
        remedy="take fewer passes, more rows or a higher dropout; patience ends the run at the best weights",
    )


def _end(curve: LossCurve, levels: LossLevels) -> Finding | None:
    """The level of the last losses, once the run is over."""
    if not curve.training or not curve.steps or curve.done < curve.steps:
        return None
    last = _ends(curve.training)[1]
    if last > levels.warn:
        return Finding(
            kind="poor_end", what=f"the final loss is {last:.3f}, above {levels.warn:g}",
            remedy="take more passes or a higher rank, a larger base, or check the answers of the rows",
        )  # fmt: skip
    if last > levels.target:
        return Finding(
            kind="above_target", what=f"the final loss is {last:.3f}, the target {levels.target:g} is not reached",
            remedy="take more passes, e.g. --size thorough, or more rows",
        )  # fmt: skip
    return None


def _ends(points: Sequence[Point]) -> tuple[float, float]:
    """Mean loss of the first and of the last tenth of the points, each at least one and at most a third."""
    width = max(1, min(len(points) // 3, math.ceil(len(points) / 10)))
    losses = [loss for _, loss in points]
    return sum(losses[:width]) / width, sum(losses[-width:]) / width
