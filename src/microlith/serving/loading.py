"""From a task to the route that answers its requests, with the versions that are live now."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, cast

from microlith.errors import ArtifactError, MicrolithError, TaskError, UsageError, first_line
from microlith.inference.cores import usable_cores
from microlith.registry import LATEST, LIVE, Artifact, aliases, list_artifacts, open_artifact
from microlith.registry.heldout import read_heldout
from microlith.registry.models import load_folder, rules_model
from microlith.routing.chain import Chain, Link
from microlith.routing.circuit import Circuit
from microlith.routing.stages import LocalStage
from microlith.routing.threshold import Threshold, find_threshold
from microlith.serving.desk import Served
from microlith.serving.settings import ServeSettings
from microlith.task.taskfile import Task

if TYPE_CHECKING:
    from microlith.data.example import Example
    from microlith.routing.general import GeneralStage
    from microlith.routing.general_prompt import GeneralPrompt

LOG = logging.getLogger("microlith.serving")
CERTAIN = 1.0
"""Confidence that rules must state to be believed before the specialist is asked."""
NOBODY = 2.0
"""A floor that no confidence reaches."""
UNTESTED = "it was made before its errors were kept; train it again with --fresh"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """One task, ready to be asked."""

    served: Served
    chain: Chain
    version: int | None
    """Of the specialist; None without one."""
    notes: tuple[str, ...]
    """What its owner should know: why something is not asked."""


class Loader:
    """Opens the models of tasks. Its methods may be called from any thread, one at a time; `prepare` beside any other."""

    def __init__(
        self, settings: ServeSettings, executor: Executor, now: Callable[[], datetime] | None = None
    ) -> None:
        """Models of encoders and baselines work on `executor`; language models have a thread of their own."""
        self._settings, self._executor = settings, executor
        self._now = now or (lambda: datetime.now(UTC))
        self._examples: dict[str, Sequence[Example]] = {}
        self._general: dict[str, Link | None] = {}
        self._prompts: dict[str, GeneralPrompt] = {}

    def live_version(self, task: Task) -> int | None:
        """The version that answers: what "live" stands for, else the newest; None where nothing is registered."""
        known = aliases(task.name, root=self._settings.root)
        return known.get(LIVE, known.get(LATEST))

    def load(self, task: Task, version: int | None) -> Loaded:
        """Open everything that the task's route names.

        Args:
            task: The task.
            version: Of its specialist, see `live_version`; None for none.

        Raises:
            ArtifactError: if the version is damaged or was made for another schema.
            TaskError: if its rules cannot be loaded, or nothing of its route is there.
        """
        artifact = (
            open_artifact(task.name, version, schema=task.schema.value, root=self._settings.root)
            if version is not None
            else None
        )
        if task.general.documents:
            self.prompt(task)  # reads them now, not when a request waits
        building = _Building(task, artifact, self)
        links = [
            link for place, name in enumerate(task.route) if (link := building.link(place, name)) is not None
        ]
        if not links:
            raise TaskError(
                f"nothing of the route of {task.name} is there: {', '.join(task.route)}",
                mend=f"microlith train {task.name}",
            )
        served = Served(
            task=task, model=artifact.card.name if artifact else None, card=artifact.card if artifact else None,
            route=tuple(link.stage.name for link in links),
            threshold=building.threshold.value if building.threshold else None, since=self._now(),
        )  # fmt: skip
        return Loaded(
            served=served, chain=Chain(task.name, task.plan, links, limit_s=task.deadline_s), version=version,
            notes=tuple(building.notes),
        )  # fmt: skip

    def local(self, name: str, kind: str, artifact: Artifact) -> LocalStage:
        """A registered model as a stage."""
        threads = self._settings.threads or usable_cores()
        alone = kind == "generative"
        model = load_folder(kind, artifact.folder, name=artifact.card.name, threads=threads if alone else 1)
        executor = ThreadPoolExecutor(1, thread_name_prefix=artifact.card.name) if alone else self._executor
        return LocalStage(name, model, executor, workers=1 if alone else threads)

    def newest(self, task: Task, kind: str) -> Artifact | None:
        """The newest artifact of a kind; None where there is none."""
        root = self._settings.root
        versions = [
            one.version for one in list_artifacts(task.name, root=root) if one.card and one.card.kind == kind
        ]
        return open_artifact(task.name, max(versions), root=root) if versions else None

    def general(self, task: Task) -> Link | None:
        """The general model that the task or the server names; None where neither does. It outlives the specialists."""
        if task.name not in self._general:
            stage = self._general_stage(task)
            made = (
                None
                if stage is None
                else Link(stage=stage, timeout_s=task.general.timeout_s, breaker=Circuit())
            )
            self._general[task.name] = made
        return self._general[task.name]

    async def close(self) -> None:
        """End the connections to general models."""
        for link in self._general.values():
            if link is not None:
                await cast("GeneralStage", link.stage).aclose()

    def _general_stage(self, task: Task) -> GeneralStage | None:
        url, model, key = self._settings.general_from(os.environ)
        url, model = task.general.base_url or url, task.general.model or model
        if url and not model:
            raise UsageError(
                f"the general model of {task.name} has an address and no name",
                mend="name it: --general-model NAME, or model under [general] in task.toml",
            )
        if not url or not model:
            return None
        from microlith.routing.general import GeneralSettings, GeneralStage

        given = task.general
        settings = GeneralSettings(
            base_url=url, model=model, api_key=key, timeout_s=given.timeout_s, price_in=given.price_in,
            price_out=given.price_out,
        )  # fmt: skip
        return GeneralStage(task, settings, prompt=self.prompt(task))

    def prepare(self) -> None:
        """Read the rows that general models are shown, so that the first request need not wait for it. Called from a thread."""
        for name, link in list(self._general.items()):
            if link is not None:
                try:
                    self._prompts[name].prepare()
                except MicrolithError as error:
                    LOG.error("the general model of %s cannot be told rows: %s", name, first_line(error))

    def prompt(self, task: Task) -> GeneralPrompt:
        """What a general model is told of the task; its rows are read by `prepare`, or when it is first asked."""
        from microlith.routing.general_prompt import GeneralPrompt

        if task.name not in self._prompts:
            given = task.general
            self._prompts[task.name] = GeneralPrompt(
                task, examples=partial(self.examples, task), documents=given.documents, shown=given.examples
            )
        return self._prompts[task.name]

    def examples(self, task: Task) -> Sequence[Example]:
        """The task's labelled rows, read once; those that are wrong are left out."""
        if task.name not in self._examples:
            from microlith.data.load import load_examples

            self._examples[task.name] = load_examples(task).examples if task.train_files else ()
        return self._examples[task.name]


