"""Answers become readings and readings become answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from microlith.data.rows import render_input
from microlith.errors import DataError, SchemaError
from microlith.task.compile import compile_plan
from microlith.task.packs import pack_folder, packs
from microlith.task.plan import Plan
from microlith.task.reading import missing_of, read, variant_of, write


def plan_of(pack: str) -> Plan:
    return compile_plan(json.loads((pack_folder(pack) / "schema.json").read_text(encoding="utf-8")))


INFRA = plan_of("infra")


@pytest.mark.parametrize("pack", packs())
def test_every_training_row_survives_the_round_trip(pack: str) -> None:
    plan = plan_of(pack)
    for path in sorted((pack_folder(pack) / "data").glob("train*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            row = json.loads(line)
            assert write(plan, read(plan, row["output"]), render_input(row["input"])) == row["output"], (
                f"{path.name}:{number}"
            )


@pytest.mark.parametrize(
    ("answer", "steps"),
    [
        (
            {"action": "user_add", "username": "bob"},
            [{"action": "user_add", "username:username": "bob", "password:password": None}],
        ),
        ({"action": "unsupported"}, [{"action": "unsupported"}]),
        (
            {
                "action": "sequence",
                "steps": [
                    {"action": "dns_remove", "zone": "a.lan"},
                    {"action": "user_remove", "username": "x"},
                ],
            },
            [
                {"action": "dns_remove", "zone:hostname": "a.lan"},
                {"action": "user_remove", "username:username": "x"},
            ],
        ),
        (
            {"action": "clarify", "intent": "dns_add", "zone": "a.lan", "missing": ["ip"]},
            [{"action": "dns_add", "record_type": None, "zone:hostname": "a.lan", "ip:ipv4": None}],
        ),
        (
            {"action": "clarify", "intent": "dns_add", "ip": "::1", "missing": ["zone"]},
            [{"action": "dns_add", "record_type": None, "zone:hostname": None, "ip:ipv6": "::1"}],
        ),
    ],
)
def test_an_infra_answer_reads_as_its_decisions(answer: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    assert read(INFRA, answer) == {(): steps}


def test_an_absent_required_value_becomes_a_question() -> None:
    step = {"action": "user_set_password", "username:username": "bob", "password:password": None}
    assert missing_of(variant_of(INFRA.root, step), step) == ["password:password"]
    expected = {
        "action": "clarify",
        "intent": "user_set_password",
        "username": "bob",
        "missing": ["password"],
    }
    assert write(INFRA, {(): [step]}) == expected


def test_without_a_clarify_branch_an_absent_value_is_an_error() -> None:
    plan = compile_plan(
        {
            "type": "object",
            "properties": {"name": {"type": "string", "x-source": "input"}},
            "required": ["name"],
        }
    )
    with pytest.raises(SchemaError, match="absent"):
        write(plan, {(): [{"name:text": None}]})


def test_an_unknown_branch_is_an_error() -> None:
    with pytest.raises(DataError, match="no branch"):
        read(INFRA, {"action": "format_disk"})


def test_computed_values_are_filled_by_code() -> None:
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["a", "b"]},
            "length": {"type": "integer", "x-computed": "tests.task.test_reading:length_of"},
        },
        "required": ["kind", "length"],
    }
    assert write(compile_plan(schema), {(): [{"kind": "a"}]}, "four") == {"kind": "a", "length": 4}


def length_of(request: str, answer: dict[str, Any]) -> int:
    """The Computed function of the test above."""
    return len(request)


def test_nested_objects_and_arrays_of_objects_keep_their_place() -> None:
    schema = {
        "type": "object",
        "properties": {
            "slots": {
                "type": "object",
                "properties": {
                    "city": {"type": "array", "maxItems": 2, "items": {"type": "string", "x-source": "input"}}
                },
                "required": [],
            },
            "items": {
                "type": "array",
                "maxItems": 3,
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string", "x-source": "input"}},
                    "required": ["name"],
                },
            },
        },
        "required": ["slots", "items"],
    }
    plan = compile_plan(schema)
    for answer in (
        {"slots": {}, "items": []},
        {"slots": {"city": ["Oslo", "Rome"]}, "items": [{"name": "tea"}, {"name": "milk"}]},
    ):
        assert write(plan, read(plan, answer)) == answer


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def test_nested_objects_are_written_in_the_order_of_the_schema() -> None:
    inner = closed([], x={"enum": ["p", "q"]})
    outer = closed(
        ["first", "inner", "last"], first={"type": "boolean"}, inner=inner, last={"type": "boolean"}
    )
    plan = compile_plan(closed(["outer", "end"], outer=outer, end={"type": "boolean"}))
    for held in ({}, {"x": "p"}):
        answer: dict[str, Any] = {"outer": {"first": True, "inner": held, "last": False}, "end": True}
        assert json.dumps(write(plan, read(plan, answer))) == json.dumps(answer)
