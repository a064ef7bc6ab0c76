"""What long work reports while it runs. `cli` turns these into progress; nothing else prints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact about running work."""


@dataclass(frozen=True, kw_only=True)
class StageStarted(Event):
    """A named part of the work begins."""

    stage: str
    """"data", "base", "train", "calibrate", "export", "prove", "baselines", "evaluate"."""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class StageDone(Event):
    """A named part of the work has ended."""

    stage: str
    detail: str = ""
    seconds: float = 0.0
    reused: bool = False
    """True when an earlier run's result was taken over."""


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """A stage moved on."""

    stage: str
    done: int
    """Rows (or whatever the stage counts) finished so far."""
    total: int
    """All of them; 0 where that is not known."""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Step(Event):
    """Training moved on."""

    step: int
    """Optimiser steps done, from 1."""
    steps: int
    """Optimiser steps in all."""
    loss: float
    """Mean loss since the last event."""
    rows_per_s: float
    seconds_left: float


@dataclass(frozen=True, kw_only=True)
class Validation(Event):
    """The model was scored on the validation part."""

    step: int
    rows: int
    exact: float | None = None
    """Share of whole answers that are right, 0-1; None where only the loss was measured."""
    loss: float | None = None
    """Mean loss of an answer's token; None where answers were scored instead."""


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something the reader should know, with its remedy; the work goes on."""

    what: str
    facts: dict[str, Any] = field(default_factory=dict)
