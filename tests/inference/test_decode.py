"""The fast decoder equals the plain one, and whatever the network says, the answer is valid and grounded."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from microlith.inference.decode import Decoded, decode
from microlith.inference.grounding import Grounding, ground, spec_of
from microlith.inference.layout import ABSENT, Layout, layout_of
from microlith.inference.typed import typed
from microlith.task.compile import compile_plan
from microlith.task.packs import pack_folder
from microlith.task.plan import Plan, Slot, Span
from microlith.task.reading import write
from microlith.task.validate import Validator
from tests.inference import plain_decode
from tests.inference.toys import GATE, MOOD, MUSIC, ORDERS, span

Logits = dict[str, np.ndarray[Any, np.dtype[np.float32]]]
WIDE = {
    "type": "object",
    "properties": {name: span("word") for name in "abcdefgh"},
    "required": ["a", "b", "c"],
    "additionalProperties": False,
}
INFRA = json.loads((pack_folder("infra") / "schema.json").read_text(encoding="utf-8"))
SCHEMAS: dict[str, dict[str, Any]] = {
    "gate": GATE, "music": MUSIC, "orders": ORDERS, "mood": MOOD, "wide": WIDE, "infra": INFRA,
}  # fmt: skip
REQUESTS = (
    "", " ", "a", "a a", "bob bob ops ops 10.0.0.1 10.0.0.1", "add bob to ops", "point nas.lan at 10.0.0.5", "open port 443 and 80/tcp",
    "create user carla with password Tr0ub4dor&3 and mail carla@x.co", "share 'Team Files' at /srv/team files for ops, sales and bob",
    "play the blues by Ella Fitzgerald and Count Basie on my Deep Focus list", "3 apples and 12 soaps", "why is it slow?",
)  # fmt: skip


@lru_cache(maxsize=8)
def plan_of(name: str) -> Plan:
    return compile_plan(SCHEMAS[name])


def guesses(layout: Layout, count: int, rng: np.random.Generator, sharpness: float) -> Logits:
    """What an untrained network might say: normal logits of standard deviation `sharpness`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number, heads in enumerate(layout.groups):
        wide = max(count, 1)
        shapes |= {
            f"{number}.choice": (heads.steps, heads.choice_width),
            f"{number}.count": (heads.counts if heads.counts > 1 else 0,),
            f"{number}.absent": (heads.steps, len(heads.spans)),
            f"{number}.span": (heads.steps, wide, len(heads.spans)),
            f"{number}.list": (heads.steps, wide, len(heads.lists)),
        }
    return {
        name: (rng.normal(size=shape) * sharpness).astype(np.float32)
        for name, shape in shapes.items()
        if shape[-1]
    }


def cases(name: str, times: int) -> Iterator[tuple[str, Grounding, Logits]]:
    plan, rng = plan_of(name), np.random.default_rng(5)
    spec, layout = spec_of(plan), layout_of(plan)
    for turn in range(times):
        for request in REQUESTS:
            grounding = ground(request, spec)
            yield request, grounding, guesses(layout, len(grounding.candidates), rng, (1, 3, 8, 30)[turn % 4])


def facts(decoded: Decoded) -> list[tuple[Any, ...]]:
    return [(one.group, one.step, one.key, one.value, one.candidates) for one in decoded.decisions]


@pytest.mark.parametrize("name", SCHEMAS)
def test_equals_the_plain_version(name: str) -> None:
    plan = plan_of(name)
    layout, spec = layout_of(plan), spec_of(plan)
    for request, grounding, logits in cases(name, 4):
        found = decode(plan, layout, spec, grounding, logits)
        expected = plain_decode.decode(plan, layout, spec, grounding, logits)
        assert found.reading == expected.reading, request
        assert facts(found) == facts(expected), request
        for mine, plain in zip(found.decisions, expected.decisions, strict=True):
            assert mine.log_probability == pytest.approx(plain.log_probability, abs=1e-9)
            assert mine.margin == pytest.approx(plain.margin, abs=1e-9)


@pytest.mark.parametrize("name", SCHEMAS)
def test_any_logits_give_a_valid_answer_or_none(name: str) -> None:
    plan, validator = plan_of(name), Validator(SCHEMAS[name])
    layout, spec = layout_of(plan), spec_of(plan)
    answered = 0
    for request, grounding, logits in cases(name, 12):
        decoded = decode(plan, layout, spec, grounding, logits)
        if decoded.reading is not None:
            answered += 1
            answer = write(plan, decoded.reading, request)
            assert validator.problems(answer) == [], (request, answer)
    assert answered


@pytest.mark.parametrize("name", SCHEMAS)
def test_copied_values_are_slices_and_no_slice_serves_twice(name: str) -> None:
    plan = plan_of(name)
    layout, spec = layout_of(plan), spec_of(plan)
    for request, grounding, logits in cases(name, 4):
        taken: dict[tuple[Any, int], list[tuple[int, int]]] = {}
        for one in decode(plan, layout, spec, grounding, logits).decisions:
            if not one.candidates or isinstance(one.value, list):
                continue
            start, end = grounding.span(one.candidates[0])
            assert str(one.value) in (request[start:end], request[start:end].lstrip("+0"))
            for begin, stop in taken.setdefault((one.group, one.step), []):
                assert end <= begin or stop <= start or request.count(request[start:end]) > 1
            taken[one.group, one.step].append((start, end))


