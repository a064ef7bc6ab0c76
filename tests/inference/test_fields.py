from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.errors import DataError
from microlith.inference.fields import AnswerCheck, fields_of, locate, spells
from microlith.inference.grounding import GroundingSpec, ground
from tests.inference.test_grounding import ATOMS, EVERY
from tests.inference.toys import MUSIC, ORDERS, Toy, toy

COMPILED = {name: toy(name).plan for name in ("gate", "music", "orders", "mood")}


@pytest.mark.parametrize(
    ("value", "request_text", "expected"),
    [
        ("nas", "share nas", (6, 9)),
        ("nas", "nas.lan is the nas", (15, 18)),  # a whole word before a piece of one
        ("nas", "nas.lan", (0, 3)),
        ("an", "delete the channel", None),  # inside a word is no place
        ("an", "an", (0, 2)),
        ("bob", "(bob)", (1, 4)),
        ("bob", "give bob.", (5, 8)),
        (443, "port 443, please", (5, 8)),
        (443, "port 4430", None),
        (30, "valid 30d", (6, 8)),
        (7, "007 agents", (0, 3)),
        (-5, "at -5 degrees", (3, 5)),
        (2.5, "take 2,5 litres", (5, 8)),
        (True, "true 1", None),
        ("", "anything", None),
        ("a b", "a b", (0, 3)),
        ("16", "16GB", (0, 2)),
        ("0", "0¼", (0, 1)),  # a sign that counts but is no digit of a number
    ],
)
def test_where_a_value_stands(value: Any, request_text: str, expected: tuple[int, int] | None) -> None:
    assert locate(value, request_text) == expected


def test_a_taken_place_is_the_last_choice() -> None:
    assert locate("ops", "add ops to ops", [(4, 7)]) == (11, 14)
    assert locate("ops", "add ops", [(4, 7)]) == (4, 7)


def test_many_places_do_not_take_long() -> None:
    assert locate("a", "b a" * 300_000, [(0, 900_000)]) is not None


@given(before=st.text(max_size=8), value=st.text(min_size=1, max_size=8), after=st.text(max_size=8))
def test_a_found_range_spells_the_value(before: str, value: str, after: str) -> None:
    request = before + value + after
    found = locate(value, request)
    assert found is None or spells(request[slice(*found)], value)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("09a\u00bc\u00b2\u0663\u2167é_-. :/@") | st.characters(), max_size=20))
def test_every_slice_that_may_be_copied_is_found_again(request: str) -> None:
    grounding = ground(request, GroundingSpec(formats=EVERY, atoms=ATOMS, max_words=4))
    for first, last in grounding.candidates:
        value = request[grounding.starts[first] : grounding.ends[last]]
        assert locate(value, request) is not None, value


GATE_CASES: list[tuple[str, dict[str, Any], dict[str, tuple[int, int] | None]]] = [
    ("open port 22 tcp", {"action": "open", "port": 22, "protocol": "tcp"}, {"action": None, "port": (10, 12), "protocol": None}),
    (
        "point a.lan at 10.0.0.1, then open 22",
        {"action": "sequence", "steps": [{"action": "point", "host": "a.lan", "ip": "10.0.0.1"}, {"action": "open", "port": 22}]},
        {
            "action": None,
            "steps[0].action": None, "steps[0].host": (6, 11), "steps[0].ip": (15, 23),
            "steps[1].action": None, "steps[1].port": (35, 37),
        },
    ),
    (
        "point a.lan somewhere",
        {"action": "clarify", "intent": "point", "host": "a.lan", "missing": ["ip"]},
        {"action": None, "intent": None, "host": (6, 11), "missing[0]": None},
    ),
    ("why?", {"action": "unsupported"}, {"action": None}),
]  # fmt: skip


@pytest.mark.parametrize(("request_text", "answer", "expected"), GATE_CASES)
def test_every_value_has_a_field(request_text: str, answer: dict[str, Any], expected: dict[str, Any]) -> None:
    fields = fields_of(COMPILED["gate"], answer, request_text)
    assert {field.path: field.span for field in fields} == expected
    assert [field.path for field in fields] == list(expected)


