"""Keep training within a time limit: measure the first steps, then show the model as many rows as the time allows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from microlith.events import Event, Step, Warned
from microlith.registry.folders import replace_text

BUDGET_FILE = "budget.json"
"""What was measured, kept with the run so that a resumed run learns by the same schedule."""
MEASURED_EVENTS = 3
"""Step events to wait for: the first steps are slower than the rest."""
SHARE = 0.85
"""Share of the time that is given to steps; the rest is for scoring, checkpoints and noise."""

Settings = TypeVar("Settings")
Trained = TypeVar("Trained")
Showing = Callable[[Any, int], Any]


def showing_rows(settings: Any, rows: int) -> Any:
    """The same settings for `rows` rows in all."""
    return replace(settings, passes=0.001, least_rows=rows)


def train_within(
    start: Callable[[Settings], Generator[Event, None, Trained]],
    settings: Settings,
    minutes: float | None,
    run_folder: Path,
    *,
    least: int = 1,
    showing: Showing = showing_rows,
) -> Generator[Event, None, Trained]:
    """Train, with fewer rows where `minutes` would not do for all of them.

    The learning rate then falls to zero over these rows, so the model is a finished one and not one that was stopped.

    Args:
        start: Begins training with given settings.
        settings: What is trained if time allows.
        minutes: The limit, above 0; None for none.
        run_folder: Where the measurement is kept.
        least: Rows that are shown at least.
        showing: Gives the settings that show a number of rows.
    """
    kept = _kept(run_folder) if minutes is not None else None
    if minutes is None or kept is not None:
        return (yield from start(showing(settings, kept) if kept is not None else settings))
    begun, heard, work = time.monotonic(), 0, start(settings)
    while True:
        try:
            event = next(work)
        except StopIteration as stop:
            found: Trained = stop.value
            return found
        yield event
        heard += isinstance(event, Step)
        left = minutes * 60.0 - (time.monotonic() - begun)
        if isinstance(event, Step) and heard == MEASURED_EVENTS and event.seconds_left > SHARE * left:
            break
    work.close()
    rows = max(least, round(event.rows_per_s * SHARE * max(left, 1.0)))
    replace_text(run_folder / BUDGET_FILE, json.dumps({"rows": rows}))
    yield Warned(
        what=f"{minutes:g} minutes do for {rows:,} rows at {event.rows_per_s:.0f} rows/s; training begins again with these"
    )
    return (yield from start(showing(settings, rows)))


def _kept(run_folder: Path) -> int | None:
    try:
        return int(json.loads((run_folder / BUDGET_FILE).read_text(encoding="utf-8"))["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
