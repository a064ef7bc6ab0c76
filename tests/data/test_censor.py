from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from microlith.data.censor import censored
from microlith.data.example import Example
from microlith.data.load import problems_of
from microlith.task.compile import compile_plan
from microlith.task.validate import Validator
from tests.data.small import KIND_PLAN, PLAN, VALIDATOR, member, row, span, user
from tests.inference.toys import toy


def test_a_secret_gets_another_value_in_request_and_answer() -> None:
    made = censored(user("add bob with Secret#1, yes Secret#1", "bob", "Secret#1"), PLAN, Random(1))
    assert made is not None
    new = made.output["password"]
    assert new != "Secret#1"
    assert made.input == f"add bob with {new}, yes {new}"
    assert problems_of(made, PLAN, VALIDATOR) == []


@pytest.mark.parametrize("one", [member("put bob into ops", "bob", "ops"), user("add bob", "bob")])
def test_a_row_without_a_secret_stays_as_it_is(one: Example) -> None:
    assert censored(one, PLAN, Random(1)) is one


def test_a_task_without_secrets_is_not_looked_into() -> None:
    one = row("ls", {"kind": "no such kind"})
    assert censored(one, KIND_PLAN, Random(1)) is one


@pytest.mark.parametrize(
    "one",
    [
        user("add bob", "bob", "Secret#1"),
        user("add bob with Secret#1 (Secret#12 was the old one)", "bob", "Secret#1"),
        user("add bob with hunter2 or HUNTER2", "bob", "hunter2"),
        row("add bob", {"action": "fly"}),
    ],
    ids=["not in the request", "inside a longer word too", "in another casing too", "no answer of the task"],
)
def test_a_row_whose_secret_would_still_stand_somewhere_is_left_out(one: Example) -> None:
    assert censored(one, PLAN, Random(1)) is None


def test_a_secret_that_is_another_value_too_is_replaced_in_both() -> None:
    made = censored(user("add bob with bob", "bob", "bob"), PLAN, Random(1))
    assert made is None or "bob" not in json.dumps([made.input, made.output])


@pytest.mark.parametrize(
    "secret", [{"type": "string", "maxLength": 40}, {"type": "integer", "minimum": 0, "maximum": 9999}]
)
def test_a_secret_that_is_not_copied_leaves_the_row_out(secret: dict[str, Any]) -> None:
    schema = {
        "type": "object",
        "properties": {"user": span("username"), "pin": {**secret, "x-secret": True}},
        "required": ["user"],
        "additionalProperties": False,
    }
    plan, pin = compile_plan(schema), "a b" if secret["type"] == "string" else 4711
    assert Validator(schema).is_valid({"user": "bob", "pin": pin})
    assert censored(row("add bob", {"user": "bob", "pin": pin}), plan, Random(1)) is None
    assert censored(row("add bob", {"user": "bob"}), plan, Random(1)) is not None


def test_no_secret_of_many_rows_is_left() -> None:
    one = toy("gate")
    shown = [censored(example, one.plan, Random(place)) for place, example in enumerate(one.examples)]
    text = json.dumps([[made.input, made.output] for made in shown if made is not None])
    assert text.count("with password") > 10
    assert not any(secret in text for secret in ("Tr0ub4dor&3", "x!9", "no-w4y"))
