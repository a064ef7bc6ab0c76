"""Loading the Python files that a task's owner wrote: rules.py, serving.py."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from microlith.errors import TaskError


def load_module(path: Path, task: str) -> ModuleType:
    """The module in `path`, a file of the folder of the task `task`.

    Raises:
        TaskError: if it cannot be loaded, with the line of its own that raised.
    """
    name = f"microlith_{path.stem}_{task.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TaskError(f"{path.name} cannot be loaded", place=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks up there what annotations name
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a person's own code: whatever it raises is told with its line
        del sys.modules[name]
        raise TaskError(
            f"{path.name} cannot be loaded: {type(error).__name__}: {error}", place=_raised_at(error, path)
        ) from error
    return module


def _raised_at(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{path}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{frames[-1].lineno}" if frames else str(path)
