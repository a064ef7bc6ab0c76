"""Rows from a teacher: a larger model behind any OpenAI-compatible endpoint.

The teacher sees the instruction, the schema and a few rows, and writes new ones. What it writes is held to the
same rules as what a person writes: strict JSON, the schema, every copied value a slice of the request. Accepted rows
are appended to a file at once, so a killed run goes on where it stopped. Values that the schema calls secret are
replaced in the rows the teacher sees.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from microlith.data.censor import censored
from microlith.data.example import Example
from microlith.data.formats import read_rows
from microlith.data.kin import normalise
from microlith.data.load import problems_of
from microlith.data.rows import BadRow, parse_row, render_row, renderer
from microlith.data.strict_json import NotStrictJson, loads
from microlith.errors import DataError, MissingExtra, StorageError, TeacherError
from microlith.events import Event, Progress, Warned
from microlith.task.plan import Json

if TYPE_CHECKING:
    from openai import OpenAI

    from microlith.task.taskfile import Task

BARREN_CALLS = 5
"""After so many calls in a row without a usable row the teacher is given up."""
LONGEST_WAIT_S = 60.0
"""No single wait between two tries is longer."""


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Where the teacher is and how it is asked."""

    model: str
    base_url: str
    """Of the OpenAI-compatible interface, e.g. `http://127.0.0.1:11434/v1`."""
    api_key: str = field(default="none", repr=False)
    temperature: float = 1.0
    """0-2; below 0.7 rows repeat one another."""
    rows_per_call: int = 10
    """Rows asked for in one call, 1-50."""
    shown_rows: int = 8
    """Labelled rows shown in one call."""
    timeout_s: float = 120.0
    """Longest time for one call."""
    tries: int = 6
    """How often one call is tried when the endpoint is busy, failing or silent."""


@dataclass(frozen=True, kw_only=True)
class TeacherReport:
    """What a teacher's work came to."""

    accepted: int
    """Rows in the file now."""
    resumed: int
    """Rows of them that an earlier run had left there."""
    rejected: Mapping[str, int]
    """Reason -> rows of this run that were not taken."""
    calls: int
    retries: int


