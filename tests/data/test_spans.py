from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from microlith.data.example import Example
from microlith.data.spans import MASK, bindings, layout, places
from microlith.errors import DataError
from microlith.task.compile import compile_plan
from tests.data.small import KIND_PLAN, PLAN, dns, member, other, row, span, user


def marked(example: Example) -> str:
    return layout(example, PLAN).masked.replace(MASK, "#")


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (user("add bob", "bob"), "add #"),
        (user("add bob, bobby and bob.", "bob"), "add #, bobby and #."),
        (user("Bob starts today, add bob", "bob"), "# starts today, add #"),
        (user("add 'bob' (bob@x.example)", "bob"), "add '#' (bob@x.example)"),
        (user("user:bob goes to bob@x.example", "bob"), "user:# goes to #@x.example"),
        (user("ユーザーbobを追加", "bob"), "ユーザー#を追加"),
        (user("can you add can", "can"), "# you add #"),
        (user("Will you add will", "will"), "Will you add #"),
        (user("add bob with Pass.1!", "bob", "Pass.1!"), "add # with #"),
        (user("add bob, pass1 or PASS1", "bob", "PASS1"), "add #, pass1 or #"),
        (member("put ops into ops-team", "ops", "ops-team"), "put # into #"),
        (dns("nas.lan is 10.0.0.1, not 10.0.0.10", "nas.lan", "10.0.0.1"), "# is #, not 10.0.0.10"),
        (dns("*.x.example -> 10.0.0.1/24", "*.x.example", "10.0.0.1"), "# -> #/24"),
        (row("share /srv/docs as docs", {"action": "share_add", "share": "docs", "path": "/srv/docs"}), "share # as #"),
        (row("open 443", {"action": "port_open", "port": 443}), "open #"),
        (other("why is it slow"), "why is it slow"),
        (row("new user in ops", {"action": "clarify", "intent": "group_add", "group": "ops", "missing": ["username"]}), "new user in #"),
    ],
)  # fmt: skip
def test_values_are_found_in_the_request(example: Example, expected: str) -> None:
    assert marked(example) == expected


def test_a_value_that_is_also_a_word_of_the_sentence_stays() -> None:
    assert [value.movable for value in layout(user("can you add can", "can"), PLAN).values] == [False]


def test_a_value_that_does_not_stand_alone_anywhere_stays() -> None:
    share = {"action": "share_add", "share": "docs", "path": "/srv/docs"}
    parts = layout(row("share /srv/docs", share), PLAN)
    assert {value.text: value.movable for value in parts.values} == {"docs": False, "/srv/docs": True}


def test_every_step_of_a_sequence_is_bound() -> None:
    steps = [
        {"action": "user_add", "username": "bob"},
        {"action": "group_add", "username": "bob", "group": "ops"},
    ]
    bound = bindings(PLAN, {"action": "sequence", "steps": steps})
    assert [(binding.place, binding.text) for binding in bound] == [
        (("steps", 0, "username"), "bob"), (("steps", 1, "username"), "bob"), (("steps", 1, "group"), "ops"),
    ]  # fmt: skip


def test_lists_and_arrays_of_objects_are_bound() -> None:
    item = {
        "type": "object",
        "properties": {"name": span("name")},
        "required": ["name"],
        "additionalProperties": False,
    }
    properties = {
        "tags": {"type": "array", "items": span("word"), "maxItems": 3},
        "items": {"type": "array", "items": item, "maxItems": 3},
    }
    plan = compile_plan({"type": "object", "properties": properties, "required": ["tags", "items"]})
    bound = bindings(plan, {"tags": ["a", "b"], "items": [{"name": "c"}, {"name": "d"}]})
    assert [binding.place for binding in bound] == [
        ("tags", 0),
        ("tags", 1),
        ("items", 0, "name"),
        ("items", 1, "name"),
    ]


def test_a_plan_without_spans_binds_nothing() -> None:
    assert bindings(KIND_PLAN, {"kind": "prompt"}) == ()


def test_an_answer_outside_the_plan_is_an_error() -> None:
    with pytest.raises(DataError):
        bindings(PLAN, {"action": "fly"})


