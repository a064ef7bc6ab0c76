"""Finding a task's schema, and making a task from rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microlith.errors import DataError, TaskError

if TYPE_CHECKING:
    from microlith.data.example import Example
    from microlith.task.infer_objects import Inferred
    from microlith.task.schema import SchemaDocument


@dataclass(frozen=True, kw_only=True)
class NewTask:
    """A task that was made from rows."""

    folder: Path
    files: tuple[str, ...]
    """What was written, relative to the folder."""
    rows: int
    """Rows that the schema was inferred from."""
    findings: tuple[Inferred, ...]
    """What each part of the answers was taken for."""

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        findings = [asdict(one) for one in self.findings]
        return {
            "folder": str(self.folder),
            "files": list(self.files),
            "rows": self.rows,
            "findings": findings,
        }


def schema_of(target: str | Path) -> tuple[SchemaDocument, TaskError | None]:
    """The schema that `target` names, and what else is wrong with its task.

    Args:
        target: A pack, a task folder, or a JSON Schema file.

    Raises:
        TaskError: if there is no schema that can be read.
    """
    from microlith.task.schema import load_schema
    from microlith.task.taskfile import load_task

    path = Path(target)
    if path.is_file() and path.name != "task.toml":
        return load_schema(path), None
    try:
        return load_task(target).schema, None
    except TaskError as error:
        beside = (path if path.is_dir() else path.parent) / "schema.json"
        if not beside.is_file():
            raise
        return load_schema(beside), error


def new(
    name: str,
    rows: Path,
    *,
    test: Path | None = None,
    folder: Path | None = None,
    instruction: str | None = None,
) -> NewTask:
    """Infer a schema from labelled rows and write a task folder that a person can edit.

    Args:
        name: Lower-case letters, digits, hyphens and underscores.
        rows: Rows in any known format.
        test: Rows to keep aside as the frozen test set; the schema is not inferred from them. None for none.
        folder: Where; it must not be there yet. None for a folder called `name` in the working directory.
        instruction: What the job is, in a sentence; None for a line to be edited.

    Raises:
        UsageError: if the name cannot be a task's, or the folder is there already.
        DataError: with every bad row, or if no schema covers the rows.
        StorageError: if the disk refuses.
    """
    from microlith.task.infer import write_task
    from microlith.task.packs import TASK_FILE

    target = folder or Path(name)
    train = labelled_rows(rows)
    held = labelled_rows(test) if test is not None else ()
    inferred = write_task(target, name, train, test=held, instruction=instruction)
    files = [TASK_FILE, "schema.json", "data/train.jsonl", *(["data/test.jsonl"] if held else [])]
    return NewTask(folder=target, files=tuple(files), rows=len(train), findings=inferred.findings)


def labelled_rows(path: Path) -> tuple[Example, ...]:
    """The rows of a file in any known format.

    Raises:
        DataError: with every row that cannot be read.
    """
    from microlith.data.formats import read_rows

    found = read_rows(path)
    if found.bad:
        raise DataError(f"{path} has {len(found.bad)} rows that cannot be read", problems=found.bad)
    return found.examples
