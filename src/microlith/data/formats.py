"""Files of rows in and out: JSON lines or one JSON array, plain or gzip, in four row formats.

What a file is, is told by its content and never by its name. A row that cannot be read is named with its place
and its mend; it never disappears.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from microlith.data.example import Example
from microlith.data.rows import ROW_FORMATS, BadRow, Render, RowFormat, parse_row, render_row
from microlith.data.strict_json import NotStrictJson, loads, raw_loads
from microlith.errors import DataError, Problem, StorageError, UsageError
from microlith.task.plan import Json

PREVIEW_ROWS = 3
_ESCAPED = re.compile("[\udc80-\udcff]")
"""Bytes that are not UTF-8, as the surrogateescape handler decodes them."""


@dataclass(frozen=True, kw_only=True)
class ReadResult:
    """What a file of rows held."""

    examples: tuple[Example, ...]
    """The good rows, in file order."""
    places: tuple[str, ...]
    """`path:line` of each of them."""
    bad: tuple[Problem, ...]
    """One finding per row that could not be read, with its place and its mend; empty when all are good."""
    format: RowFormat | Literal["mixed", "none"]
    """The format of the rows; "none" where no row could be read."""
    container: Literal["lines", "array", "none"]
    """One row a line, one JSON array, or nothing that could be told."""
    ignored: Mapping[str, int]
    """Key that no row format knows -> number of rows that have it."""

    @property
    def preview(self) -> tuple[Example, ...]:
        """The first three rows as they were understood."""
        return self.examples[:PREVIEW_ROWS]


def read_rows(path: Path, *, name: str | None = None, render: Render | None = None) -> ReadResult:
    """Read a file of rows.

    Args:
        path: JSON lines or a JSON array; native, Alpaca, ShareGPT or chat rows; plain or gzip.
        name: What the rows' `source` calls the file, e.g. its path within the task; None for its bare name.
        render: Turns inputs that are not text into text (`rows.render_input`); None to name them as bad.

    Returns:
        The rows, and a finding for each that could not be read.

    Raises:
        DataError: if the file itself cannot be read (missing, a folder, a broken gzip stream).
    """
    data = _bytes(path)
    container, parsed = _parsed(data)
    examples: list[Example] = []
    places: list[str] = []
    bad: list[Problem] = []
    seen: Counter[RowFormat] = Counter()
    ignored: Counter[str] = Counter()
    last = 0
    for number, (line, label, value) in enumerate(parsed):
        source = f"{name or path.name}:{line}" + (f":{number}" if line == last else "")
        last = line
        place = f"{path}:{line}"
        if isinstance(value, BadRow):
            bad.append(Problem(what=f"{label}{value.what}", place=place, mend=value.mend))
            continue
        try:
            example, shape, unused = parse_row(value, source=source, render=render)
        except BadRow as error:
            bad.append(Problem(what=f"{label}{error.what}", place=place, mend=error.mend))
            continue
        examples.append(example)
        places.append(place)
        seen[shape] += 1
        ignored.update(unused)
    if not examples and not bad:
        bad.append(
            Problem(what="the file holds no rows", place=str(path), mend="write one JSON row per line")
        )
    return ReadResult(
        examples=tuple(examples),
        places=tuple(places),
        bad=tuple(bad),
        format=_common(seen),
        container=container,
        ignored=dict(ignored),
    )


def write_rows(
    path: Path, examples: Iterable[Example], format: RowFormat = "native", *, instruction: str = ""
) -> int:
    """Write rows as JSON lines, whole or not at all.

    Args:
        path: The file; compressed where its name ends in `.gz`. An existing one is replaced at the end.
        examples: The rows; they may be a generator.
        format: One of "native", "alpaca", "sharegpt", "chat"; only "native" keeps source, group and weight.
        instruction: The task's instruction, for the three formats that carry one.

    Returns:
        How many rows were written.

    Raises:
        UsageError: if no such format exists.
        DataError: if a row holds what JSON or UTF-8 cannot.
        StorageError: if the disk refuses; nothing is left behind, and an older file is untouched.
    """
    if format not in ROW_FORMATS:
        raise UsageError(f"no row format is called {format!r}", mend=f"one of: {', '.join(ROW_FORMATS)}")
    return write_lines(path, (render_row(example, format, instruction=instruction) for example in examples))


def write_lines(path: Path, values: Iterable[Json]) -> int:
    """Write JSON values one per line under `path`, whole or not at all; see `write_rows`."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as raw:
            count = _write_all(raw, values, compress=path.suffix == ".gz")
            raw.flush()
            os.fsync(raw.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path} could not be written: {reason}",
            place=str(path),
            mend="free some space or choose another folder",
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return count


def _write_all(raw: IO[bytes], values: Iterable[Json], *, compress: bool) -> int:
    if compress:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            return _write_each(packed, values)
    return _write_each(raw, values)


