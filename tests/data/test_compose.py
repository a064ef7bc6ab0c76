from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.data.compose import compose, is_step, joined, language_of
from microlith.data.example import Example
from microlith.data.spans import bindings
from tests.data.small import KIND_PLAN, PLAN, VALIDATOR, dns, member, other, row, user

STEPS = [
    user("Please add the user bob.", "bob", source="f:1"),
    member("Put j.doe into ops", "j.doe", "ops", source="f:2"),
    dns("nas.lan is now at 10.0.0.5.", "nas.lan", "10.0.0.5", source="f:3"),
    user("crea l'utente mrossi con password Vespa?1964", "mrossi", "Vespa?1964", source="f:4"),
    row("share /srv/x as docs", {"action": "share_add", "share": "docs", "path": "/srv/x"}, source="f:5"),
]


@given(
    rows=st.lists(st.sampled_from(STEPS), min_size=2, max_size=3, unique_by=lambda one: one.source),
    seed=st.integers(0, 2**32),
)
def test_a_composed_row_is_valid_and_grounded_and_in_order(rows: list[Example], seed: int) -> None:
    made = compose(rows, PLAN, Random(seed))
    assert made is not None
    assert VALIDATOR.is_valid(made.output)
    assert all(binding.text in made.input for binding in bindings(PLAN, made.output))
    assert [step["action"] for step in made.output["steps"]] == [one.output["action"] for one in rows]
    assert (made.made_by, made.parents) == ("compose", tuple(one.source for one in rows))


def test_steps_may_be_about_the_same_subject_and_say_so_with_a_pronoun() -> None:
    rows = [user("create bob", "bob"), member("add j.doe to ops", "j.doe", "ops")]
    made = [compose(rows, PLAN, Random(seed)) for seed in range(200)]
    shared = [one for one in made if one and {step["username"] for step in one.output["steps"]} == {"bob"}]
    told = Counter(
        word
        for one in shared
        for word in ("add bob", "add him", "add her", "add them")
        if word in one.input.lower()
    )
    assert len(shared) > 40
    assert set(told) == {"add bob", "add him", "add her", "add them"}


def test_many_ways_of_joining_are_used() -> None:
    texts = {one.input for seed in range(300) if (one := compose(STEPS[1:3], PLAN, Random(seed)))}
    assert len(texts) > 30
    for sign in (" and ", " then ", "\n", "1", "; "):
        assert any(sign in text for text in texts), sign


@pytest.mark.parametrize(
    "rows",
    [STEPS[:1], [*STEPS[:3], STEPS[4]]],
    ids=["one step", "too many steps"],
)
def test_what_cannot_be_joined_gives_nothing(rows: list[Example]) -> None:
    assert all(compose(rows, PLAN, Random(seed)) is None for seed in range(20))


def test_one_text_is_never_a_value_of_two_kinds() -> None:
    rows = [member("add ops to x1", "ops", "x1"), member("add bob to ops", "bob", "ops")]
    for seed in range(50):
        made = compose(rows, PLAN, Random(seed))
        steps = made.output["steps"] if made else []
        assert not {step["username"] for step in steps} & {step["group"] for step in steps}


def test_a_plan_without_a_sequence_composes_nothing() -> None:
    assert compose([row("a", {"kind": "prompt"}), row("b", {"kind": "prompt"})], KIND_PLAN, Random(0)) is None


@pytest.mark.parametrize(
    ("example", "step"),
    [
        (user("add bob", "bob"), True),
        (other("why"), False),
        (row("add to ops", {"action": "clarify", "intent": "group_add", "group": "ops", "missing": ["username"]}), False),
        (row("add bob and ann", {"action": "sequence", "steps": [{"action": "user_add", "username": "bob"}, {"action": "user_add", "username": "ann"}]}), False),
        (user("Dear team,\nadd bob", "bob"), False),
        (user("add bob " * 40, "bob"), False),
    ],
)  # fmt: skip
def test_only_short_complete_one_step_rows_are_joined(example: Example, step: bool) -> None:
    assert is_step(example, PLAN) is step


def test_the_second_part_loses_its_capital_but_a_value_keeps_it() -> None:
    texts = {joined(["Add x.", "Put y"], Random(seed)) for seed in range(200)}
    assert "Add x and put y" in texts
    kept = {
        joined(["Add x.", "Bob leaves"], Random(seed), starts_with_value=[False, True]) for seed in range(200)
    }
    assert "Add x and Bob leaves" in kept
    assert not any("bob" in text for text in kept)


@pytest.mark.parametrize(
    ("text", "language"),
    [("please add bob to the group", "en"), ("bitte den Nutzer für mich anlegen", "de"), ("supprime les comptes des stagiaires", "fr"),
     ("borra los registros del servidor por favor", "es"), ("voeg een gebruiker toe graag", "nl"), ("xyz", "")],
)  # fmt: skip
def test_the_language_is_guessed_from_small_words(text: str, language: str) -> None:
    assert language_of(text) == language
