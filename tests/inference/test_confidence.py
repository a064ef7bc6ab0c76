"""A field is only as sure as the discriminators of its step."""

from __future__ import annotations

from math import exp, log

import pytest

from microlith.inference.calibration import Calibrator
from microlith.inference.confidence import DecisionConfidence
from microlith.inference.decode import Decided
from microlith.task.taskfile import load_task

PLAN = load_task("infra").plan
KEYS = {slot.path[-1]: key for key, slot in PLAN.root.slots.items()}


def decided(name: str, probability: float, step: int = 0) -> Decided:
    return Decided(group=(), step=step, key=KEYS.get(name, name), value="x", log_probability=log(probability))


def test_fields_hang_on_their_own_step() -> None:
    decisions = [
        decided("#count", 0.5), decided("action", 0.9), decided("username", 0.8),
        decided("action", 0.6, step=1), decided("username", 0.5, step=1),
    ]  # fmt: skip
    found = DecisionConfidence(PLAN, Calibrator()).of(decisions)
    assert [exp(one.log_probability) for one in found] == pytest.approx([0.5, 0.9, 0.72, 0.6, 0.3])


def test_every_kind_has_its_temperature() -> None:
    calibrator = Calibrator(temperatures={"choice": 2.0, "count": 4.0})
    found = DecisionConfidence(PLAN, calibrator).of(
        [decided("action", 0.9), decided("#count", 0.9), decided("username", 0.9)]
    )
    choice, count, span = (exp(one.log_probability) for one in found)
    assert choice == pytest.approx(0.75)
    assert count == pytest.approx(9**0.25 / (1 + 9**0.25))
    assert span == pytest.approx(0.75 * 0.9)
