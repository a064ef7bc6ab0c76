from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from microlith.data.rows import (
    ROW_FORMATS,
    BadRow,
    RowFormat,
    format_of,
    parse_row,
    render_input,
    render_row,
    renderer,
)
from microlith.task.plan import Json
from microlith.task.taskfile import load_task
from tests.data.small import row

ANSWER = {"action": "none", "über": "é"}

ROWS: list[tuple[RowFormat, dict[str, Any]]] = [
    ("native", {"input": "hi", "output": ANSWER}),
    ("alpaca", {"instruction": "Do it.", "input": "hi", "output": '{"action": "none", "über": "é"}'}),
    ("alpaca", {"instruction": "hi", "input": "", "output": ANSWER}),
    ("alpaca", {"instruction": "hi", "output": ANSWER}),
    ("sharegpt", {"conversations": [
        {"from": "system", "value": "Do it."}, {"from": "human", "value": "hi"},
        {"from": "gpt", "value": '{"action": "none", "über": "é"}'}]}),
    ("chat", {"messages": [
        {"role": "system", "content": "Do it."}, {"role": "user", "content": "hi"},
        {"role": "assistant", "content": '```json\n{"action": "none", "über": "é"}\n```'}]}),
    ("chat", {"messages": [
        {"role": "user", "content": "before"}, {"role": "assistant", "content": "ok"},
        {"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]},
        {"role": "assistant", "content": ANSWER}]}),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "given"), ROWS)
def test_every_shape_is_told_by_its_keys_and_read(shape: RowFormat, given: dict[str, Any]) -> None:
    example, found, unused = parse_row(given, source="f:1")
    assert (found, unused, example.input, example.output, example.source) == (shape, (), "hi", ANSWER, "f:1")


@pytest.mark.parametrize("shape", ROW_FORMATS)
@pytest.mark.parametrize("instruction", ["", "Do it."])
@pytest.mark.parametrize("text", ["hi", "", "zwei\nZeilen 😀"])
def test_every_shape_comes_back_as_it_was(shape: RowFormat, instruction: str, text: str) -> None:
    example = row(text, ANSWER)
    back, found, _ = parse_row(render_row(example, shape, instruction=instruction), source=example.source)
    assert (found, back) == (shape, example)


def test_the_native_shape_keeps_everything() -> None:
    example = row("hi", ANSWER, group="g", weight=2.5, verified=True, parents=("a", "b"), made_by="compose")
    assert parse_row(render_row(example, "native"), source="elsewhere")[0] == example


def test_unused_keys_are_reported() -> None:
    assert parse_row({"input": "hi", "output": 1, "label": "x", "bio": []}, source="f:1")[2] == (
        "label",
        "bio",
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (3, "none of the known keys"),
        ({"text": "hi"}, "none of the known keys"),
        ({"input": "hi"}, 'no "output"'),
        ({"output": 1}, 'no "input"'),
        ({"input": 3, "output": 1}, '"input" is 3, not text'),
        ({"input": {"a": 1}, "output": 1}, "not text"),
        ({"input": "a\0b", "output": 1}, "NUL"),
        ({"input": "hi", "output": 1, "weight": 0}, '"weight" is 0'),
        ({"input": "hi", "output": 1, "weight": True}, '"weight" is true'),
        ({"input": "hi", "output": 1, "verified": "yes"}, '"verified" is "yes"'),
        ({"input": "hi", "output": 1, "group": 7}, '"group" is 7'),
        ({"input": "hi", "output": 1, "parents": "a"}, '"parents" is "a"'),
        ({"instruction": "hi", "input": ""}, 'no "output"'),
        ({"instruction": "hi", "output": "positive"}, "not JSON"),
        ({"messages": "hi"}, "not a list"),
        ({"messages": []}, "no assistant turn"),
        ({"messages": [{"role": "assistant", "content": "{}"}]}, "no user turn"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "unknown role 'wizard'"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "not text"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "{a"}]}, "conversations[1].value is not JSON"),
    ],
)  # fmt: skip
def test_a_bad_row_says_what_is_wrong_and_how_to_mend_it(given: Json, told: str) -> None:
    with pytest.raises(BadRow) as error:
        parse_row(given, source="f:1")
    assert told in error.value.what
    assert error.value.mend


def test_a_row_that_is_no_object_has_no_shape() -> None:
    assert format_of([1]) is None


def test_json_inputs_are_rendered_to_text() -> None:
    given = {"input": {"title": "Fix it", "n": 2, "tags": ["a", True], "none": {}}, "output": 1}
    example, _, _ = parse_row(given, source="f:1", render=render_input)
    assert example.input == "title: Fix it\nn: 2\ntags[0]: a\ntags[1]: true\nnone: {}"


@pytest.mark.parametrize(
    ("private", "left"),
    [
        ((), ["person.name: Ann", "person.names[0]: A", "personal: 1", "notes[0].by: Bob", "b: x"]),
        (("person.name",), ["person.names[0]: A", "personal: 1", "notes[0].by: Bob", "b: x"]),
        (("person",), ["personal: 1", "notes[0].by: Bob", "b: x"]),
        (("notes", "b"), ["person.name: Ann", "person.names[0]: A", "personal: 1"]),
        (("notes[0].by", "none"), ["person.name: Ann", "person.names[0]: A", "personal: 1", "b: x"]),
    ],
)
def test_private_paths_are_left_out_with_all_below_them(private: tuple[str, ...], left: list[str]) -> None:
    given = {
        "person": {"name": "Ann", "names": ["A"]},
        "personal": 1,
        "notes": [{"by": "Bob"}],
        "b": "x",
    }
    assert render_input(given, private).split("\n") == left


def test_a_text_input_stays_as_it_is_whatever_is_private() -> None:
    assert render_input("person.name: Ann", ["person"]) == "person.name: Ann"


def test_a_private_value_of_several_lines_is_left_out_whole() -> None:
    assert "secret" not in render_input({"note": "secret one\nsecret two", "b": 1}, ["note"])


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_task_renders_its_requests_where_they_are_structured(tmp_path: Path, kind: str) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}
    (tmp_path / "schema.json").write_text(json.dumps({**schema, "additionalProperties": False}))
    toml = f'name = "t"\ninstruction = "I."\ninput = "{kind}"\nprivate = ["who"]\n'
    (tmp_path / "task.toml").write_text(toml)
    render = renderer(load_task(tmp_path))
    assert (render is None) == (kind == "text")
    assert render is None or render({"who": "Ann", "what": 2}) == "what: 2"
