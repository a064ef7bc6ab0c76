"""Where Microlith keeps what it makes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from microlith.errors import UsageError

VARIABLE = "MICROLITH_HOME"
"""Environment variable that names another home than `.microlith` in the current folder."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE)


def home(environment: Mapping[str, str] | None = None) -> Path:
    """The folder of runs and artifacts: `MICROLITH_HOME`, else `.microlith` in the current folder. It need not exist yet."""
    named = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
    return Path(named).expanduser() if named else Path(".microlith")


def artifacts_of(task: str, root: Path) -> Path:
    """The folder of a task's artifacts.

    Raises:
        UsageError: if the task's name cannot be a folder's.
    """
    return root / "artifacts" / checked_name(task)


def runs_of(task: str, root: Path) -> Path:
    """The folder of a task's runs.

    Raises:
        UsageError: if the task's name cannot be a folder's.
    """
    return root / "runs" / checked_name(task)


def checked_name(name: str, what: str = "task") -> str:
    """`name`, if it can name a folder on every system.

    Raises:
        UsageError: if it cannot; `what` says what it names.
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise UsageError(
            f"{what} {name!r} cannot be a folder's name",
            mend="use 1-64 letters, digits, points, hyphens and underscores, a letter or digit first",
        )
    return name
