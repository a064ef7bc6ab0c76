from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.data.example import Example
from microlith.data.noise import add_noise, misspelt, with_casing
from microlith.data.spans import bindings, layout
from tests.data.small import KIND_PLAN, PLAN, VALIDATOR, dns, member, other, row, user

ROWS = [
    user("Please create the login bob, password Secret#1!", "bob", "Secret#1!"),
    member("could you put j.doe into Print Operators today?", "j.doe", "Print Operators"),
    dns("nas.lan should point to 10.0.0.5 from now on", "nas.lan", "10.0.0.5"),
    row("share D:\\Data Files as docs, read only", {"action": "share_add", "share": "docs", "path": "D:\\Data Files", "access": "read"}),
    row("open port 443 please", {"action": "port_open", "port": 443}),
    other("why does the printer stop every morning"),
]  # fmt: skip


@given(example=st.sampled_from(ROWS), seed=st.integers(0, 2**32))
def test_a_noisy_row_is_valid_grounded_and_has_as_many_values(example: Example, seed: int) -> None:
    made = add_noise(example, PLAN, Random(seed))
    if made is None:
        return
    assert made.input != example.input
    assert VALIDATOR.is_valid(made.output)
    assert all(binding.text in made.input for binding in bindings(PLAN, made.output))
    assert len(layout(made, PLAN).mentions) == len(layout(example, PLAN).mentions)
    assert (made.made_by, made.parents) == ("noise", (example.source,))


@given(example=st.sampled_from(ROWS), seed=st.integers(0, 2**32))
def test_values_change_at_most_their_casing_and_secrets_not_even_that(example: Example, seed: int) -> None:
    made = add_noise(example, PLAN, Random(seed))
    if made is None:
        return
    before, after = bindings(PLAN, example.output), bindings(PLAN, made.output)
    assert [one.text.casefold() for one in before] == [one.text.casefold() for one in after]
    assert [one.text for one in before if one.slot.secret] == [one.text for one in after if one.slot.secret]


def test_casing_takes_free_values_along_half_of_the_time() -> None:
    parts = layout(user("add bob with Secret#1", "bob", "Secret#1"), PLAN)
    made = {
        one.example.input: one.example.output
        for seed in range(20)
        if (one := with_casing(parts, str.upper, Random(seed)))
    }
    assert made == {
        "ADD bob WITH Secret#1": {"action": "user_add", "username": "bob", "password": "Secret#1"},
        "ADD BOB WITH Secret#1": {"action": "user_add", "username": "BOB", "password": "Secret#1"},
    }


def test_all_kinds_of_noise_occur() -> None:
    made = [one.input for seed in range(400) if (one := add_noise(ROWS[1], PLAN, Random(seed)))]
    assert any(text.isupper() for text in made) or any("COULD YOU" in text for text in made)
    assert any("  " in text for text in made)
    assert any(text.startswith(("please", "hi", "hey", "pls")) for text in made)
    assert len(set(made)) > 100


@pytest.mark.parametrize("text", ["/help", "/model list", "exit", "-v now please", "ls"])
def test_commands_stay_commands(text: str) -> None:
    example = row(text, {"kind": "command"})
    made = [one.input for seed in range(200) if (one := add_noise(example, KIND_PLAN, Random(seed)))]
    first = text.split()[0]
    assert all(one.strip().lower().startswith(first) for one in made if first.startswith(("/", "-")))
    assert not any(one.lower().startswith(("please", "hi", "hey")) for one in made)


def test_option_names_are_never_misspelt() -> None:
    example = row("give command", {"kind": "command"})
    made = [one.input.lower() for seed in range(200) if (one := add_noise(example, KIND_PLAN, Random(seed)))]
    assert all("command" in text for text in made)


def test_no_question_is_made_or_unmade() -> None:
    for example in ROWS:
        for seed in range(100):
            made = add_noise(example, PLAN, Random(seed))
            assert made is None or ("?" in made.input) == ("?" in example.input)


@given(word=st.from_regex(r"[a-z]{4,12}", fullmatch=True), seed=st.integers(0, 2**32))
def test_a_slip_changes_little(word: str, seed: int) -> None:
    made = misspelt(word, Random(seed))
    assert abs(len(made) - len(word)) <= 1
    assert made[:1] in (word[:1], word[1:2])
