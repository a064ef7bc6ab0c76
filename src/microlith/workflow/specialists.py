"""Making the models of one run: each is trained, calibrated on validation rows only, and written into a folder."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from microlith.data.example import Example
from microlith.events import Event, StageDone, StageStarted
from microlith.inference.confidence import Thought
from microlith.registry.heldout import write_heldout
from microlith.workflow.budget import train_within
from microlith.workflow.calibrating import fit_confidence, held_out

if TYPE_CHECKING:
    from microlith.data.dataset import Dataset
    from microlith.export.parity import ParityReport
    from microlith.registry import Base, Parity
    from microlith.task.taskfile import Task
    from microlith.training.base import Base as FoundBase
    from microlith.training.encoder import TrainedEncoder
    from microlith.training.settings import EncoderSettings

LINEAR_ROWS = 8_000
"""Rows that the linear baseline learns from at most, unless more were written: on infra 16,000 did not do better than these."""
MORE_PROOF_ROWS = 2_000
"""Training rows that a proof asks too where the validation rows alone are too few for a verdict."""
PROOF_ROWS = 200
"""Training rows on which an export is proven where there are no validation rows."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A model whose files are written, and what its card says of it."""

    kind: Literal["encoder", "linear", "nearest", "generative"]
    hits: tuple[bool, ...]
    """Per validation row: does the written model answer it exactly?"""
    base: Base | None
    parity: Parity | None
    """None where the trained model itself was written."""
    settings: Mapping[str, Any]
    texts: tuple[float, ...] = ()
    """Per validation row: how like the right texts its texts are (ROUGE-L, 0-1); empty where the plan writes none."""

    @property
    def exact(self) -> float:
        """Share of validation rows that are answered exactly, 0-1; 0 where there are none."""
        return sum(self.hits) / len(self.hits) if self.hits else 0.0

    @property
    def score(self) -> str:
        """How good it is on validation rows, in words."""
        if self.texts:
            return f"ROUGE-L {sum(self.texts) / len(self.texts):.3f}"
        return f"{self.exact:.1%} exact"


def make_linear(task: Task, dataset: Dataset, folder: Path, *, seed: int) -> Generator[Event, None, Made]:
    """Train the linear baseline into `folder`.

    Raises:
        TrainingError: if there are no rows, or the plan has decisions that no linear model makes.
        StorageError: if the disk refuses.
    """
    from microlith.inference.linear import ANSWER_FEATURES, fit_linear

    begun = time.monotonic()
    rows = written_first(dataset.train, LINEAR_ROWS, seed=seed)
    yield StageStarted(stage="baselines", detail=f"linear on {len(rows):,} rows")
    model = fit_linear(task.plan, rows, seed)
    thoughts = [model.think(row.input) for row in dataset.validation]
    model = model.calibrated(fit_confidence(task.plan, dataset.validation, thoughts, ANSWER_FEATURES))
    model.save(folder)
    write_heldout(folder, held_out(task.plan, dataset.validation, thoughts, ANSWER_FEATURES))
    made = Made(
        kind="linear", hits=exact_hits(dataset.validation, thoughts), base=None, parity=None, settings={"seed": seed}
    )  # fmt: skip
    detail = f"linear exact {made.exact:.1%} of validation"
    yield StageDone(stage="baselines", detail=detail, seconds=time.monotonic() - begun)
    return made


def written_first(train: Sequence[Example], most: int, *, seed: int) -> list[Example]:
    """The written rows, and made ones by chance up to `most` in all."""
    written = [row for row in train if row.made_by is None]
    made = [row for row in train if row.made_by is not None]
    return written + Random(seed).sample(made, min(len(made), max(0, most - len(written))))


def exact_hits(rows: Sequence[Example], thoughts: Sequence[Thought]) -> tuple[bool, ...]:
    """Per row: is the whole answer right? An empty request is refused, so never."""
    return tuple(
        bool(row.input.strip()) and thought.output == row.output
        for row, thought in zip(rows, thoughts, strict=True)
    )


