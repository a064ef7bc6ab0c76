"""From labelled rows to a task that a person can edit: `microlith new NAME --from rows.jsonl`.

What an answer's parts are is read off the answers themselves. An object whose keys depend on one of its values (an
action, an intent) becomes a `oneOf` with that value as a constant, where this settles most of what optional keys would
leave open. A branch that holds a list of the other branches becomes `"x-role": "sequence"`, one that names what is
missing `"x-role": "clarify"`.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from microlith.errors import DataError, MicrolithError, Problem, SchemaError, StorageError, UsageError
from microlith.task.infer_objects import Depth, Inference, Inferred
from microlith.task.infer_values import Seen
from microlith.task.linter import plan_of
from microlith.task.packs import TASK_FILE
from microlith.task.plan import Json
from microlith.task.schema import document_of
from microlith.task.validate import Validator

TASK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What a task may be called."""

_WIDTH = 100
_MOST_PROBLEMS = 20


class Row(Protocol):
    """A request with its right answer, as `microlith.data.example.Example` holds it."""

    @property
    def input(self) -> str:
        """The request."""
        ...

    @property
    def output(self) -> Json:
        """Its answer."""
        ...


@dataclass(frozen=True, kw_only=True)
class InferredSchema:
    """A schema and how it came about."""

    schema: dict[str, Any]
    findings: tuple[Inferred, ...]
    """What every path was taken for, with counts and doubts."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a person should look at, one line each."""
        return tuple(f"{found.path}: {doubt}" for found in self.findings for doubt in found.doubts)


def infer_task(examples: Iterable[Row], *, title: str = "task") -> InferredSchema:
    """Infer the schema that all rows' answers validate against.

    The same rows in the same order always give the same schema.

    Raises:
        DataError: if there are no rows, an answer is no object, or a path holds kinds of values that no decision
            covers; all such paths at once.
        SchemaError: if what the rows show has no decision plan.
    """
    rows = list(examples)
    if not rows:
        raise DataError(
            "there are no rows to infer a task from", mend="give at least two rows of every kind of request"
        )
    wrong = [index for index, row in enumerate(rows) if not isinstance(row.output, dict)]
    if wrong:
        raise DataError(
            f"every output must be one JSON object, {len(wrong)} of {len(rows)} are none",
            problems=[_no_object(index, rows[index].output) for index in wrong[:_MOST_PROBLEMS]],
        )
    failures: list[MicrolithError] = []
    for depth in _DEPTHS:
        try:
            return _inferred(rows, title, depth)
        except (DataError, SchemaError) as error:
            failures.append(error)
    raise failures[0]


_DEPTHS: tuple[Depth, ...] = ("roles", "branches", "flat")


def _inferred(rows: Sequence[Row], title: str, depth: Depth) -> InferredSchema:
    """The schema at one depth, proved: it has a plan and every row validates.

    Raises:
        DataError: if it does not cover the rows.
        SchemaError: if it has no plan.
    """
    inference = Inference([row.input for row in rows], depth)
    body = inference.root([Seen(value=row.output, row=index) for index, row in enumerate(rows)])
    inference.settle(body)
    if inference.problems:
        raise DataError("no schema covers these rows", problems=inference.problems)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **body}
    plan_of(document_of(schema))
    validator = Validator(schema)
    astray = [index for index, row in enumerate(rows) if not validator.is_valid(row.output)]
    if astray:
        raise DataError(
            f"{len(astray)} rows do not fit the schema that the others show",
            problems=[problem for index in astray[:5] for problem in validator.problems(rows[index].output)],
        )
    return InferredSchema(schema=schema, findings=tuple(inference.findings))


