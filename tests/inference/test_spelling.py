"""How answers are spelled: what is right can be said, and whatever is said is right."""

from __future__ import annotations

import json
from random import Random
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.data.rows import render_input
from microlith.errors import DataError
from microlith.inference.asks import DeadEnd, Forced, Pick, Write, dumped
from microlith.inference.fields import fields_of, spells
from microlith.inference.grounding import spec_of
from microlith.inference.spelling import Speller, _said
from microlith.task.linter import plan_of
from microlith.task.packs import pack_folder
from microlith.task.plan import Json
from microlith.task.reading import read, write
from microlith.task.schema import document_of
from microlith.task.validate import Validator
from tests.inference.toys import GATE, MOOD, MUSIC, ORDERS, span, thing, toy
from tests.inference.walking import ODD_REQUESTS, answered, drive, drive_or_end, speller_of
from tests.inference.wild_schemas import wild_schema

FIGURES = "metrics.allocated_hours: 8\nmetrics.elapsed_hours: 7\nmetrics.progress_ratio: 0.5"
PACKS = ("infra", "cli-intent", "reasoning-mode", "task-risk", "task-plan")
SCHEMAS: dict[str, dict[str, Any]] = {
    "gate": GATE, "music": MUSIC, "orders": ORDERS, "mood": MOOD,
    **{pack: json.loads((pack_folder(pack) / "schema.json").read_text(encoding="utf-8")) for pack in PACKS},
}  # fmt: skip
SPELLERS = {name: speller_of(schema) for name, schema in SCHEMAS.items()}
VALIDATORS = {name: Validator(schema) for name, schema in SCHEMAS.items()}
LOCATED = 6000
"""Characters of a request up to which a word is never cut, so that any copied value can be found without its range."""
REQUEST = 'open port 22 on a.lan at 10.0.0.1, 3.5 of "x\\y" ./z then 443 漢 and 22'


