"""Runs: what was done to make an artifact, kept so that it can be read, repeated and gone on with after a kill.

.microlith/runs/<task>/<utc>-<slug>/    config.toml  dataset.json  metrics.json  log
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from microlith.errors import UsageError
from microlith.registry.folders import (
    discard,
    disk,
    is_left_behind,
    new_part,
    part_name,
    parts,
    rename_new,
    replace_text,
    write_through,
)
from microlith.registry.home import checked_name, home, runs_of

CONFIG, DATASET, METRICS, LOG = "config.toml", "dataset.json", "metrics.json", "log"
"""Files that every finished run has."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run."""

    task: str
    name: str
    """`<utc>-<slug>`, e.g. `20250131T142233Z-encoder`."""
    folder: Path


class OpenRun:
    """A run that goes on. Whatever is put into `folder` (checkpoints too) is there again after `resume_run`."""

    def __init__(self, task: str, name: str, folder: Path) -> None:
        self.task, self.name, self.folder = task, name, folder

    def write_config(self, values: Mapping[str, Any]) -> None:
        """Write config.toml: scalars, lists of scalars and tables of these; None values are left out.

        Raises:
            UsageError: if a value cannot be written as TOML.
            StorageError: if the disk refuses.
        """
        replace_text(self.folder / CONFIG, to_toml(values))

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file such as dataset.json or metrics.json; readers see the old file or the new one.

        Raises:
            UsageError: if the value is not JSON (a number that is not finite is none).
            StorageError: if the disk refuses.
        """
        try:
            text = json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{name} cannot be written as JSON: {error}") from error
        replace_text(self.folder / name, text + "\n")

    def log(self, line: str) -> None:
        """Append a line to the log.

        Raises:
            StorageError: if the disk refuses.
        """
        with (
            disk(self.folder / LOG),
            (self.folder / LOG).open("a", encoding="utf-8", errors="backslashreplace") as file,
        ):
            file.write(line.rstrip("\n") + "\n")

    def finish(self) -> Run:
        """Give the run its final name; it is then whole on the disk.

        Raises:
            UsageError: if one of its four files was never written.
            StorageError: if the disk refuses; the run can then still be resumed.
        """
        missing = [name for name in (CONFIG, DATASET, METRICS, LOG) if not (self.folder / name).is_file()]
        if missing:
            raise UsageError(f"the run {self.name} has no {', '.join(missing)}", place=str(self.folder))
        with disk(self.folder):
            write_through(self.folder)
        for count in range(1, 1000):
            name = self.name if count == 1 else f"{self.name}-{count}"
            final = self.folder.parent / name
            if rename_new(self.folder, final):
                self.folder, self.name = final, name
                return Run(task=self.task, name=name, folder=final)
        raise UsageError(f"a thousand runs are called {self.name}")

    def discard(self) -> None:
        """Remove the run and all that is in its folder."""
        discard(self.folder)


def start_run(task: str, slug: str, *, started: datetime, root: Path | None = None) -> OpenRun:
    """Begin a run; what killed runs of the same slug left behind is removed.

    Args:
        task: The task's name.
        slug: What is run, e.g. `encoder-small`; equal slugs are runs that may go on with each other's work.
        started: When, with a time zone.
        root: Home of the runs; None takes `home()`.

    Raises:
        UsageError: if task or slug cannot be a folder's name, or `started` has no time zone.
        StorageError: if the disk refuses.
    """
    if started.tzinfo is None:
        raise UsageError(f"the time {started} has no time zone", mend="pass datetime.now(UTC)")
    parent = runs_of(task, root or home())
    name = f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{checked_name(slug, 'slug')}"
    for part in _left(parent, slug):
        discard(part)
    return OpenRun(task, name, new_part(parent, name))


def resume_run(task: str, slug: str, *, root: Path | None = None) -> OpenRun | None:
    """Go on with the newest run of this slug that was killed; None where there is none. Only one process gets it.

    Raises:
        UsageError: if task or slug cannot be a folder's name.
        StorageError: if the disk refuses.
    """
    parent = runs_of(task, root or home())
    for part in reversed(_left(parent, checked_name(slug, "slug"))):
        name = part.name.partition("~")[2]
        taken = parent / part_name(name)
        with disk(parent):
            try:
                part.rename(taken)
            except FileNotFoundError:
                continue  # another process was faster
        return OpenRun(task, name, taken)
    return None


def list_runs(task: str | None = None, *, root: Path | None = None) -> tuple[Run, ...]:
    """Finished runs of a task, or of all tasks, the newest first within a task."""
    base = (root or home()) / "runs"
    tasks = [checked_name(task)] if task is not None else _folders(base)
    return tuple(
        Run(task=one, name=name, folder=base / one / name)
        for one in tasks
        for name in reversed(_folders(base / one))
    )


def to_toml(values: Mapping[str, Any]) -> str:
    """Values as TOML text: scalars and lists first, then one table a nested mapping; None values are left out.

    Raises:
        UsageError: if a value has no TOML form.
    """
    plain = {
        key: value for key, value in values.items() if value is not None and not isinstance(value, Mapping)
    }
    lines = [f"{_toml(str(key))} = {_toml(value)}" for key, value in plain.items()]
    for key, table in values.items():
        if isinstance(table, Mapping):
            inner = [
                f"{_toml(str(name))} = {_toml(value)}" for name, value in table.items() if value is not None
            ]
            lines += ["", f"[{_toml(str(key))}]", *inner]
    return "\n".join(lines).lstrip("\n") + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool | str):
        return (
            json.dumps(value, ensure_ascii=False)
            .replace("\x7f", "\\u007f")
            .encode("utf-8", "replace")
            .decode()
        )
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Path):
        return _toml(value.as_posix())
    raise UsageError(
        f"{value!r} cannot be written into {CONFIG}", mend="use text, numbers, booleans and lists of these"
    )


def _left(parent: Path, slug: str) -> list[Path]:
    """Unfinished runs of a slug whose process is gone, the oldest first."""
    now = time.time()
    mine = [part for part in parts(parent) if part.name.partition("~")[2].partition("-")[2] == slug]
    return sorted(
        (part for part in mine if is_left_behind(part, now)), key=lambda part: part.name.partition("~")[2]
    )


def _folders(base: Path) -> list[str]:
    try:
        return sorted(path.name for path in base.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
