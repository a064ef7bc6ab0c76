from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.errors import SchemaError
from microlith.task.draw import draw_answer
from microlith.task.jsontext import pointer_of
from microlith.task.linter import Finding, lint, plan_of, rejections
from microlith.task.packs import pack_folder, packs
from microlith.task.schema import children, document_of, load_schema, parse_schema
from microlith.task.validate import Validator

TEXT = {"type": "string", "maxLength": 9}
SPAN = {"type": "string", "x-source": "input"}


def task(value: Any, **more: Any) -> dict[str, Any]:
    """A schema whose only property is `value`."""
    return {
        "type": "object",
        "properties": {"a": value},
        "required": ["a"],
        "additionalProperties": False,
        **more,
    }


def plan_list(ascending: Any) -> dict[str, Any]:
    """An array of objects in phases."""
    properties = {"phase": {"enum": ["x", "y"]}, "title": TEXT}
    items = {
        "type": "object",
        "properties": properties,
        "required": ["phase"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": items, "maxItems": 4, "x-ascending": ascending}


def judged(schema: Mapping[str, Any]) -> dict[str, Finding]:
    return {finding.pointer: finding for finding in lint(document_of(schema))}


def refused(schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(one.pointer, one.reason) for one in lint(document_of(schema)) if one.status == "rejected"]


# ------------------------------------------------------------------------------------------- no silent state


def occurrences(schema: Any, pointer: str = "") -> Iterator[str]:
    """Pointers of all keywords, found without the linter."""
    if not isinstance(schema, Mapping):
        return
    for keyword in schema:
        yield pointer + pointer_of((keyword,))
    for _, parts, child in children(schema):
        yield from occurrences(child, pointer + pointer_of(parts))


@pytest.mark.parametrize("pack", packs())
def test_every_keyword_of_a_pack_has_a_finding_and_none_is_refused(pack: str) -> None:
    document = load_schema(pack_folder(pack) / "schema.json")
    findings = lint(document)
    assert {finding.pointer for finding in findings} == set(occurrences(document.value))
    assert rejections(document, findings) == []


KEYWORDS: dict[str, Any] = {
    "type": "string", "const": "a", "enum": ["a", "b"], "minLength": 1, "maxLength": 3, "pattern": "^a", "format": "date",
    "minimum": 0, "maximum": 5, "exclusiveMinimum": 0, "multipleOf": 2, "properties": {"x": {"type": "string"}},
    "required": ["x"], "additionalProperties": False, "patternProperties": {"^y": {"type": "string"}},
    "propertyNames": {"maxLength": 4}, "minProperties": 1, "dependentRequired": {"x": ["y"]}, "items": {"type": "string"},
    "prefixItems": [{"type": "string"}], "contains": {"const": 1}, "minContains": 1, "minItems": 1, "maxItems": 3,
    "uniqueItems": True, "allOf": [{"minLength": 1}], "anyOf": [{"type": "string"}], "oneOf": [{"type": "object"}],
    "not": {"const": "z"}, "if": {"const": "a"}, "then": {"maxLength": 1}, "else": {}, "title": "t", "default": 1,
    "$comment": "c", "x-source": "input", "x-format": "word", "x-secret": True, "x-role": "intent", "x-computed": "m:f",
    "x-out-of-scope": "b", "x-forbidden": ["no"], "x-ascending": "a", "x-mine": 1, "typ": "string", "unevaluatedProperties": False, "$ref": "#/$defs/d",
    "$anchor": "q", "$dynamicRef": "#q", "contentEncoding": "base64", "deprecated": True, "$id": "http://x.org/",
}  # fmt: skip
SCHEMAS = st.lists(st.sampled_from(sorted(KEYWORDS)), unique=True, max_size=7).map(
    lambda names: {name: KEYWORDS[name] for name in names}
)


@given(SCHEMAS, SCHEMAS)
def test_there_is_no_silent_third_state(inner: dict[str, Any], definition: dict[str, Any]) -> None:
    schema = task(inner, **{"$defs": {"d": {**definition, "$ref": "#/$defs/e"}, "e": TEXT}})
    found = {finding.pointer: finding.status for finding in lint(document_of(schema))}
    missing = set(occurrences(schema)) - set(found)
    assert not missing
    assert set(found.values()) <= {"decoding", "after", "rejected"}


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.sampled_from(["", "string", "object", "#", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(KEYWORDS)), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(KEYWORDS)), JUNK, max_size=6))
def test_no_schema_makes_the_linter_fail(schema: dict[str, Any]) -> None:
    for document in (document_of(schema), document_of(task(schema))):
        problems = rejections(document, lint(document))
        if problems:
            with pytest.raises(SchemaError) as caught:
                plan_of(document)
            assert list(caught.value.problems) == problems
        else:
            plan_of(document)