def of(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """A closed object; all is required unless said otherwise."""
    needed = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def many(items: dict[str, Any], least: int = 0, most: int = 3, ascending: str = "") -> dict[str, Any]:
    return {
        "type": "array",
        "items": items,
        "minItems": least,
        "maxItems": most,
        **({"x-ascending": ascending} if ascending else {}),
    }


def normal(speller: Speller, request: str, answer: Json) -> str:
    """The text of an answer in the plan's order."""
    return dumped(write(speller.plan, read(speller.plan, answer), request))


def said(schema: dict[str, Any], answer: Json, request: str = REQUEST) -> None:
    """The answer is valid and its pieces are its text."""
    assert Validator(schema).problems(answer) == []
    speller = speller_of(schema)
    text = "".join(speller.spell(request, answer))
    assert json.loads(text) == answer
    assert text == normal(speller, request, answer)


def asks_of(schema: dict[str, Any], answer: Json, request: str = REQUEST) -> list[Pick]:
    """What is picked while an answer is spelled."""
    speller, picks = speller_of(schema), list[Pick]()
    text = normal(speller, request, answer)
    walk, place, reply = speller.walk(request, speller.ground(request)), 0, None
    while True:
        try:
            ask = walk.send(reply)
        except StopIteration:
            return picks
        if isinstance(ask, Pick):
            picks.append(ask)
            joined = ["".join(option.pieces) for option in ask.options]
            reply = max(
                (n for n, one in enumerate(joined) if text.startswith(one, place)),
                key=lambda n: len(joined[n]),
            )
            place += len(joined[reply])
        elif isinstance(ask, Forced):
            place, reply = place + len("".join(ask.pieces)), None
        else:
            raise AssertionError("texts are not followed here")


# ------------------------------------------------------------------------------------------- what is right can be said


@pytest.mark.parametrize("name", ["gate", "music", "orders", "mood"])
def test_every_row_of_a_toy_is_spelled(name: str) -> None:
    speller = SPELLERS[name]
    for row in toy(name).examples:
        assert "".join(speller.spell(row.input, row.output)) == normal(speller, row.input, row.output)


@pytest.mark.parametrize("pack", PACKS)
def test_rows_of_a_pack_are_spelled(pack: str) -> None:
    speller, spelled, total = SPELLERS[pack], 0, 0
    for path in sorted((pack_folder(pack) / "data").glob("train*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines()[::25]:
            row = json.loads(line)
            request = render_input(row["input"])
            total += 1
            try:
                pieces = speller.spell(request, row["output"])
            except (
                DataError
            ):  # a value outside of what grounding offers: a known, rare limit of copied values
                continue
            spelled += 1
            assert "".join(pieces) == normal(speller, request, row["output"])
    assert spelled >= 0.98 * total


CONSTRUCTS: dict[str, Any] = {
    "no property": (of([], a={"enum": ["x", "y"]}), {}),
    "booleans": (of(a={"type": "boolean"}, b={"type": "boolean"}), {"a": False, "b": True}),
    "constants of every kind": (
        of(a={"const": 'q"\\漢'}, b={"const": 3}, c={"const": True}, d={"const": 2.5}),
        {"a": 'q"\\漢', "b": 3, "c": True, "d": 2.5},
    ),
    "options of mixed types": (of(a=many({"enum": ["1", 1, "true", 12, 1.5]}, 0, 5)), {"a": [1, "1", "true", 12]}),
    "an option that begins another": (of(a={"enum": ["re", "red", "red hot"]}, b={"enum": [1, 12, 123]}), {"a": "red", "b": 12}),
    "optional at the beginning": (of(["b"], a={"type": "boolean"}, b={"type": "boolean"}), {"a": True, "b": True}),
    "optional left out at the beginning": (of(["b"], a={"type": "boolean"}, b={"type": "boolean"}), {"b": True}),
    "optional at the end": (of(["a"], a={"type": "boolean"}, b={"type": "boolean"}), {"a": True, "b": False}),
    "optional left out at the end": (of(["a"], a={"type": "boolean"}, b={"type": "boolean"}), {"a": True}),
    "nested, all absent": (of(a=of([], x={"enum": ["p", "q"]}, y={"type": "boolean"})), {"a": {}}),
    "nested in nested, empty": (
        of(a=of(x={"type": "boolean"}, n=of([], y={"type": "boolean"}), z={"type": "boolean"})),
        {"a": {"x": True, "n": {}, "z": False}},
    ),
    "empty objects": (of(a=of(n=of(), x={"type": "boolean"}), b=of()), {"a": {"n": {}, "x": True}, "b": {}}),
    "nested that may be absent, given": (of(["b"], a=of([], x={"type": "boolean"}), b={"type": "boolean"}), {"a": {"x": True}, "b": True}),
    "nested that may be absent, absent": (of(["b"], a=of([], x={"type": "boolean"}), b={"type": "boolean"}), {"b": True}),
    "two nested at the end": (of(a=of(b=of(c=of(d={"type": "boolean"})))), {"a": {"b": {"c": {"d": True}}}}),
    "list of options": (of(a=many({"enum": ["x", "y", "z"]})), {"a": ["z", "x"]}),
    "empty list of options": (of(a=many({"enum": ["x", "y"]})), {"a": []}),
    "full list of options": (of(a=many({"enum": ["x", "y"]}, 1, 2)), {"a": ["y", "x"]}),
    "optional list left out": (of([], a=many({"enum": ["x", "y"]})), {}),
    "list of copies": (of(a=many(span("word"))), {"a": ["open", "port"]}),
    "empty list of copies": (of(a=many(span("word"))), {"a": []}),
    "list of numbers, one twice": (of(a=many({"type": "integer", "minimum": 1, "maximum": 6})), {"a": [6, 6, 1]}),
    "list of wide numbers": (of(a=many({"type": "integer"}, 1)), {"a": [123456, -5, 0]}),
    "list of texts": (of(a=many({"type": "string", "maxLength": 20})), {"a": ["one", "", 'q"\\/\n漢🙂']}),
    "empty list of texts": (of(a=many({"type": "string", "maxLength": 20})), {"a": []}),
    "texts": (of(a={"type": "string"}, b={"type": "string"}), {"a": "", "b": '"\\\\" e\u0301 \t{}[],: \x7f'}),
    "floats": (
        of(a={"type": "number"}, b={"type": "number"}, c={"type": "number"}, d={"type": "number", "minimum": 0, "maximum": 1}),
        {"a": -0.25, "b": 1e21, "c": 3, "d": 1e-7},
    ),
    "wide integers": (of(a={"type": "integer"}, b={"type": "integer", "minimum": -70000}), {"a": 9007199254740993, "b": -70000}),
    "numbers that are picked": (of(a={"type": "integer", "minimum": -5, "maximum": 120}), {"a": 12}),
    "objects": (of(a=many(of(["x"], x={"type": "boolean"}, y=span("word")))), {"a": [{"x": True, "y": "open"}, {"x": False}]}),
    "no objects": (of(a=many(of(x={"type": "boolean"}))), {"a": []}),
    "as many objects as fit": (of(a=many(of(x={"type": "boolean"}), 2, 2)), {"a": [{"x": True}, {"x": True}]}),
    "objects in phases": (
        of(a=many(of(p={"enum": ["x", "y", "z"]}), 1, 4, ascending="p")),
        {"a": [{"p": "x"}, {"p": "x"}, {"p": "z"}, {"p": "z"}]},
    ),
    "two lists of objects": (of(a=many(of(x=span("word"))), b=many(of(x=span("port")))), {"a": [{"x": "open"}], "b": [{"x": "22"}]}),
    "objects in a nested object": (of(n=of(a=many(of(x={"type": "boolean"})), b={"type": "boolean"})), {"n": {"a": [{"x": True}], "b": True}}),
    "a copy with quotes and backslashes": (of(a=span("text")), {"a": 'x\\y" ./z'}),
    "a copy twice": (of(a=span("word"), b=span("word")), {"a": "22", "b": "22"}),
    "a copy that stands in another one too": (of(a=span("word"), b=span("path")), {"a": "z", "b": "./z"}, './z please, name it "z"'),
    "a copy that has to make room": (of(a=span("word"), b=span("path")), {"a": "theses", "b": "/vol3/theses"}, "expose /vol3/theses as theses; now"),
    "a copied integer and a copied float": (
        of(a={"type": "integer", "x-source": "input"}, b={"type": "number", "x-source": "input"}),
        {"a": 443, "b": 3.5},
    ),
    "branches": ({"oneOf": [thing("a", x=span("word")), thing("b")]}, {"action": "b"}),
    "a tag behind other values": (
        {"oneOf": [of(x=span("word"), t={"const": "a"}), of(x=span("port"), y={"type": "boolean"}, t={"const": "b"})]},
        {"x": "22", "y": True, "t": "b"},
    ),
    "a constant here, a choice there": (
        {"oneOf": [of(m={"const": "x"}, t={"const": "a"}), of(m={"enum": ["x", "y"]}, t={"const": "b"})]},
        {"m": "x", "t": "b"},
    ),
    "a tag inside a tag": (
        {"oneOf": [
            of(t={"const": "a"}, n={"oneOf": [of(k={"const": "p"}, v={"type": "boolean"}), of(k={"const": "q"})]}),
            of(t={"const": "b"}),
        ]},
        {"t": "a", "n": {"k": "p", "v": True}},
    ),
    "steps": (
        GATE,
        {"action": "sequence", "steps": [{"action": "open", "port": 22}, {"action": "point", "host": "a.lan", "ip": "10.0.0.1"}]},
    ),
    "asking back with what is known": (GATE, {"action": "clarify", "intent": "point", "host": "a.lan", "missing": ["ip"]}),
    "asking back for all": (GATE, {"action": "clarify", "intent": "point", "missing": ["host", "ip"]}),
    "out of scope": (GATE, {"action": "unsupported"}),
    "computed, alone": (of(a={"type": "integer", "x-computed": "tests.inference.wild_schemas:given"}), {"a": len(REQUEST)}),
    "computed from what stands before": (
        of(n=of(x={"enum": [2, 3]}), c={"const": 10}, a={"type": "integer", "x-computed": "tests.inference.test_spelling:product"}),
        {"n": {"x": 3}, "c": 10, "a": 30},
    ),
}  # fmt: skip


def product(request: str, answer: dict[str, Any]) -> int:
    """A computed value of the tests: from a nested value and a constant."""
    return int(answer["n"]["x"] * answer["c"])


def failing(request: str, answer: dict[str, Any]) -> int:
    """A computed value of the tests that cannot be had."""
    raise KeyError("nothing here")


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_every_construct_is_spelled(name: str) -> None:
    said(*CONSTRUCTS[name])


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (of(a=span("word")), {"a": "elsewhere"}),
        (of(a=many(span("word"))), {"a": ["open", "elsewhere"]}),
        (of(a=span("word"), b=span("word")), {"a": "open", "b": "open"}),
        (of(a={"enum": ["x", "y"]}), {"a": "z"}),
        (of(a=many({"enum": ["x", "y"]})), {"a": ["x", "x"]}),
        (of(a=many(of(p={"enum": ["x", "y"]}), ascending="p")), {"a": [{"p": "y"}, {"p": "x"}]}),
        (of(a={"type": "integer", "x-computed": "tests.inference.wild_schemas:given"}), {"a": 1}),
        (of(a={"type": "integer", "x-computed": "tests.inference.test_spelling:failing"}), {"a": 1}),
    ],
)
def test_what_the_grammar_does_not_hold_is_a_data_error(schema: dict[str, Any], answer: Json) -> None:
    speller = speller_of(schema)
    try:
        text = "".join(speller.spell(REQUEST, answer))
    except (DataError, KeyError):
        return
    assert json.loads(text) != answer  # a computed value is never taken from the answer


def test_copied_text_stands_in_pieces_of_its_own() -> None:
    pieces = speller_of(of(a=span("text"), b={"type": "string"})).spell(
        "the big box", {"a": "big box", "b": "big"}
    )
    assert pieces == ["{", '"a":', '"', "big box", '"', ",", '"b":', '"', "big", '"', "}"]


def test_a_list_of_numbers_may_not_be_empty_where_they_are_written() -> None:
    with pytest.raises(DataError):
        speller_of(of(a=many({"type": "integer"}))).spell("x", {"a": []})


# ------------------------------------------------------------------------------------------- whatever is said is right


def assert_right(name: str, request: str, seed: int) -> bool:
    """Drive a walk at random; True where it came to an answer."""
    speller, validator = SPELLERS[name], VALIDATORS[name]
    found = drive_or_end(speller, request, Random(seed))
    if found is None:
        return False
    text, output = found
    assert validator.problems(output) == []
    assert text == dumped(output)
    assert "".join(speller.spell(request, output)) == text
    for field in fields_of(speller.plan, output, request) if len(request) <= LOCATED else ():
        if field.span is not None:
            assert spells(request[slice(*field.span)], field.value)
    if isinstance(output, dict) and output.get("action") == "clarify":
        assert output["missing"]
    return True


@pytest.mark.parametrize("odd", ODD_REQUESTS)
@pytest.mark.parametrize("name", SCHEMAS)
def test_odd_requests_end_in_an_answer_or_a_reason(name: str, odd: str) -> None:
    for seed in range(2):
        assert_right(name, ODD_REQUESTS[odd], seed)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SCHEMAS)), st.text(max_size=60), st.integers(0, 9))
