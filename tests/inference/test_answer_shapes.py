"""The shapes of an answer, as members in order."""

from __future__ import annotations

from typing import Any

import pytest

from microlith.inference.answer_shapes import Shape, shapes_of
from microlith.task.compile import compile_plan
from tests.inference.test_spelling import many, of
from tests.inference.toys import GATE, ORDERS, thing

YES = {"type": "boolean"}


def shapes(schema: dict[str, Any], *, inside: bool = False) -> tuple[Shape, ...]:
    plan = compile_plan(schema)
    return shapes_of(plan, plan.root, inside=inside)


def written(shape: Shape) -> list[str]:
    """Kind and path of every member; a question mark for what may be absent."""
    return [f"{one.kind} {'.'.join(one.path)}{'' if one.required else '?'}" for one in shape.members]


@pytest.mark.parametrize(
    ("schema", "members"),
    [
        (of(), []),
        (of(["a"], a=YES, b=YES), ["slot a", "slot b?"]),
        (of(a={"const": 1}, b=YES), ["fixed a", "slot b"]),
        (of(n=of(["a"], a=YES, b=YES), z=YES), ["open n", "slot n.a", "slot n.b?", "slot z"]),
        (of(["z"], n=of([], a=YES), z=YES), ["slot n.a?", "slot z"]),
        (of(n=of(), z=YES), ["slot z", "open n"]),
        (of(o=of(a=YES, n=of(), b=YES), z=YES), ["open o", "slot o.a", "slot o.b", "open o.n", "slot z"]),
        (of(o=of(n=of())), ["open o", "open o.n"]),
        (of(a={"type": "integer", "x-computed": "m:f"}), ["computed a"]),
        (of(a=many(of(x=YES)), b=YES), ["group a", "slot b"]),
    ],
)
def test_members_stand_in_the_order_of_writing(schema: dict[str, Any], members: list[str]) -> None:
    (shape,) = shapes(schema)
    assert written(shape) == members


def test_an_open_object_is_written_in_the_one_around_it_by_its_members() -> None:
    (shape,) = shapes(of(o=of(n=of(a=YES))))
    assert [one.container for one in shape.members] == [("o",), ("o", "n"), ("o", "n")]


def test_every_branch_is_a_shape_then_several_steps_then_asking() -> None:
    found = shapes(GATE)
    assert [shape.members[0].value for shape in found] == [
        "open", "point", "login", "unsupported", "sequence", "clarify", "clarify", "clarify",
    ]  # fmt: skip
    assert written(found[4]) == ["tag action", "steps steps"]
    assert written(found[6]) == ["tag action", "tag intent", "slot host?", "slot ip?", "missing missing"]
    assert found[6].asks
    assert found[6].needed == {"host:hostname", "ip:ipv4"}


def test_a_step_is_no_sequence_asks_nothing_and_is_in_scope() -> None:
    assert [shape.members[0].value for shape in shapes(GATE, inside=True)] == ["open", "point", "login"]


def test_a_list_of_objects_has_the_shapes_of_its_items() -> None:
    plan = compile_plan(ORDERS)
    (shape,) = shapes_of(plan, plan.groups[1])
    assert written(shape) == ["slot name", "slot count?"]


def test_nothing_is_asked_of_a_branch_that_needs_nothing() -> None:
    schema = {"oneOf": [*GATE["oneOf"], thing("stop")]}
    assert [
        shape
        for shape in shapes(schema)
        if shape.asks and shape.variant and shape.variant.tags["action"] == "stop"
    ] == []
