from __future__ import annotations

import gzip
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.errors import DataError, StorageError, UsageError
from microlith.task.infer import Row, infer_task, schema_text, write_task
from microlith.task.linter import plan_of
from microlith.task.packs import pack_folder
from microlith.task.plan import Choice
from microlith.task.reading import read, write
from microlith.task.schema import document_of
from microlith.task.taskfile import load_task
from microlith.task.validate import Validator


@dataclass(frozen=True)
class Pair:
    input: str
    output: Any
    source: str | None = None
    group: str | None = None
    weight: float = 1.0
    verified: bool = False


def pairs(*rows: tuple[str, Any]) -> list[Pair]:
    return [Pair(text, output) for text, output in rows]


def many(make: Any, count: int = 30) -> list[Pair]:
    return [Pair(*make(number)) for number in range(count)]


def fits(rows: list[Pair], schema: dict[str, Any]) -> bool:
    validator = Validator(schema)
    return all(validator.is_valid(row.output) for row in rows)


# ------------------------------------------------------------------------------------------- plain objects


def test_a_flat_object() -> None:
    rows = many(
        lambda n: (f"host h{n}.lan {n}", {"host": f"h{n}.lan", "urgent": n % 2 == 0, "mode": "ab"[n % 2]})
    )
    schema = infer_task(rows, title="flat").schema
    assert schema["title"] == "flat"
    assert schema["properties"] == {
        "host": {"type": "string", "x-source": "input", "x-format": "hostname"},
        "urgent": {"type": "boolean"},
        "mode": {"enum": ["a", "b"]},
    }
    assert schema["required"] == ["host", "urgent", "mode"]
    assert schema["additionalProperties"] is False


def test_a_key_that_some_rows_leave_out_is_optional() -> None:
    rows = many(lambda n: (f"user u{n} room r{n}", {"user": f"u{n}", **({"room": f"r{n}"} if n % 3 else {})}))
    inferred = infer_task(rows)
    assert inferred.schema["required"] == ["user"]
    room = next(found for found in inferred.findings if found.path == "room")
    assert (room.given, room.possible) == (20, 30)


def test_lists_are_as_long_as_the_rows_show() -> None:
    rows = many(lambda n: (f"a{n} b{n}", {"names": [f"a{n}", f"b{n}"][: 1 + n % 2]}))
    assert infer_task(rows).schema["properties"]["names"] == {
        "type": "array",
        "items": {"type": "string", "x-source": "input", "x-format": "word"},
        "minItems": 1,
        "maxItems": 2,
    }


def test_lists_of_objects() -> None:
    rows = many(
        lambda n: (f"x{n}", {"steps": [{"do": "on", "name": f"x{n}"}, {"do": "off", "name": f"x{n}"}]})
    )
    steps = infer_task(rows).schema["properties"]["steps"]
    assert (steps["minItems"], steps["maxItems"]) == (2, 2)
    assert list(steps["items"]["properties"]) == ["do", "name"]


def test_a_list_that_is_always_empty_still_validates() -> None:
    rows = many(lambda n: (f"x{n}", {"kind": "ab"[n % 2], "tags": []}))
    assert fits(rows, infer_task(rows).schema)


@pytest.mark.parametrize("label", ["oos", "unsupported", "out_of_scope"])
def test_the_label_for_everything_else_is_marked(label: str) -> None:
    rows = many(lambda n: (f"t{n}", {"intent": ["pay", "send", label][n % 3]}), 60)
    assert infer_task(rows).schema["properties"]["intent"]["x-out-of-scope"] == label


def test_a_doubtful_label_is_marked_only_where_it_is_the_only_choice() -> None:
    alone = many(lambda n: (f"t{n}", {"intent": ["pay", "send", "none"][n % 3]}), 60)
    beside = many(lambda n: (f"t{n}", {"intent": "ab"[n % 2], "risk": ["low", "high", "none"][n % 3]}), 60)
    assert infer_task(alone).schema["properties"]["intent"]["x-out-of-scope"] == "none"
    assert "x-out-of-scope" not in infer_task(beside).schema["properties"]["risk"]