def test_any_request_ends_in_an_answer_or_a_reason(name: str, request: str, seed: int) -> None:
    assert_right(name, request, seed)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["gate", "music", "orders", "mood"]), st.integers(0, 89), st.integers(0, 99))
def test_requests_that_can_be_answered_are_answered(name: str, row: int, seed: int) -> None:
    assert_right(name, TOYS[name].examples[row].input, seed)


TOYS = {name: toy(name) for name in ("gate", "music", "orders", "mood")}


@pytest.mark.parametrize("part", range(8))
def test_wild_schemas_have_valid_answers_only(part: int) -> None:
    answers = 0
    for number in range(part, 200, 8):
        schema = wild_schema(Random(number))
        try:
            plan = plan_of(document_of(schema))
        except Exception:
            continue
        speller, validator = Speller(plan, spec_of(plan)), Validator(schema)
        for seed, request in enumerate((REQUEST, "x", "", '12 12 "port" 80')):
            found = drive_or_end(speller, request, Random(seed))
            if found is not None:
                text, output = found
                assert validator.problems(output) == [], (number, seed)
                assert text == dumped(output), (number, seed)
                assert "".join(speller.spell(request, output)) == text, (number, seed)
                answers += 1
    assert answers > 40


# ------------------------------------------------------------------------------------------- what is offered


