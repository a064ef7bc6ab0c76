"""The rules of every pack keep a model's promises on every row of their task."""

from __future__ import annotations

from time import process_time

import pytest

from microlith.inference.rules import RulesModel
from microlith.task.taskfile import load_task
from tests.inference.test_contract import HOSTILE, assert_sound
from tests.packs.conftest import rows_of


@pytest.mark.parametrize("pack", ["cli-intent", "infra", "reasoning-mode"])
def test_answers_are_valid_and_grounded(pack: str) -> None:
    task = load_task(pack)
    assert task.rules is not None
    requests = [row["input"] for row in rows_of(pack)][::3]
    predictions = RulesModel(task.plan, task.rules, validator=task.validator).predict(requests)
    for request, prediction in zip(requests, predictions, strict=True):
        assert_sound(prediction, request, task.validator)
    assert sum(one.output is None for one in predictions) <= 0.01 * len(predictions)


@pytest.mark.parametrize("pack", ["cli-intent", "infra", "reasoning-mode"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests(pack: str, name: str) -> None:
    task = load_task(pack)
    assert task.rules is not None
    start = process_time()
    (prediction,) = RulesModel(task.plan, task.rules, validator=task.validator).predict([HOSTILE[name]])
    assert_sound(prediction, HOSTILE[name], task.validator)
    assert process_time() - start < 10.0  # a guard against quadratic patterns, not a measurement