# ------------------------------------------------------------------------------------------- the three states


@pytest.mark.parametrize(
    ("value", "keyword", "status"),
    [
        (TEXT, "type", "decoding"),
        (TEXT, "maxLength", "decoding"),
        ({**TEXT, "minLength": 1}, "minLength", "decoding"),
        ({**TEXT, "x-forbidden": ["no"]}, "x-forbidden", "decoding"),
        (plan_list("phase"), "x-ascending", "decoding"),
        ({**TEXT, "pattern": "^a"}, "pattern", "after"),
        ({**SPAN, "minLength": 1}, "minLength", "decoding"),
        ({**SPAN, "x-format": "word"}, "x-format", "decoding"),
        ({**SPAN, "format": "path"}, "format", "decoding"),
        ({**SPAN, "format": "ipv4"}, "format", "after"),
        ({**SPAN, "x-format": "ip", "format": "ipv4"}, "format", "after"),
        ({**SPAN, "x-secret": True}, "x-secret", "decoding"),
        ({"const": 3}, "const", "decoding"),
        ({"enum": ["a", "b"], "x-out-of-scope": "b"}, "x-out-of-scope", "decoding"),
        ({"type": "integer", "minimum": 1, "maximum": 3, "multipleOf": 2}, "multipleOf", "after"),
        ({"type": "integer", "minimum": 1}, "minimum", "decoding"),
        ({"type": "integer", "exclusiveMinimum": 1}, "exclusiveMinimum", "after"),
        ({"type": "array", "items": TEXT, "maxItems": 3, "uniqueItems": True}, "uniqueItems", "after"),
        ({"type": "array", "items": TEXT, "maxItems": 3}, "maxItems", "decoding"),
        (task(TEXT, minProperties=1), "minProperties", "after"),
        (task(TEXT, patternProperties={"^x": {"minLength": 1}}), "patternProperties", "after"),
        (task(TEXT, patternProperties={"^x": {"minLength": 1}}), "additionalProperties", "after"),
        ({**TEXT, "not": {"const": "x"}}, "not", "after"),
        ({**TEXT, "allOf": [{"minLength": 2}]}, "allOf", "after"),
        ({**TEXT, "title": "t"}, "title", "after"),
        ({"type": "string", "x-computed": "mine:level"}, "x-computed", "decoding"),
        ({"type": "string", "x-computed": "mine:level"}, "type", "after"),
    ],
)
def test_status_of_a_supported_keyword(value: dict[str, Any], keyword: str, status: str) -> None:
    schema = task(value)
    assert refused(schema) == []
    assert judged(schema)[f"/properties/a/{keyword}"].status == status