def test_hundreds_of_labels_are_one_choice() -> None:
    rows = many(lambda n: (f"t{n}", {"intent": f"label_{n % 150}"}), 900)
    plan = plan_of(document_of(infer_task(rows).schema))
    decision = plan.root.slots["intent"].decision
    assert isinstance(decision, Choice)
    assert len(decision.options) == 150


# ------------------------------------------------------------------------------------------- branches


def action(n: int) -> tuple[str, Any]:
    host = f"h{n}.lan"
    return (
        (f"add {host} at 10.0.0.{n}", {"action": "dns_add", "zone": host, "ip": f"10.0.0.{n}"}),
        (f"drop {host}", {"action": "dns_remove", "zone": host}),
        (f"please greet {n}", {"action": "unsupported"}),
    )[n % 3]


def test_an_action_that_settles_the_keys_becomes_branches() -> None:
    schema = infer_task(many(action)).schema
    assert [branch["properties"]["action"]["const"] for branch in schema["oneOf"]] == [
        "dns_add",
        "dns_remove",
        "unsupported",
    ]
    assert [branch["required"] for branch in schema["oneOf"]] == [
        ["action", "zone", "ip"],
        ["action", "zone"],
        ["action"],
    ]
    assert schema["oneOf"][2]["x-role"] == "out-of-scope"


def test_keys_of_an_inner_object_count_too() -> None:
    rows = many(
        lambda n: (
            (f"play a{n}", {"intent": "play", "slots": {"song": [f"a{n}"]}})
            if n % 2
            else (f"rain in b{n}", {"intent": "weather", "slots": {"city": [f"b{n}"]}})
        )
    )
    schema = infer_task(rows).schema
    assert [list(branch["properties"]["slots"]["properties"]) for branch in schema["oneOf"]] == [
        ["city"],
        ["song"],
    ]


def test_keys_that_no_value_settles_stay_optional() -> None:
    source = random.Random(1)
    rows = many(
        lambda n: (
            f"w{n}",
            {"kind": "ab"[n % 2], **{key: f"w{n}" for key in "xyz" if source.random() < 0.5}},
        ),
        60,
    )
    assert "oneOf" not in infer_task(rows).schema


def test_branches_inside_a_branch() -> None:
    def make(n: int) -> tuple[str, Any]:
        if n % 3 == 2:
            return f"drop h{n}.lan", {"action": "drop", "zone": f"h{n}.lan"}
        if n % 3:
            return f"h{n}.lan is 10.0.0.{n}", {
                "action": "add",
                "zone": f"h{n}.lan",
                "type": "A",
                "ip": f"10.0.0.{n}",
            }
        return f"h{n}.lan is t{n}.lan", {
            "action": "add",
            "zone": f"h{n}.lan",
            "type": "CNAME",
            "target": f"t{n}.lan",
        }

    rows = many(make, 60)
    schema = infer_task(rows).schema
    assert fits(rows, schema)
    plan = plan_of(document_of(schema))
    assert plan.root.discriminators == ("action", "type")


def test_a_value_that_another_fixes_is_forced_text() -> None:
    domains = {"pay": "bank", "send": "bank", "rain": "sky", "snow": "sky"}
    rows = many(
        lambda n: (f"t{n}", dict(zip(("intent", "domain"), list(domains.items())[n % 4], strict=True))), 80
    )
    schema = infer_task(rows).schema
    assert [branch["properties"]["domain"] for branch in schema["oneOf"]] == [
        {"const": domain} for domain in domains.values()
    ]


def test_values_of_two_kinds_are_told_apart_by_a_branch() -> None:
    rows = many(
        lambda n: (
            (f"a{n} b{n}", {"do": "all", "on": [f"a{n}", f"b{n}"]})
            if n % 2
            else (f"a{n}", {"do": "one", "on": f"a{n}", "fast": True})
        )
    )
    assert fits(rows, infer_task(rows).schema)