def generate_rows(
    task: Task,
    shown: Sequence[Example],
    path: Path,
    *,
    count: int,
    teacher: Teacher,
    seed: int = 0,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[Event, None, TeacherReport]:
    """Let a teacher write rows into a file until it holds `count`.

    Args:
        task: The task.
        shown: Labelled rows of the training side, some of which are shown in each call.
        path: JSON lines; rows that are there count, and new ones are appended.
        count: Rows the file is to hold.
        teacher: Whom to ask.
        seed: Which rows are shown when.
        sleep: Waits that many seconds between two tries.

    Yields:
        Progress after each call, and warnings before each new try.

    Returns:
        What was accepted and what was not, with the reasons.

    Raises:
        MissingExtra: if the package `openai` is not installed.
        TeacherError: if the endpoint refuses, stays silent, or gives no usable rows.
        DataError: if the file holds rows that cannot be read.
        StorageError: if the disk refuses.
    """
    client = _client(teacher)
    known = _resume(path)
    desk = _Desk(task=task, model=teacher.model, seen={normalise(row.input) for row in (*known, *shown)})
    rng = Random(f"{seed}:{len(known)}")
    accepted, calls, retries, barren = len(known), 0, 0, 0
    first_call = 1 + max(
        (int(row.source.rpartition(":")[2]) for row in known if row.source[-1:].isdigit()), default=0
    )
    while accepted < count:
        rows_shown = [
            censored(row, task.plan, rng) for row in rng.sample(shown, min(len(shown), teacher.shown_rows))
        ]
        messages = _messages(task, [row for row in rows_shown if row is not None], teacher)
        reply, again = yield from _asked(client, teacher, messages, rng, sleep)
        rows = list(desk.taken(reply, call=first_call + calls))[: count - accepted]
        _append(path, rows)
        accepted, calls, retries = accepted + len(rows), calls + 1, retries + again
        barren = 0 if rows else barren + 1
        if barren == BARREN_CALLS:
            raise TeacherError(
                f"{teacher.model} gave no usable row in {BARREN_CALLS} calls: {_told(desk.rejected)}",
                place=teacher.base_url,
                mend="ask a larger model, show it more rows, or lower the temperature; the rows so far are kept",
            )
        yield Progress(stage="teacher", done=accepted, total=count, detail=_told(desk.rejected))
    return TeacherReport(
        accepted=accepted, resumed=len(known), rejected=dict(desk.rejected), calls=calls, retries=retries
    )


def _told(rejected: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{number} {reason}" for reason, number in sorted(rejected.items()))
        or "nothing was rejected"
    )


# -------------------------------------------------------------------------------------------------------- asking


def _client(teacher: Teacher) -> OpenAI:
    try:
        from openai import OpenAI
    except ImportError as error:
        raise MissingExtra(
            "asking a teacher needs the package openai", mend="pip install 'microlith[teacher]'"
        ) from error
    return OpenAI(
        base_url=teacher.base_url, api_key=teacher.api_key, timeout=teacher.timeout_s, max_retries=0
    )


def _asked(
    client: OpenAI,
    teacher: Teacher,
    messages: list[dict[str, str]],
    rng: Random,
    sleep: Callable[[float], None],
) -> Generator[Event, None, tuple[str, int]]:
    """The teacher's reply, and how many tries it took beyond the first."""
    import openai

    passing = (
        openai.APITimeoutError,
        openai.APIConnectionError,
        openai.RateLimitError,
        openai.InternalServerError,
    )
    call: Any = client.chat.completions.create
    for number in range(teacher.tries):
        try:
            reply = call(model=teacher.model, messages=messages, temperature=teacher.temperature)
            return _content(reply), number
        except passing as error:
            if number + 1 == teacher.tries:
                raise TeacherError(
                    f"{teacher.model} did not answer in {teacher.tries} tries: {_reason(error)}",
                    place=teacher.base_url,
                    mend="try again later; the rows so far are kept",
                ) from error
            wait = _wait_s(error, number, rng)
            yield Warned(what=f"{teacher.model}: {_reason(error)}; next try in {wait:.1f} s")
            sleep(wait)
        except openai.OpenAIError as error:
            raise TeacherError(
                f"{teacher.model} refuses: {_reason(error)}",
                place=teacher.base_url,
                mend="check address, model and key",
            ) from error
        except ValueError as error:
            raise TeacherError(
                f"the endpoint's reply is not what OpenAI's interface promises: {error}",
                place=teacher.base_url,
                mend="check that the address ends where the interface begins, often in /v1",
            ) from error
    raise TeacherError("tries must be at least 1", mend="set Teacher.tries to 1 or more")


def _content(reply: Any) -> str:
    """The text of a reply; empty where it has none."""
    choices = getattr(reply, "choices", None) or []
    content = getattr(getattr(choices[0], "message", None), "content", None) if choices else None
    return content if isinstance(content, str) else ""


def _reason(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    text = " ".join(str(error).split())[:200]
    return f"HTTP {status}: {text}" if status else f"{type(error).__name__}: {text}"


def _wait_s(error: Exception, number: int, rng: Random) -> float:
    """Seconds to wait: what the endpoint asks for, else 1, 2, 4, ... with up to a half more by chance."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        asked = float(headers.get("retry-after", ""))
    except ValueError:
        asked = 2.0**number * (1.0 + rng.random() / 2.0)
    return min(LONGEST_WAIT_S, max(0.0, asked))


def _messages(task: Task, shown: Sequence[Example], teacher: Teacher) -> list[dict[str, str]]:
    examples = "\n".join(
        json.dumps({"input": row.input, "output": row.output}, ensure_ascii=False) for row in shown
    )
    schema = json.dumps(task.plan.schema, ensure_ascii=False)
    return [
        {
            "role": "system",
            "content": f"You write training data for this job:\n{task.instruction}\n\nThe answer follows this JSON Schema:\n{schema}",
        },
        {
            "role": "user",
            "content": (
                f"Rows as they should be:\n{examples}\n\nWrite {teacher.rows_per_call} new rows, one JSON object per line"
                ' with the keys "input" and "output" and nothing else around them. Vary wording, tone, length, language'
                " and values; do not repeat the rows above. Every value that the schema marks with x-source must stand"
                " in the input letter for letter."
            ),
        },
    ]


# ------------------------------------------------------------------------------------------------------- judging


@dataclass(kw_only=True)
class _Desk:
    """Where replies are judged row by row."""

    task: Task
    model: str
    seen: set[str]
    rejected: Counter[str] = field(default_factory=Counter)

    def taken(self, reply: str, *, call: int) -> Iterator[Example]:
        """The usable rows of a reply; the others are counted under the reason."""
        found = list(_rows(reply))
        if not found:
            self.rejected["empty replies"] += 1
        for row in found:
            example = self._example(row, f"teacher:{self.model}:{call}")
            if example is None:
                self.rejected["not JSON" if row is None else "not a row"] += 1
                continue
            reason = self._fault(example)
            if reason:
                self.rejected[reason] += 1
            else:
                self.seen.add(normalise(example.input))
                yield example

    def _example(self, row: Json, source: str) -> Example | None:
        render = renderer(self.task)
        try:
            written = {"input": row["input"], "output": row["output"], "source": source, "made_by": "teacher"}
            return parse_row(written, source=source, render=render)[0]
        except (BadRow, KeyError, TypeError):
            return None

    def _fault(self, example: Example) -> str | None:
        if not example.input.strip():
            return "empty requests"
        if normalise(example.input) in self.seen:
            return "repeated"
        if not self.task.validator.is_valid(example.output):
            return "not valid"
        return "not grounded" if problems_of(example, self.task.plan, self.task.validator) else None


def _rows(reply: str) -> Iterator[Json]:
    """The rows of a reply: a JSON array, an object that holds one, or one object per line; None for a broken one."""
    text = "\n".join(line for line in reply.splitlines() if not line.strip().startswith("```")).strip()
    try:
        whole = loads(text)
    except NotStrictJson:
        whole = None
    if isinstance(whole, dict) and "input" not in whole:
        whole = next((item for item in whole.values() if isinstance(item, list)), whole)
    if whole is not None:
        yield from whole if isinstance(whole, list) else [whole]
        return
    for line in text.splitlines():
        if line.strip():
            try:
                yield loads(line.strip().rstrip(","))
            except NotStrictJson:
                yield None


# -------------------------------------------------------------------------------------------------------- keeping


def _resume(path: Path) -> tuple[Example, ...]:
    """The rows of an earlier run; a last line that was cut off by a kill is removed."""
    if not path.exists():
        return ()
    try:
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)
        if not path.stat().st_size:
            return ()
    except OSError as error:
        raise StorageError(
            f"{path} cannot be taken up again: {error.strerror}", place=str(path), mend="check its rights"
        ) from error
    result = read_rows(path)
    if result.bad:
        raise DataError(f"{path} holds rows that cannot be read", problems=result.bad)
    return result.examples


def _append(path: Path, rows: Sequence[Example]) -> None:
    """Write rows at the end of the file and make sure that they are on the disk."""
    lines = "".join(json.dumps(render_row(row, "native"), ensure_ascii=False) + "\n" for row in rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(lines.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(
            f"{path} could not be written: {error.strerror}", place=str(path), mend="free some space"
        ) from error
