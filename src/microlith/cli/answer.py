"""`ask` and `predict`: one request for a person, many for a program."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

from microlith.cli.options import AsJson, ModelName, TaskName

if TYPE_CHECKING:
    from microlith.errors import Problem
    from microlith.registry.models import Opened
    from microlith.workflow.lines import ByteStream

STREAM = "-"
SHOWN = 20
"""Bad lines that are named at the end."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(short_help="Answer one request, or one a line.")(ask)
    app.command(short_help="Answer a file or a stream of requests.")(predict)


def ask(
    task: TaskName,
    request: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]", help="The request; without it lines are read.")
    ] = None,
    model: ModelName = None,
    as_json: AsJson = False,
) -> None:
    """Answer a request: the JSON, how sure each field is, where its value stands in the request, the time.

    Examples:

      microlith ask infra "add dns record api.local to 10.0.0.5"

      microlith ask cli-intent --model rules "/help"

      microlith ask infra
    """
    from microlith.registry.models import open_model

    opened = open_model(task, model)
    if request:
        _answer(opened, " ".join(request), as_json=as_json)
        return
    for text in _typed(task):
        _answer(opened, text, as_json=as_json)


def _typed(task: str) -> Iterator[str]:
    """Lines of standard input, with a prompt where a person types them; an empty line from a person ends."""
    is_person = sys.stdin.isatty()
    if is_person:
        sys.stderr.write(f"type a request for {task}; an empty line ends\n")
    while True:
        if is_person:
            sys.stderr.write("> ")
            sys.stderr.flush()
        raw = sys.stdin.buffer.readline()
        text = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not raw or (is_person and not text):
            return
        yield text


def _answer(opened: Opened, request: str, *, as_json: bool) -> None:
    from microlith.cli.terminal import emit
    from microlith.workflow.lines import prediction_facts, request_text

    prediction = opened.model.predict([request_text(request, opened.render)])[0]
    if as_json:
        emit(prediction_facts(request, prediction))
    else:
        from microlith.cli.answers import show_answer

        show_answer(request, prediction)


def predict(
    task: TaskName,
    source: Annotated[
        str,
        typer.Option(
            "--input", "-i", metavar="FILE", help='File of rows {"input": ...}; - is standard input.'
        ),
    ] = STREAM,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="File for the answers; - is standard output."),
    ] = STREAM,
    text: Annotated[
        bool, typer.Option("--text", help="Each line of the input is a request as it stands.")
    ] = False,
    model: ModelName = None,
    as_json: AsJson = False,
) -> None:
    """Answer a file or a stream, one JSON line a request, in order.

    Each line holds input, output, confidence, fields (path -> value, confidence, span), model and latency_ms.
    A line that cannot be read becomes a line with its number and an error, and the command leaves with 4 at the
    end; nothing is lost. A file takes its name only when it is whole; a stream is answered as its lines arrive.
    With --json a summary goes to standard error.

    Examples:

      microlith predict infra --input rows.jsonl --output out.jsonl

      tail -f requests.log | microlith predict infra --text
    """
    from microlith.inference.cores import usable_cores
    from microlith.registry.models import open_model

    opened = open_model(task, model, threads=usable_cores())
    with _source(source) as stream:
        if output == STREAM:
            count, bad = _run(opened, stream, sys.stdout.buffer, source, as_text=text, flush=True)
        else:
            from microlith.workflow.lines import whole_file

            with whole_file(Path(output)) as file:
                count, bad = _run(opened, stream, file, source, as_text=text, flush=False)
    _summary(count, bad, output, as_json=as_json)


@contextmanager
def _source(name: str) -> Iterator[ByteStream]:
    from microlith.errors import DataError

    if name == STREAM:
        yield cast("ByteStream", sys.stdin.buffer)
        return
    try:
        with Path(name).open("rb") as file:
            yield cast("ByteStream", file)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        if error.filename != name:
            raise
        what = f"{name} cannot be read: {error.strerror}"
        raise DataError(what, place=name, mend="name a file of rows, or -") from error


def _run(
    opened: Opened, stream: ByteStream, sink: BinaryIO, name: str, *, as_text: bool, flush: bool
) -> tuple[int, list[Problem]]:
    """Answer everything; returns the number of lines and a finding for each that could not be read."""
    from microlith.cli.terminal import to_line
    from microlith.errors import Problem
    from microlith.workflow.lines import answer_lines, arrivals, parse_line

    count, bad = 0, []
    shown = "standard input" if name == STREAM else name
    for group in arrivals(stream):
        parsed = (parse_line(raw, number, as_text=as_text, render=opened.render) for number, raw in group)
        lines = [line for line in parsed if line is not None]
        bad += [
            Problem(what=line.error, place=f"{shown}:{line.number}")
            for line in lines
            if line.error is not None
        ]
        for row in answer_lines(opened.model, [lines]):
            sink.write(to_line(row).encode() + b"\n")
        count += len(lines)
        if flush:
            sink.flush()
    return count, bad


def _summary(count: int, bad: list[Problem], output: str, *, as_json: bool) -> None:
    from microlith.cli.terminal import emit, err
    from microlith.errors import DataError

    if as_json:
        emit({"lines": count, "bad": len(bad), "output": output}, stream=sys.stderr)
    elif output != STREAM:
        err().print(
            f"{count:,} lines, {count - len(bad):,} answered, written to {output}",
            markup=False,
            soft_wrap=True,
        )
    if bad:
        more = f" (the first {SHOWN} are named)" if len(bad) > SHOWN else ""
        raise DataError(
            f"{len(bad):,} of {count:,} lines could not be read{more}; each has an error line",
            problems=bad[:SHOWN],
        )
