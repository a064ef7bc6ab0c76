"""Microlith turns one narrow text-to-JSON job into a small, proven model that answers in milliseconds on a CPU.

    task = microlith.load_task("infra")
    for event in microlith.train(task):
        ...
    model = microlith.load_model("infra")
    model.predict(["add dns record api.local to 10.0.0.5"])

Every name below is loaded when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from microlith.version import VERSION

if TYPE_CHECKING:
    from microlith.data.dataset import build_dataset, finished
    from microlith.errors import MicrolithError
    from microlith.inference.protocol import Model, Prediction
    from microlith.registry.models import load_model
    from microlith.task.taskfile import Task, load_task
    from microlith.workflow.doctor import examine as doctor
    from microlith.workflow.evaluate import evaluate
    from microlith.workflow.order import Order
    from microlith.workflow.tasks import new
    from microlith.workflow.train import train

__version__ = VERSION
__all__ = [
    "load_task", "new", "build_dataset", "train", "Order", "finished", "evaluate", "load_model", "doctor",
    "Task", "Model", "Prediction", "MicrolithError",
]  # fmt: skip

_HOMES = {
    "load_task": "task.taskfile", "Task": "task.taskfile", "new": "workflow.tasks", "build_dataset": "data.dataset",
    "finished": "data.dataset", "train": "workflow.train", "Order": "workflow.order", "evaluate": "workflow.evaluate",
    "load_model": "registry.models", "doctor": "workflow.doctor", "Model": "inference.protocol",
    "Prediction": "inference.protocol", "MicrolithError": "errors",
}  # fmt: skip
_RENAMED = {"doctor": "examine"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), _RENAMED.get(name, name))
