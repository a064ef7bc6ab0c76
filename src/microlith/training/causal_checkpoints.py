"""Checkpoints of a fine-tuning: which run they belong to, and the last one that is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from microlith.errors import StorageError
from microlith.training.causal_base import CausalBase
from microlith.training.causal_settings import CausalSettings
from microlith.training.token_rows import TokenRow

CHECKPOINTS = "checkpoints"
"""Folder inside a run's folder."""
_RECORD = "run.json"
_PARTS = ("trainer_state.json", "optimizer.pt", "scheduler.pt")
"""Files of a whole checkpoint; the first is written last."""
_FREE = ("batch_size", "accumulation", "checkpoint_every_s", "threads", "report", "unsloth", "file_type")
"""Settings that may differ between a run and the one that goes on with it."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """How many rows go through the model at once; shrinks when memory runs out, and stays so after a kill."""

    batch_size: int
    accumulation: int
    evaluation_batch: int


def fingerprint(base: CausalBase, settings: CausalSettings, rows: Sequence[TokenRow]) -> str:
    """What a run learns, as a hash: checkpoints of another base, other rows or settings are not gone on from."""
    kept = {name: value for name, value in asdict(settings).items() if name not in (*_FREE, "base")}
    digest = hashlib.sha256(repr((base.name, base.parameters, sorted(kept.items()))).encode())
    for row in rows:
        digest.update(repr((row.ids, row.answer_from, row.weight)).encode())
    return digest.hexdigest()


def known_batches(folder: Path, print_of_run: str) -> Batches | None:
    """The batches that a killed run had come to; None where `folder` holds another run's checkpoints or none."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return Batches(**record["batches"]) if record["fingerprint"] == print_of_run else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record(folder: Path, print_of_run: str, batches: Batches) -> None:
    """Write down whose checkpoints `folder` holds.

    Raises:
        StorageError: if the disk refuses.
    """
    text = json.dumps({"fingerprint": print_of_run, "batches": asdict(batches)}, indent=2)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{_RECORD}.part").write_text(text, encoding="utf-8")
        os.replace(folder / f"{_RECORD}.part", folder / _RECORD)
    except OSError as error:
        raise StorageError(
            f"the checkpoints' record cannot be written: {error}", place=str(folder), mend="free some disk"
        ) from error


def last_checkpoint(folder: Path) -> tuple[int, Path] | None:
    """(step, folder) of the last whole checkpoint; None where there is none."""
    return max(((step, one) for step, one in _checkpoints(folder) if _is_whole(one)), default=None)


def drop_damaged(folder: Path) -> None:
    """Take away checkpoints that a kill cut short."""
    for _, one in _checkpoints(folder):
        if not _is_whole(one):
            shutil.rmtree(one, ignore_errors=True)


def drop_all(folder: Path) -> None:
    """Take all checkpoints and their record away."""
    shutil.rmtree(folder, ignore_errors=True)


def _checkpoints(folder: Path) -> Iterable[tuple[int, Path]]:
    for one in folder.glob("checkpoint-*"):
        number = one.name.rpartition("-")[2]
        if number.isdigit():
            yield int(number), one


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _PARTS[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all((checkpoint / name).is_file() for name in _PARTS)