def test_a_branch_that_cannot_be_filled_is_not_offered() -> None:
    for request, offered in (("a.lan", False), ("10.0.0.1", True)):
        (pick, *_) = asks_of(GATE, {"action": "unsupported"}, request)
        assert ("point" in [option.value for option in pick.options]) == offered


def test_steps_are_not_offered_where_no_step_can_be_filled() -> None:
    steps = {**thing("several", steps=many({"oneOf": [thing("a", x=span("ipv4"))]}, 2)), "x-role": "sequence"}
    schema = {"oneOf": [thing("a", x=span("ipv4")), steps, {**thing("none"), "x-role": "out-of-scope"}]}
    assert asks_of(schema, {"action": "none"}, "hello") == []
    assert len(asks_of(schema, {"action": "none"}, "10.0.0.1")) == 1


def test_items_are_not_offered_where_none_can_be_filled() -> None:
    schema = of(a=many(of(x=span("ipv4"))))
    assert asks_of(schema, {"a": []}, "hello") == []
    with pytest.raises(DeadEnd, match="no branch"):
        drive(speller_of(of(a=many(of(x=span("ipv4")), 1))), "hello", Random(0))


def test_too_few_values_for_a_list_are_a_dead_end() -> None:
    with pytest.raises(DeadEnd):
        drive(speller_of(of(a=many(span("ipv4"), 2))), "10.0.0.1", Random(0))
    with pytest.raises(DeadEnd, match="2 values stand in the request for a, 3 are needed"):
        drive(speller_of(of(a=many({"enum": ["x", "y"]}, 3))), "hello", Random(0))


