"""What the tests of the whole stage do not reach: invented replies, computed values inside steps and lists."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.data.strict_json import NotStrictJson
from microlith.routing.general_reply import filled, parsed
from microlith.task.compile import compile_plan
from microlith.task.reading import read, write
from tests.inference.toys import span, thing, toy
from tests.odd_texts import ODD_TEXTS

LEVEL = {"enum": ["low", "medium", "high"], "x-computed": "microlith.task.formulas:risk_level"}
LATE = "metrics.allocated_hours: 1\nmetrics.elapsed_hours: 9"
STEPS = [thing("put", where=span("word"), level=LEVEL), thing("take", where=span("word"))]
SEVERAL = {
    "oneOf": [
        *STEPS,
        {
            **thing("sequence", steps={"type": "array", "minItems": 2, "maxItems": 3, "items": {"oneOf": STEPS}}),
            "x-role": "sequence",
        },
    ]
}  # fmt: skip
LISTED = thing(
    "list",
    inner={"type": "object", "properties": {"level": LEVEL}, "required": ["level"], "additionalProperties": False},
    items={"type": "array", "maxItems": 3, "items": {
        "type": "object", "properties": {"name": span("word"), "level": LEVEL}, "required": ["name", "level"],
        "additionalProperties": False,
    }},
)  # fmt: skip
OBJECTS = st.dictionaries(st.text(max_size=5), st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=10) | st.sampled_from(ODD_TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8,
), max_size=4)  # fmt: skip


@given(OBJECTS, st.sampled_from(["{}", "```json\n{}\n```", "Sure: {} Bye", "<think>{{</think>{}"]))
def test_one_object_is_found_whatever_it_holds(value: dict[str, Any], around: str) -> None:
    assert parsed(around.replace("{}", json.dumps(value), 1)) == value


@given(st.text(max_size=80) | st.text(alphabet='{}[]": a1,', max_size=40) | st.sampled_from(ODD_TEXTS))
def test_any_text_is_one_object_or_is_refused_and_not_quoted(text: str) -> None:
    try:
        found, told = parsed(text), ""
    except NotStrictJson as error:
        found, told = {}, error.what
    assert isinstance(found, dict)
    assert len(told) < 80


@given(OBJECTS, st.integers(0, 200))
def test_no_half_of_an_answer_is_taken_for_one(value: dict[str, Any], cut: int) -> None:
    text = json.dumps(value)
    with pytest.raises(NotStrictJson):
        parsed(text[: cut % len(text)])


@pytest.mark.parametrize("level", ["low", "nonsense", None])
@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (SEVERAL, {"action": "put", "where": "a", "level": "high"}),
        (SEVERAL, {"action": "sequence", "steps": [{"action": "take", "where": "a"}, {"action": "put", "where": "b", "level": "high"}]}),
        (LISTED, {"action": "list", "inner": {"level": "high"}, "items": [{"name": "a", "level": "high"}, {"name": "b", "level": "high"}]}),
    ],
)  # fmt: skip
def test_computed_values_are_filled_in_wherever_they_stand(
    schema: dict[str, Any], answer: dict[str, Any], level: str | None
) -> None:
    said = json.loads(json.dumps(answer).replace('"high"', json.dumps(level)))
    assert filled(compile_plan(schema), said, LATE) == answer


@given(OBJECTS)
def test_what_has_not_the_shape_of_an_answer_stays_for_the_schema_to_refuse(value: dict[str, Any]) -> None:
    plan = compile_plan(SEVERAL)
    assert filled(plan, json.loads(json.dumps(value)), LATE) == value


@pytest.mark.parametrize("name", ["gate", "music", "orders", "mood"])
def test_filling_changes_nothing_where_nothing_is_computed(name: str) -> None:
    one = toy(name)
    for row in one.examples:
        assert filled(one.plan, json.loads(json.dumps(row.output)), row.input) == row.output
        assert write(one.plan, read(one.plan, row.output), row.input) == row.output