def rebuilt(example: Example, texts: dict[int, str]) -> tuple[str, Any] | None:
    made = layout(example, PLAN).rebuilt(texts)
    return None if made is None else (made.example.input, made.example.output)


def test_values_are_replaced_in_request_and_answer_alike() -> None:
    steps = [
        {"action": "user_add", "username": "bob"},
        {"action": "group_add", "username": "bob", "group": "ops"},
    ]
    example = row("Bob is new: add bob, then bob to ops", {"action": "sequence", "steps": steps})
    made = rebuilt(example, {0: "ann.lee", 1: "sales"})
    assert made is not None
    assert made[0] == "Ann.lee is new: add ann.lee, then ann.lee to sales"
    assert [step["username"] for step in made[1]["steps"]] == ["ann.lee", "ann.lee"]
    assert example.output["steps"][0]["username"] == "bob"


def test_digits_become_a_number() -> None:
    example = row("open https", {"action": "port_open", "port": "https"})
    assert rebuilt(example, {0: "8443"}) == ("open 8443", {"action": "port_open", "port": 8443})


@pytest.mark.parametrize(
    ("example", "texts"),
    [
        (member("add bob to ops", "bob", "ops"), {0: "ops"}),
        (member("add bob to ops", "bob", "ops"), {0: "x1", 1: "X1"}),
        (member("add bob to ops", "bob", "ops"), {0: "add"}),
        (member("ask the sales team to add bob to ops", "bob", "ops"), {1: "Sales"}),
        (member("add bob to ops-team", "bob", "ops-team"), {0: "ops"}),
        (dns("nas.lan is 10.0.0.1", "nas.lan", "10.0.0.1"), {1: "10.0.0.300"}),
        (dns("nas.lan is 10.0.0.1", "nas.lan", "10.0.0.1"), {0: "a" * 61}),
        (row("open 443", {"action": "port_open", "port": 443}), {0: "70000"}),
    ],
)
def test_a_value_that_would_collide_or_not_fit_is_refused(example: Example, texts: dict[int, str]) -> None:
    assert rebuilt(example, texts) is None


def test_computed_values_are_worked_out_anew() -> None:
    properties = {
        "name": span("username"),
        "n": {"type": "integer", "x-computed": "tests.data.test_spans:length"},
    }
    plan = compile_plan({"type": "object", "properties": properties, "required": ["name", "n"]})
    made = layout(row("add bob", {"name": "bob", "n": 3}), plan).rebuilt({0: "annemarie"})
    assert made is not None
    assert made.example.output == {"name": "annemarie", "n": 9}


def length(request: str, answer: dict[str, Any]) -> int:
    return len(answer["name"])


def test_other_words_may_stand_around_the_values() -> None:
    made = layout(user("add bob now", "bob"), PLAN).rebuilt({}, ["please create ", ""])
    assert made is not None
    assert made.example.input == "please create bob"
    assert layout(user("add bob now", "bob"), PLAN).rebuilt({}, ["bob says add ", ""]) is None


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


@given(
    before=WORDS,
    name=st.from_regex(r"[a-zäß0-9._$-]{1,8}", fullmatch=True),
    after=WORDS,
    new=st.from_regex(r"[a-z0-9]{3,9}", fullmatch=True),
)
def test_a_rebuilt_row_is_taken_apart_as_it_was_built(before: str, name: str, after: str, new: str) -> None:
    example = user(f"{before} {name} {after}", name)
    made = layout(example, PLAN).rebuilt({0: new})
    assume(made is not None)
    assert made is not None
    assert new in made.example.input
    assert made.example.output["username"] == new
    again = layout(made.example, PLAN)
    assert (again.masked, again.mentions) == (made.masked, made.mentions)


@given(text=st.text(max_size=30), value=st.text(min_size=1, max_size=3), caseless=st.booleans())
def test_places_are_slices(text: str, value: str, caseless: bool) -> None:
    for start, end in places(text, value, caseless=caseless):
        assert text[start:end] == value or (caseless and text[start:end].lower() == value.lower())
