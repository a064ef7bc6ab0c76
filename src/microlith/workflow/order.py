"""What is to be trained, and the fingerprint by which work that was done is known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from microlith import __version__
from microlith.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from microlith.task.taskfile import Task
    from microlith.training.settings import EncoderSettings

RECIPES = ("auto", "encoder", "linear")
DATA_SETTINGS: dict[str, type] = {
    "refill": int,
    "compose_share": float,
    "noise_share": float,
    "validation_share": float,
    "fence": str,
}
"""Settings of the dataset that may be overridden beside those of the recipe; names of `build_dataset`."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a caller wants trained."""

    recipe: str = "auto"
    """"auto", "encoder" or "linear"."""
    size: str | None = None
    """The dial; None takes the task's, else the recipe's own."""
    seed: int = 0
    minutes: float | None = None
    """Longest training time, above 0; None for no limit."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Setting -> value, of the recipe or of `DATA_SETTINGS`."""
    fresh: bool = False
    """True to reuse nothing."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """An order made definite for a task."""

    kind: Literal["encoder", "linear"]
    """The most that is trained; baselines come on top."""
    chooses: bool
    """True when the cheaper model is preferred unless the encoder is better."""
    encoder: EncoderSettings | None
    """None for the linear recipe."""
    data: Mapping[str, Any]
    """Arguments of `build_dataset` but the seed."""
    seed: int
    minutes: float | None
    inputs: str
    """Fingerprint (hex, 16 digits) of schema, rows and settings, without the seed."""

    @property
    def slug(self) -> str:
        """What a run is called: equal slugs may go on with each other's work."""
        return f"{self.kind}-{self.inputs}-{self.seed}"


def resolve_order(task: Task, order: Order) -> Resolved:
    """Make an order definite.

    Raises:
        UsageError: if the recipe, the size or a setting is unknown or out of range.
        MissingExtra: if the recipe needs libraries that are not installed.
    """
    wanted = order.recipe if order.recipe != "auto" else task.recipe
    if wanted not in RECIPES:
        raise UsageError(
            f"the recipe {wanted!r} is not there yet",
            mend=f"choose one of {', '.join(RECIPES)} with --recipe",
        )
    overrides = {**task.settings, **order.overrides}
    size = order.size or str(overrides.pop("size", "standard"))
    overrides.pop("size", None)
    data = {
        name: _number(name, overrides.pop(name), DATA_SETTINGS[name])
        for name in tuple(overrides)
        if name in DATA_SETTINGS
    }
    kind = _kind(wanted)
    encoder = _encoder_settings(size, {**overrides, "seed": order.seed}) if kind == "encoder" else None
    return Resolved(
        kind=kind, chooses=wanted == "auto", encoder=encoder, data=data, seed=order.seed, minutes=order.minutes,
        inputs=_fingerprint(task, kind, encoder, data, order.minutes, chooses=wanted == "auto"),
    )  # fmt: skip


def _kind(wanted: str) -> Literal["encoder", "linear"]:
    if find_spec("scipy") is None:
        raise MissingExtra("training needs scipy", mend='pip install "microlith[train]"')
    if wanted == "linear":
        return "linear"
    missing = [name for name in ("torch", "transformers", "onnx") if find_spec(name) is None]
    if missing and wanted == "encoder":
        raise MissingExtra(
            f"the encoder recipe needs {', '.join(missing)}", mend='pip install "microlith[train]"'
        )
    return "linear" if missing else "encoder"


def _encoder_settings(size: str, overrides: Mapping[str, Any]) -> EncoderSettings:
    from microlith.training.settings import settings_of

    return settings_of(size, overrides)


def _number(name: str, value: Any, kind: type) -> Any:
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}={value!r} is no {kind.__name__}", mend=f"e.g. --set {name}=1") from error


def _fingerprint(
    task: Task,
    kind: str,
    encoder: EncoderSettings | None,
    data: Mapping[str, Any],
    minutes: float | None,
    *,
    chooses: bool,
) -> str:
    settings = (
        {name: value for name, value in asdict(encoder).items() if name != "seed"}
        if encoder is not None
        else {}
    )
    facts = {
        "version": __version__, "kind": kind, "chooses": chooses, "settings": settings, "data": dict(data), "minutes": minutes,
        "schema": task.schema.value, "input": task.input_kind,
        "files": [[path.name, _sha256(path)] for path in (*task.train_files, *task.validation_files, task.test_file, task.folder / "rules.py") if path],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
