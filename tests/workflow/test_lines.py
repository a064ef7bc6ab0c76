"""Lines in, lines out: order kept, bad lines named, nothing lost."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.data.rows import render_input
from microlith.errors import StorageError
from microlith.inference.protocol import FieldPrediction, Prediction
from microlith.workflow import lines
from microlith.workflow.lines import Line, answer_lines, arrivals, parse_line, request_text, whole_file


class Echo:
    """Answers with the request."""

    name = "echo"

    def predict(self, requests: Any) -> list[Prediction]:
        return [self._one(request) for request in requests]

    def _one(self, request: str) -> Prediction:
        field = FieldPrediction(path="said", value=request, confidence=0.75, span=(0, len(request)))
        return Prediction(
            output={"said": request}, confidence=0.5, fields=(field,), model="echo", latency_ms=1.0
        )


class Slow(io.RawIOBase):
    """A pipe that gives one piece a read."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = list(pieces)

    def read1(self, size: int = -1) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@given(
    st.lists(st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"")), max_size=20),
    st.integers(1, 7),
    st.booleans(),
)
def test_arrivals_give_every_line_once_in_order_and_numbered(
    texts: list[bytes], cut: int, ended: bool
) -> None:
    data = b"\n".join(texts) + (b"\n" if ended and texts else b"")
    pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
    found = [line for group in arrivals(Slow(pieces), size=3) for line in group]
    expected = data.split(b"\n")[: None if not data.endswith(b"\n") else -1] if data else []
    assert found == list(enumerate(expected, 1))


def test_a_line_is_given_on_before_the_next_one_arrives() -> None:
    stream = Slow([b"one\n", b"two\nthr", b"ee\n"])
    groups = arrivals(stream)
    assert next(groups) == [(1, b"one")]
    assert len(stream._pieces) == 2
    assert list(groups) == [[(2, b"two")], [(3, b"three")]]


@pytest.mark.parametrize(
    ("raw", "as_text", "request_text"),
    [
        (b'{"input": "hi", "output": 1}', False, "hi"),
        (b'"hi"', False, "hi"),
        (b'{"input": "hi"}\r', False, "hi"),
        (b"\xef\xbb\xbfhi", True, "hi"),
        (b"", True, ""),
        ("grüß dich 👋".encode(), True, "grüß dich 👋"),
    ],
)
def test_a_good_line_is_a_request(raw: bytes, as_text: bool, request_text: str) -> None:
    line = parse_line(raw, 1, as_text=as_text)
    assert line is not None
    assert (line.request, line.error) == (request_text, None)


@pytest.mark.parametrize(
    ("raw", "as_text", "told"),
    [
        (b"\xff\xfe", True, "byte 1 (0xff) is not UTF-8"),
        (b"plain words", False, "use --text"),
        (b'{"text": "hi"}', False, 'no "input"'),
        (b'{"input": 7}', False, "int, text is expected"),
        (b"[" * 100_000, False, "not JSON"),
    ],
)
def test_a_bad_line_says_what_is_wrong(raw: bytes, as_text: bool, told: str) -> None:
    line = parse_line(raw, 3, as_text=as_text)
    assert line is not None
    assert line.request is None
    assert told in str(line.error)


def test_blank_lines_between_rows_are_no_rows() -> None:
    assert parse_line(b"  ", 2, as_text=False) is None


def test_a_json_task_takes_any_input() -> None:
    line = parse_line(b'{"input": {"hours": 3}}', 1, as_text=False, render=render_input)
    assert line is not None
    assert (line.given, line.request) == ({"hours": 3}, "hours: 3")


def test_answers_stand_in_the_order_of_the_lines_with_bad_ones_in_their_place() -> None:
    given_lines = [
        Line(number=1, given="a", request="a"),
        Line(number=2, given=None, request=None, error="broken"),
        Line(number=3, given="b", request="b"),
    ]
    rows = list(answer_lines(Echo(), [given_lines]))
    assert [row["input"] for row in rows] == ["a", None, "b"]
    assert rows[1] == {"input": None, "output": None, "line": 2, "error": "broken"}
    assert rows[2]["fields"] == {"said": {"value": "b", "confidence": 0.75, "span": [0, 1]}}
    assert list(rows[0]) == ["input", "output", "confidence", "fields", "model", "latency_ms"]


def test_a_refusal_says_why() -> None:
    refused = Prediction(output=None, confidence=0.0, fields=(), model="m", latency_ms=0.1, refusal="empty")
    assert lines.prediction_facts("", refused)["refusal"] == "empty"


def test_a_file_keeps_its_old_content_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")

    def interrupted() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.jsonl"]
    assert path.read_text() == "old"
    with whole_file(path) as file:
        file.write(json.dumps({"a": 1}).encode())
    assert path.read_text() == '{"a": 1}'


def test_a_disk_that_refuses_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"), whole_file(tmp_path / "absent" / "out.jsonl"):
        pass


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ('{"a": 1, "who": "Ann"}', "a: 1"),
        (' [{"a": 1}] ', render_input([{"a": 1}])),
        ("plain text", "plain text"),
        ('"a string"', '"a string"'),
        ('{"a": ', '{"a": '),
        ("[" * 100_000, "[" * 100_000),
        ("", ""),
    ],
)
def test_a_typed_request_is_rendered_where_it_is_an_object(typed: str, read: str) -> None:
    assert request_text(typed, lambda value: render_input(value, ["who"])) == read
    assert request_text(typed, None) == typed
