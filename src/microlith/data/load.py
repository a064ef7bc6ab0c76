"""A task's rows, read and checked: each names its place, fits the schema and copies what it says it copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from microlith.data.example import Example
from microlith.data.formats import read_rows
from microlith.data.rows import renderer
from microlith.data.spans import Binding, bindings
from microlith.errors import DataError, Problem
from microlith.task.plan import Plan

if TYPE_CHECKING:
    from microlith.task.taskfile import Task
    from microlith.task.validate import Validator


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Rows of one or more files."""

    examples: tuple[Example, ...]
    """The good rows: they fit the schema, and every grounded value is a slice of its request."""
    bad: tuple[Problem, ...]
    """One finding per mistake of the other rows."""
    notes: tuple[str, ...] = ()
    """What the reader should know, e.g. keys that were not used."""

    def checked(self) -> tuple[Example, ...]:
        """The rows, if all of them are good.

        Raises:
            DataError: with every finding, if one is not.
        """
        if self.bad:
            raise DataError(f"{len(self.bad)} mistakes in the rows", problems=self.bad)
        return self.examples


def load_examples(task: Task) -> Loaded:
    """Read and check the rows that a task trains on.

    Raises:
        DataError: if a file cannot be read at all, or there is none.
    """
    if not task.train_files:
        raise DataError(
            f"the task {task.name} has no rows to train on",
            place=str(task.folder),
            mend="put rows into data/train.jsonl",
        )
    return load_files(task, task.train_files)


def load_validation(task: Task) -> Loaded:
    """Read and check the rows that the task keeps for validation; empty where it names none.

    Raises:
        DataError: if a file cannot be read at all.
    """
    return load_files(task, task.validation_files)


def load_test(task: Task) -> Loaded:
    """Read and check the rows that only the final score may read; empty where the task has none.

    Raises:
        DataError: if the file cannot be read at all.
    """
    return load_files(task, [task.test_file] if task.test_file else [])


def load_files(task: Task, paths: Sequence[Path]) -> Loaded:
    """Read and check rows for a task from any files.

    Raises:
        DataError: if a file cannot be read at all.
    """
    examples: list[Example] = []
    bad: list[Problem] = []
    notes: list[str] = []
    for path in paths:
        result = read_rows(path, name=_name(path, task.folder), render=renderer(task))
        bad += result.bad
        notes += [
            f"{path}: the key {key!r} of {count} rows is not used" for key, count in result.ignored.items()
        ]
        for example, place in zip(result.examples, result.places, strict=True):
            found = problems_of(example, task.plan, task.validator, place=place)
            bad += found
            if not found:
                examples.append(example)
    return Loaded(examples=tuple(examples), bad=tuple(bad), notes=tuple(notes))


def problems_of(
    example: Example, plan: Plan, validator: Validator, *, place: str | None = None
) -> list[Problem]:
    """What is wrong with a row's answer: where it does not fit the schema, and values that were not copied.

    Args:
        example: The row.
        plan: The task's plan.
        validator: The task's compiled schema.
        place: `file:line` for the findings; None for the row's source.
    """
    where = place or example.source
    if not validator.is_valid(example.output):
        return [
            Problem(what=f"{problem.place or 'the answer'}: {problem.what}", place=where, mend=problem.mend)
            for problem in validator.problems(example.output)
        ]
    try:
        bound = bindings(plan, example.output)
    except DataError as error:
        return [Problem(what=error.what, place=where, mend="correct the answer")]
    return [_not_copied(binding, where) for binding in bound if not _is_slice(binding, example.input)]


def _is_slice(binding: Binding, text: str) -> bool:
    return binding.text in text or ("number" in binding.span.types and binding.text.replace(".", ",") in text)


def _not_copied(binding: Binding, where: str) -> Problem:
    path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in binding.place).lstrip(".")
    shown = "the secret value" if binding.slot.secret else repr(binding.text)
    return Problem(
        what=f"{path}: {shown} is not a slice of the request",
        place=where,
        mend="copy it letter for letter from the request, or drop x-source from the schema",
    )


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
