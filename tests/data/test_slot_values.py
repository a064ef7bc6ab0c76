from __future__ import annotations

import json
from typing import Any

import pytest

from microlith.data.slot_values import as_json, as_text, at, copy_json, put, satisfies
from microlith.task.plan import Span


@pytest.mark.parametrize(
    ("types", "rules", "text", "fits"),
    [
        ({"string"}, {}, "abc", True),
        ({"string"}, {}, "", False),
        ({"string"}, {"minLength": 4}, "abc", False),
        ({"string"}, {"pattern": "^a.c$"}, "abc", True),
        ({"string"}, {"pattern": "^b"}, "abc", False),
        ({"integer"}, {}, "12", True),
        ({"integer"}, {}, "abc", False),
        ({"integer"}, {}, "012", False),
        ({"integer"}, {"minimum": 5, "multipleOf": 4}, "12", True),
        ({"integer"}, {"multipleOf": 5}, "12", False),
        ({"integer"}, {"exclusiveMaximum": 12}, "12", False),
        ({"integer", "string"}, {}, "http", True),
        ({"number"}, {"maximum": 3}, "2.5", True),
        ({"number"}, {"maximum": 2}, "2.5", False),
    ],
)
def test_a_slot_knows_which_texts_it_takes(
    types: set[str], rules: dict[str, Any], text: str, fits: bool
) -> None:
    assert satisfies(Span(format="text", types=frozenset(types), constraints=rules), text) is fits


@pytest.mark.parametrize(
    ("types", "text", "value"), [({"integer"}, "7", 7), ({"number"}, "2,5", 2.5), ({"string"}, "7", "7")]
)
def test_slices_become_json(types: set[str], text: str, value: object) -> None:
    made = as_json(Span(format="text", types=frozenset(types), constraints={}), text)
    assert (made, type(made)) == (value, type(value))
    assert json.dumps(made)


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (2.5, "2.5"), (True, "true"), (False, "false"), ("x", "x")]
)
def test_json_becomes_text(value: object, text: str) -> None:
    assert as_text(value) == text


def test_places_lead_to_values() -> None:
    answer = {"steps": [{"name": "a"}, {"name": "b"}]}
    copied = copy_json(answer)
    put(copied, ("steps", 1, "name"), "c")
    assert (at(copied, ("steps", 1, "name")), at(answer, ("steps", 1, "name"))) == ("c", "b")
    assert at(answer, ("steps", 7, "name")) is None
    assert at(answer, ("steps", "name")) is None
