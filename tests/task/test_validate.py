from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.task.validate import Branches, Validator, shown


def branch(name: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"action": {"const": name}, **properties},
        "required": ["action", *properties],
        "additionalProperties": False,
    }


ADDRESS = {"type": "string", "x-source": "input", "x-format": "ipv4"}
SECRET = {"type": "string", "x-source": "input", "x-format": "password", "minLength": 6, "x-secret": True}
ACTIONS = {"oneOf": [branch("add", ip=ADDRESS), branch("drop"), branch("login", password=SECRET)]}


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        ({"action": "add", "ip": "10.0.0.1"}, []),
        ({"action": "add", "ip": "10.0.0"}, ['#/ip: "10.0.0": is no ipv4']),
        ({"action": "add"}, ["#: 'ip' is a required property"]),
        ({"action": "mov"}, ['#: "action" is "mov", expected one of "add", "drop", "login"']),
        ({"action": ["add"]}, ['#: "action" is ["add"], expected one of "add", "drop", "login"']),
        ({}, ['#: property "action" is missing, expected one of "add", "drop", "login"']),
        ([], ["#: fits none of the 3 branches of oneOf"]),
        (
            {"action": "drop", "x": 1},
            ["#: Additional properties are not allowed ('x' was unexpected)"],
        ),
    ],
)
def test_says_what_does_not_fit_and_where(answer: object, problems: list[str]) -> None:
    validator = Validator(ACTIONS)
    assert [str(problem) for problem in validator.problems(answer)] == problems
    assert validator.is_valid(answer) is (not problems)


def test_all_problems_come_at_once() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"maximum": 3}}, "required": ["c"]}
    assert len(Validator(schema).problems({"a": 1, "b": 9})) == 3


def test_a_secret_value_is_never_shown() -> None:
    problems = Validator(ACTIONS).problems({"action": "login", "password": "hunt"})
    assert [str(problem) for problem in problems] == [
        "#/password: the secret value: shorter than 6 characters"
    ]


@pytest.mark.parametrize("keyword", ["not", "dependentSchemas", "minProperties", "propertyNames", "if"])
def test_messages_about_objects_hold_no_values(keyword: str) -> None:
    rules: dict[str, Any] = {
        "not": {"required": ["password"]},
        "dependentSchemas": {"password": False},
        "minProperties": 3,
        "propertyNames": {"maxLength": 2},
        "if": True,
    }
    schema = {"type": "object", keyword: rules[keyword], **({"then": False} if keyword == "if" else {})}
    problems = Validator(schema).problems({"password": "hunter2"})
    assert problems
    assert not any("hunter2" in str(problem) for problem in problems)


@pytest.mark.parametrize(
    ("value", "fits"),
    [("443", True), (443, True), (99999, False), ("a b", False), (True, True), (None, True), (2.5, False)],
)
def test_x_format_is_asserted_of_strings_and_numbers(value: object, fits: bool) -> None:
    assert Validator({"x-source": "input", "x-format": "port"}).is_valid(value) is fits


def test_format_is_asserted_as_the_standard_says() -> None:
    validator = Validator({"format": "ipv6"})
    assert not validator.is_valid("fe80::1%eth0")
    assert validator.is_valid(7)


def test_patterns_mean_what_ecma_says() -> None:
    validator = Validator({"pattern": "^a$", "patternProperties": {r"^\d$": {"type": "string"}}})
    assert not validator.is_valid("a\n")
    assert validator.is_valid({"٣": 1})


def test_the_draft_of_the_schema_counts() -> None:
    seven = {"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"a": ["b"]}}
    assert not Validator(seven).is_valid({"a": 1})
    assert Validator({"dependencies": {"a": ["b"]}}).is_valid({"a": 1})


def test_broken_keywords_look_into_the_nearest_branch() -> None:
    schema = {"oneOf": [{"required": ["a"]}, {"required": ["b"], "maxProperties": 0}]}
    assert Validator(schema).broken_keywords({"c": 1}) == {"required"}
    assert Validator(schema).broken_keywords({"c": 1}, apart_from=frozenset({"required"})) == frozenset()


SCALARS = st.sampled_from([0, 1, 1.0, True, False, None, "a", "b"])
TAGGED = st.builds(
    lambda values, required, inner: {
        "properties": {"t": {"enum": values}, "n": inner},
        **({"required": ["t"]} if required else {}),
    },
    st.lists(SCALARS, min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from([{}, {"type": "integer"}, {"type": "string"}]),
)
NESTED = st.builds(lambda inner: {"oneOf": inner}, st.lists(TAGGED, min_size=1, max_size=3))
INSTANCES = (
    st.dictionaries(st.sampled_from(["t", "n", "m"]), SCALARS | st.lists(SCALARS, max_size=1)) | SCALARS
)


@given(st.sampled_from(["oneOf", "anyOf"]), st.lists(TAGGED | NESTED, min_size=1, max_size=4), INSTANCES)
def test_looking_only_at_tagged_branches_never_changes_the_verdict(
    keyword: str, branches: list[dict[str, Any]], instance: object
) -> None:
    schema = {keyword: branches}
    expected = jsonschema.Draft202012Validator(schema).is_valid(instance)
    validator = Validator(schema)
    assert validator.is_valid(instance) is expected
    assert bool(validator.problems(instance)) is not expected


def test_a_tag_is_found_through_nested_branches() -> None:
    inner = {"oneOf": [branch("add", kind={"const": "A"}), branch("add", kind={"const": "B"})]}
    branches = Branches([inner, branch("drop")])
    assert branches.tag == "action"
    assert branches.candidates({"action": "add"}) == [0]


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (443, "443"), (2.0, "2"), (20.5, "20.5"), (True, None), (None, None), ([], None)],
)
def test_shown(value: object, text: str | None) -> None:
    assert shown(value) == text


# ------------------------------------------------------------------------------------------- keywords of ours


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("fine", []),
        ("the ALLOCATED hours", ["holds 'allocated hours'"]),
        ("Straße", ["holds 'STRASSE'"]),
        ("allocated  hours", []),
        (3, []),
    ],
)
def test_a_forbidden_phrase_is_found_in_any_case(text: object, problems: list[str]) -> None:
    schema = {"x-forbidden": ["allocated hours", "STRASSE"]}
    assert [problem.what for problem in Validator(schema).problems(text)] == problems


@pytest.mark.parametrize(
    ("phases", "problems"),
    [
        ([], []),
        (["x"], []),
        (["x", "x", "y", "z", "z"], []),
        (["y", "x"], ['item 1: "phase" steps back to "x"']),
        (["x", None, "z", None, "y"], ['item 4: "phase" steps back to "y"']),
    ],
)
def test_items_do_not_step_back(phases: list[str | None], problems: list[str]) -> None:
    item = {"type": "object", "properties": {"phase": {"enum": ["x", "y", "z"]}}}
    schema = {"type": "array", "items": item, "x-ascending": "phase"}
    found = Validator(schema).problems([{"phase": one} if one else {} for one in phases])
    assert [problem.what for problem in found] == problems
