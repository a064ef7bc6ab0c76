from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from microlith.registry.changes import changes, schema_hash
from tests.registry.conftest import SCHEMA


def edited(edit: Any) -> dict[str, Any]:
    schema = deepcopy(SCHEMA)
    edit(schema)
    return schema


def set_in(*path: Any) -> Any:
    *way, last, value = path

    def edit(schema: dict[str, Any]) -> None:
        for name in way:
            schema = schema[name]
        schema[last] = value

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: None,
        set_in("title", "another"),
        set_in("description", "words"),
        set_in("properties", "mood", "description", "words"),
        set_in("$schema", "https://json-schema.org/draft/2020-12/schema"),
    ],
)
def test_words_are_no_change(edit: Any) -> None:
    assert changes(SCHEMA, edited(edit)) == ()
    assert schema_hash(SCHEMA) == schema_hash(edited(edit))


def swap_options(schema: dict[str, Any]) -> None:
    schema["properties"]["mood"]["enum"].reverse()


def swap_properties(schema: dict[str, Any]) -> None:
    schema["properties"] = dict(reversed(schema["properties"].items()))


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            lambda s: s["properties"]["mood"]["enum"].append("none"),
            ['#/properties/mood/enum: was ["glad", "sad"], is ["glad", "sad", "none"]'],
        ),
        (
            swap_options,
            [
                '#/properties/mood/enum/0: was "glad", is "sad"',
                '#/properties/mood/enum/1: was "sad", is "glad"',
            ],
        ),
        (swap_properties, ["#/properties: the order was mood, why"]),
        (
            lambda s: s["properties"].pop("why"),
            ['#/properties/why: was {"type": "string", "x-source": "input"}, is gone'],
        ),
        (set_in("properties", "age", {"type": "integer"}), ['#/properties/age: is new: {"type": "integer"}']),
        (set_in("additionalProperties", True), ["#/additionalProperties: was false, is true"]),
        (
            set_in("properties", "title", {"type": "string"}),
            ['#/properties/title: is new: {"type": "string"}'],
        ),
    ],
)
def test_what_a_model_would_notice(edit: Any, expected: list[str]) -> None:
    assert list(changes(SCHEMA, edited(edit))) == expected
    assert schema_hash(SCHEMA) != schema_hash(edited(edit))


def test_options_that_look_like_keywords_count() -> None:
    before = {"properties": {"x": {"const": {"title": "a"}}}}
    assert changes(before, {"properties": {"x": {"const": {"title": "b"}}}}) == (
        '#/properties/x/const/title: was "a", is "b"',
    )
