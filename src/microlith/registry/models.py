"""From the name that a person types to a model that answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from microlith.data.rows import Render, renderer
from microlith.errors import ArtifactError, TaskError, UnknownTask, UsageError
from microlith.inference.protocol import Model

if TYPE_CHECKING:
    from microlith.registry import Artifact
    from microlith.task.taskfile import Task

KINDS = ("encoder", "generative", "linear", "nearest")
"""Kinds of artifacts: the newest one of a kind is named by it."""
RULES = "rules"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model, ready to answer, and what it is."""

    model: Model
    task: str
    kind: str
    """One of KINDS, or "rules"."""
    render: Render | None = None
    """Turns a structured request into the text that models read; None for a task whose requests are text."""
    artifact: Artifact | None = None
    """None for rules, and for a model that is not registered yet."""
    size_bytes: int | None = None
    """Size of the model's files; None for rules."""


def load_model(name: str, model: str | None = None, *, root: Path | None = None) -> Model:
    """The model that `open_model` opens.

    Raises:
        UnknownTask, ArtifactError, UsageError: as `open_model` does.
    """
    return open_model(name, model, root=root).model


def open_model(name: str, model: str | None = None, *, root: Path | None = None, threads: int = 1) -> Opened:
    """Open a model of a task.

    Args:
        name: A pack, a task folder, the name of a task that was trained here, or one of these with `@VERSION`.
        model: None for the newest artifact; one of KINDS or "rules"; a version ("3", "infra@3") or alias.
        root: Home of the artifacts; None takes `microlith.registry.home()`.
        threads: Batches that an encoder works on at a time, each on one core, at least 1.

    Raises:
        UnknownTask: if there is no such task and no artifact of that name.
        ArtifactError: if there is no such artifact, it is damaged, or the task's schema is another one today.
        UsageError: if a version is named twice, or the task has no rules.
    """
    target, version = split_version(name)
    wanted = _wanted(target, version, model)
    task = _task(target, root)
    if wanted == RULES:
        return _rules(target, task)
    artifact = _artifact(task.name if task is not None else target, wanted, task, root)
    return Opened(
        model=load_folder(artifact.card.kind, artifact.folder, name=artifact.card.name, threads=threads), task=artifact.card.task, kind=artifact.card.kind,
        render=renderer(task) if task is not None else None, artifact=artifact, size_bytes=size_of(artifact.folder),
    )  # fmt: skip


def split_version(name: str) -> tuple[str, str]:
    """`infra@3` as ("infra", "3"); the second is empty without a version. A path that is there is never parted."""
    target, at, version = name.rpartition("@")
    return (target, version) if at and not Path(name).exists() else (name, "")


def _wanted(target: str, version: str, model: str | None) -> str:
    from microlith.registry import LATEST

    if version and model is not None:
        raise UsageError(f"two models are named: {target}@{version} and {model}", mend="name one of them")
    wanted = version or model or LATEST
    named, _, number = wanted.rpartition("@")
    if named and Path(target).name != named:
        raise UsageError(f"{wanted} is no model of {target}", mend=f"write --model {target}@{number}")
    return number


def _task(target: str, root: Path | None) -> Task | None:
    """The task; None where only its artifacts are left."""
    from microlith.registry import list_artifacts
    from microlith.task.taskfile import load_task

    try:
        return load_task(target)
    except UnknownTask:
        try:
            known = bool(list_artifacts(target, root=root))
        except UsageError:
            known = False
        if not known:
            raise
        return None


def _rules(target: str, task: Task | None) -> Opened:
    if task is None or task.rules is None:
        raise UsageError(
            f"the task {target} has no rules",
            mend="write rules.py with parse(text) -> dict | None beside task.toml",
        )
    return Opened(model=rules_model(task), task=task.name, kind=RULES, render=renderer(task))


def rules_model(task: Task) -> Model:
    """The task's own rules as a model.

    Raises:
        TaskError: if the task has none, or they cannot be loaded.
    """
    from microlith.inference.rules import RulesModel

    if task.rules is None:
        raise TaskError(f"the task {task.name} has no rules", place=str(task.folder), mend="write rules.py")
    return RulesModel(task.plan, task.rules, validator=task.validator)


def size_of(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _artifact(name: str, wanted: str, task: Task | None, root: Path | None) -> Artifact:
    from microlith.registry import list_artifacts, open_artifact

    version: str | int = wanted
    if wanted in KINDS:
        versions = [
            one.version
            for one in list_artifacts(name, root=root)
            if one.card is not None and one.card.kind == wanted
        ]
        if not versions:
            raise ArtifactError(f"no {wanted} model of {name} is registered", mend=f"microlith train {name}")
        version = max(versions)
    return open_artifact(name, version, schema=task.schema.value if task is not None else None, root=root)


def load_folder(kind: str, folder: Path, *, name: str, threads: int = 1) -> Model:
    """A model of `kind` from its files.

    Raises:
        ArtifactError: if they are damaged.
    """
    if kind == "linear":
        from microlith.inference.linear import LinearModel

        return LinearModel.load(folder, name=name)
    if kind == "nearest":
        from microlith.inference.nearest import NearestModel

        return NearestModel.load(folder, name=name)
    if kind == "generative":
        from microlith.inference.generative import GenerativeModel

        return GenerativeModel.load(folder, name=name, threads=threads)
    from microlith.inference.encoder import EncoderModel

    return EncoderModel.load(folder, name=name, threads=threads)
