"""What plan follows from what schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from microlith.errors import SchemaError
from microlith.task.compile import compile_plan
from microlith.task.packs import pack_folder
from microlith.task.plan import Choice, Computed, Number, Span, Text


def of(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }


def copied(name: str = "word") -> dict[str, Any]:
    return {"type": "string", "x-source": "input", "x-format": name}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"enum": ["a", "b"]}, Choice(options=("a", "b"))),
        ({"enum": ["a", "oos"], "x-out-of-scope": "oos"}, Choice(options=("a", "oos"), out_of_scope="oos")),
        ({"type": "boolean"}, Choice(options=(True, False))),
        (copied("ipv4"), Span(format="ipv4", types=frozenset({"string"}), constraints={})),
        (
            {"type": "string", "x-source": "input"},
            Span(format="text", types=frozenset({"string"}), constraints={}),
        ),
        (
            {"type": "integer", "x-source": "input", "minimum": 1},
            Span(format="integer", types=frozenset({"integer"}), constraints={"minimum": 1}),
        ),
        ({"type": "integer", "minimum": 0, "maximum": 9}, Number(integer=True, minimum=0, maximum=9)),
        ({"type": "string", "maxLength": 80}, Text(max_length=80)),
        ({"x-computed": "json:dumps"}, Computed(function="json:dumps")),
    ],
)
def test_a_leaf_becomes_its_decision(schema: dict[str, Any], expected: object) -> None:
    plan = compile_plan(of({"field": schema}))
    assert [slot.decision for slot in plan.root.slots.values()] == [expected]


def test_a_constant_is_forced_text_and_no_decision() -> None:
    plan = compile_plan(of({"version": {"const": 2}, "kind": {"enum": ["a", "b"]}}))
    assert list(plan.root.slots) == ["kind"]
    assert plan.root.variants[0].fixed == {("version",): 2}


def test_optional_properties_get_a_presence_decision() -> None:
    plan = compile_plan(of({"name": copied(), "port": copied("port")}, ["name"]))
    assert ("port", "Presence", "given or absent") in plan.decisions
    assert plan.root.variants[0].optional == ("port:port",)


def test_branches_share_the_slots_of_one_name_and_format() -> None:
    plan = compile_plan(
        {
            "oneOf": [
                of({"do": {"const": "a"}, "name": copied()}),
                of({"do": {"const": "b"}, "name": copied()}),
            ]
        }
    )
    assert list(plan.root.slots) == ["do", "name:word"]
    assert [variant.tags for variant in plan.root.variants] == [{"do": "a"}, {"do": "b"}]


def test_one_name_with_two_formats_is_two_slots() -> None:
    plan = compile_plan(
        {
            "oneOf": [
                of({"do": {"const": "a"}, "to": copied("ipv4")}),
                of({"do": {"const": "b"}, "to": copied("email")}),
            ]
        }
    )
    assert set(plan.root.slots) == {"do", "to:ipv4", "to:email"}


def test_a_discriminator_inside_a_branch_is_found() -> None:
    inner = {"oneOf": [of({"do": {"const": "a"}, "type": {"const": kind}}) for kind in ("x", "y")]}
    plan = compile_plan({"oneOf": [inner, of({"do": {"const": "b"}})]})
    assert plan.root.discriminators == ("do", "type")
    assert [variant.tags for variant in plan.root.variants] == [
        {"do": "a", "type": "x"},
        {"do": "a", "type": "y"},
        {"do": "b"},
    ]


def test_branches_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(SchemaError, match="cannot be told apart"):
        compile_plan({"oneOf": [of({"name": copied()}), of({"host": copied()})]})


def test_an_array_of_objects_is_a_group_with_a_count() -> None:
    items = of({"name": copied()})
    plan = compile_plan(of({"steps": {"type": "array", "minItems": 1, "maxItems": 4, "items": items}}))
    assert [(group.path, group.min_count, group.max_count) for group in plan.groups] == [
        ((), 1, 1),
        (("steps",), 1, 4),
    ]
    assert ("steps", "Count", "1-4") in plan.decisions


def test_an_array_inside_an_array_is_refused() -> None:
    inner = {"type": "array", "maxItems": 2, "items": of({"name": copied()})}
    outer = {"type": "array", "maxItems": 2, "items": of({"inner": inner})}
    with pytest.raises(SchemaError, match="inside an array"):
        compile_plan(of({"outer": outer}))


def test_too_many_combinations_of_branches_are_refused() -> None:
    choice = {"oneOf": [of({"kind": {"const": number}}) for number in range(9)]}
    with pytest.raises(SchemaError, match="729 shapes"):
        compile_plan(of({"a": choice, "b": choice, "c": choice}))


@pytest.mark.parametrize("role", ["intent", "missing"])
def test_a_clarify_branch_must_mark_its_parts(role: str) -> None:
    parts = {
        "intent": {"enum": ["a"], "x-role": "intent"},
        "missing": {"type": "array", "x-role": "missing", "items": {"enum": ["n"]}},
    }
    del parts[role]["x-role"]
    clarify = {**of({"do": {"const": "ask"}, **parts}), "x-role": "clarify"}
    with pytest.raises(SchemaError, match=role):
        compile_plan({"oneOf": [of({"do": {"const": "a"}, "n": copied()}), clarify]})


def test_infra_has_the_decisions_that_its_table_names() -> None:
    plan = compile_plan(json.loads((pack_folder("infra") / "schema.json").read_text(encoding="utf-8")))
    assert (plan.root.min_count, plan.root.max_count) == (1, 3)
    assert plan.root.discriminators == ("action", "record_type")
    action = plan.root.slots["action"].decision
    assert isinstance(action, Choice)
    assert len(action.options) == 21
    assert action.out_of_scope == "unsupported"
    assert plan.root.slots["password:password"].secret
    assert plan.clarify is not None
    assert plan.sequence is not None
    assert plan.beyond_encoder() == ()


def test_a_text_has_bounds_and_phrases_that_it_may_not_hold() -> None:
    text = {"type": "string", "minLength": 2, "maxLength": 9, "x-forbidden": ["So What", "Straße"]}
    slot = compile_plan(of({"a": text})).root.slots["a"]
    assert slot.decision == Text(min_length=2, max_length=9, forbidden=("so what", "strasse"))


def test_only_the_named_property_of_an_array_is_ascending() -> None:
    choice = {"enum": ["x", "y"]}
    items = of({"phase": choice, "risk": choice})
    plan = compile_plan(of({"a": {"type": "array", "items": items, "maxItems": 3, "x-ascending": "phase"}}))
    slots = plan.groups[1].slots
    assert slots["phase"].decision == Choice(options=("x", "y"), ascending=True)
    assert slots["risk"].decision == Choice(options=("x", "y"))
