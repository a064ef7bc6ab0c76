from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from microlith.inference.rules import RulesModel
from microlith.task.taskfile import load_task
from tests.inference.toys import MOOD, Toy, write_task


def answered(gate: Toy, parse: Callable[[str], Any], request: str = "open 22") -> Any:
    return RulesModel(gate.plan, parse).predict([request])[0]


def test_an_answer_without_confidence_is_taken_at_its_word(gate: Toy) -> None:
    found = answered(gate, lambda text: {"action": "open", "port": 22})
    assert (found.output, found.confidence, found.model) == ({"action": "open", "port": 22}, 1.0, "rules")


def test_an_answer_may_come_with_its_confidence(gate: Toy) -> None:
    found = answered(gate, lambda text: ({"action": "open", "port": 22}, 0.25))
    assert found.confidence == 0.25
    assert [field.confidence for field in found.fields] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("parse", "why"),
    [
        (lambda text: None, "no answer"),
        (lambda text: (None, 0.3), "no answer"),
        (lambda text: 1 // 0, "ZeroDivisionError"),
        (lambda text: {"action": "open", "port": 80}, "does not stand in the request"),
        (lambda text: {"action": "open"}, "does not fit the schema"),
        (lambda text: ({"action": "open", "port": 22}, 1.5), "confidence 1.5"),
        (lambda text: ({"action": "open", "port": 22}, "high"), "confidence 'high'"),
        (lambda text: ({"action": "open", "port": 22}, float("nan")), "confidence nan"),
        (lambda text: 7, "does not fit the schema"),
        (lambda text: ("a", "b", "c"), "does not fit the schema"),
    ],
)
def test_anything_else_is_refused(gate: Toy, parse: Callable[[str], Any], why: str) -> None:
    found = answered(gate, parse)
    assert found.output is None
    assert why in found.refusal


def test_rules_of_a_task_folder(tmp_path: Path) -> None:
    rules = 'def parse(text):\n    return {"mood": "glad" if "great" in text else "sad"}, 0.5\n'
    task = load_task(write_task(tmp_path / "mood", MOOD, rules))
    assert task.rules is not None
    model = RulesModel(task.plan, task.rules, validator=task.validator)
    assert [one.output for one in model.predict(["great", "so so"])] == [{"mood": "glad"}, {"mood": "sad"}]
