"""Put requests to a model and measure: what it says, how long it takes, what it occupies.

A model that raises, or breaks its contract, on one request is a finding about that request, not the end of the evaluation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np

from microlith.errors import UsageError
from microlith.evaluation.result import Latency
from microlith.inference.protocol import Model, Prediction, Request

Clock = Callable[[], float]
"""Seconds from any fixed moment."""
WARM_UP = 2
"""Single requests before the clock starts."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came back for one request: a prediction, or why there is none."""

    prediction: Prediction | None
    error: str | None


def answer_all(
    model: Model, requests: Sequence[Request], *, batch_size: int, clock: Clock
) -> tuple[list[Answered], float]:
    """Answer all requests in batches.

    A batch that raises is asked again request by request, so that only the faulty request is lost.

    Returns:
        One `Answered` a request, in order, and the seconds spent in the model.

    Raises:
        UsageError: if batch_size is below 1.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}, at least 1 is expected")
    for _ in range(WARM_UP):
        _ask(model, requests[:1])
    answers: list[Answered] = []
    begin = clock()
    for start in range(0, len(requests), batch_size):
        batch = requests[start : start + batch_size]
        found = _ask(model, batch)
        if isinstance(found, str):
            found = [_one(model, request) for request in batch] if len(batch) > 1 else [_failed(found)]
        answers.extend(found)
    return answers, clock() - begin


def time_singles(model: Model, requests: Sequence[Request], *, rows: int, clock: Clock) -> dict[int, float]:
    """Milliseconds that single requests take, by position; at most `rows` of them, evenly spread over `requests`."""
    count = min(max(rows, 0), len(requests))
    chosen = np.linspace(0, len(requests) - 1, count).round().astype(int).tolist() if count else []
    times: dict[int, float] = {}
    for index in chosen:
        begin = clock()
        _ask(model, requests[index : index + 1])
        times[index] = (clock() - begin) * 1000.0
    return times


def latency_of(times_ms: Sequence[float]) -> Latency | None:
    """Mean and percentiles (linear between ranks) of `times_ms`; None when there are none."""
    if not times_ms:
        return None
    p50, p95, p99 = (float(value) for value in np.percentile(times_ms, (50, 95, 99)))
    return Latency(
        n=len(times_ms),
        mean_ms=float(np.mean(times_ms)),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(max(times_ms)),
    )


def memory_of(status: Path = Path("/proc/self/status")) -> tuple[int | None, int | None]:
    """Resident memory of this process in bytes, now and at its peak; None where the system does not say."""
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None, _peak_elsewhere()
    sizes = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    now, peak = (sizes.get(name) for name in ("VmRSS", "VmHWM"))
    return (int(now[0]) * 1024 if now else None), (int(peak[0]) * 1024 if peak else _peak_elsewhere())


def _peak_elsewhere() -> int | None:
    try:
        import resource
    except ImportError:  # Windows has no such module
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _one(model: Model, request: Request) -> Answered:
    found = _ask(model, [request])
    return _failed(found) if isinstance(found, str) else found[0]


def _ask(model: Model, requests: Sequence[Request]) -> list[Answered] | str:
    """Answers, or what went wrong with the whole batch."""
    try:
        predictions = model.predict(requests)
        if len(predictions) != len(requests):
            return f"{len(predictions)} predictions came back for {len(requests)} requests"
        return [_checked(prediction) for prediction in predictions]
    except Exception as error:  # per-example evaluation: any fault of a model is data
        return f"{type(error).__name__}: {error}"


def _failed(error: str) -> Answered:
    return Answered(prediction=None, error=error)


def _checked(prediction: Prediction) -> Answered:
    """A prediction whose confidences are probabilities, else a failure."""
    stated = [prediction.confidence, *(field.confidence for field in prediction.fields)]
    broken = [value for value in stated if not (isfinite(value) and 0.0 <= value <= 1.0)]
    if broken:
        return _failed(f"confidence {broken[0]} is no probability")
    return Answered(prediction=prediction, error=None)
