"""Tiny fine-tunings that the tests share."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from microlith.events import Event, Warned
from microlith.inference.prompt import Pieces
from microlith.training import causal_load
from microlith.training.causal import TrainedCausal, train_causal
from microlith.training.causal_base import CausalBase, open_base, prompt_of
from microlith.training.causal_settings import causal_settings_of
from microlith.training.token_rows import TokenRow
from tests.tiny_models import FAMILIES, VARIANTS

_FOLDER = tempfile.TemporaryDirectory(prefix="causal-")
QUICK = {
    "batch_size": 4, "accumulation": 1, "passes": 4, "rate": 3e-3, "validations": 2, "threads": 1, "warmup_steps": 0,
    "max_tokens": 96, "gradient_checkpointing": False, "precision": "float32", "dropout": 0.0, "rank": 4,
}  # fmt: skip


@cache
def base_of(name: str) -> CausalBase:
    """The tiny base of a family, made once."""
    folder = {**FAMILIES, **VARIANTS}[name](Path(_FOLDER.name) / name)
    return open_base(causal_settings_of("lora", overrides={"base": str(folder)}))


@cache
def _settle() -> None:
    """Keep the many objects that the libraries bring along out of every collection of garbage."""
    import_module("microlith.training.causal_run")
    gc.collect()
    gc.freeze()


def rows_of(base: CausalBase, count: int = 12) -> list[TokenRow]:
    pieces = Pieces(tokenizer=Tokenizer.from_str(base.tokenizer.backend_tokenizer.to_str()))
    prompt = prompt_of(base, "JSON.")
    rows = []
    for number in range(count):
        name, asked = ("on", "yes") if number % 2 else ("off", "no")
        before = prompt.ids(pieces.ids(f"Lights {name}, {number}"))
        ids = (*before, *pieces.ids(f'{{"on": "{asked}"}}'), prompt.end)
        rows.append(TokenRow(ids=ids, answer_from=len(before), source=f"train.jsonl:{number + 1}"))
    return rows


def run(
    base: CausalBase, folder: Path, recipe: str = "lora", *, rows: Sequence[TokenRow] | None = None,
    validation: Sequence[TokenRow] | None = None, **overrides: Any,
) -> tuple[TrainedCausal, list[Event]]:  # fmt: skip
    """Train to the end; the model and every event."""
    _settle()
    folder.mkdir(exist_ok=True)
    rows = rows_of(base) if rows is None else rows
    settings = causal_settings_of(recipe, overrides={**QUICK, "base": str(base.folder), **overrides})
    work = train_causal(rows, rows[:4] if validation is None else validation, base, settings, folder)
    events: list[Event] = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as stop:
            return stop.value, events


def told(events: Sequence[Event]) -> str:
    return "\n".join(one.what for one in events if isinstance(one, Warned))


def loss_on(folder: Path, rows: Sequence[TokenRow]) -> float:
    """Mean loss of a saved model on the answers."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    losses = []
    for row in rows:
        labels = torch.tensor([[-100] * row.answer_from + list(row.ids[row.answer_from :])])
        with torch.no_grad():
            losses.append(float(model(torch.tensor([row.ids]), labels=labels).loss))
    return sum(losses) / len(losses)


def change_model(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    load = causal_load.load_model

    def changed(*args: Any, **kwargs: Any) -> Any:
        model = load(*args, **kwargs)
        change(model)
        return model

    monkeypatch.setattr(causal_load, "load_model", changed)