def test_a_slice_is_used_once_unless_the_request_holds_it_twice() -> None:
    speller = speller_of(of(a=span("port"), b=span("port")))
    with pytest.raises(DeadEnd):
        drive(speller, "22", Random(0))
    assert drive(speller, "22 22", Random(0))[1].output == {"a": "22", "b": "22"}


def test_phases_go_on_from_the_last_item_that_names_one() -> None:
    items = of(["t"], p={"enum": ["x", "y"]}, t={"type": "boolean"})
    schema = of(a=many(items, 3, 3, ascending="p"))
    validator, speller = Validator(schema), speller_of(schema)
    for seed in range(60):
        assert validator.problems(drive(speller, "", Random(seed))[1].output) == []


def test_asking_back_names_no_tag_that_was_not_said() -> None:
    request = "lathe.shop.internal has got a new address, put it into the DNS"
    answer = {"action": "clarify", "intent": "dns_add", "zone": "lathe.shop.internal", "missing": ["ip"]}
    text = "".join(SPELLERS["infra"].spell(request, answer))
    assert json.loads(text) == answer
    walk, place, reply = SPELLERS["infra"].walk(request, SPELLERS["infra"].ground(request)), 0, None
    with pytest.raises(StopIteration) as stop:
        while True:
            pieces, reply = _said(walk.send(reply), text, place)
            place += sum(map(len, pieces))
    assert stop.value.value.output == answer


