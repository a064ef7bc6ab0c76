"""The tasks that ship with Microlith."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from microlith.errors import UnknownTask

TASK_FILE = "task.toml"
"""The file that makes a folder a task."""

_ROOT = Path(__file__).resolve().parent.parent / "packs"


def packs() -> tuple[str, ...]:
    """Names of the tasks that ship, sorted."""
    return tuple(sorted(entry.parent.name for entry in _ROOT.glob(f"*/{TASK_FILE}")))


def pack_folder(name: str) -> Path:
    """The folder of a task that ships.

    Raises:
        UnknownTask: if none has that name; the message lists those there are.
    """
    if name not in packs():
        raise unknown_task(name)
    return _ROOT / name


def unknown_task(name: str) -> UnknownTask:
    """The error for a task that is neither a folder nor a pack."""
    known = packs()
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return UnknownTask(
        f"no task {name!r}: no folder of that name holds a {TASK_FILE}, and no pack is called so",
        mend=f"{meant}packs are {', '.join(known)}; a task of your own is a folder with {TASK_FILE}",
    )
