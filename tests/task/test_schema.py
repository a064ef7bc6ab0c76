from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from microlith.errors import SchemaError
from microlith.task.schema import (
    MAX_NODES,
    References,
    children,
    dialect_of,
    document_of,
    is_object,
    load_schema,
    parse_schema,
    resolve,
)

TEXT = {"type": "string"}


def test_a_pointer_is_placed_by_file_and_line() -> None:
    document = parse_schema('{\n "type": "object",\n "properties": {\n  "a": {"type": "string"}}}')
    assert document.place("/properties/a/type") == "schema.json:4"
    assert document.place("/properties/a/maxLength") == "schema.json:4"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "schema.json:1: a schema is one JSON object, found list"),
        ("", "schema.json:1:1: the file is empty"),
        ('{"type": "object", "type": "array"}', 'key "type" is given twice'),
    ],
)
def test_what_is_no_schema_is_refused(text: str, problem: str) -> None:
    with pytest.raises(SchemaError) as caught:
        parse_schema(text)
    assert problem in str(caught.value)


def test_all_syntax_errors_come_at_once() -> None:
    with pytest.raises(SchemaError) as caught:
        parse_schema('{"a": True,\n"b": 1\n"b": 2,}')
    assert len(caught.value.problems) == 4


def test_a_file_is_read_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text('{"type": "object"}', encoding="utf-8")
    assert load_schema(tmp_path / "out.json").place("") == "out.json:1"


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        (None, "2020-12"),
        ("https://json-schema.org/draft/2020-12/schema", "2020-12"),
        ("http://json-schema.org/draft-07/schema#", "7"),
        ("https://json-schema.org/draft-07/schema", "7"),
        ("http://example.org/mine", "http://example.org/mine"),
    ],
)
def test_dialect(name: str | None, dialect: str) -> None:
    assert dialect_of({} if name is None else {"$schema": name}) == dialect


def test_children_are_schemas_and_not_data() -> None:
    schema = {
        "properties": {"$ref": TEXT, "enum": {"enum": [{"type": "string"}]}},
        "const": {"properties": {"x": {}}},
        "default": {"items": {}},
        "items": [TEXT],
        "not": True,
    }
    assert [parts for _, parts, _ in children(schema)] == [
        ("properties", "$ref"),
        ("properties", "enum"),
        ("items", 0),
        ("not",),
    ]


@pytest.mark.parametrize(
    ("schema", "resolved"),
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": TEXT}}, TEXT),
        ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": TEXT}}, TEXT),
        ({"$ref": "#here", "$defs": {"a": {"$anchor": "here", **TEXT}}}, TEXT),
        ({"$id": "http://x.org/s", "$ref": "http://x.org/s#/$defs/a", "$defs": {"a": TEXT}}, TEXT),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": TEXT}}, TEXT),
        ({"$ref": "#/$defs/a", "maxLength": 3, "$defs": {"a": TEXT}}, {"type": "string", "maxLength": 3}),
        ({"$ref": "#/$defs/a", "title": "t", "$defs": {"a": TEXT}}, {"type": "string", "title": "t"}),
        ({"$ref": "#/$defs/a", "$defs": {"a": True}}, True),
        ({"properties": {"$ref": TEXT}}, {"properties": {"$ref": TEXT}}),
        ({"enum": [{"$ref": "#/$defs/a"}]}, {"enum": [{"$ref": "#/$defs/a"}]}),
    ],
)
def test_references_are_written_out(schema: dict[str, Any], resolved: object) -> None:
    assert References(schema).at("") == resolved


def test_what_stands_beside_a_reference_is_joined_without_changing_its_meaning() -> None:
    target = {"type": "object", "properties": {"a": TEXT}}
    schema = {"$ref": "#/$defs/t", "additionalProperties": False, "$defs": {"t": target}}
    assert resolve(schema) == {"additionalProperties": False, "allOf": [target]}


def test_draft_7_ignores_what_stands_beside_a_reference() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"a": {"$ref": "#/definitions/t", "maxLength": 1}},
        "definitions": {"t": TEXT},
    }
    assert resolve(schema)["properties"]["a"] == TEXT


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"$ref": "http://x.org/y.json"}, "is remote"),
        ({"$ref": "other.json#/a"}, "is remote"),
        ({"$ref": "#/$defs/none", "$defs": {"some": {}}}, "points at nothing -> defined are some"),
        ({"$ref": "#nowhere"}, "no \"$anchor\" is called 'nowhere'"),
        ({"$ref": "#/required", "required": ["a"]}, "points at no schema"),
        ({"$ref": "#"}, "leads back to itself"),
        ({"properties": {"a": {"$ref": "#"}}}, "leads back to itself"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "leads back to itself"),
    ],
)
def test_bad_references_are_refused_with_the_place(schema: dict[str, Any], problem: str) -> None:
    with pytest.raises(SchemaError) as caught:
        resolve(schema)
    assert problem in str(caught.value)
    assert caught.value.problems[0].place is not None


def test_all_bad_references_come_at_once() -> None:
    with pytest.raises(SchemaError) as caught:
        resolve({"properties": {"a": {"$ref": "#/x"}, "b": {"$ref": "http://y"}}})
    assert len(caught.value.problems) == 2


def test_a_recursive_definition_that_nothing_uses_does_no_harm() -> None:
    assert resolve({**TEXT, "$defs": {"a": {"$ref": "#/$defs/a"}}}) == TEXT


def test_references_that_blow_up_are_refused() -> None:
    levels = {
        f"l{n}": {"properties": {name: {"$ref": f"#/$defs/l{n + 1}"} for name in "abcd"}} for n in range(12)
    }
    with pytest.raises(SchemaError, match=str(MAX_NODES)):
        resolve({"$ref": "#/$defs/l0", "$defs": {**levels, "l12": TEXT}})


def test_a_long_chain_of_references_is_refused_without_running_out_of_stack() -> None:
    chain = {f"l{n}": {"items": {"$ref": f"#/$defs/l{n + 1}"}} for n in range(3000)}
    with pytest.raises(SchemaError, match="deeper"):
        resolve({"$ref": "#/$defs/l0", "$defs": {**chain, "l3000": TEXT}})


def test_the_schema_itself_is_left_as_it_was() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/t"}}, "$defs": {"t": TEXT}}
    before = json.dumps(schema)
    resolve(schema)
    assert json.dumps(schema) == before


def test_a_schema_made_by_a_program_gets_lines() -> None:
    assert document_of({"type": "object", "title": "x"}).line("/title") == 3


@pytest.mark.parametrize(
    ("node", "inherited", "expected"),
    [
        ({"type": "object"}, False, True),
        ({"properties": {}}, False, True),
        ({"oneOf": [{"type": "object"}, {"properties": {}}]}, False, True),
        ({"type": "object", "oneOf": [{"required": ["a"]}]}, False, True),
        ({"oneOf": [{"type": "object"}, TEXT]}, False, False),
        ({"required": ["a"]}, True, True),
        ({"type": "object", "x-computed": "a:b"}, False, False),
        (True, False, False),
    ],
)
def test_is_object(node: object, inherited: bool, expected: bool) -> None:
    assert is_object(node, inherited=inherited) is expected
