"""From a task to a registered, proven specialist: data, training, calibration, export, proof, baselines, scores, card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from microlith.data.rows import renderer
from microlith.errors import DataError, MicrolithError
from microlith.evaluation.compare import Comparison, Spread
from microlith.evaluation.result import Evaluation
from microlith.events import Event, StageDone, StageStarted, Step, Validation, Warned
from microlith.inference.cores import usable_cores
from microlith.registry.models import Opened, load_folder, rules_model, size_of
from microlith.task.taskfile import Task
from microlith.workflow.evaluate import compared, score, spread_over
from microlith.workflow.generative import make_generative, make_nearest
from microlith.workflow.order import FINE_TUNING, Order, Resolved, resolve_order
from microlith.workflow.preference import preference
from microlith.workflow.specialists import Made, make_encoder, make_linear

if TYPE_CHECKING:
    from microlith.data.dataset import Dataset
    from microlith.registry import Artifact, CardFacts, Draft, Metric, OpenRun
    from microlith.training.causal_base import CausalBase
    from microlith.training.causal_settings import CausalSettings

Result = TypeVar("Result")
LIBRARIES = (
    "torch", "transformers", "trl", "peft", "accelerate", "onnx", "onnxruntime", "xllamacpp", "gguf", "tokenizers", "scipy", "numpy",
)  # fmt: skip
CHECKPOINTS = "checkpoint*"
"""Files and folders of a run that are of no use once it is finished."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training came to."""

    artifact: Artifact
    """The preferred model; the newest version of the task."""
    evaluations: tuple[Evaluation, ...]
    """Of the preferred model first, then the others, on the test rows (validation rows where there are no test rows)."""
    comparison: Comparison | None
    why: str
    """Why this model is preferred, in a sentence."""
    reused: bool
    """True when nothing had changed since it was made."""
    spreads: tuple[Spread, ...] = ()
    """Over several seeds."""

    @property
    def size_bytes(self) -> int:
        """Size of the artifact's files."""
        return size_of(self.artifact.folder)

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        from microlith.evaluation.result import plain

        return {
            "model": self.artifact.card.name, "folder": str(self.artifact.folder), "size_bytes": self.size_bytes,
            "reused": self.reused, "why": self.why, "card": asdict(self.artifact.card),
            "evaluations": [one.to_json() for one in self.evaluations],
            "comparison": self.comparison.to_json() if self.comparison is not None else None,
            "spreads": [plain(one) for one in self.spreads],
        }  # fmt: skip


def train_seeds(
    task: Task, order: Order, *, seeds: int = 1, root: Path | None = None
) -> Generator[Event, None, Trained]:
    """Train `seeds` seeds from `order.seed` on; the first seed is registered last and given back, with the spread of all.

    Raises:
        MicrolithError: as `train` does.
    """
    from microlith.evaluation.compare import spread

    found: list[Trained] = []
    for offset in reversed(range(seeds)):
        found.append((yield from train(task, replace(order, seed=order.seed + offset), root=root)))
    first = found[-1]
    return (
        replace(first, spreads=spread([one.evaluations[0] for one in found], spread_over(task)))
        if seeds > 1
        else first
    )


def train(
    task: Task, order: Order | None = None, *, root: Path | None = None
) -> Generator[Event, None, Trained]:
    """Train a task. What has not changed is reused; what was killed goes on.

    Args:
        task: The task.
        order: What is wanted; None for all defaults.
        root: Home of runs and artifacts; None takes `microlith.registry.home()`.

    Yields:
        Stages, steps, scores and warnings.

    Raises:
        DataError: if rows are bad, or none are left.
        TrainingError: if the plan or the rows cannot be learnt.
        MissingBase: if the pretrained encoder is not on this machine.
        MissingExtra: if libraries are missing.
        ParityError: if the export answers otherwise than the trained model; nothing is then registered.
        StorageError: if the disk refuses.
    """
    from microlith.registry import resume_run, start_run

    resolved = resolve_order(task, order or Order())
    fresh = order is not None and order.fresh
    if not fresh and (known := _known(task, resolved, root)) is not None:
        return (yield from _reused(task, known, root))
    run = None if fresh else resume_run(task.name, resolved.slug, root=root)
    run = run or start_run(task.name, resolved.slug, started=datetime.now(UTC), root=root)
    return (yield from _Pipeline(task, resolved, run, root).work())


# --------------------------------------------------------------------------------------------------- reuse


