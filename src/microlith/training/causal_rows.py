"""Rows of tokens as batches of a trainer, with the loss on the answers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from microlith.errors import DataError, TrainingError
from microlith.training.token_rows import TokenRow

IGNORED = -100
"""Label of a token that no loss is taken on, as in torch and transformers."""


def check_rows(rows: Sequence[TokenRow], *, tokens: int) -> None:
    """Refuse rows that cannot be learnt.

    Args:
        rows: The rows.
        tokens: Tokens that the base knows.

    Raises:
        DataError: naming the first row without answer, with an unknown token or a weight of 0 or less.
    """
    for row in rows:
        if not 0 < row.answer_from < len(row.ids):
            raise DataError(
                f"answer_from is {row.answer_from} in a row of {len(row.ids)} tokens; expected prompt and answer",
                place=row.source,
            )
        if not 0 <= min(row.ids) <= max(row.ids) < tokens:
            raise DataError(
                f"the row has token {max(row.ids)}, but the base knows {tokens} tokens",
                place=row.source, mend="make the rows with the tokenizer of this base",
            )  # fmt: skip
        if not row.weight > 0:
            raise DataError(f"the weight is {row.weight}; expected above 0", place=row.source)


def dataset_of(rows: Sequence[TokenRow]) -> Any:
    """The rows as a `datasets.Dataset` with input_ids, labels and weight; weights have a mean of 1."""
    mean = sum(row.weight for row in rows) / len(rows)
    return import_module("datasets").Dataset.from_dict(
        {
            "input_ids": [list(row.ids) for row in rows],
            "labels": [labels_of(row) for row in rows],
            "weight": [row.weight / mean for row in rows],
        }
    )


def labels_of(row: TokenRow) -> list[int]:
    """The row's tokens where a loss is taken, IGNORED before."""
    return [IGNORED] * row.answer_from + list(row.ids[row.answer_from :])


@dataclass(frozen=True, kw_only=True)
class Collator:
    """Pads rows on the right."""

    pad: int

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """input_ids, attention_mask and labels (rows, tokens); row_weights (rows,) only where they differ from 1."""
        width = max(len(one["input_ids"]) for one in features)
        batch = {
            "input_ids": _padded([one["input_ids"] for one in features], width, self.pad),
            "attention_mask": _padded([[1] * len(one["input_ids"]) for one in features], width, 0),
            "labels": _padded([one["labels"] for one in features], width, IGNORED),
        }
        weights = [float(one["weight"]) for one in features]
        if any(abs(weight - 1.0) > 1e-9 for weight in weights):
            batch["row_weights"] = torch.tensor(weights)
        return batch


def _padded(rows: Sequence[Sequence[int]], width: int, filler: int) -> Tensor:
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])


def require_answer_labels(batch: Mapping[str, Tensor], rows: Sequence[TokenRow]) -> None:
    """See that a batch takes its loss on every token of the answers and on nothing else.

    Args:
        batch: What a Collator made of `rows`.
        rows: The rows, in order.

    Raises:
        TrainingError: naming the first row for which that is not so.
    """
    for row, labels in zip(rows, batch["labels"].tolist(), strict=True):
        taken = [place for place, label in enumerate(labels) if label != IGNORED]
        if taken != list(range(row.answer_from, len(row.ids))):
            raise TrainingError(
                f"the loss would be taken on tokens {taken[:1]} to {taken[-1:]} instead of the answer "
                f"({row.answer_from} to {len(row.ids) - 1})",
                place=row.source,
            )
