"""Rows as the encoder trains on them: read, grounded, with targets, in batches of like length."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from microlith.data.example import Example
from microlith.inference.grounding import GroundingSpec
from microlith.inference.layout import Layout
from microlith.inference.reader import Batch, Read, collate, read_requests
from microlith.task.plan import Plan
from microlith.task.reading import read
from microlith.training.losses import GroupTensors, stack_targets
from microlith.training.targets import GroupTarget, Lost, targets_of


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row, ready to be batched."""

    read: Read
    targets: tuple[GroupTarget, ...]
    weight: float


@dataclass(frozen=True, kw_only=True)
class LostRow:
    """A row that is left out because a value cannot be spelled by a slice, and why."""

    source: str
    lost: tuple[Lost, ...]


def prepare(
    examples: Sequence[Example], plan: Plan, layout: Layout, spec: GroundingSpec, tokenizer: Tokenizer
) -> tuple[list[Row], list[LostRow]]:
    """Ground and tokenize `examples` and find their targets."""
    rows: list[Row] = []
    left: list[LostRow] = []
    reads = read_requests([example.input for example in examples], tokenizer, spec)
    for example, one in zip(examples, reads, strict=True):
        reading = read(plan, example.output)
        targets, lost = targets_of(plan, layout, spec, one.grounding, reading)
        if lost:
            left.append(LostRow(source=example.source, lost=tuple(lost)))
        else:
            rows.append(Row(read=one, targets=tuple(targets), weight=example.weight))
    return rows, left


def batches(rows: Sequence[Row], size: int, rng: random.Random) -> Iterator[list[Row]]:
    """One pass over `rows` in random batches whose rows have like lengths, so that little is padding."""
    order = list(range(len(rows)))
    rng.shuffle(order)
    pool = size * 24
    chunks: list[list[int]] = []
    for begin in range(0, len(order), pool):
        part = sorted(order[begin : begin + pool], key=lambda index: len(rows[index].read.ids))
        chunks += [part[start : start + size] for start in range(0, len(part), size)]
    rng.shuffle(chunks)
    for chunk in chunks:
        yield [rows[index] for index in chunk]


def tensors(
    rows: Sequence[Row], plan: Plan, layout: Layout, spec: GroundingSpec
) -> tuple[dict[str, Tensor], list[GroupTensors], Tensor]:
    """Inputs, targets per group and row weights of one batch."""
    batch = collate([row.read for row in rows])
    width = batch.candidates.shape[1]
    targets = [
        stack_targets(
            plan, number, heads, spec, [(row.read.grounding, row.targets[number]) for row in rows], width
        )
        for number, heads in enumerate(layout.groups)
    ]
    return inputs(batch), targets, torch.tensor([row.weight for row in rows])


def inputs(batch: Batch) -> dict[str, Tensor]:
    """A batch as the network's keyword arguments."""
    return {
        "input_ids": torch.from_numpy(batch.input_ids),
        "attention_mask": torch.from_numpy(batch.attention_mask),
        "candidates": torch.from_numpy(batch.candidates),
        "features": torch.from_numpy(batch.features),
    }