def make_encoder(
    task: Task,
    dataset: Dataset,
    folder: Path,
    settings: EncoderSettings,
    *,
    run_folder: Path,
    minutes: float | None,
) -> Generator[Event, None, Made]:
    """Train the encoder, export it into `folder`, prove the export, and fit its confidence.

    Args:
        task: The task.
        dataset: Train and validation rows; the test rows are not looked at.
        folder: Existing, empty folder for the exported files.
        settings: Every value of the recipe.
        run_folder: Existing folder for checkpoints.
        minutes: Longest training time; None for no limit.

    Raises:
        TrainingError: if the plan or the rows cannot be learnt.
        MissingBase: if the pretrained encoder is not on this machine.
        ParityError: if the export answers otherwise than the trained network.
        StorageError: if the disk refuses.
    """
    from microlith.inference.encoder import ANSWER_FEATURES, EncoderModel
    from microlith.training.encoder import train_encoder

    begun = time.monotonic()
    yield StageStarted(stage="train", detail=f"{Path(settings.base).name}, {settings.size}")
    trained = yield from train_within(
        lambda given: train_encoder(task.plan, dataset.train, dataset.validation, given, run_folder),
        settings, minutes, run_folder, least=settings.batch_size,
    )  # fmt: skip
    yield StageDone(stage="train", detail=trained.base.name, seconds=time.monotonic() - begun)
    report = yield from _proven(trained, dataset, folder)
    begun = time.monotonic()
    yield StageStarted(stage="calibrate", detail=f"{len(dataset.validation):,} validation rows")
    model = EncoderModel.load(folder)
    thoughts = model.think_all([row.input for row in dataset.validation])
    model = model.calibrated(fit_confidence(task.plan, dataset.validation, thoughts, ANSWER_FEATURES))
    model.save_calibration(folder)
    write_heldout(folder, held_out(task.plan, dataset.validation, thoughts, ANSWER_FEATURES))
    made = Made(
        kind="encoder", hits=exact_hits(dataset.validation, thoughts), base=_base(trained.base), parity=_parity(report),
        settings=asdict(trained.settings),
    )  # fmt: skip
    detail = f"on {len(dataset.validation):,} validation rows, {made.exact:.1%} of them exact"
    yield StageDone(stage="calibrate", detail=detail, seconds=time.monotonic() - begun)
    return made


def _proven(trained: TrainedEncoder, dataset: Dataset, folder: Path) -> Generator[Event, None, ParityReport]:
    from microlith.export.encoder import export_encoder

    rows = dataset.validation or dataset.train[:PROOF_ROWS]
    begun = time.monotonic()
    yield StageStarted(stage="prove", detail=f"the export against the trained model on {len(rows):,} rows")
    report = export_encoder(
        trained, rows, folder, more=_more_rows(dataset.train) if dataset.validation else ()
    )
    yield StageDone(stage="prove", detail=report.summary, seconds=time.monotonic() - begun)
    return report


def _more_rows(train: Sequence[Example]) -> list[Example]:
    """Written training rows, evenly spread, at most `MORE_PROOF_ROWS`."""
    written = [row for row in train if row.made_by is None]
    return written[:: max(1, -(-len(written) // MORE_PROOF_ROWS))]


def _base(found: FoundBase) -> Base:
    from microlith.registry import Base

    weights = found.folder / "model.safetensors"
    if not weights.is_file():
        return Base(name=found.name, licence=found.licence)
    with weights.open("rb") as file:
        return Base(
            name=found.name, licence=found.licence, sha256=hashlib.file_digest(file, "sha256").hexdigest()
        )


def _parity(report: ParityReport) -> Parity:
    from microlith.registry import Parity

    rows = max(report.rows_total, 1)
    return Parity(
        rows=report.rows_total, different=report.changed, allowed=report.allowance,
        confidence_shift=report.confidence_shift, exact_before=report.exact_trained / rows,
        exact_after=report.exact_exported / rows,
    )  # fmt: skip
