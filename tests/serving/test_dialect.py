"""What the dialects share."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.errors import MicrolithError, TooLarge
from microlith.inference.protocol import FieldPrediction, Prediction
from microlith.serving.dialect import BadParameter, Said, conversation, counted, text_of, whole
from microlith.serving.dialect_schema import AskedSchema, SchemaTrouble
from microlith.serving.dialect_text import NEVER, as_text, pieces_of
from microlith.serving.systemone_questions import concentration, decisions_of
from microlith.task.taskfile import load_task

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def predicted(output: Any, confidences: dict[str, float], whole_: float = 0.5) -> Prediction:
    fields = tuple(
        FieldPrediction(path=path, value=None, confidence=sure) for path, sure in confidences.items()
    )
    return Prediction(output=output, confidence=whole_, fields=fields, model="m", latency_ms=0.0)


# ------------------------------------------------------------------------------------------- text


@given(_JSON, st.booleans())
def test_the_pieces_of_an_answer_are_its_text(output: Any, has_fields: bool) -> None:
    pieces = pieces_of(predicted(output, {"a": 0.5} if has_fields else {}))
    text = "".join(piece.text for piece in pieces)
    assert text == as_text(output)
    assert json.loads(text) == output


def test_each_decided_value_is_as_probable_as_its_field() -> None:
    output = {"a": [{"b": 1}, {"b": "x"}], "c": {"d": None}, "e": []}
    pieces = pieces_of(predicted(output, {"a[0].b": 0.9, "a[1].b": 0.25, "c.d": 0.0}))
    assert [(piece.text, piece.logprob) for piece in pieces if piece.logprob] == [
        ("1", math.log(0.9)), ('"x"', math.log(0.25)), ("null", NEVER),
    ]  # fmt: skip
    assert [piece.text for piece in pieces if not piece.logprob] == [
        '{"a": [{"b": ',
        '}, {"b": ',
        '}], "c": {"d": ',
        '}, "e": []}',
    ]


def test_a_value_without_a_field_is_as_probable_as_the_answer() -> None:
    pieces = pieces_of(predicted({"a": 1, "b": 2}, {"a": 0.9}))
    assert {piece.text: piece.logprob for piece in pieces if piece.logprob} == {
        "1": math.log(0.9),
        "2": math.log(0.5),
    }


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 0), ("  \n", 0), ("add_x 10.0", 4), ("привет, мир", 3), ("🙂🙂", 2), ('{"a": 1}', 7)],
)
def test_words_and_marks_are_counted(text: str, size: int) -> None:
    assert counted(text) == size


# ------------------------------------------------------------------------------------------- messages


def said(*spoken: tuple[Any, str]) -> list[Said]:
    return [Said(role=role, text=text, param=f"messages[{at}]") for at, (role, text) in enumerate(spoken)]


@pytest.mark.parametrize(
    ("spoken", "turns"),
    [
        ([("user", "q")], []),
        ([("user", "a"), ("assistant", "1"), ("user", "q")], [("a", "1")]),
        (
            [("user", "a"), ("system", "s"), ("assistant", "{}"), ("user", "q"), ("system", "s")],
            [("a", "{}")],
        ),
        ([("assistant", "{}"), ("user", "q")], []),
        ([("user", "a"), ("assistant", "{}"), ("assistant", "[]"), ("user", "q")], [("a", "{}")]),
        ([("user", "a"), ("assistant", "prose"), ("user", "q")], []),
        ([("user", "a"), ("assistant", "null"), ("user", "q")], []),
        ([("user", "a"), ("assistant", '{"a": NaN}'), ("user", "q")], []),
    ],
)
def test_turns_are_requests_with_answers_of_their_own(spoken: Any, turns: Any) -> None:
    request, found = conversation(said(*spoken))
    assert request == "q"
    assert [(turn.request, turn.answer) for turn in found] == turns


def test_parts_of_a_text_stand_one_below_the_other() -> None:
    assert text_of([{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}], "p") == "a\nb"
    assert text_of([], "p") == ""


@pytest.mark.parametrize(
    "part", [{}, {"type": "text"}, {"type": "text", "text": 5}, {"type": "input_audio", "text": "x"}]
)
def test_a_part_that_is_no_text_is_named(part: dict[str, Any]) -> None:
    with pytest.raises(BadParameter) as caught:
        text_of([{"type": "text", "text": "a"}, part], "p")
    assert caught.value.problems[0].place == "p[1]"


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("\ud800", BadParameter), ({"\udfff": 1}, BadParameter), ([float("inf")], BadParameter), ("x" * 1_000_001, TooLarge),
        (["x"] * 300_000, TooLarge),
    ],
)  # fmt: skip
def test_what_cannot_be_written_down_is_refused(value: Any, error: type[MicrolithError]) -> None:
    with pytest.raises(error):
        whole(value, "p")
    whole("🙂" * 1_000_000, "p")


# ------------------------------------------------------------------------------------------- schemas of callers


@pytest.mark.parametrize(
    ("schema", "answer", "fits"),
    [
        ({}, {"a": 1}, True),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}, {"a": 1}, True),
        ({"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}}, {"a": 1}, False),
        ({"properties": {"a": {"pattern": "^b+$"}}}, {"a": "bb"}, True),
        ({"properties": {"a": {"pattern": "^b+$"}}}, {"a": "bc"}, False),
        ({"additionalProperties": False, "properties": {"b": True}}, {"a": 1}, False),
        ({"anyOf": [{"type": "null"}, {"required": ["a"]}]}, {"a": 1}, True),
    ],
)
def test_an_answer_is_held_to_the_callers_schema(schema: Any, answer: Any, fits: bool) -> None:
    assert (AskedSchema(schema).misfit(answer) is None) == fits


def test_a_misfit_names_place_and_keyword_and_no_value() -> None:
    misfit = AskedSchema({"properties": {"a": {"items": {"maxLength": 3}}}}, name="mine").misfit(
        {"a": ["ok", "secret"]}
    )
    assert (
        misfit
        == "the answer does not satisfy the schema 'mine' of the request: /a/1, it breaks \"maxLength\""
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.org/other.json"},
        {"$ref": "#/$defs/nothing"},
        {"$ref": "#/title", "title": "x"},
        {"$ref": "#"},
        {
            "$ref": "#/$defs/0",
            "$defs": {str(i): {"allOf": [{"$ref": f"#/$defs/{i + 1}"}] * 2} for i in range(60)} | {"60": {}},
        },
    ],
)
def test_a_schema_that_would_not_end_or_leads_away_ends_in_words(schema: Any) -> None:
    misfit = AskedSchema(schema).misfit({"a": 1})
    assert misfit
    assert "cannot be checked" in misfit


def test_a_pattern_takes_linear_time() -> None:
    schema = AskedSchema({"properties": {"a": {"pattern": "^(a+)+$"}}})
    assert schema.misfit({"a": "a" * 20_000 + "!"})  # a backtracking engine would not come back from this


@pytest.mark.parametrize(
    "schema", [{"type": 5}, {"$schema": "x"}, {"not": {"patternProperties": {}}}, {"title": "x" * 65_537}]
)
def test_what_is_no_usable_schema_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaTrouble):
        AskedSchema(schema)


# ------------------------------------------------------------------------------------------- decisions


@pytest.mark.parametrize(
    ("task", "path", "options"),
    [
        ("cli-intent", "type", ("command", "prompt", "workflow")),
        ("infra", "record_type", ("A", "AAAA", "CNAME")),
        ("task-risk", "risk_level", ("low", "medium", "high")),
    ],
)
def test_decisions_with_a_closed_set_of_options_can_be_asked(
    task: str, path: str, options: tuple[str, ...]
) -> None:
    assert decisions_of(load_task(task))[path] == options


def test_open_decisions_cannot_be_asked() -> None:
    found = decisions_of(load_task("infra"))
    assert {"clarify", "sequence", "unsupported", "dns_add"} <= set(found["action"])
    assert not {"zone", "ip", "username", "password"} & set(found)


@pytest.mark.parametrize(
    ("shares", "sure"),
    [
        ([1.0], 1.0),
        ([1.0, 0.0], 1.0),
        ([0.5, 0.5], 0.0),
        ([0.9781, 0.0125, 0.0093], 0.891),
        ([1 / 3] * 3, 0.0),
    ],
)
def test_concentration_is_one_less_the_share_of_entropy(shares: list[float], sure: float) -> None:
    assert concentration(shares) == pytest.approx(sure, abs=1e-3)
