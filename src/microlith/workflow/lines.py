"""Answer a stream of lines: order is kept, a line that cannot be read becomes an error line, nothing is lost."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from microlith.data.rows import Render
from microlith.errors import StorageError
from microlith.inference.protocol import FieldPrediction, Model, Prediction
from microlith.task.plan import Json

CHUNK = 1 << 16
"""Bytes asked of the stream at once."""
BATCH = 64
"""Most requests that are answered together."""


class ByteStream(Protocol):
    """A stream that gives what is there without waiting for more."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        ...


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the input: a request, or why there is none."""

    number: int
    """Line number, from 1."""
    given: Json
    """What the line holds as `input`, as it is repeated in the output; None where it cannot be told."""
    request: str | None
    """What the model is asked; None for a line that cannot be read."""
    error: str | None = None


def arrivals(stream: ByteStream, size: int = BATCH) -> Iterator[list[tuple[int, bytes]]]:
    """Numbered lines in groups of at most `size`, given on as soon as they have arrived.

    A program that writes one line and waits for its answer gets it; a file comes in full groups.
    """
    number, begun = 0, list[bytes]()
    while chunk := stream.read1(CHUNK):
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if not others:
            continue
        whole = [b"".join(begun), *others[:-1]]
        begun = [others[-1]]
        for start in range(0, len(whole), size):
            group = whole[start : start + size]
            yield list(enumerate(group, number + start + 1))
        number += len(whole)
    if last := b"".join(begun):
        yield [(number + 1, last)]


def parse_line(raw: bytes, number: int, *, as_text: bool, render: Render | None = None) -> Line | None:
    """Read one line.

    Args:
        raw: The line without its line feed; a byte order mark before line 1 and a trailing CR are dropped.
        number: Its number, from 1.
        as_text: The line itself is the request; else it is a row `{"input": ...}` or a JSON string.
        render: Turns a structured `input` into the text that models read; None where the task takes text only.

    Returns:
        The line; None for a blank line between rows. With `as_text` a blank line is an empty request.
    """
    body = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
    try:
        text = body.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"byte {error.start + 1} (0x{body[error.start]:02x}) is not UTF-8; save the file as UTF-8"
        return _bad(number, what)
    if as_text:
        return Line(number=number, given=text, request=request_text(text, render))
    return _row(text, number, render) if text.strip() else None


def request_text(text: str, render: Render | None) -> str:
    """What models read of a typed request: of a task that takes JSON, an object in its rendered form."""
    if render is None or not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return render(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _row(text: str, number: int, render: Render | None) -> Line:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _bad(
            number, f'the line is not JSON ({error}); write {{"input": "..."}}, or use --text for plain lines'
        )
    if isinstance(row, str):
        return Line(number=number, given=row, request=row)
    if not isinstance(row, Mapping) or "input" not in row:
        return _bad(number, 'the row has no "input"; write {"input": "..."}')
    given = row["input"]
    if isinstance(given, str):
        return Line(number=number, given=given, request=given)
    if render is None:
        return _bad(number, f'"input" is {type(given).__name__}, text is expected', given)
    return Line(number=number, given=given, request=render(given))


def _bad(number: int, error: str, given: Json = None) -> Line:
    return Line(number=number, given=given, request=None, error=error)


def answer_lines(model: Model, groups: Iterable[Iterable[Line]]) -> Iterator[dict[str, Any]]:
    """An output row for every line, in order."""
    for group in groups:
        lines = list(group)
        requests = [line.request for line in lines if line.request is not None]
        predictions = iter(model.predict(requests)) if requests else iter(())
        for line in lines:
            yield (
                error_facts(line) if line.request is None else prediction_facts(line.given, next(predictions))
            )


def error_facts(line: Line) -> dict[str, Any]:
    """A line that could not be read, as JSON."""
    return {"input": line.given, "output": None, "line": line.number, "error": line.error}


def prediction_facts(given: Json, prediction: Prediction) -> dict[str, Any]:
    """A prediction as JSON; `refusal` says why there is no output and is there only then."""
    facts: dict[str, Any] = {
        "input": given,
        "output": prediction.output,
        "confidence": round(prediction.confidence, 6),
        "fields": {one.path: field_facts(one) for one in prediction.fields},
        "model": prediction.model,
        "latency_ms": round(prediction.latency_ms, 3),
    }
    if prediction.refusal is not None:
        facts["refusal"] = prediction.refusal
    return facts


def field_facts(field: FieldPrediction) -> dict[str, Any]:
    """A field as JSON; `span` is a half-open character range of the request, or null."""
    span = list(field.span) if field.span is not None else None
    return {"value": field.value, "confidence": round(field.confidence, 6), "span": span}


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name only when it was written to its end; what stood there before stays until then.

    Raises:
        StorageError: if the disk refuses.
    """
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        ) as part:
            try:
                yield cast("BinaryIO", part.file)
                part.flush()
                os.fsync(part.fileno())
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
        os.chmod(part.name, 0o644)
        os.replace(part.name, path)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}",
            place=str(path),
            mend="free some disk, or name another file",
        ) from error