@pytest.mark.parametrize(
    ("value", "pointer", "reason"),
    [
        ({**TEXT, "minLenght": 2}, "/properties/a/minLenght", "did you mean 'minLength'?"),
        ({**TEXT, "x-sorce": "input"}, "/properties/a/x-sorce", "did you mean 'x-source'?"),
        ({**TEXT, "nullable": True}, "/properties/a/nullable", 'out of "required"'),
        ({**SPAN, "x-format": "hostnam"}, "/properties/a/x-format", "did you mean 'hostname'?"),
        ({**TEXT, "format": "ipv5"}, "/properties/a/format", "did you mean"),
        ({"type": "integer", "format": "date"}, "/properties/a/format", "strings only"),
        ({**TEXT, "x-format": "word"}, "/properties/a/x-format", 'without "x-source"'),
        ({**TEXT, "x-source": "web"}, "/properties/a/x-source", 'expected "input"'),
        ({"type": "boolean", "x-source": "input"}, "/properties/a/x-source", "belongs to span"),
        ({**TEXT, "x-secret": 1}, "/properties/a/x-secret", "true or false"),
        ({**TEXT, "x-role": "sequense"}, "/properties/a/x-role", "did you mean 'sequence'?"),
        ({**task(TEXT), "x-role": "clarify"}, "/properties/a/x-role", "a branch of the answer"),
        ({"enum": ["a"], "x-out-of-scope": "b"}, "/properties/a/x-out-of-scope", "not among the values"),
        ({"x-computed": "level"}, "/properties/a/x-computed", "module:function"),
        ({**TEXT, "x-forbidden": "no"}, "/properties/a/x-forbidden", "a list of phrases"),
        ({**TEXT, "x-forbidden": [" "]}, "/properties/a/x-forbidden", "a list of phrases"),
        (plan_list("title"), "/properties/a/x-ascending", "a property with an enum"),
        (plan_list("none"), "/properties/a/x-ascending", "a property with an enum"),
        (plan_list(True), "/properties/a/x-ascending", "a property with an enum"),
        ({**TEXT, "not": {"x-source": "input"}}, "/properties/a/not/x-source", "only checked"),
        ({"enum": []}, "/properties/a/enum", "empty enum"),
        ({"enum": ["a", None]}, "/properties/a/enum", "null cannot be told"),
        ({"enum": [1, True]}, "/properties/a/enum", "two options are equal"),
        ({"enum": ["a", ["b"]]}, "/properties/a/enum", "a choice is between"),
        ({"type": "string", "enum": ["a", 1]}, "/properties/a/enum", "not of the declared type"),
        ({"const": {"b": 1}}, "/properties/a/const", "a choice is between"),
        ({"type": ["string", "null"]}, "/properties/a/type", "null is not planned"),
        ({"type": ["string", "integer"]}, "/properties/a/type", "several types"),
        ({}, "/properties/a", "no type"),
        (True, "/properties/a", "nothing that could be decided"),
        ({"type": "object"}, "/properties/a", "open"),
        ({"type": "object", "additionalProperties": TEXT}, "/properties/a", "open"),
        (
            {"type": "object", "patternProperties": {"^x": TEXT}},
            "/properties/a/patternProperties",
            "without end",
        ),
        (task(TEXT, required=["b"]), "/properties/a/required", "could never be written"),
        ({"type": "array", "items": TEXT}, "/properties/a", "no end"),
        ({"type": "array", "maxItems": 2}, "/properties/a", "nothing says what an item is"),
        ({"type": "array", "prefixItems": [TEXT], "maxItems": 1}, "/properties/a", "a tuple"),
        (
            {"type": "array", "maxItems": 2, "items": {"type": "array", "items": TEXT, "maxItems": 2}},
            "/properties/a/items/type",
            "an array inside an array",
        ),
        ({"oneOf": [TEXT, {"type": "integer"}]}, "/properties/a/oneOf", "for objects only"),
        ({"allOf": [TEXT]}, "/properties/a/allOf", "only checked"),
        ({**TEXT, "minLength": 10}, "/properties/a/minLength", "nothing fits"),
        ({**TEXT, "pattern": r"\p{L}"}, "/properties/a/pattern", "means nothing that can be checked"),
        ({**TEXT, "then": {}}, "/properties/a/then", 'without "if"'),
        ({**TEXT, "maxLength": "9"}, "/properties/a/maxLength", "expected a whole number"),
        ({"type": "strnig"}, "/properties/a/type", "expected one or more of"),
        ({**TEXT, "required": True}, "/properties/a/required", "on the object that holds"),
        ({**TEXT, "contentEncoding": "base64"}, "/properties/a/contentEncoding", "not checked"),
        ({"$dynamicRef": "#x"}, "/properties/a/$dynamicRef", "depends on who"),
        ({"$ref": "#"}, "/properties/a/$ref", "leads back to itself"),
        ({"$ref": "http://x.org/y"}, "/properties/a/$ref", "is remote"),
        ({**TEXT, "$id": "http://x.org/z"}, "/properties/a/$id", "base address"),
        ({**TEXT, "dependencies": {}}, "/properties/a/dependencies", "dependentRequired"),
    ],
)
def test_what_is_refused_with_its_place(value: Any, pointer: str, reason: str) -> None:
    found = refused(task(value))
    assert any(place == pointer and reason in why for place, why in found), found


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string"}, "the answer must be one object"),
        ({"type": "array", "items": TEXT, "maxItems": 2}, "the answer must be one object"),
        ({"oneOf": [task(TEXT), TEXT]}, "the answer must be one object"),
        ({"oneOf": [task(TEXT), task(SPAN)]}, "cannot be told apart"),
        (
            {
                "type": "object",
                "additionalProperties": False,
                "oneOf": [task({"const": 1}), task({"const": 2})],
            },
            "forbids what the branches declare",
        ),
        ({"$schema": "http://example.org/own", **task(TEXT)}, "is not read"),
        (
            task({"oneOf": [task({"const": 1}), task({"const": 2})]}, required=[]),
            "may be absent are not planned",
        ),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "definitions": {"t": TEXT},
                **task({"$ref": "#/definitions/t", "maxLength": 1}),
            },
            "ignores what stands beside $ref",
        ),
    ],
)
def test_whole_schemas_that_are_refused(schema: dict[str, Any], reason: str) -> None:
    assert any(reason in why for _, why in refused(schema)), refused(schema)


def test_required_inside_an_object_that_may_be_absent_is_checked_afterwards() -> None:
    schema = task(task(TEXT), required=[])
    assert judged(schema)["/properties/a/required"].status == "after"


def test_an_unused_definition_is_judged_too() -> None:
    schema = task(TEXT, **{"$defs": {"d": {"type": "string", "oops": 1}}})
    assert judged(schema)["/$defs/d/type"].reason == "in a definition that nothing refers to"
    assert [pointer for pointer, _ in refused(schema)] == ["/$defs/d/oops"]