def test_null_is_told_apart_by_a_branch() -> None:
    rows = many(
        lambda n: (f"t{n}", {"intent": ["pay", "rain", "oos"][n % 3], "area": ["bank", "sky", None][n % 3]}),
        60,
    )
    schema = infer_task(rows).schema
    assert fits(rows, schema)
    assert schema["oneOf"][2]["x-role"] == "out-of-scope"


def test_several_steps_and_questions_back_get_their_roles() -> None:
    def make(n: int) -> tuple[str, Any]:
        add = {"action": "add", "user": f"u{n}"}
        join = {"action": "join", "user": f"u{n}", "group": f"g{n}"}
        return (
            (f"add u{n}", add),
            (f"u{n} into g{n}", join),
            (f"add u{n} into g{n}", {"action": "both", "steps": [add, join]}),
            (
                f"u{n} into a group",
                {"action": "ask", "intent": "join", "user": f"u{n}", "missing": ["group"]},
            ),
            (f"hello {n}", {"action": "unsupported"}),
        )[n % 5]

    rows = many(make, 100)
    schema = infer_task(rows).schema
    plan = plan_of(document_of(schema))
    assert plan.sequence is not None
    assert plan.sequence.tag == ("action", "both")
    assert plan.clarify is not None
    assert (plan.clarify.tag, plan.clarify.intent, plan.clarify.missing) == (
        ("action", "ask"),
        "intent",
        "missing",
    )
    assert fits(rows, schema)
    assert all(write(plan, read(plan, row.output)) == row.output for row in rows)


# ------------------------------------------------------------------------------------------- bad rows


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "no rows"),
        (pairs(("a", "label")), "row 1: the output is a text"),
        (pairs(("a", {"x": 1}), ("b", [1])), "row 2: the output is a list"),
        (pairs(("a", {"x": "a"}), ("b", {"x": ["b"]})), "x: a list in 1 and a single value in 1 rows"),
        (pairs(("a", {"x": "a"}), ("b", {"x": None})), "leave the key out where there is no value"),
        (pairs(("a", {"x": [["a"]]})), "x: lists inside a list"),
        (pairs(("a", {"x": ["a", {"y": 1}]})), "x: items of several kinds"),
    ],
)
def test_rows_that_no_schema_covers_are_named(rows: list[Pair], problem: str) -> None:
    with pytest.raises(DataError) as caught:
        infer_task(rows)
    assert problem in str(caught.value)


def test_all_such_places_come_at_once() -> None:
    rows = pairs(("a", {"x": "a", "y": [[1]]}), ("b", {"x": None, "y": [[2]]}))
    with pytest.raises(DataError) as caught:
        infer_task(rows)
    assert len(caught.value.problems) == 2


# ------------------------------------------------------------------------------------------- properties

WORDS = st.sampled_from(["red", "blue", "big box", "10.0.0.1", "nas.lan", "7", "a@b.org"])
SCALARS = WORDS | st.booleans() | st.integers(-5, 99)
SHAPES = st.fixed_dictionaries(
    {"kind": st.sampled_from(["one", "two"])},
    optional={
        "flag": st.booleans(),
        "count": st.integers(-5, 99),
        "names": st.lists(WORDS, max_size=3),
        "place": st.fixed_dictionaries({"room": WORDS}, optional={"floor": st.integers(0, 3)}),
        "parts": st.lists(
            st.fixed_dictionaries({"n": WORDS}, optional={"m": st.booleans()}), min_size=1, max_size=2
        ),
        "word": WORDS,
    },
)


