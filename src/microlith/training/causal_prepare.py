"""What is seen to before a fine-tuning starts: rows, machine and libraries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import ceil
from pathlib import Path

import torch

from microlith.errors import TrainingError
from microlith.events import Event, Warned
from microlith.training import causal_load
from microlith.training.causal_base import CausalBase
from microlith.training.causal_memory import (
    Estimate,
    Machine,
    Workload,
    estimate,
    machine_now,
    require_fit,
    shape_of,
)
from microlith.training.causal_rows import (
    Collator,
    check_rows,
    dataset_of,
    require_answer_labels,
)
from microlith.training.causal_settings import CausalSettings
from microlith.training.token_rows import TokenRow, split_by_length, too_long


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A fine-tuning that can start."""

    rows: tuple[TokenRow, ...]
    """Those that fit."""
    validation: tuple[TokenRow, ...]
    """Those that are read while it goes."""
    left_out: int
    """Rows to learn from that are too long."""
    settings: CausalSettings
    """As this machine can follow them."""
    machine: Machine
    needs: Estimate
    notes: tuple[Event, ...]
    """What the reader should know before the start."""


def prepare_causal(
    rows: Sequence[TokenRow],
    validation: Sequence[TokenRow],
    base: CausalBase,
    settings: CausalSettings,
    folder: Path,
) -> Prepared:
    """See that libraries, rows and machine allow the run.

    Raises:
        MissingExtra: if a library is not installed.
        TrainingError: if no row fits the context, or the machine cannot do it; with the setting that would fit.
        DataError: if a row cannot be learnt.
    """
    causal_load.require_libraries(settings)
    limit = min(settings.max_tokens, base.context or settings.max_tokens)
    fitting, left = split_by_length(rows, limit)
    scored, unscored = split_by_length(_spread(validation, settings), limit)
    _require_rows(fitting, scored, base, limit=limit)
    machine = machine_now(folder, precision=settings.precision)
    work = _workload(fitting, scored)
    settings, notes = _possible(base, settings, work, machine)
    needs = require_fit(shape_of(base.config, base.parameters), settings, work, machine)
    told = Warned(
        what=f"the run takes {needs.text}", facts={"bytes": needs.total_bytes, "seconds": needs.seconds}
    )
    return Prepared(
        rows=fitting, validation=scored, left_out=len(left), settings=settings, machine=machine, needs=needs,
        notes=(*notes, *too_long(left, limit, setting="max_tokens"), *too_long(unscored, limit, setting="max_tokens"), told),
    )  # fmt: skip


def processes() -> int:
    """Processes that train together, under `accelerate launch`; else 1."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Is this the process that reports and writes?"""
    return int(os.environ.get("RANK", "0")) == 0


def _spread(validation: Sequence[TokenRow], settings: CausalSettings) -> Sequence[TokenRow]:
    """The validation rows that are read, evenly spread; none where validations is 0."""
    return (
        validation[:: ceil(len(validation) / settings.validation_rows) or 1] if settings.validations else ()
    )


def _require_rows(
    fitting: Sequence[TokenRow], scored: Sequence[TokenRow], base: CausalBase, *, limit: int
) -> None:
    if not fitting:
        raise TrainingError(
            f"there is not one row of at most {limit} tokens to learn from",
            mend="add rows, or raise max_tokens if the base can read more",
        )
    check_rows([*fitting, *scored], tokens=int(base.config.get("vocab_size") or len(base.tokenizer)))
    for part in (fitting, scored):
        features = dataset_of(part[:8]) if part else []
        if part:
            require_answer_labels(Collator(pad=pad_of(base))(list(features)), part[:8])


def pad_of(base: CausalBase) -> int:
    """The token that fills rows up; which one does not matter, since no loss is taken on it and nothing reads it."""
    return int(base.tokenizer.pad_token_id or 0)


def _workload(rows: Sequence[TokenRow], validation: Sequence[TokenRow]) -> Workload:
    lengths = [len(row.ids) for row in rows]
    return Workload(
        rows=len(rows), tokens=sum(lengths), longest=max(lengths),
        validation_tokens=sum(len(row.ids) for row in validation),
    )  # fmt: skip


def _possible(
    base: CausalBase, settings: CausalSettings, work: Workload, machine: Machine
) -> tuple[CausalSettings, list[Event]]:
    """The settings as this machine can follow them, and what had to change."""
    notes: list[Event] = []
    cuda = machine.device == "cuda"
    if settings.recipe == "qlora":
        if not cuda:
            raise _no_cuda(base, settings, work, machine)
        causal_load.require_bitsandbytes()
    if settings.optimizer == "adamw_8bit" and not (cuda and find_spec("bitsandbytes")):
        settings = replace(settings, optimizer="adamw_torch")
        notes.append(
            Warned(what="adamw_8bit needs a CUDA GPU and bitsandbytes: the optimizer is adamw_torch")
        )
    if cuda and torch.cuda.device_count() > 1 and processes() == 1:
        notes.append(
            Warned(what=f"one of {torch.cuda.device_count()} GPUs is used; `accelerate launch` uses them all")
        )
    if causal_load.takes_unsloth(settings):
        notes.append(Warned(what="Unsloth is installed and used; unsloth=no does without"))
    return settings, notes


def _no_cuda(base: CausalBase, settings: CausalSettings, work: Workload, machine: Machine) -> TrainingError:
    other = replace(settings, recipe="lora", optimizer="adamw_torch")
    needs = estimate(shape_of(base.config, base.parameters), other, work, machine)
    fits = "fits" if needs.fits else "does not fit either, so take a smaller base too"
    return TrainingError(
        "the recipe qlora holds its weights in 4 bits, which only a CUDA GPU computes with, and this machine has none",
        mend=f"recipe=lora {fits}: {needs.text}",
    )
