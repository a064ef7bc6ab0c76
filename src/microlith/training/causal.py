"""The recipes full, lora and qlora: fine-tune a pretrained language model on rows of prompt and answer.

On one GPU or a processor, call `train_causal`. On several GPUs of a machine, let every process make the same call:

    accelerate launch --num_processes 4 -m microlith train TASK --recipe lora

Each process then learns from its own part of every batch (so `batch_size * accumulation * processes` rows make a step),
and gradients are averaged. Events and files come from the first process alone; the others return the same value
without having written anything. Running out of memory ends such a run instead of halving the batch, since the
processes cannot agree on it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from microlith.events import Event, Progress
from microlith.inference.cores import usable_cores
from microlith.training.causal_base import CausalBase
from microlith.training.causal_prepare import is_first, prepare_causal
from microlith.training.causal_settings import CausalSettings
from microlith.training.token_rows import TokenRow, split_by_length

__all__ = ["TrainedCausal", "split_by_length", "train_causal"]


@dataclass(frozen=True, kw_only=True)
class TrainedCausal:
    """A fine-tuned language model on the disk."""

    folder: Path
    """16-bit weights (adapters merged in), config and tokenizer."""
    adapter: Path | None
    """The adapter alone, as peft writes it; None for the recipe full."""
    base: CausalBase
    settings: CausalSettings
    """As they were at the end: out of memory halves batch_size."""
    facts: dict[str, Any]
    """loss and validation_loss ([step, nats a token]), steps, tokens_per_s, peak_memory_bytes, seconds, left_out, ..."""


def train_causal(
    rows: Sequence[TokenRow],
    validation: Sequence[TokenRow],
    base: CausalBase,
    settings: CausalSettings,
    run_folder: Path,
) -> Generator[Event, None, TrainedCausal]:
    """Fine-tune; yields events, returns the model. A killed run goes on from its last checkpoint.

    With validation rows, the weights with the lowest validation loss are the ones that are written. Memory that runs out
    halves the batch and goes on from the last checkpoint. Closing the generator stops the run
    after the batch in hand.

    Args:
        rows: Rows to learn from; longer ones than the context are left out and told.
        validation: Rows that only score the run while it goes; may be empty.
        base: The base, from `open_base`.
        settings: Every value of the recipe.
        run_folder: Existing folder; gets `merged`, `adapter` and, while it runs, `checkpoints`.

    Raises:
        MissingExtra: if a library is not installed.
        TrainingError: if the machine cannot do it, the loss is no number, or memory runs out at a batch of 1.
        DataError: if a row cannot be learnt.
        StorageError: if the disk refuses.
    """
    torch.set_num_threads(settings.threads or usable_cores())
    prepared = prepare_causal(rows, validation, base, settings, run_folder)
    from microlith.training.causal_run import MERGED, CausalRun

    run = CausalRun(base=base, prepared=prepared, folder=run_folder)
    writing = Progress(stage="train", done=run.steps, total=run.steps, detail="writing the weights")
    with closing(run.events()) as events:
        for event in chain(prepared.notes, events, (writing,)):
            if is_first():
                yield event
    adapter = run.write()
    return TrainedCausal(
        folder=run_folder / MERGED, adapter=adapter, base=base, settings=run.settings, facts=run.facts
    )