@given(st.lists(SHAPES, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_every_row_validates_and_the_schema_has_a_plan(outputs: list[Any], source: random.Random) -> None:
    rows = []
    for output in outputs:
        words = [word for word in json.dumps(output, ensure_ascii=False).split('"') if word.strip()]
        source.shuffle(words)
        rows.append(Pair(" ".join(words), output))
    inferred = infer_task(rows)
    assert fits(rows, inferred.schema)
    plan_of(document_of(inferred.schema))
    assert infer_task(rows) == inferred


# ------------------------------------------------------------------------------------------- the folder


def test_a_written_task_loads_and_holds_its_rows(tmp_path: Path) -> None:
    rows = many(action)
    inferred = write_task(tmp_path / "dns", "dns", rows, instruction='Say "what" to do.')
    task = load_task(tmp_path / "dns")
    assert task.instruction == 'Say "what" to do.'
    assert task.schema.value == inferred.schema
    lines = [json.loads(line) for line in task.train_files[0].read_text(encoding="utf-8").splitlines()]
    assert lines == [{"input": row.input, "output": row.output} for row in rows]
    assert all(task.validator.is_valid(line["output"]) for line in lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dns"]


def test_kinship_group_weight_and_verification_are_kept(tmp_path: Path) -> None:
    rows = [
        Pair("a", {"k": "x"}, source="f:1", group="g", weight=2.0, verified=True),
        Pair("b", {"k": "y"}, source="f:1"),
        Pair("c", {"k": "x"}, source="f:2"),
        Pair("d", {"k": "y"}),
    ]
    write_task(tmp_path / "t", "t", rows)
    lines = [json.loads(line) for line in (tmp_path / "t/data/train.jsonl").read_text().splitlines()]
    assert lines[0] == {
        "input": "a",
        "output": {"k": "x"},
        "source": "f:1",
        "group": "g",
        "verified": True,
        "weight": 2.0,
    }
    assert [line.get("source") for line in lines] == ["f:1", "f:1", None, None]


@pytest.mark.parametrize("name", ["My Task", "", "../up", "ä", "-x", "x" * 65])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no task name"):
        write_task(tmp_path / "t", name, many(action))


def test_a_folder_in_use_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="exists already"):
        write_task(tmp_path, "t", many(action))
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_nothing_is_left_behind_when_the_disk_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StorageError, match="No space left"):
        write_task(tmp_path / "t", "t", many(action))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_behind_when_the_rows_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_task(tmp_path / "t", "t", pairs(("a", "b")))
    assert list(tmp_path.iterdir()) == []


def test_schema_text_is_the_same_schema_with_short_parts_on_one_line() -> None:
    schema = infer_task(many(action)).schema
    text = schema_text(schema)
    assert json.loads(text) == schema
    assert '"zone": {"type": "string", "x-source": "input", "x-format": "hostname"}' in text


def test_infra_is_found_again_from_its_rows() -> None:
    rows = [
        Pair(row["input"], row["output"])
        for path in sorted((pack_folder("infra") / "data").glob("train*.jsonl"))
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
    ]
    inferred = infer_task(rows)
    plan = plan_of(document_of(inferred.schema))
    assert fits(rows, inferred.schema)
    assert plan.sequence is not None
    assert plan.clarify is not None
    assert plan.root.discriminators == ("action", "record_type")
    assert any(slot.secret for slot in plan.root.slots.values())


PUBLIC = os.environ.get("MICROLITH_PUBLIC_DATA")


@pytest.mark.skipif(PUBLIC is None, reason="MICROLITH_PUBLIC_DATA names no folder of public data sets")
@pytest.mark.parametrize("name", ["snips", "banking77", "clinc150", "home_assistant_intents"])
def test_public_rows_validate_against_their_inferred_schema(name: str) -> None:
    folder = Path(PUBLIC or "") / name
    path = next(folder.glob("train.jsonl*"))
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as lines
    ):
        rows: list[Row] = [Pair(row["input"], row["output"]) for row in map(json.loads, lines)]
    inferred = infer_task(rows)
    validator = Validator(inferred.schema)
    assert all(validator.is_valid(row.output) for row in rows)
    plan_of(document_of(inferred.schema))
