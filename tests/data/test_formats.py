from __future__ import annotations

import errno
import gzip
import json
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.data.example import Example
from microlith.data.formats import read_rows, write_rows
from microlith.data.rows import ROW_FORMATS, RowFormat, render_input
from microlith.errors import DataError, StorageError, UsageError
from tests.data.small import other, row

A = '{"input": "a", "output": {"x": 1}}'
B = '{"input": "b", "output": {"x": 2}}'
CHAT = '{"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "{}"}]}'
SPREAD = json.dumps(json.loads(A), indent=2) + "\n" + json.dumps(json.loads(B), indent=2)


def written(folder: Path, content: str | bytes, name: str = "rows.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "container", "sources"),
    [
        (f"{A}\n{B}\n", "lines", ["rows.txt:1", "rows.txt:2"]),
        (f"\n{A}\n\n \n{B}", "lines", ["rows.txt:2", "rows.txt:5"]),
        (f"{A}\r\n{B}\r\n", "lines", ["rows.txt:1", "rows.txt:2"]),
        (f"{A}\r{B}", "lines", ["rows.txt:1", "rows.txt:2"]),
        (f"\ufeff{A}\n{B}", "lines", ["rows.txt:1", "rows.txt:2"]),
        (f"[{A}, {B}]", "array", ["rows.txt:1", "rows.txt:1:1"]),
        (f"\ufeff [\n{A},\n\n{B}\n]\n", "array", ["rows.txt:2", "rows.txt:4"]),
        (SPREAD, "lines", ["rows.txt:1", "rows.txt:7"]),
        (gzip.compress(f"{A}\n{B}\n".encode()), "lines", ["rows.txt:1", "rows.txt:2"]),
        (gzip.compress(f"[{A},{B}]".encode()), "array", ["rows.txt:1", "rows.txt:1:1"]),
    ],
)
def test_the_container_is_told_by_content(
    tmp_path: Path, content: str | bytes, container: str, sources: list[str]
) -> None:
    result = read_rows(written(tmp_path, content))
    assert (result.container, result.format, result.bad) == (container, "native", ())
    assert [(example.input, example.source) for example in result.examples] == list(
        zip("ab", sources, strict=True)
    )


def test_the_preview_is_the_first_three_rows(tmp_path: Path) -> None:
    result = read_rows(written(tmp_path, "\n".join([A, B, A, B])))
    assert [example.input for example in result.preview] == ["a", "b", "a"]


def test_a_file_of_several_formats_is_read_and_called_mixed(tmp_path: Path) -> None:
    result = read_rows(written(tmp_path, f"{A}\n{CHAT}"))
    assert (result.format, [example.input for example in result.examples]) == ("mixed", ["a", "c"])


def test_rows_are_called_as_the_caller_calls_the_file(tmp_path: Path) -> None:
    assert read_rows(written(tmp_path, A), name="data/x.jsonl").examples[0].source == "data/x.jsonl:1"


def test_unknown_keys_are_counted(tmp_path: Path) -> None:
    extra = '{"input": "a", "output": 1, "label": "l"}'
    assert read_rows(written(tmp_path, f"{extra}\n{A}\n{extra}")).ignored == {"label": 2}