def _known(task: Task, resolved: Resolved, root: Path | None) -> Artifact | None:
    """The whole artifact that this very order made before."""
    from microlith.registry import list_artifacts, open_artifact

    for one in list_artifacts(task.name, root=root):
        made = one.card.settings if one.card is not None else {}
        if (
            made.get("inputs") == resolved.inputs
            and made.get("preferred") is True
            and one.card
            and one.card.seed == resolved.seed
        ):
            try:
                return open_artifact(task.name, one.version, root=root)
            except MicrolithError:
                continue  # a damaged artifact is made anew
    return None


def _reused(task: Task, artifact: Artifact, root: Path | None) -> Generator[Event, None, Trained]:
    from microlith.registry import list_runs

    for run in list_runs(task.name, root=root):
        if run.name == artifact.card.settings.get("run"):
            try:
                facts = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
                evaluations = tuple(Evaluation.from_json(one) for one in facts["evaluations"])
            except (OSError, ValueError, KeyError, DataError):
                break  # the artifact is whole; only its scores are measured again
            yield StageDone(
                stage="train",
                detail=f"{artifact.card.name}: rows, schema and settings are unchanged",
                reused=True,
            )
            return Trained(
                artifact=artifact,
                evaluations=evaluations,
                comparison=compared(evaluations),
                why=str(facts["why"]),
                reused=True,
            )
    yield StageDone(
        stage="train", detail=f"{artifact.card.name}: rows, schema and settings are unchanged", reused=True
    )
    from microlith.workflow.evaluate import available, evaluate

    found = yield from evaluate(
        task, [str(artifact.card.version), *available(task, root=root)[1:]], root=root
    )
    return Trained(
        artifact=artifact,
        evaluations=found.evaluations,
        comparison=found.comparison,
        why=artifact.card.notes,
        reused=True,
    )


# ------------------------------------------------------------------------------------------------ pipeline


