"""Looking at a task's rows, taking rows in and giving them out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from microlith.data.example import Example
from microlith.errors import DataError, Problem, UsageError
from microlith.events import Event, StageStarted

if TYPE_CHECKING:
    from microlith.data.conflicts import Conflict
    from microlith.data.dataset import Dataset
    from microlith.data.dedupe import Duplicate
    from microlith.data.formats import ReadResult
    from microlith.data.split import Fenced
    from microlith.task.plan import Plan
    from microlith.task.taskfile import Task


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What one file of rows turned out to be."""

    path: Path
    format: str
    """"native", "alpaca", "sharegpt", "chat", "mixed" or "none"."""
    container: str
    """"lines", "array" or "none"."""
    rows: int
    """Rows that could be read."""
    preview: tuple[Example, ...]
    """The first three of them as they were understood, secrets masked."""

    def to_json(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        preview = [{"input": row.input, "output": row.output} for row in self.preview]
        return {
            "path": str(self.path), "format": self.format, "container": self.container, "rows": self.rows, "preview": preview,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """Everything that was found out about a task's rows."""

    files: tuple[FileFacts, ...]
    bad: tuple[Problem, ...]
    """One finding a mistake; the rows it is about are left out of everything below."""
    notes: tuple[str, ...]
    labels: tuple[tuple[str, int], ...]
    """Outer choice -> rows, the commonest first; empty where the plan has none."""
    duplicates: tuple[Duplicate, ...]
    conflicts: tuple[Conflict, ...]
    fenced: tuple[Fenced, ...]
    """Rows that would leak: they are kin to a test row, or to one kept for validation, and are never trained on."""
    rows: int
    """Good rows to train on, before duplicates and kin are taken out."""
    validation_rows: int
    """Good rows of the files kept for validation."""
    test_rows: int

    def to_json(self) -> dict[str, Any]:
        """The check as a JSON object."""
        return {
            "rows": self.rows,
            "validation_rows": self.validation_rows,
            "test_rows": self.test_rows,
            "files": [one.to_json() for one in self.files],
            "labels": dict(self.labels),
            "bad": [{"what": one.what, "place": one.place, "mend": one.mend} for one in self.bad],
            "notes": list(self.notes),
            "duplicates": [
                {"place": one.example.source, "of": one.of.source, "reason": one.reason}
                for one in self.duplicates
            ],
            "conflicts": [
                {
                    "places": [row.source for row in one.examples],
                    "certain": one.certain,
                    "what": one.problem().what,
                }
                for one in self.conflicts
            ],
            "leaks": [
                {"place": one.example.source, "kin_to": one.kin_to, "reason": one.reason}
                for one in self.fenced
            ],
        }


def check_data(task: Task) -> DataCheck:
    """Read and judge every row of a task. A bad row is a finding, not an error.

    Raises:
        DataError: if a file cannot be read at all, or there is none.
    """
    from microlith.data.conflicts import find_conflicts
    from microlith.data.dedupe import deduplicate
    from microlith.data.load import load_examples, load_test, load_validation
    from microlith.data.split import fence, stratum

    loaded, given, tested = load_examples(task), load_validation(task), load_test(task)
    unique = deduplicate(loaded.examples)
    labels = Counter(label for row in loaded.examples if (label := stratum(row, task.plan)))
    return DataCheck(
        files=tuple(file_facts(path, task) for path in task.train_files),
        bad=(*loaded.bad, *given.bad, *tested.bad),
        notes=(*loaded.notes, *given.notes, *tested.notes),
        labels=tuple((label.strip('"'), count) for label, count in labels.most_common()),
        duplicates=unique.removed,
        conflicts=find_conflicts(unique.kept, plan=task.plan),
        fenced=fence(unique.kept, (*tested.examples, *given.examples), task.plan)[1],
        rows=len(loaded.examples),
        validation_rows=len(given.examples),
        test_rows=len(tested.examples),
    )


def file_facts(path: Path, task: Task | None = None) -> FileFacts:
    """What a file of rows is, told by its content.

    Raises:
        DataError: if the file cannot be read.
    """
    result = _read(path, task)
    return FileFacts(
        path=path,
        format=result.format,
        container=result.container,
        rows=len(result.examples),
        preview=_masked(result.preview, task.plan if task else None),
    )


def import_rows(
    task: Task, path: Path, *, name: str | None = None, skip_bad: bool = False
) -> tuple[FileFacts, int, Path]:
    """Take rows of any known format into a task as native rows.

    Args:
        task: Whose schema the answers must fit.
        path: The file to read.
        name: File name below the task's `data/`; None for `train-` and the file's own name.
        skip_bad: True to take the good rows and leave the bad ones.

    Returns:
        What the file is, the number of rows taken, and the file they were written to.

    Raises:
        DataError: with every bad row, unless `skip_bad`; or if no row is left.
        UsageError: if the file to write is there already, or would not be read as training rows.
    """
    from microlith.data.formats import write_rows
    from microlith.data.load import load_files

    target = task.folder / "data" / (name or f"train-{path.name.split('.')[0]}.jsonl")
    if target.exists():
        raise UsageError(f"{target} is there already", mend="name another one with --to")
    facts, loaded = file_facts(path, task), load_files(task, [path])
    rows = loaded.examples if skip_bad else loaded.checked()
    if not rows:
        raise DataError(
            f"{path} holds no usable row", place=str(path), mend="see the findings of: microlith data check"
        )
    return facts, write_rows(target, rows), target


def export_rows(dataset: Dataset, folder: Path, row_format: str, *, instruction: str) -> dict[str, int]:
    """Write the parts of a dataset as `train.jsonl`, `validation.jsonl` and `test.jsonl`; empty parts are left out.

    Args:
        dataset: The dataset.
        folder: Made if it is not there.
        row_format: One of `microlith.data.rows.ROW_FORMATS`.
        instruction: The task's instruction, for the formats that carry one.

    Returns:
        File name -> rows written.

    Raises:
        UsageError: if there is no such format.
        StorageError: if the disk refuses.
    """
    from microlith.data.formats import write_lines, write_rows
    from microlith.data.rows import ROW_FORMATS

    shape = next((one for one in ROW_FORMATS if one == row_format), None)
    if shape is None:
        raise UsageError(f"no row format is called {row_format!r}", mend=f"one of: {', '.join(ROW_FORMATS)}")

    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    written = {
        f"{part}.jsonl": write_rows(folder / f"{part}.jsonl", rows, shape, instruction=instruction)
        for part, rows in parts.items()
        if rows
    }
    lineage = (
        {
            "part": one.part,
            "key": one.key,
            "source": one.source,
            "parents": list(one.parents),
            "made_by": one.made_by,
        }
        for one in dataset.lineage()
    )
    return written | {"lineage.jsonl": write_lines(folder / "lineage.jsonl", lineage)}


def split_rows(
    task: Task, *, seed: int, validation_share: float | None, refill: int | None
) -> Generator[Event, None, Dataset]:
    """A task's dataset, made as training makes it.

    Args:
        task: The task.
        seed: Fixes every random choice.
        validation_share: Share of the written rows for validation, above 0 and below 1; None does as training does.
        refill: Made copies of each row; 0 leaves only the written rows, None does as training does.
    """
    from microlith.data.dataset import build_dataset

    more: dict[str, Any] = {} if refill is None else {"refill": refill}
    if refill == 0:
        more |= {"compose_share": 0.0, "noise_share": 0.0}
    return build_dataset(task, seed=seed, validation_share=validation_share, **more)


def resampled(task: Task, output: Path, *, count: int, seed: int) -> Generator[Event, None, dict[str, Any]]:
    """Write rows made of the task's written rows: refilled, composed, noisy; returns what was written.

    Raises:
        DataError: if there are no good rows.
    """
    from microlith.data.augment import Augmentation, augmented, has_values
    from microlith.data.formats import write_rows
    from microlith.data.load import load_examples

    rows = load_examples(task).checked()
    yield StageStarted(stage="data", detail=f"{len(rows):,} written rows")
    copies = -(-count // len(rows))
    how = Augmentation(refill=copies, compose_share=0.1, noise_share=0.3 if has_values(task.plan) else 1.0)
    made = [row for row in augmented(rows, task.plan, how, seed=seed) if task.validator.is_valid(row.output)]
    chosen = Random(seed).sample(made, min(count, len(made)))
    return {"rows": write_rows(output, chosen), "output": str(output)}


def from_templates(
    task: Task, templates: Path, output: Path, *, count: int, seed: int
) -> Generator[Event, None, dict[str, Any]]:
    """Write rows made of a template file; values of the task's written rows are used beside made-up ones.

    Raises:
        DataError: with every mistake in the template file.
    """
    from microlith.data.formats import write_rows
    from microlith.data.load import load_examples
    from microlith.data.resample import Pool
    from microlith.data.templates import generate, load_templates

    yield StageStarted(stage="data", detail=str(templates))
    file = load_templates(templates, task.plan, task.validator)
    pool = Pool.of(load_examples(task).examples, task.plan) if task.train_files else None
    written = write_rows(output, generate(file, task.plan, count=count, seed=seed, pool=pool))
    return {"rows": written, "output": str(output), "phrasings": len(file.templates)}


def from_teacher(
    task: Task, output: Path, *, count: int, url: str, model: str, seed: int
) -> Generator[Event, None, dict[str, Any]]:
    """Let a teacher write rows until the file holds `count`; its key is read from OPENAI_API_KEY.

    Raises:
        MissingExtra: if the package `openai` is not installed.
        TeacherError: if the endpoint refuses, stays silent, or gives no usable rows; the rows so far are kept.
    """
    from microlith.data.load import load_examples
    from microlith.data.teacher import Teacher, generate_rows

    teacher = Teacher(model=model, base_url=url, api_key=os.environ.get("OPENAI_API_KEY", "none"))
    shown = load_examples(task).checked()
    report = yield from generate_rows(task, shown, output, count=count, teacher=teacher, seed=seed)
    return {
        "rows": report.accepted, "output": str(output), "resumed": report.resumed, "rejected": dict(report.rejected),
        "calls": report.calls, "retries": report.retries,
    }  # fmt: skip


def _read(path: Path, task: Task | None) -> ReadResult:
    from microlith.data.formats import read_rows
    from microlith.data.rows import renderer

    return read_rows(path, render=renderer(task) if task is not None else None)


def _masked(rows: Sequence[Example], plan: Plan | None) -> tuple[Example, ...]:
    """Rows without the secrets that the schema names."""
    from dataclasses import replace

    if plan is None:
        return tuple(rows)
    from microlith.evaluation.masking import Masker

    maskers = [Masker(plan, expected=row.output, got=None) for row in rows]
    return tuple(
        replace(row, input=masker.text(row.input), output=masker.answer(row.output))
        for masker, row in zip(maskers, rows, strict=True)
    )
