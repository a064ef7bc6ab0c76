"""Which decisions were right, as confidence is fitted on them; and answers that are held out of that fit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from microlith.data.example import Example
from microlith.inference.confidence import Thought
from microlith.inference.decode import Decided, Decoded
from microlith.inference.grounding import ground, spec_of
from microlith.task.compile import compile_plan
from microlith.task.taskfile import load_task
from microlith.workflow.calibrating import LEAST_ROWS, fit_confidence, held_out, is_right, judged
from tests.workflow.conftest import TEXT_SCHEMA

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


NAMES = ["log odds"]
NOTHING = ground("x", spec_of(PLAN))


def thought(value: str, feature: float) -> Thought:
    decoded = Decoded(reading={}, decisions=[decided((), 0, "kind", value)])
    return Thought(
        output={"kind": value, "hosts": []}, decoded=decoded, grounding=NOTHING, features=(feature,)
    )


def thoughts(count: int) -> tuple[list[Example], list[Thought]]:
    examples, found = [], []
    for number in range(count):
        right = number % 4 > 0
        examples.append(Example(input=f"x{number}", output={"kind": "a", "hosts": []}, source="s"))
        found.append(thought("a", 0.0) if right else thought("b", -5.0))
    return examples, found


def test_confidence_follows_what_was_right() -> None:
    examples, found = thoughts(80)
    calibrator = fit_confidence(PLAN, examples, found, NAMES)
    assert calibrator.answer is not None
    high, low = calibrator.answer.predict([[0.0], [-5.0]])
    assert high > 0.9 > 0.2 > low
    assert set(calibrator.temperatures) == {"choice"}


def test_too_few_rows_leave_the_models_own_confidence() -> None:
    examples, found = thoughts(LEAST_ROWS - 1)
    assert fit_confidence(PLAN, examples, found, NAMES).answer is None


def test_held_out_answers_are_right_or_wrong_and_surer_where_right() -> None:
    found = held_out(PLAN, *thoughts(80), NAMES)
    assert [one.right for one in found] == [number % 4 > 0 for number in range(80)]
    assert min(one.confidence for one in found if one.right) > 0.7
    assert max(one.confidence for one in found if not one.right) < 0.2


def test_what_a_row_itself_teaches_does_not_move_its_own_confidence() -> None:
    examples, found = thoughts(80)
    before = held_out(PLAN, examples, found, NAMES)
    place = 5
    found[place] = thought("b", found[place].features[0])
    after = held_out(PLAN, examples, found, NAMES)
    assert (before[place].right, after[place].right) == (True, False)
    assert after[place].confidence == before[place].confidence
    assert sum(one.confidence != other.confidence for one, other in zip(before, after, strict=True)) >= 50


def test_the_order_of_the_rows_does_not_change_what_is_held_out() -> None:
    examples, found = thoughts(50)
    turned = held_out(PLAN, examples[::-1], found[::-1], NAMES)[::-1]
    straight = held_out(PLAN, examples, found, NAMES)
    assert [one.confidence for one in turned] == pytest.approx([one.confidence for one in straight])


def test_refusals_are_not_among_the_outcomes() -> None:
    examples, found = thoughts(40)
    found[0] = replace(found[0], output=None)  # no answer
    found[1] = replace(found[1], output={"kind": "c"})  # one that is not valid
    examples[2] = replace(examples[2], input="  ")  # an empty request
    assert len(held_out(PLAN, examples, found, NAMES)) == 37


def test_on_few_rows_the_models_own_confidence_is_held_out() -> None:
    examples, found = thoughts(LEAST_ROWS - 1)
    stated = [one.confidence for one in held_out(PLAN, examples, found, NAMES)]
    assert stated == pytest.approx([1 / (1 + math.exp(-one.features[0])) for one in found])
    assert held_out(PLAN, [], [], NAMES) == ()


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({}, True),
        ({"reasons": ["another text", "and one more"]}, True),
        ({"mood": "calm"}, False),
        ({"mood": "calm", "reasons": ["the roof waits"]}, False),
    ],
)
def test_of_an_answer_with_texts_every_other_decision_counts(changes: dict[str, Any], right: bool) -> None:
    expected = {"late": "high", "mood": "firm", "reasons": ["the roof waits"]}
    assert is_right(compile_plan(TEXT_SCHEMA), expected | changes, expected) is right


@pytest.mark.parametrize("output", [None, [], {}, {"reasons": 3}])
def test_what_the_plan_cannot_read_is_wrong(output: Any) -> None:
    plan = compile_plan(TEXT_SCHEMA)
    assert not is_right(plan, output, {"late": "high", "mood": "firm", "reasons": ["the roof waits"]})


def test_true_is_not_one() -> None:
    assert not is_right(PLAN, {"kind": True, "hosts": []}, {"kind": 1, "hosts": []})