class _Pipeline:
    """One run, from rows to a registered artifact."""

    def __init__(self, task: Task, resolved: Resolved, run: OpenRun, root: Path | None) -> None:
        self.task, self.resolved, self.run, self.root = task, resolved, run, root
        self.told: list[dict[str, Any]] = []

    def work(self) -> Generator[Event, None, Trained]:
        from microlith.registry import draft

        base = self._base()
        self.run.write_config(self._config())
        dataset = yield from self._logged(self._dataset())
        with ExitStack() as drafts:
            made: list[tuple[Made, Draft]] = []
            for make in self._makers(base):
                open_draft = drafts.enter_context(
                    draft(self.task.name, self.task.schema.value, root=self.root)
                )
                made.append(((yield from self._logged(make(dataset, open_draft.folder))), open_draft))
            order, why = preference(made, chooses=self.resolved.chooses)
            evaluations = yield from self._logged(self._scores(order, dataset))
            artifact = self._publish(order, dataset, evaluations, why)
        self._finish(evaluations, why)
        return Trained(
            artifact=artifact,
            evaluations=evaluations,
            comparison=compared(evaluations),
            why=why,
            reused=False,
        )

    def _base(self) -> CausalBase | None:
        """The pretrained language model, found before anything is done that takes time; None where none is needed."""
        if self.resolved.recipe not in FINE_TUNING:
            return None
        from microlith.training.causal_base import open_base

        return open_base(cast("CausalSettings", self.resolved.settings), self.root)

    def _config(self) -> dict[str, Any]:
        resolved = self.resolved
        recipe = asdict(resolved.settings) if resolved.settings is not None else {}
        return {
            "task": self.task.name, "kind": resolved.kind, "recipe_name": resolved.recipe, "seed": resolved.seed, "minutes": resolved.minutes,
            "inputs": resolved.inputs, "recipe": recipe, "data": dict(resolved.data),
        }  # fmt: skip

    def _dataset(self) -> Generator[Event, None, Dataset]:
        from microlith.data.dataset import build_dataset

        dataset = yield from build_dataset(self.task, seed=self.resolved.seed, **self.resolved.data)
        facts = {
            "hash": dataset.content_hash,
            "sizes": dataset.sizes,
            "facts": dataset.facts,
            "notes": list(dataset.notes),
        }
        self.run.write_json("dataset.json", facts)
        return dataset

    def _makers(self, base: CausalBase | None) -> Iterator[Any]:
        task, resolved = self.task, self.resolved
        if resolved.baseline == "nearest":
            yield lambda dataset, folder: make_nearest(task, dataset, folder)
        else:
            yield lambda dataset, folder: make_linear(task, dataset, folder, seed=resolved.seed)
        settings = resolved.settings
        if settings is None:
            return
        make: Any = make_encoder if resolved.kind == "encoder" else partial(make_generative, base=base)
        yield lambda dataset, folder: make(
            task, dataset, folder, settings, run_folder=self.run.folder, minutes=resolved.minutes
        )

    def _scores(
        self, order: Sequence[tuple[Made, Draft]], dataset: Dataset
    ) -> Generator[Event, None, tuple[Evaluation, ...]]:
        rows = dataset.test or dataset.validation
        if not dataset.test:
            yield Warned(
                what="the task has no test rows: the scores are of validation rows, on which confidence was fitted, so they flatter"
            )
        models = [
            _opened(
                self.task,
                made.kind,
                load_folder(made.kind, one.folder, name=made.kind, threads=usable_cores()),
                one.folder,
            )
            for made, one in order
        ]
        if self.task.rules is not None:
            models.append(_opened(self.task, "rules", rules_model(self.task), None))
        evaluations = []
        for opened in models:
            evaluations.append(_without_memory((yield from score(opened, rows, self.task))))
        return tuple(evaluations)

    def _publish(
        self,
        order: Sequence[tuple[Made, Draft]],
        dataset: Dataset,
        evaluations: Sequence[Evaluation],
        why: str,
    ) -> Artifact:
        """Register all, the preferred one last, so that it is the newest."""
        part = "test" if dataset.test else "validation"
        artifacts = []
        for rank, (made, open_draft) in reversed(list(enumerate(order))):
            facts = self._card(
                made, dataset, card_metrics(evaluations[rank], part), preferred=rank == 0, why=why
            )
            artifacts.append(open_draft.publish(facts, created=datetime.now(UTC)))
        return artifacts[-1]

    def _card(
        self, made: Made, dataset: Dataset, metrics: Mapping[str, Metric], *, preferred: bool, why: str
    ) -> CardFacts:
        from microlith.registry import CardFacts, DataFacts

        return CardFacts(
            kind=made.kind, base=made.base, data=DataFacts(hash=dataset.content_hash, splits=dataset.sizes), seed=self.resolved.seed,
            libraries=library_versions(), metrics=metrics, parity=made.parity,
            settings={**made.settings, "inputs": self.resolved.inputs, "run": self.run.name, "preferred": preferred}, notes=why,
        )  # fmt: skip

    def _finish(self, evaluations: Sequence[Evaluation], why: str) -> None:
        metrics = {"events": self.told, "evaluations": [one.to_json() for one in evaluations], "why": why}
        self.run.write_json("metrics.json", metrics)
        for path in self.run.folder.glob(CHECKPOINTS):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.run.finish()

    def _logged(self, work: Generator[Event, None, Result]) -> Generator[Event, None, Result]:
        """Pass events on; stages go to the run's log, the curve of learning to its metrics."""
        while True:
            try:
                event = next(work)
            except StopIteration as stop:
                found: Result = stop.value
                return found
            if isinstance(event, Step):
                self.told.append({"step": event.step, "loss": event.loss})
            elif isinstance(event, Validation):
                self.told.append({"step": event.step, "exact": event.exact, "loss_on_validation": event.loss})
            elif isinstance(event, StageStarted | StageDone | Warned):
                self.run.log(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {type(event).__name__} {_words(event)}")
            yield event


def _words(event: StageStarted | StageDone | Warned) -> str:
    return event.what if isinstance(event, Warned) else f"{event.stage} {event.detail}".rstrip()


def _opened(task: Task, kind: str, model: Any, folder: Path | None) -> Opened:
    size = size_of(folder) if folder is not None else None
    return Opened(model=model, task=task.name, kind=kind, render=renderer(task), size_bytes=size)


def _without_memory(one: Evaluation) -> Evaluation:
    """The evaluation without the memory of this process, which has just trained and so says nothing of the model."""
    return replace(one, speed=replace(one.speed, rss_bytes=None, peak_bytes=None))


def card_metrics(one: Evaluation, part: str) -> dict[str, Metric]:
    """Every metric of the gate as the card keeps it; times and memory, which are the machine's, are left out."""
    from microlith.evaluation.gate import METRICS
    from microlith.registry import Metric

    found = {}
    for name, metric in METRICS.items():
        if metric.unit == "share":
            interval = (one.exact.low, one.exact.high) if name == "exact" else (None, None)
            found[name] = Metric(value=metric.read(one), n=one.n, low=interval[0], high=interval[1], on=part)
    return found


def library_versions() -> dict[str, str]:
    """Versions of the libraries that training and export use, as far as they are installed."""
    found = {}
    for name in ("microlith", *LIBRARIES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