class _Building:
    """A route while it is put together."""

    def __init__(self, task: Task, artifact: Artifact | None, loader: Loader) -> None:
        self.task, self.artifact, self._loader = task, artifact, loader
        self.notes: list[str] = []
        self.threshold: Threshold | None = None

    def link(self, place: int, name: str) -> Link | None:
        """The stage at `place` of the route; None where it is not there, which is noted."""
        if name == "rules":
            return self._rules(before="specialist" in self.task.route[place:])
        if name == "specialist":
            return self._specialist()
        return self._loader.general(self.task) if name == "general" else self._nearest()

    def _rules(self, *, before: bool) -> Link | None:
        if self.task.rules is None:
            self.notes.append("it has no rules")
            return None
        return Link(
            stage=LocalStage("rules", rules_model(self.task), None), floor=CERTAIN if before else None,
            why_floor="the rules are not certain" if before else "",
        )  # fmt: skip

    def _specialist(self) -> Link | None:
        if self.artifact is None:
            self.notes.append(f"it has no specialist; microlith train {self.task.name}")
            return None
        stage = self._loader.local("specialist", self.artifact.card.kind, self.artifact)
        floor, why = self._floor(self.artifact)
        return Link(stage=stage, floor=floor, why_floor=why)

    def _floor(self, artifact: Artifact) -> tuple[float | None, str]:
        """From which confidence on the specialist is believed, and why from no lower one."""
        if self.task.error_budget >= 1.0:
            return None, ""
        outcomes = read_heldout(artifact.folder)
        if outcomes is None:
            self.notes.append(f"its specialist is not believed: {UNTESTED}")
            return NOBODY, UNTESTED
        self.threshold = find_threshold(outcomes, self.task.error_budget)
        if self.threshold.value is None:
            self.notes.append(f"its specialist is not believed: {self.threshold.why}")
            return NOBODY, self.threshold.why
        return self.threshold.value, ""

    def _nearest(self) -> Link | None:
        artifact = self._loader.newest(self.task, "nearest")
        if artifact is not None:
            return Link(stage=self._loader.local("nearest", "nearest", artifact))
        examples = self._loader.examples(self.task)
        if not examples:
            self.notes.append("it has no example to be near to")
            return None
        from microlith.inference.nearest import NearestModel

        return Link(stage=LocalStage("nearest", NearestModel.of(self.task.plan, examples), None))


def tasks_to_serve(settings: ServeSettings) -> tuple[Task, ...]:
    """The tasks that are named, or every task that was trained here.

    Raises:
        UnknownTask: if a named one is not there.
        ArtifactError: if none is named and nothing was trained.
    """
    from microlith.errors import MicrolithError
    from microlith.task.taskfile import load_task

    if settings.tasks:
        return tuple(load_task(name) for name in dict.fromkeys(settings.tasks))
    found = []
    for name in sorted({one.task for one in list_artifacts(root=settings.root)}):
        try:
            found.append(load_task(name))
        except MicrolithError:
            continue  # a task folder that is elsewhere today: name it to serve it
    if not found:
        raise ArtifactError(
            "nothing was trained here yet",
            place=str(settings.root),
            mend="microlith train infra, or name tasks to serve",
        )
    return tuple(found)
