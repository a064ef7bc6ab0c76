"""The functions that shipped schemas name in `x-computed`: each gives a value from the request and the rest of the answer.

A request is the text that models read: `path: value` lines for a structured one (`microlith.data.rows.render_input`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from microlith.errors import DataError
from microlith.task.plan import Json

LATE_HOURS, LATE_SHARE = 2.0, 0.2
"""A delay above so many hours, or above this share of the planned time, is a high risk."""
SLIPPING_HOURS = 0.5
"""A delay above this is a medium risk."""


def risk_level(request: str, answer: Mapping[str, Json]) -> str:
    """The risk that follows from the delay that a task is heading for.

    Progress is completed / total steps, or as stated where there are no steps; the predicted total is elapsed / progress;
    the delay is what of it exceeds the planned time, and with no progress what the elapsed time exceeds it by.

    Args:
        request: Lines `metrics.allocated_hours: ...`, `metrics.elapsed_hours: ...` (hours, from 0), `metrics.total_steps`,
            `metrics.steps_completed`, `metrics.progress_ratio` (0-1), `metrics.predicted_delay_hours`.
        answer: Not used.

    Returns:
        "high" for a delay above 2 hours or 20 % of the planned time, "medium" above half an hour, else "low".

    Raises:
        DataError: if neither the times nor the delay are given.
    """
    metrics = _metrics(request)
    planned, delay = metrics.get("allocated_hours"), predicted_delay(metrics)
    if delay is None:
        raise DataError(
            "the metrics give neither a delay nor the times that it follows from",
            place="metrics", mend="give allocated_hours and elapsed_hours, or predicted_delay_hours",
        )  # fmt: skip
    if delay > LATE_HOURS or (planned is not None and delay > LATE_SHARE * planned):
        return "high"
    return "medium" if delay > SLIPPING_HOURS else "low"


def predicted_delay(metrics: Mapping[str, float]) -> float | None:
    """Hours that a task will be late; None where the metrics do not say. See `risk_level`."""
    planned, elapsed = metrics.get("allocated_hours"), metrics.get("elapsed_hours")
    if planned is None or elapsed is None:
        return metrics.get("predicted_delay_hours")
    steps, progress = metrics.get("total_steps"), metrics.get("progress_ratio", 0.0)
    if steps:
        progress = metrics.get("steps_completed", 0.0) / steps
    total = elapsed / progress if progress > 0 else elapsed
    return max(0.0, total - planned)


def _metrics(request: str) -> dict[str, float]:
    """The numbers of the lines that begin with `metrics.`."""
    found: dict[str, float] = {}
    for line in request.splitlines():
        name, colon, value = line.partition(": ")
        if colon and name.startswith("metrics."):
            try:
                number = json.loads(value)
            except ValueError:
                continue
            if isinstance(number, int | float) and not isinstance(number, bool):
                found[name.removeprefix("metrics.")] = float(number)
    return found