def test_lists_and_arrays_of_objects_have_numbered_paths() -> None:
    answer: dict[str, Any] = {"intent": "play", "slots": {"artist": ["The Otters", "Old Lamps"]}}
    fields = fields_of(COMPILED["music"], answer, "play The Otters and Old Lamps")
    assert [(field.path, field.span) for field in fields] == [
        ("intent", None), ("slots.artist[0]", (5, 15)), ("slots.artist[1]", (20, 29)),
    ]  # fmt: skip
    answer = {"urgent": False, "items": [{"name": "soap", "count": 2}, {"name": "milk"}]}
    fields = fields_of(COMPILED["orders"], answer, "send 2 soap and milk")
    assert {field.path: field.span for field in fields} == {
        "urgent": None, "items[0].name": (7, 11), "items[0].count": (5, 6), "items[1].name": (16, 20),
    }  # fmt: skip


def test_equal_values_of_one_object_stand_in_two_places() -> None:
    answer = {"action": "login", "user": "eve", "password": "eve"}
    spans = {
        field.path: field.span for field in fields_of(COMPILED["gate"], answer, "login eve password eve")
    }
    assert spans == {"action": None, "user": (6, 9), "password": (19, 22)}


def test_given_spans_and_confidences_are_taken() -> None:
    answer = {"action": "open", "port": 22}
    fields = fields_of(
        COMPILED["gate"], answer, "22 or 22", confidences={"port": 0.25}, default=0.5, spans={"port": (6, 8)}
    )
    assert [(field.confidence, field.span) for field in fields] == [(0.5, None), (0.25, (6, 8))]


@pytest.mark.parametrize("span", [(0, 2), (-2, 8), (5, 9), (8, 6)])
def test_a_wrong_span_is_an_error(span: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"port: 22 does not stand in the request at"):
        fields_of(COMPILED["gate"], {"action": "open", "port": 22}, "open 22", spans={"port": span})


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ({"action": "open", "port": 80}, "port: 80 does not stand in the request"),
        ({"action": "open", "port": 0}, "does not fit the schema"),
        ({"action": "open"}, "does not fit the schema"),
        ({"action": "dance"}, "does not fit the schema"),
        ({"action": "open", "port": 22, "more": 1}, "does not fit the schema"),
        ("open", "does not fit the schema"),
        (None, "does not fit the schema"),
        (["open"], "does not fit the schema"),
        ({"action": ["open"]}, "does not fit the schema"),
        ({"action": "open", "port": float("nan")}, "refus|schema|stand"),
    ],
)
def test_what_is_not_valid_or_not_grounded_is_refused(output: Any, why: str) -> None:
    prediction = AnswerCheck(COMPILED["gate"], "m").prediction("open port 22", output, confidence=0.9)
    assert prediction.output is None
    assert prediction.confidence == 0.0
    assert prediction.fields == ()
    assert prediction.refusal is not None
    assert re.search(why, prediction.refusal)


def test_a_refusal_does_not_show_a_secret() -> None:
    check = AnswerCheck(COMPILED["gate"], "m")
    prediction = check.prediction(
        "login eve", {"action": "login", "user": "eve", "password": "hunter2"}, confidence=1.0
    )
    assert prediction.refusal == "password: the secret value does not stand in the request"


@pytest.mark.parametrize(
    ("given_confidence", "expected"), [(1.7, 1.0), (-0.2, 0.0), (0.4, 0.4), (float("nan"), 0.0)]
)
def test_confidence_is_held_to_its_bounds(given_confidence: float, expected: float) -> None:
    check = AnswerCheck(COMPILED["mood"], "m")
    prediction = check.prediction(
        "so bad", {"mood": "sad"}, confidence=given_confidence, confidences={"mood": 2.0}
    )
    assert (prediction.confidence, prediction.fields[0].confidence) == (expected, 1.0)


@pytest.mark.parametrize(("name", "schema"), [("music", MUSIC), ("orders", ORDERS)])
def test_every_labelled_row_is_grounded(name: str, schema: dict[str, Any]) -> None:
    made: Toy = toy(name)
    check = AnswerCheck(made.plan, "gold")
    refusals = [check.prediction(row.input, row.output, confidence=1.0).refusal for row in made.examples]
    assert refusals == [None] * len(made.examples)
