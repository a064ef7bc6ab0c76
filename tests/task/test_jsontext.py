from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.errors import SchemaError
from microlith.task.jsontext import MAX_DEPTH, MAX_PROBLEMS, parse_json, pointer_of, read_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def whats(text: str) -> list[str]:
    return [f"{problem.place}: {problem.what}" for problem in parse_json(text, name="s.json").problems]


@given(JSON, st.sampled_from([None, 1, 4]))
def test_reads_what_the_standard_library_writes(value: object, indent: int | None) -> None:
    parsed = parse_json(json.dumps(value, indent=indent), name="s.json")
    assert parsed.problems == ()
    assert parsed.value == value


@given(st.text(alphabet="{}[]\",:\\ \n'tfn0129.e-#/*a", max_size=60))
def test_never_raises_and_accepts_nothing_that_the_standard_library_refuses(text: str) -> None:
    parsed = parse_json(text, name="s.json")
    try:
        expected = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    except (json.JSONDecodeError, pytest.fail.Exception):
        assert parsed.problems
    else:
        duplicates = [problem for problem in parsed.problems if "twice" in problem.what]
        assert list(parsed.problems) == duplicates
        assert parsed.value == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "s.json:1:1: the file is empty, expected a JSON value"),
        ('{"a": 1,}', 's.json:1:8: "," before "}"'),
        ('{"a": 1 "b": 2}', 's.json:1:9: expected "," before the next value'),
        ('{"a" 1}', 's.json:1:6: expected ":" after key "a"'),
        ('{"a": }', 's.json:1:7: key "a" has no value'),
        ("{a: 1}", "s.json:1:2: expected a key in double quotes, found 'a'"),
        ("{'a': 1}", "s.json:1:2: a string stands in single quotes"),
        ('{"a": True}', "s.json:1:7: 'True' is no JSON value"),
        ('{"a": NaN}', "s.json:1:7: 'NaN' is no JSON value"),
        ('{"a": 01}', "s.json:1:7: '01' is no JSON value"),
        ('{"a": 1e999}', "s.json:1:7: a number is too large to be kept exactly"),
        ('{"a": "x\n}', "s.json:1:7: a string is never closed"),
        ('{"a": "\\q"}', "s.json:1:8: in a string: invalid \\escape"),
        ('{"a": [1, 2}', 's.json:1:12: "}" closes the "[" of line 1, expected "]"'),
        ('{"a": 1', 's.json:1:8: "{" of line 1 is never closed'),
        ('{"a": 1} x', "s.json:1:10: text after the end of the JSON value"),
        ('{"a": 1 // note\n}', "s.json:1:9: JSON has no comments"),
        ('{"a": 1,\n "a": 2}', 's.json:2:2: key "a" is given twice, first in line 1'),
    ],
)
def test_names_the_mistake_and_its_place(text: str, problem: str) -> None:
    assert problem in [entry.split(": line")[0] for entry in whats(text)]


def test_reports_all_mistakes_of_a_text() -> None:
    assert len(whats('{"a": 1,\n "a": True\n "b": \'x\',\n c: 2,}')) == 6


def test_stops_after_many_mistakes() -> None:
    assert len(whats("[" + "x," * 500 + "1]")) == MAX_PROBLEMS


def test_refuses_deep_nesting_without_running_out_of_stack() -> None:
    assert any(f"deeper than {MAX_DEPTH}" in what for what in whats("[" * 100_000))


def test_knows_the_line_of_every_pointer() -> None:
    lines = parse_json('{\n "a": [\n  1,\n  {"b/c": 2}],\n "d": 3\n}', name="s.json").lines
    assert lines == {"": 1, "/a": 2, "/a/0": 3, "/a/1": 4, "/a/1/b~1c": 4, "/d": 5}


@pytest.mark.parametrize(("parts", "pointer"), [((), ""), (("a", 0), "/a/0"), (("x~/y",), "/x~0~1y")])
def test_pointer_of(parts: tuple[str | int, ...], pointer: str) -> None:
    assert pointer_of(parts) == pointer


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b'{"a": 1,\n "b": "\xff"}', "s.json:2: byte 0xff is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "the file is UTF-16, expected UTF-8"),
    ],
)
def test_other_encodings_are_refused_with_their_line(tmp_path, raw: bytes, problem: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "s.json"
    path.write_bytes(raw)
    with pytest.raises(SchemaError) as caught:
        read_text(path, error=SchemaError)
    assert problem in str(caught.value)


def test_a_byte_order_mark_is_left_out(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "s.json"
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert read_text(path, error=SchemaError) == "{}"


def test_a_missing_file_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SchemaError, match=r"s\.json is missing"):
        read_text(tmp_path / "s.json", error=SchemaError)
