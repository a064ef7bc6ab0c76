"""Making a language model of one run, and the baseline beside it where linear writes no texts."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from microlith.data.example import Example
from microlith.errors import DataError
from microlith.events import Event, StageDone, StageStarted, Warned
from microlith.inference.generative import ANSWER_FEATURES, GenerativeModel
from microlith.inference.grounding import GroundingSpec, spec_of
from microlith.registry.heldout import write_heldout
from microlith.task.plan import Plan, Reading
from microlith.task.reading import copied_values, read
from microlith.workflow.budget import train_within
from microlith.workflow.calibrating import as_stated, fit_confidence, held_out
from microlith.workflow.specialists import Made, exact_hits, written_first

if TYPE_CHECKING:
    from microlith.data.dataset import Dataset
    from microlith.export.generative import Trained
    from microlith.export.generative_proof import GenerativeProof
    from microlith.registry import Base, Parity
    from microlith.task.taskfile import Task
    from microlith.training.causal_base import CausalBase
    from microlith.training.causal_settings import CausalSettings
    from microlith.training.scratch_settings import ScratchSettings

PROOF_ROWS, TEXT_PROOF_ROWS = 200, 40
"""Rows on which a file is proven at most; fewer where answers are long texts, which the reference writes token by token."""
TUNING_ROWS = 20_000
"""Rows that a pretrained model is tuned on at most, unless more were written."""


def make_nearest(task: Task, dataset: Dataset, folder: Path) -> Generator[Event, None, Made]:
    """Index the training rows into `folder`.

    Raises:
        TrainingError: if there are no rows.
        StorageError: if the disk refuses.
    """
    from microlith.inference.nearest import NearestModel

    begun = time.monotonic()
    rows = [row for row in dataset.train if row.made_by is None]
    yield StageStarted(stage="baselines", detail=f"nearest of {len(rows):,} rows")
    model = NearestModel.of(task.plan, rows)
    model.save(folder)
    predictions = model.predict([row.input for row in dataset.validation])
    write_heldout(folder, as_stated(task.plan, dataset.validation, predictions))
    answers = [one.output for one in predictions]
    made = Made(
        kind="nearest", hits=tuple(got == row.output for got, row in zip(answers, dataset.validation, strict=True)),
        base=None, parity=None, settings={}, texts=text_likeness(task.plan, dataset.validation, answers),
    )  # fmt: skip
    yield StageDone(stage="baselines", detail=f"nearest {made.score}", seconds=time.monotonic() - begun)
    return made


def make_generative(
    task: Task, dataset: Dataset, folder: Path, settings: ScratchSettings | CausalSettings, *, base: CausalBase | None,
    run_folder: Path, minutes: float | None,
) -> Generator[Event, None, Made]:  # fmt: skip
    """Train a language model, write it as GGUF into `folder`, prove the file, and fit its confidence.

    Args:
        task: The task.
        dataset: Train and validation rows; the test rows are not looked at.
        folder: Existing, empty folder for the files.
        settings: Every value of the recipe.
        base: What is fine-tuned; None to train from scratch, with ScratchSettings.
        run_folder: Existing folder for checkpoints and 16-bit weights.
        minutes: Longest training time; None for no limit.

    Raises:
        TrainingError: if the rows cannot be learnt, or the machine cannot hold the model.
        ParityError: if the file answers otherwise than the trained model.
        StorageError: if the disk refuses.
    """
    spec = spec_of(task.plan, copied_values(task.plan, _written_readings(task.plan, dataset.train)))
    if base is None:
        trained, facts = yield from _from_scratch(
            task, dataset, spec, cast("ScratchSettings", settings), run_folder, minutes
        )
    else:
        trained, facts = yield from _tuned(
            task, dataset, spec, cast("CausalSettings", settings), base, run_folder, minutes
        )
    proof = yield from _proven(trained, task, spec, dataset, folder, settings)
    begun = time.monotonic()
    yield StageStarted(stage="calibrate", detail=f"{len(dataset.validation):,} validation rows")
    model = GenerativeModel.load(folder)
    thoughts = model.think_all([row.input for row in dataset.validation])
    model = model.calibrated(fit_confidence(task.plan, dataset.validation, thoughts, ANSWER_FEATURES))
    model.save_calibration(folder)
    write_heldout(folder, held_out(task.plan, dataset.validation, thoughts, ANSWER_FEATURES))
    answers = [thought.output for thought in thoughts]
    made = Made(
        kind="generative", hits=exact_hits(dataset.validation, thoughts), base=_named(base), parity=_parity(proof),
        settings={**facts, **asdict(settings)}, texts=text_likeness(task.plan, dataset.validation, answers),
    )  # fmt: skip
    yield StageDone(
        stage="calibrate", detail=f"on {len(dataset.validation):,} validation rows, {made.score}", seconds=time.monotonic() - begun
    )  # fmt: skip
    return made


def _written_readings(plan: Plan, examples: Sequence[Example]) -> Iterator[Reading]:
    """Decisions of the rows that a person wrote; a row of no variant of the plan has none."""
    for one in examples:
        if one.made_by is None:
            with suppress(DataError):
                yield read(plan, one.output)


def text_likeness(plan: Plan, rows: Sequence[Example], answers: Sequence[Any]) -> tuple[float, ...]:
    """ROUGE-L of the texts of each answer against the right ones; empty where the plan writes none."""
    if not plan.writes_text:
        return ()
    from microlith.evaluation.texts import rouge_l, texts_of

    return tuple(
        rouge_l(texts_of(plan, row.output), texts_of(plan, answer))
        for row, answer in zip(rows, answers, strict=True)
    )


# ------------------------------------------------------------------------------------------------ training

_Trained = Generator[Event, None, tuple["Trained", dict[str, Any]]]


def _from_scratch(
    task: Task, dataset: Dataset, spec: GroundingSpec, settings: ScratchSettings, run_folder: Path, minutes: float | None
) -> _Trained:  # fmt: skip
    from microlith.export.generative import Trained
    from microlith.training.scratch import train_scratch

    begun = time.monotonic()
    yield StageStarted(
        stage="train",
        detail=f"scratch, {settings.size}, about {settings.parameters / 1e6:.1f} million weights",
    )
    found = yield from train_within(
        lambda given: train_scratch(task.plan, spec, dataset.train, dataset.validation, given, run_folder),
        settings, minutes, run_folder,
    )  # fmt: skip
    detail = f"{found.parameters / 1e6:.1f} million weights, {found.tokens_per_s:,.0f} tokens/s"
    yield StageDone(stage="train", detail=detail, seconds=time.monotonic() - begun)
    trained = Trained(folder=found.folder, prompt=found.prompt, context_tokens=settings.context_tokens)
    return trained, {"recipe": "scratch", "parameters": found.parameters}


def _tuned(
    task: Task, dataset: Dataset, spec: GroundingSpec, settings: CausalSettings, base: CausalBase, run_folder: Path,
    minutes: float | None,
) -> _Trained:  # fmt: skip
    from microlith.export.generative import Trained
    from microlith.training.causal import train_causal
    from microlith.training.causal_base import prompt_of

    begun = time.monotonic()
    yield StageStarted(stage="base", detail=settings.base)
    prompt = prompt_of(base, task.instruction)
    detail = f"{base.name}, {base.parameters / 1e6:,.0f} million weights"
    yield StageDone(stage="base", detail=detail, seconds=time.monotonic() - begun)
    rows, validation = yield from _tuning_rows(task, dataset, spec, base.folder, prompt)
    begun = time.monotonic()
    yield StageStarted(stage="train", detail=f"{settings.recipe}, {len(rows):,} rows")
    found = yield from train_within(
        lambda given: train_causal(rows, validation, base, given, run_folder), settings, minutes, run_folder,
        least=settings.step_rows, showing=lambda given, count: replace(given, passes=count / len(rows)),
    )  # fmt: skip
    speed = found.facts.get("tokens_per_s")
    detail = f"{base.name}" + (f", {speed:,.0f} tokens/s" if speed else "")
    yield StageDone(stage="train", detail=detail, seconds=time.monotonic() - begun)
    trained = Trained(
        folder=found.folder, prompt=prompt, context_tokens=min(settings.max_tokens, base.context or settings.max_tokens),
        adapter=found.adapter, base=base.folder,
    )  # fmt: skip
    facts = {name: value for name, value in found.facts.items() if isinstance(value, int | float | str)}
    return trained, facts


def _tuning_rows(
    task: Task, dataset: Dataset, spec: GroundingSpec, folder: Path, prompt: Any
) -> Generator[Event, None, tuple[list[Any], list[Any]]]:
    """Rows as tokens, the written ones and as many made ones as `TUNING_ROWS` leave room for."""
    from microlith.inference.prompt import Pieces
    from microlith.inference.spelling import Speller
    from microlith.inference.stored import TOKENIZER
    from microlith.training.answer_rows import cannot_be_spelled, token_rows

    picked = written_first(dataset.train, TUNING_ROWS, seed=0)
    speller, pieces = Speller(task.plan, spec), Pieces.of_file(folder / TOKENIZER)
    rows, left = token_rows(speller, pieces, prompt, picked)
    yield from cannot_be_spelled(left)
    return rows, token_rows(speller, pieces, prompt, dataset.validation)[0]


# ------------------------------------------------------------------------------------------------- proving


def _proven(
    trained: Trained, task: Task, spec: GroundingSpec, dataset: Dataset, folder: Path, settings: ScratchSettings | CausalSettings
) -> Generator[Event, None, GenerativeProof]:  # fmt: skip
    from microlith.export.generative import export_generative

    most = TEXT_PROOF_ROWS if task.plan.writes_text else PROOF_ROWS
    known = dataset.validation or dataset.train
    rows = known[:: max(1, -(-len(known) // most))]
    begun = time.monotonic()
    yield StageStarted(stage="prove", detail=f"the GGUF file against the trained model on {len(rows):,} rows")
    proof = export_generative(
        trained, task.plan, spec, rows, folder, name=task.name, file_type=getattr(settings, "file_type", "f16"),
        card={"microlith.task": task.name, "microlith.data": dataset.content_hash, "microlith.seed": settings.seed},
    )  # fmt: skip
    for note in proof.notes:
        yield Warned(what=note)
    yield StageDone(stage="prove", detail=proof.summary, seconds=time.monotonic() - begun)
    return proof


def _named(base: CausalBase | None) -> Base | None:
    from microlith.registry import Base

    return Base(name=base.name, licence=base.licence) if base is not None else None


def _parity(proof: GenerativeProof) -> Parity:
    from microlith.registry import Parity

    rows = max(proof.rows_total, 1)
    return Parity(
        rows=proof.rows_total, different=proof.changed, allowed=proof.allowance.answers, confidence_shift=proof.confidence_shift,
        exact_before=proof.exact_trained / rows, exact_after=proof.exact_exported / rows,
    )  # fmt: skip
