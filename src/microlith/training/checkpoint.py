"""The checkpoint of a training loop of our own: one file, whole or absent."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from microlith.errors import StorageError

CHECKPOINT = "checkpoint.pt"
"""File inside a run's folder."""
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError)
"""What reading a damaged checkpoint raises: it costs the time since the start, nothing else."""


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Write `state` beside the last checkpoint, then in its place.

    Raises:
        StorageError: if the disk refuses; the last checkpoint stays.
    """
    target = folder / CHECKPOINT
    part = target.with_suffix(".part")
    try:
        torch.save(dict(state), part)
        os.replace(part, target)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise StorageError(
            f"the checkpoint cannot be written: {error}", place=str(target), mend="free some disk"
        ) from error