def test_asking_back_never_lists_nothing_as_missing() -> None:
    schema = json.loads(json.dumps(GATE))
    clarify = schema["oneOf"][4]
    clarify["properties"]["list"] = many(span("word"))
    clarify["properties"]["missing"]["items"]["enum"].append("list")
    for branches in (schema["oneOf"], schema["oneOf"][3]["properties"]["steps"]["items"]["oneOf"]):
        branches.append(thing("list", list=many(span("word"))))
    clarify["properties"]["intent"]["enum"].append("list")
    speller, validator = speller_of(schema), Validator(schema)
    asked = 0
    for seed in range(200):
        output = drive(speller, "list a b 22", Random(seed))[1].output
        assert validator.problems(output) == []
        asked += output["action"] == "clarify"
    assert asked > 10


def test_slots_of_one_name_in_two_groups_have_their_own_candidates() -> None:
    schema = of(
        a=many(of(x={"type": ["integer", "string"], "x-source": "input", "x-format": "port"}), 1),
        x=span("port"),
    )
    for seed in range(10):
        assert isinstance(drive(speller_of(schema), "22 80", Random(seed))[1].output["x"], str)


@pytest.mark.parametrize(("low", "high", "values"), [(0.5, 2.5, [1, 2]), (-1.5, 1, [-1, 0, 1])])
def test_whole_numbers_lie_within_broken_bounds(low: float, high: float, values: list[int]) -> None:
    (pick,) = asks_of(of(a={"type": "integer", "minimum": low, "maximum": high}), {"a": 1})
    assert [option.value for option in pick.options] == values


@pytest.mark.parametrize("bounds", [{}, {"minimum": 3}, {"maximum": 3}])
def test_numbers_without_bounds_are_written(bounds: dict[str, int]) -> None:
    schema = of(a={"type": "integer", **bounds})
    for seed in range(5):
        assert Validator(schema).problems(drive(speller_of(schema), "", Random(seed))[1].output) == []


def test_a_text_is_asked_for_with_its_bounds() -> None:
    text = {"type": "string", "minLength": 2, "maxLength": 9, "x-forbidden": ["No"]}
    speller = speller_of(of(a=text))
    walk = speller.walk("", speller.ground(""))
    asks = [walk.send(None) for _ in range(4)]
    (asked,) = [ask for ask in asks if isinstance(ask, Write)]
    assert (asked.least, asked.most, asked.forbidden) == (2, 9, ("no",))


def test_a_function_that_fails_is_a_dead_end() -> None:
    schema = of(a={"type": "integer", "x-computed": "tests.inference.test_spelling:failing"})
    with pytest.raises(DeadEnd, match="a cannot be computed: KeyError"):
        drive(speller_of(schema), "", Random(0))
    with pytest.raises(DeadEnd, match="neither a delay nor the times"):
        drive(SPELLERS["task-risk"], "hello", Random(0))
    assert drive(SPELLERS["task-risk"], FIGURES, Random(0))[1].output["risk_level"] == "high"


@pytest.mark.parametrize("name", ["infra", "gate", "orders", "music"])
def test_a_long_request_is_walked_through_quickly(name: str) -> None:
    request = " ".join(f"host{one}.lan 10.0.{one}.1 port {one + 1000} user{one}" for one in range(40))
    speller = SPELLERS[name]
    grounding, start, walks = speller.ground(request), process_time(), 10
    for seed in range(walks):
        walk, rng, reply = speller.walk(request, grounding), Random(seed), None
        try:
            while True:
                _, reply = answered(walk.send(reply), rng)
        except (StopIteration, DeadEnd):
            continue
    assert process_time() - start < 0.5 * walks  # a guard against quadratic time, not a measurement
