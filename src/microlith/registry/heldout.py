"""How a model did on validation rows: what the threshold of an error budget is solved on, kept with every artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microlith.errors import ArtifactError

HELDOUT = "heldout.json"
"""Name of the file in an artifact's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One answer to a row that neither the model nor the confidence it states was fitted on."""

    confidence: float
    """What the model stated, 0-1."""
    right: bool
    """Was the whole answer right? Of an answer with texts, every decision but the texts."""


def write_heldout(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes of all held-out rows that were answered into an existing folder; refusals are none of them."""
    pairs = [[one.confidence, one.right] for one in outcomes]
    text = json.dumps({"rows": len(pairs), "outcomes": pairs}, allow_nan=False)
    (folder / HELDOUT).write_text(text, encoding="utf-8")


def read_heldout(folder: Path) -> tuple[Outcome, ...] | None:
    """Read what `write_heldout` wrote; None for an artifact that was made without.

    Raises:
        ArtifactError: if the file is damaged.
    """
    place = folder / HELDOUT
    if not place.is_file():
        return None
    try:
        stored = json.loads(place.read_text(encoding="utf-8"))
        outcomes = tuple(_outcome(*pair) for pair in stored["outcomes"])
        if stored["rows"] != len(outcomes):
            raise ValueError(f"{stored['rows']} rows are named, {len(outcomes)} are there")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"the held-out outcomes cannot be read: {error}",
            place=str(place),
            mend="train again, or choose another version: `microlith models list`",
        ) from error
    return outcomes


def _outcome(confidence: Any, right: Any) -> Outcome:
    """Raises ValueError for what is no probability, or no truth value."""
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        raise ValueError(f"{confidence!r} is no confidence, 0 to 1 is expected")
    if not isinstance(right, bool):
        raise ValueError(f"{right!r} does not say whether an answer was right")
    return Outcome(confidence=float(confidence), right=right)