def _write_each(stream: IO[bytes] | gzip.GzipFile, values: Iterable[Json]) -> int:
    count = 0
    for count, value in enumerate(values, 1):
        try:
            line = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
        except ValueError as error:
            raise DataError(
                f"row {count} cannot be written as JSON: {error}", mend="mend or leave out the row"
            ) from error
        stream.write(line + b"\n")
    return count


# ------------------------------------------------------------------------------------------------------ reading

_Row = tuple[int, str, Json | BadRow]
"""Line (from 1), a label to put before a finding, and the parsed row or what is wrong with it."""


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"{path} cannot be read: {reason}", place=str(path), mend="check the name and the rights"
        ) from error
    except (EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is a damaged gzip file: {error}",
            place=str(path),
            mend="make it anew; it may have been cut off",
        ) from error


def _parsed(data: bytes) -> tuple[Literal["lines", "array", "none"], Iterator[_Row]]:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "none", iter([(1, "", BadRow("the file is UTF-16", "save it as UTF-8"))])
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    start = re.search(r"\S", text)
    if start is None:
        return "none", iter(())
    if start.group() == "[":
        return "array", _array_rows(text, start.end())
    return "lines", _line_rows(text) if _is_lines(text[start.start() :]) else _stream_rows(text)


def _is_lines(text: str) -> bool:
    """True unless the first object is spread over several lines."""
    first = text.split("\n", 1)[0].rstrip()
    if not first.startswith("{"):
        return True
    closed = len(first) > 1 and first.endswith("}")
    return closed or ("\n{" in text and not first.endswith(("{", ",")))


def _line_rows(text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, "", _row(line)


def _row(text: str) -> Json | BadRow:
    trouble = _unreadable(text)
    if trouble is not None:
        return trouble
    try:
        return loads(text)
    except NotStrictJson as error:
        column = f" (column {error.position + 1})" if error.position is not None else ""
        return BadRow(f"the row is not JSON: {error.what}{column}", "mend the JSON of this row")


def _unreadable(text: str) -> BadRow | None:
    if _ESCAPED.search(text):
        return BadRow("the row is not UTF-8", "save the file as UTF-8")
    if "\0" in text:
        return BadRow("the row holds NUL bytes", "remove them; the file may be UTF-16: save it as UTF-8")
    return None


class _Lines:
    """Counts the line of a position; positions must come in rising order."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._line = text, 0, 1

    def of(self, at: int) -> int:
        self._line += self._text.count("\n", self._at, at)
        self._at = at
        return self._line


def _array_rows(text: str, at: int) -> Iterator[_Row]:
    """The elements of the JSON array whose bracket ends before `at`."""
    lines, index, mark = _Lines(text), 0, ","
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        mark, at = "]", _skip(text, at + 1)
    while mark == ",":
        value, end = _element(text, at)
        yield lines.of(at), f"row {index}: ", value
        if end is None:
            return
        at, index = _skip(text, end), index + 1
        mark, at = text[at : at + 1], _skip(text, at + 1)
    if mark != "]":
        yield (
            lines.of(min(at, len(text))),
            f"row {index}: ",
            _broken(f"',' or ']' was expected, not {mark!r}"),
        )
    elif at < len(text):
        yield (
            lines.of(at),
            "",
            BadRow("there is text after the JSON array", "keep one array, or one row per line"),
        )


def _stream_rows(text: str) -> Iterator[_Row]:
    """Objects one after another, each over several lines."""
    lines, at = _Lines(text), _skip(text, 0)
    while at < len(text):
        value, end = _element(text, at)
        yield lines.of(at), "", value
        if end is None:
            return
        at = _skip(text, end)


def _element(text: str, at: int) -> tuple[Json | BadRow, int | None]:
    """The value that begins at `at` and where it ends; None for the end where the rest cannot be read either."""
    try:
        value, end = raw_loads(text, at)
    except NotStrictJson as error:
        try:
            end = _LENIENT.raw_decode(text, at)[1]
        except (ValueError, RecursionError):
            where = f" (line {text.count(chr(10), 0, error.position) + 1})" if error.position else ""
            return _broken(f"{error.what}{where}"), None
        return BadRow(f"the row is not JSON: {error.what}", "mend the JSON of this row"), end
    return _unreadable(text[at:end]) or value, end


_LENIENT = json.JSONDecoder()


def _broken(what: str) -> BadRow:
    return BadRow(
        f"the JSON breaks off: {what}; this row and all after it were not read",
        "mend the JSON here, or write one row per line",
    )


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _common(seen: Counter[RowFormat]) -> RowFormat | Literal["mixed", "none"]:
    if not seen:
        return "none"
    return next(iter(seen)) if len(seen) == 1 else "mixed"
