"""A task: task.toml and schema.json, judged by the linter and compiled into a decision plan.

The names below are loaded when first used, so that reading a plan needs neither pydantic nor jsonschema.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microlith.task.packs import pack_folder, packs
    from microlith.task.plan import Plan
    from microlith.task.taskfile import Task, load_task

__all__ = ["Plan", "Task", "load_task", "pack_folder", "packs"]

_HOMES = {
    "Plan": "plan",
    "Task": "taskfile",
    "load_task": "taskfile",
    "pack_folder": "packs",
    "packs": "packs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
