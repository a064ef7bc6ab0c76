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
from microlith.registry.folders import sha256_of
from microlith.training.overriding import as_toml, converted

if TYPE_CHECKING:
    from microlith.task.taskfile import Task
    from microlith.training.causal_settings import CausalSettings
    from microlith.training.scratch_settings import ScratchSettings
    from microlith.training.settings import EncoderSettings

    Settings = EncoderSettings | ScratchSettings | CausalSettings

Kind = Literal["encoder", "generative", "linear", "nearest"]
BASELINES = ("linear", "nearest")
"""Recipes without settings, which are trained beside every other too."""
RECIPES = ("auto", "encoder", *BASELINES, "scratch", "full", "lora", "qlora")
FINE_TUNING = ("full", "lora", "qlora")
"""Recipes that begin with a pretrained language model."""
_KINDS: Mapping[str, Kind] = {"encoder": "encoder", "linear": "linear", "nearest": "nearest"}
NEEDED: Mapping[str, tuple[str, ...]] = {
    "encoder": ("torch", "transformers", "onnx"),
    "scratch": ("torch", "transformers", "safetensors", "gguf", "xllamacpp"),
    **dict.fromkeys(
        FINE_TUNING,
        ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "jinja2", "gguf", "xllamacpp"),
    ),
}
"""Recipe -> libraries without which it cannot begin."""
EXTRA = {"encoder": "train", "scratch": "train", **dict.fromkeys(FINE_TUNING, "train,finetune")}
"""Recipe -> extras of this package that bring them."""
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
    """One of RECIPES."""
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

    kind: Kind
    """The most that is trained; baselines come on top."""
    recipe: str
    """Never "auto"."""
    chooses: bool
    """True when the cheaper model is preferred unless the larger one is better."""
    settings: Settings | None
    """None for a baseline alone."""
    baseline: str
    """One of BASELINES: nearest where linear cannot make every decision."""
    data: Mapping[str, Any]
    """Arguments of `build_dataset` but the seed."""
    seed: int
    minutes: float | None
    inputs: str
    """Fingerprint (hex, 16 digits) of schema, rows and settings, without the seed."""

    @property
    def slug(self) -> str:
        """What a run is called: equal slugs may go on with each other's work."""
        return f"{self.recipe}-{self.inputs}-{self.seed}"


def resolve_order(task: Task, order: Order) -> Resolved:
    """Make an order definite.

    Raises:
        UsageError: if the recipe, the size or a setting is unknown or out of range.
        MissingExtra: if the recipe needs libraries that are not installed.
    """
    wanted = order.recipe if order.recipe != "auto" else task.recipe
    if wanted not in RECIPES:
        raise UsageError(
            f"the recipe {wanted!r} is unknown",
            mend=f"choose one of {', '.join(RECIPES)} with --recipe",
        )
    recipe = _recipe(wanted, task)
    overrides = {**_own_settings(task, recipe), **order.overrides}
    size = order.size or str(overrides.pop("size", "standard"))
    overrides.pop("size", None)
    data = {
        name: converted(name, overrides.pop(name), DATA_SETTINGS[name])
        for name in tuple(overrides)
        if name in DATA_SETTINGS
    }
    settings = _settings(recipe, size, {**overrides, "seed": order.seed})
    baseline = recipe if recipe in BASELINES else "nearest" if task.plan.beyond_encoder() else "linear"
    return Resolved(
        kind=_KINDS.get(recipe, "generative"), recipe=recipe, baseline=baseline, chooses=wanted == "auto", settings=settings, data=data, seed=order.seed, minutes=order.minutes,
        inputs=_fingerprint(task, recipe, settings, data, order.minutes, chooses=wanted == "auto"),
    )  # fmt: skip


def config_text(task: Task, order: Order) -> str:
    """Every value that an order comes to, as TOML for `[recipe]` of task.toml.

    Raises:
        UsageError, MissingExtra: as `resolve_order` does.
    """
    resolved = resolve_order(task, order)
    values = {**(asdict(resolved.settings) if resolved.settings is not None else {}), **resolved.data}
    shown = {name: value for name, value in values.items() if name not in ("recipe", "seed")}
    return "[recipe]\n" + as_toml({"name": resolved.recipe, **shown}).rstrip("\n")


def _own_settings(task: Task, recipe: str) -> dict[str, Any]:
    """The settings of task.toml; for a recipe other than the one they were written for, those of the data alone."""
    written_for = task.recipe if task.recipe != "auto" else _cheapest(task)
    if recipe == written_for and recipe not in BASELINES:
        return dict(task.settings)
    return {name: value for name, value in task.settings.items() if name in DATA_SETTINGS}


def _cheapest(task: Task) -> str:
    """The cheapest recipe that the plan allows."""
    return "scratch" if task.plan.beyond_encoder() else "encoder"


def _recipe(wanted: str, task: Task) -> str:
    """The recipe that is begun: of "auto" the cheapest that the plan allows and this machine can run."""
    if find_spec("scipy") is None:
        raise MissingExtra("training needs scipy", mend='pip install "microlith[train]"')
    recipe = wanted if wanted != "auto" else _cheapest(task)
    beyond = task.plan.beyond_encoder()
    if recipe in ("linear", "encoder") and beyond:
        raise UsageError(
            f"the recipe {recipe} cannot write {', '.join(beyond[:3])}: text or a number that is not in the request",
            mend="choose --recipe nearest, scratch, full, lora or qlora",
        )
    missing = [name for name in NEEDED.get(recipe, ()) if find_spec(name) is None]
    if missing and wanted == "auto" and recipe == "encoder":
        return "linear"
    if missing:
        raise MissingExtra(
            f"the recipe {recipe} needs {', '.join(missing)}",
            mend=f'pip install "microlith[{EXTRA[recipe]}]"',
        )
    return recipe


def _settings(recipe: str, size: str, overrides: Mapping[str, Any]) -> Settings | None:
    if recipe in BASELINES:
        return None
    if recipe == "encoder":
        from microlith.training.settings import settings_of

        return settings_of(size, overrides)
    if recipe == "scratch":
        from microlith.training.scratch_settings import scratch_settings_of

        return scratch_settings_of(size, overrides)
    from microlith.training.causal_settings import causal_settings_of

    return causal_settings_of(recipe, size, overrides)


def _fingerprint(
    task: Task, recipe: str, settings: Settings | None, data: Mapping[str, Any], minutes: float | None, *, chooses: bool
) -> str:  # fmt: skip
    values = (
        {name: value for name, value in asdict(settings).items() if name != "seed"}
        if settings is not None
        else {}
    )
    facts = {
        "version": __version__, "kind": recipe, "chooses": chooses, "settings": values, "data": dict(data), "minutes": minutes,
        "schema": task.schema.value, "input": task.input_kind, "private": list(task.private),
        "base": _base_facts(str(values.get("base", ""))), "instruction": task.instruction if recipe in FINE_TUNING else "",
        "files": [[path.name, _sha256(path)] for path in (*task.train_files, *task.validation_files, task.test_file, task.folder / "rules.py") if path],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _base_facts(base: str) -> list[list[Any]]:
    """What tells the content of a local base apart: sizes and times of its weights, hash of its config; empty for a hub name."""
    place = Path(base).expanduser()
    weights = (
        sorted(place.glob("*.safetensors")) if base and place.is_dir() else [place] if place.is_file() else []
    )
    facts: list[list[Any]] = [[one.name, one.stat().st_size, one.stat().st_mtime_ns] for one in weights]
    return [*facts, ["config.json", _sha256(place / "config.json")]] if weights and place.is_dir() else facts


def _sha256(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None