@pytest.mark.parametrize(
    ("content", "place", "told"),
    [
        (f"{A}\nnot json\n{B}", 2, "not JSON"),
        (f'{A}\n{{"input": "x", "output": NaN}}\n{B}', 2, "NaN"),
        (f'{A}\n{{"input": "x", "input": "y", "output": 1}}\n{B}', 2, "stands twice"),
        (f'{A}\n{{"input": 5, "output": 1}}\n{B}', 2, "not text"),
        (f'{A}\n{{"output": 1}}\n{B}', 2, 'no "input"'),
        (f"{A}\n[1]\n{B}", 2, "none of the known keys"),
        (f'{A}\n{{"input": "x\\ud800", "output": 1}}\n{B}', 2, "surrogate"),
        (f"{A}\n".encode() + b'{"input": "\xff", "output": 1}\n' + B.encode(), 2, "not UTF-8"),
        (f'{A}\n{{"input": "x\0", "output": 1}}\n{B}', 2, "NUL"),
        (f'[{A},\n{{"input": "x", "output": NaN}},\n{B}]', 2, "row 1: the row is not JSON: NaN"),
        (f'[\n{A},\n{{"input": "x", "input": "x", "output": 1}}, {B}]', 3, "row 1: the row is not JSON"),
        (f'[{A},\n{B},\n{{"output": 1}}]', 3, 'row 2: the row has no "input"'),
        (f"[{A},\n{B}] and more", 2, "text after"),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_kept(
    tmp_path: Path, content: str | bytes, place: int, told: str
) -> None:
    path = written(tmp_path, content)
    result = read_rows(path)
    assert [example.input for example in result.examples] == ["a", "b"]
    assert [problem.place for problem in result.bad] == [f"{path}:{place}"]
    assert told in result.bad[0].what
    assert result.bad[0].mend


@pytest.mark.parametrize(
    "content",
    [f'[{A},\n{{"input": "b" "output": 1}},\n{B}]', f"[{A},\n", f"[{A},]", f"[{A}\n{B}]", f"{SPREAD[: len(SPREAD) // 2 + 9]}"],
)  # fmt: skip
def test_a_file_that_breaks_off_says_that_the_rest_was_not_read(tmp_path: Path, content: str) -> None:
    result = read_rows(written(tmp_path, content))
    assert [example.input for example in result.examples] == ["a"]
    assert "were not read" in result.bad[0].what


@pytest.mark.parametrize("content", [b"", b" \n\n", b"[]", b"[ ]\n", b"\xef\xbb\xbf", gzip.compress(b"")])
def test_an_empty_file_is_a_finding(tmp_path: Path, content: bytes) -> None:
    result = read_rows(written(tmp_path, content))
    assert (result.examples, result.format) == ((), "none")
    assert result.bad[0].what == "the file holds no rows"


def test_utf16_is_named(tmp_path: Path) -> None:
    assert "UTF-16" in read_rows(written(tmp_path, A.encode("utf-16"))).bad[0].what


def test_a_missing_file_and_a_damaged_archive_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_rows(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="damaged gzip"):
        read_rows(written(tmp_path, gzip.compress(A.encode() * 100)[:-9]))


def test_json_inputs_are_read_where_the_task_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, '{"input": {"title": "x"}, "output": 1}')
    assert read_rows(path, render=render_input).examples[0].input == "title: x"


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS, lambda inner: st.lists(inner, max_size=3)
)


@given(
    rows=st.lists(st.tuples(TEXTS, VALUES), min_size=1, max_size=4),
    shape=st.sampled_from(ROW_FORMATS),
    packed=st.booleans(),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, Any]], shape: RowFormat, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("rows") / ("r.jsonl.gz" if packed else "r.jsonl")
    examples = [row(text, {"value": value}) for text, value in rows]
    assert write_rows(path, examples, shape) == len(rows)
    result = read_rows(path)
    assert result.bad == ()
    assert [(one.input, one.output) for one in result.examples] == [
        (one.input, one.output) for one in examples
    ]


def test_compressed_files_do_not_depend_on_the_clock(tmp_path: Path) -> None:
    one, two = tmp_path / "a.gz", tmp_path / "b.gz"
    write_rows(one, [other("x")])
    os.utime(one, (0, 0))
    write_rows(two, [other("x")])
    assert one.read_bytes() == two.read_bytes()


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="csv"):
        write_rows(tmp_path / "x", [], "csv")  # type: ignore[arg-type]


def test_a_row_that_no_file_can_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = written(tmp_path, "old")
    with pytest.raises(DataError, match="row 2"):
        write_rows(path, [other("fine"), other("\ud800")])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 64 KiB: the kernel refuses the write, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, previous)


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_refuses_leaves_no_half_file(tmp_path: Path) -> None:
    path = written(tmp_path, "old")
    with pytest.raises(StorageError, match="could not be written"):
        write_rows(path, (other("x" * 100, source=f"{number}") for number in range(2000)))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_at_the_last_step_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_rows(tmp_path / "x.jsonl", [other("x")])
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_leaves_nothing(tmp_path: Path) -> None:
    def rows() -> Iterator[Example]:
        yield other("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / "x.jsonl", rows())
    assert list(tmp_path.iterdir()) == []