def test_a_definition_used_in_two_ways_gets_the_weaker_promise() -> None:
    schema = task(
        {"$ref": "#/$defs/t"},
        **{"$defs": {"t": TEXT}, "not": {"required": ["b"], "properties": {"b": {"$ref": "#/$defs/t"}}}},
    )
    assert judged(schema)["/$defs/t/maxLength"].status == "after"


def test_draft_7_is_read() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"t": TEXT},
        **task({"$ref": "#/definitions/t"}, dependencies={"a": []}),
    }
    assert refused(schema) == []


def test_all_rejections_come_at_once_with_their_lines() -> None:
    document = parse_schema(
        '{"type": "object",\n"properties": {\n"a": {},\n"b": {"enum": []},\n"c": {"typ": 1}}}'
    )
    with pytest.raises(SchemaError) as caught:
        plan_of(document)
    places = [problem.place for problem in caught.value.problems]
    assert [place and place.split(" ")[0] for place in places] == [f"schema.json:{n}" for n in (3, 4, 5, 5)]


def test_a_huge_schema_is_judged() -> None:
    schema = task(TEXT)
    schema["properties"] |= {f"p{n}": {"enum": [f"v{k}" for k in range(5)]} for n in range(2000)}
    assert refused(schema) == []


# ------------------------------------------------------------------------------------------- the promise


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(["enum", "const", "boolean", "text", "integer", "number", "span", "port", "list"])
    )
    low = draw(st.integers(0, 3))
    more: dict[str, Any] = draw(
        st.sampled_from([{}, {"title": "t"}, {"not": {"const": "b"}}, {"minLength": 1}, {"multipleOf": 1}])
    )
    shapes: dict[str, dict[str, Any]] = {
        "enum": {"enum": ["a", "b", 1, True][: low + 1] if low < 3 else ["x", "y"]},
        "const": {"const": "k"},
        "boolean": {"type": "boolean"},
        "text": {"type": "string", "maxLength": low + 2},
        "integer": {"type": "integer", "minimum": -low, "maximum": low},
        "number": {"type": "number", "minimum": 0.5, "maximum": low + 1},
        "span": {**SPAN, "x-format": draw(st.sampled_from(["word", "ipv4", "email", "text"]))},
        "port": {"type": ["integer", "string"], "x-source": "input", "x-format": "port", "minimum": 1, "maximum": 65535},
        "list": {"type": "array", "items": SPAN, "minItems": low, "maxItems": low + 1, "uniqueItems": True},
    }  # fmt: skip
    return {**shapes[kind], **(more if kind not in ("enum", "list") else {})}


@st.composite
def objects(draw: st.DrawFn, depth: int = 1) -> dict[str, Any]:
    inner = values() | objects(depth=depth - 1) if depth else values()
    properties = draw(st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=3))
    required = [name for name in properties if draw(st.booleans())]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return draw(objects())
    branches = []
    for name in ("one", "two", "three")[: draw(st.integers(2, 3))]:
        branch = draw(objects())
        branch["properties"] = {"tag": {"const": name}, **branch["properties"]}
        branch["required"] = ["tag", *branch["required"]]
        branches.append(branch)
    return {"oneOf": branches}


@given(answers(), st.integers(0, 99))
def test_no_drawn_answer_breaks_a_keyword_that_decoding_enforces(schema: dict[str, Any], seed: int) -> None:
    document = document_of(schema)
    later = frozenset(finding.keyword for finding in lint(document) if finding.status == "after")
    answer = draw_answer(plan_of(document), Random(seed))
    assert Validator(schema).broken_keywords(answer, apart_from=later) == frozenset(), json.dumps(answer)


@pytest.mark.parametrize("pack", packs())
def test_no_drawn_answer_of_a_pack_is_invalid(pack: str) -> None:
    document = load_schema(pack_folder(pack) / "schema.json")
    plan, validator = plan_of(document), Validator(document.value)
    request = "metrics.allocated_hours: 8\nmetrics.elapsed_hours: 5"  # what is computed follows from these
    for seed in range(100):
        answer = draw_answer(plan, Random(seed), request)
        assert validator.problems(answer) == []


@given(st.integers(0, 999))
def test_drawn_texts_and_lists_keep_the_keywords_of_ours(seed: int) -> None:
    text = {"type": "string", "minLength": 3, "maxLength": 9, "x-forbidden": ["A", "x y"]}
    schema = task({**plan_list("phase"), "minItems": 2})
    schema["properties"]["b"] = text
    answer = draw_answer(plan_of(document_of(schema)), Random(seed))
    assert Validator(schema).problems(answer) == []
