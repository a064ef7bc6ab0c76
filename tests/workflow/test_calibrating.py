"""Which decisions were right, as confidence is fitted on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from microlith.data.example import Example
from microlith.inference.decode import Decided, Decoded
from microlith.task.compile import compile_plan
from microlith.task.taskfile import load_task
from microlith.workflow.calibrating import LEAST_ROWS, fit_confidence, judged

PLAN = compile_plan({
    "type": "object",
    "properties": {
        "kind": {"enum": ["a", "b"]},
        "hosts": {"type": "array", "maxItems": 3, "items": {
            "type": "object", "properties": {"host": {"type": "string", "x-source": "input", "x-format": "hostname"}},
            "required": ["host"],
        }},
    },
    "required": ["kind", "hosts"],
})  # fmt: skip
INFRA = load_task("infra").plan
EXPECTED = {"kind": "a", "hosts": [{"host": "x.lan"}]}
HOSTS = ("hosts",)


def decided(group: tuple[str, ...], step: int, key: str, value: Any) -> Decided:
    return Decided(group=group, step=step, key=key, value=value, log_probability=-0.1)


def host_key() -> str:
    return next(iter(PLAN.groups[1].slots))


def name_key() -> str:
    return next(key for key, slot in INFRA.root.slots.items() if slot.path == ("username",))


def test_every_decision_is_judged_by_itself() -> None:
    decisions = [
        decided((), 0, "kind", "b"),
        decided(HOSTS, 0, "#count", 2),
        decided(HOSTS, 0, host_key(), "x.lan"),
        decided(HOSTS, 1, host_key(), "y.lan"),
    ]
    found = judged(PLAN, decisions, EXPECTED)
    assert [(kind, right) for kind, _, right in found] == [
        ("choice", False), ("count", False), ("span", True),
    ]  # fmt: skip


def test_fields_of_a_wrong_action_are_not_judged() -> None:
    expected = {"action": "user_add", "username": "bob"}
    for action, judgements in (("user_add", [True, True]), ("user_remove", [False])):
        decisions = [decided((), 0, "action", action), decided((), 0, name_key(), "bob")]
        assert [right for _, _, right in judged(INFRA, decisions, expected)] == judgements


@dataclass(frozen=True)
class Thought:
    output: Any
    decoded: Decoded
    features: tuple[float, ...]


def thoughts(count: int) -> tuple[list[Example], list[Thought]]:
    examples, found = [], []
    for number in range(count):
        right = number % 4 > 0
        output = {"kind": "a" if right else "b", "hosts": []}
        decoded = Decoded(reading={}, decisions=[decided((), 0, "kind", output["kind"])])
        examples.append(Example(input="x", output={"kind": "a", "hosts": []}, source="s"))
        found.append(Thought(output=output, decoded=decoded, features=(0.0 if right else -5.0,)))
    return examples, found


def test_confidence_follows_what_was_right() -> None:
    examples, found = thoughts(80)
    calibrator = fit_confidence(PLAN, examples, found, ["log probability"])
    assert calibrator.answer is not None
    high, low = calibrator.answer.predict([[0.0], [-5.0]])
    assert high > 0.9 > 0.2 > low
    assert set(calibrator.temperatures) == {"choice"}


def test_too_few_rows_leave_the_models_own_confidence() -> None:
    examples, found = thoughts(LEAST_ROWS - 1)
    assert fit_confidence(PLAN, examples, found, ["log probability"]).answer is None