def sure(layout: Layout, count: int, wanted: Mapping[str, Any]) -> Logits:
    """Logits that are sure of `wanted`: choice key -> option, span key -> candidate or None."""
    logits = guesses(layout, count, np.random.default_rng(0), 0.0)
    heads = layout.groups[0]
    for head in heads.choices:
        logits["0.choice"][:, head.start + head.options.index(wanted.get(head.key, ABSENT))] = 20.0
    for column, key in enumerate(heads.spans):
        if wanted.get(key) is None:
            logits["0.absent"][:, column] = 20.0
        else:
            logits["0.span"][:, wanted[key], column] = 20.0
    return logits


def test_a_missing_required_value_is_asked_for() -> None:
    plan = plan_of("gate")
    layout, spec = layout_of(plan), spec_of(plan)
    grounding = ground("open the port", spec)
    protocol = next(head.options for head in layout.groups[0].choices if head.key == "protocol")
    logits = sure(layout, len(grounding.candidates), {"action": "open", "protocol": protocol[-1]})
    decoded = decode(plan, layout, spec, grounding, logits)
    assert decoded.reading is not None
    assert write(plan, decoded.reading, "open the port") == {
        "action": "clarify", "intent": "open", "missing": ["port"],
    }  # fmt: skip


def test_the_second_best_slice_is_taken_where_two_slots_want_one() -> None:
    plan = plan_of("wide")
    layout, spec = layout_of(plan), spec_of(plan)
    grounding = ground("red blue green", spec)
    texts = [grounding.text(row) for row in range(len(grounding.candidates))]
    logits = sure(layout, len(texts), {"a:word": texts.index("red")})
    for column, key in enumerate(layout.groups[0].spans):
        if key in ("b:word", "c:word"):
            logits["0.absent"][:, column] = -20.0
            logits["0.span"][0, [texts.index("red"), texts.index("blue"), texts.index("green")], column] = (
                9,
                8,
                7,
            )
    decoded = decode(plan, layout, spec, grounding, logits)
    assert decoded.reading is not None
    assert write(plan, decoded.reading) == {"a": "red", "b": "blue", "c": "green"}


def test_a_step_is_not_read_twice() -> None:
    plan = plan_of("gate")
    layout, spec = layout_of(plan), spec_of(plan)
    request = "open the port 443"
    grounding = ground(request, spec)
    texts = [grounding.text(row) for row in range(len(grounding.candidates))]
    logits = sure(layout, len(texts), {"action": "open", "port:port": texts.index("443")})
    logits["0.count"][:] = (5.0, 9.0, 1.0)  # two steps are the most probable, but both would be the same one
    decoded = decode(plan, layout, spec, grounding, logits)
    assert decoded.reading is not None
    assert write(plan, decoded.reading, request) == {"action": "open", "port": 443}
    assert [one.value for one in decoded.decisions if one.key == "#count"] == [1]


def test_a_required_list_takes_its_least_slices_and_an_optional_one_may_be_left_out() -> None:
    many = {"type": "array", "items": span("word"), "minItems": 1, "maxItems": 2}
    schema = {
        "type": "object",
        "properties": {"who": many, "what": many},
        "required": ["who"],
        "additionalProperties": False,
    }
    plan = compile_plan(schema)
    layout, spec = layout_of(plan), spec_of(plan)
    grounding = ground("bob sings", spec)
    logits = guesses(layout, len(grounding.candidates), np.random.default_rng(0), 0.0)
    logits["0.list"][:] = -9.0
    logits["0.list"][0, 0, layout.groups[0].lists.index("who:word")] = -3.0
    decoded = decode(plan, layout, spec, grounding, logits)
    assert decoded.reading is not None
    assert write(plan, decoded.reading) == {"who": ["bob"]}


def slot(types: set[str], **constraints: Any) -> Slot:
    return Slot(
        key="x", path=("x",), decision=Span(format="text", types=frozenset(types), constraints=constraints)
    )


@pytest.mark.parametrize(
    ("asked", "text", "value"),
    [
        (slot({"integer", "string"}), "22", 22), (slot({"integer", "string"}), "ssh", "ssh"), (slot({"integer"}), "ssh", None),
        (slot({"number"}), "2,5", 2.5), (slot({"string"}), "22", "22"), (slot({"string"}, maxLength=2), "abc", None),
        (slot({"string"}, minLength=2), "a", None), (slot({"integer"}, minimum=1, maximum=9), "0", None),
        (slot({"integer"}, minimum=1, maximum=9), "9", 9), (slot({"integer"}, multipleOf=512), "1000", None),
        (slot({"integer"}, multipleOf=512), "1024", 1024), (slot({"number"}, exclusiveMinimum=2.5), "2.5", None),
        (slot({"number"}), "inf", None), (slot({"number"}, multipleOf=0.5), "2.5", 2.5), (slot({"integer"}, multipleOf=2), "9" * 999, None),
        (slot({"string"}, pattern="^T-\\d+$"), "T-12", "T-12"), (slot({"string"}, pattern="^T-\\d+$"), "T12", None),
    ],
)  # fmt: skip
def test_a_slice_becomes_the_value_its_slot_takes(asked: Slot, text: str, value: Any) -> None:
    assert typed(asked, text) == value
    assert type(typed(asked, text)) is type(value)


def test_decoding_draws_no_lots() -> None:
    plan = plan_of("infra")
    layout, spec = layout_of(plan), spec_of(plan)
    request = random.Random(1).choice(REQUESTS[4:])
    grounding = ground(request, spec)
    logits = guesses(layout, len(grounding.candidates), np.random.default_rng(2), 2.0)
    first, second = (decode(plan, layout, spec, grounding, logits) for _ in range(2))
    assert facts(first) == facts(second)
