from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.data.example import Example
from microlith.data.resample import Pool, resample
from microlith.data.spans import bindings, layout
from tests.data.small import PLAN, VALIDATOR, dns, member, other, row, user

STEPS = [
    {"action": "user_add", "username": "bob", "password": "Secret#1"},
    {"action": "group_add", "username": "bob", "group": "Print Operators"},
    {"action": "dns_add", "zone": "*.corp.example", "ip": "10.0.0.5"},
]
ROWS = [
    user("please add Bob, login bob, password Secret#1!", "bob", "Secret#1!"),
    member("put j.doe into Print Operators", "j.doe", "Print Operators"),
    dns("*.corp.example should be 10.0.0.5", "*.corp.example", "10.0.0.5"),
    row("share D:\\Data Files as docs, read only", {"action": "share_add", "share": "docs", "path": "D:\\Data Files", "access": "read"}),
    row("open port 443", {"action": "port_open", "port": 443}),
    row("open ssh", {"action": "port_open", "port": "ssh"}),
    row("add bob with Secret#1, put bob into Print Operators; *.corp.example is 10.0.0.5", {"action": "sequence", "steps": STEPS}),
    row("new member for ops", {"action": "clarify", "intent": "group_add", "group": "ops", "missing": ["username"]}),
]  # fmt: skip
POOL = Pool.of(ROWS, PLAN)


@given(example=st.sampled_from(ROWS), seed=st.integers(0, 2**32))
def test_a_resampled_row_is_valid_grounded_and_keeps_its_wording(example: Example, seed: int) -> None:
    made = resample(example, PLAN, POOL, Random(seed))
    assert made is not None
    assert made.input != example.input
    assert VALIDATOR.is_valid(made.output)
    assert all(binding.text in made.input for binding in bindings(PLAN, made.output))
    assert layout(made, PLAN).masked == layout(example, PLAN).masked


@given(seed=st.integers(0, 2**32))
def test_one_value_in_several_steps_stays_one_value(seed: int) -> None:
    made = resample(ROWS[6], PLAN, POOL, Random(seed))
    assert made is not None
    assert made.output["steps"][0]["username"] == made.output["steps"][1]["username"]


@given(example=st.sampled_from(ROWS), seed=st.integers(0, 2**32))
def test_different_values_never_become_one(example: Example, seed: int) -> None:
    made = resample(example, PLAN, POOL, Random(seed))
    assert made is not None
    before = {binding.text.casefold() for binding in bindings(PLAN, example.output)}
    after = {binding.text.casefold() for binding in bindings(PLAN, made.output)}
    assert len(after) == len(before)


def test_the_new_row_knows_where_it_comes_from() -> None:
    made = resample(user("add bob", "bob", source="f:7", verified=True, group="g"), PLAN, POOL, Random(0))
    assert made is not None
    assert (made.source, made.parents, made.made_by, made.verified, made.group) == (
        "f:7",
        ("f:7",),
        "resample",
        False,
        "g",
    )


def test_a_row_of_a_resampled_row_points_to_the_written_one() -> None:
    once = resample(user("add bob", "bob", source="f:7"), PLAN, POOL, Random(0))
    assert once is not None
    twice = resample(once, PLAN, POOL, Random(1))
    assert twice is not None
    assert twice.parents == ("f:7",)


@pytest.mark.parametrize("example", [other("why is it slow"), user("can you add can", "can")])
def test_a_row_without_movable_values_gives_nothing(example: Example) -> None:
    assert resample(example, PLAN, POOL, Random(0)) is None


def test_secrets_are_never_pooled() -> None:
    assert not any("password" in key for key in POOL.texts)
    assert "Secret#1" not in {text for texts in POOL.texts.values() for text in texts}


def test_values_of_other_rows_are_used_too() -> None:
    pool = Pool.of(
        [member(f"add x to {name}", "x", name) for name in ("quilters", "beekeepers", "anglers")], PLAN
    )
    made = [resample(member("add bob to ops", "bob", "ops"), PLAN, pool, Random(seed)) for seed in range(60)]
    groups = {one.output["group"] for one in made if one is not None}
    assert groups & {"quilters", "beekeepers", "anglers"}
    assert groups - {"quilters", "beekeepers", "anglers"}


def test_equal_states_give_equal_rows() -> None:
    assert resample(ROWS[0], PLAN, POOL, Random(5)) == resample(ROWS[0], PLAN, POOL, Random(5))