def write_task(
    folder: Path,
    name: str,
    examples: Iterable[Row],
    *,
    test: Iterable[Row] = (),
    instruction: str | None = None,
    input_kind: Literal["text", "json"] = "text",
) -> InferredSchema:
    """Make a task folder from rows: task.toml, schema.json, data/train.jsonl and, where given, data/test.jsonl.

    The folder appears under its name only when it is complete.

    Args:
        folder: Where it shall lie; must not exist, or be empty.
        name: Lower-case letters, digits, `-` and `_`.
        examples: The rows; all of them are written to data/train.jsonl.
        test: Rows to keep aside as the frozen test set; the schema is not inferred from them.
        instruction: What the job is, in words; None writes a sentence to be edited.
        input_kind: "json" where requests are structured.

    Raises:
        UsageError: if the name is no task name or the folder is in use.
        DataError: if no schema can be inferred; see `infer_task`.
        SchemaError: if the inferred schema has no decision plan.
        StorageError: if the disk refuses.
    """
    if not TASK_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no task name", mend="use lower-case letters, digits, - and _, up to 64 of them"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists already", mend="choose another name, or remove it first")
    rows, held = list(examples), list(test)
    inferred = infer_task(rows, title=name)
    said = instruction or f"Turn a request into the answer of {name}."
    files = {
        TASK_FILE: _task_toml(name, said, input_kind, tested=bool(held)),
        "schema.json": schema_text(inferred.schema),
        "data/train.jsonl": "".join(f"{line}\n" for line in _lines(rows)),
    }
    if held:
        files["data/test.jsonl"] = "".join(f"{line}\n" for line in _lines(held))
    try:
        _place(folder, files)
    except OSError as error:
        raise StorageError(
            f"the task cannot be written: {error.strerror}",
            place=str(folder),
            mend="free space, or choose another folder",
        ) from error
    return inferred


def schema_text(schema: Json, indent: int = 0) -> str:
    """JSON for people: what fits into a line stands on one line."""
    flat = json.dumps(schema, ensure_ascii=False)
    if len(flat) + indent <= _WIDTH or not isinstance(schema, dict | list) or not schema:
        return flat + ("\n" if indent == 0 else "")
    inner = " " * (indent + 2)
    if isinstance(schema, dict):
        parts = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {schema_text(value, indent + 2)}"
            for key, value in schema.items()
        ]
        opening, closing = "{", "}"
    else:
        parts = [inner + schema_text(value, indent + 2) for value in schema]
        opening, closing = "[", "]"
    body = ",\n".join(parts)
    return f"{opening}\n{body}\n{' ' * indent}{closing}" + ("\n" if indent == 0 else "")


def _no_object(index: int, output: Json) -> Problem:
    kind = {str: "a text", list: "a list", type(None): "null", bool: "true or false"}.get(
        type(output), "a number"
    )
    return Problem(what=f"row {index + 1}: the output is {kind}", mend='write an object, e.g. {"label": ...}')


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    """Rows as native JSONL; a `source` is kept where several rows share it, for that makes them kin."""
    sources = Counter(getattr(row, "source", None) for row in rows)
    for row in rows:
        line: dict[str, Json] = {"input": row.input, "output": row.output}
        source, weight = getattr(row, "source", None), getattr(row, "weight", 1.0)
        if source is not None and sources[source] > 1:
            line["source"] = source
        if getattr(row, "group", None) is not None:
            line["group"] = row.group  # type: ignore[attr-defined]
        if getattr(row, "verified", False):
            line["verified"] = True
        if weight != 1.0:
            line["weight"] = weight
        yield json.dumps(line, ensure_ascii=False)


def _place(folder: Path, files: dict[str, str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, text in files.items():
            path = partial / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
        partial.chmod(0o755)
        if folder.is_dir():
            folder.rmdir()
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _task_toml(name: str, instruction: str, input_kind: str, *, tested: bool) -> str:
    return f"""\
name = {json.dumps(name)}
# What the job is, in a sentence or two. Larger models and teachers are told so; write it well.
instruction = {json.dumps(instruction, ensure_ascii=False)}
# What comes in: "text", or "json" where requests are structured.
input = {json.dumps(input_kind)}
# What goes out. Inferred from the rows: read it once, then `microlith lint {name}` explains it keyword by keyword.
schema = "schema.json"
# Who is asked, in turn: the trained specialist, then rules.py (a function parse(text) -> dict | None), if there is one.
route = ["specialist", "rules"]

[data]
# Rows to learn from: {{"input": ..., "output": ...}} a line. Add files freely; every match is read.
train = ["data/train*.jsonl"]
# Rows like the traffic to come that confidence is fitted on and nothing is trained on. Without them a part of the
# training rows is kept apart.
# validation = ["data/validation.jsonl"]
# Rows that only the final score may read. Without them a part of the training rows is kept apart.
{"" if tested else "# "}test = "data/test.jsonl"

[recipe]
# "auto" takes the cheapest recipe that the schema allows and the paired test prefers. Any value of a recipe can be
# set here, e.g. size = 2 or seed = 7.
name = "auto"

[error_budget]
# At most this share of the given answers may be wrong; the rest is not answered.
max_wrong = 0.02
"""
