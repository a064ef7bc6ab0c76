"""A gate: scores that a model must reach, e.g. `microlith evaluate --fail-under exact=0.95 --fail-under ece=0.05`.

For most metrics more is better and the threshold is the least allowed. For those with `lower_is_better` (ece, brier, aurc,
wrong_but_valid, refused, failed, false_alarms, confidence_wrong, repetition, every `_ms` and every `_mb`) it is the most
allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Literal

from microlith.errors import GateFailed, Problem, UsageError
from microlith.evaluation.intervals import Share
from microlith.evaluation.result import Evaluation, Latency, Scope, Texts

Unit = Literal["share", "count", "ms", "rows/s", "MB"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number of an evaluation, known by a name."""

    name: str
    unit: Unit
    meaning: str
    read: Callable[[Evaluation], float | None]
    """The value; None where it was not scored. Shares are 0-1, MB are 10^6 bytes."""
    lower_is_better: bool = False


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """What is demanded of one metric."""

    metric: str
    value: float
    """The least allowed, or the most for a metric whose lower values are better."""


def _scope(read: Callable[[Scope], Share]) -> Callable[[Evaluation], float | None]:
    return lambda one: None if one.scope is None else read(one.scope).value


def _texts(read: Callable[[Texts], float | None]) -> Callable[[Evaluation], float | None]:
    return lambda one: None if one.texts is None else read(one.texts)


def _free_valid(one: Evaluation) -> float | None:
    return None if one.constraint is None else one.constraint.free.valid.value


def _latency(read: Callable[[Latency], float]) -> Callable[[Evaluation], float | None]:
    return lambda one: None if one.speed.latency is None else read(one.speed.latency)


def _megabytes(read: Callable[[Evaluation], int | None]) -> Callable[[Evaluation], float | None]:
    return lambda one: None if (size := read(one)) is None else size / 1e6


def _coverage(error: float) -> Callable[[Evaluation], float | None]:
    return lambda one: next((target.coverage for target in one.risk.targets if target.error == error), None)


def _share(
    name: str, meaning: str, read: Callable[[Evaluation], float | None], *, lower: bool = False
) -> Metric:
    return Metric(name=name, unit="share", meaning=meaning, read=read, lower_is_better=lower)


def _size(name: str, meaning: str, read: Callable[[Evaluation], int | None]) -> Metric:
    return Metric(name=name, unit="MB", meaning=meaning, read=_megabytes(read), lower_is_better=True)


def _time(name: str, meaning: str, read: Callable[[Latency], float]) -> Metric:
    return Metric(name=name, unit="ms", meaning=meaning, read=_latency(read), lower_is_better=True)


_ALL = (
    Metric(name="n", unit="count", meaning="examples scored", read=lambda one: float(one.n)),
    _share("exact", "whole answers that are right", lambda one: one.exact.value),
    _share("exact_low", "lower end of its 95 % interval", lambda one: one.exact.low),
    _share("valid", "answers that fit the schema", lambda one: one.valid.value),
    _share("wrong_but_valid", "answers that fit the schema and are wrong", lambda one: one.wrong_but_valid.value, lower=True),
    _share("refused", "requests without an answer", lambda one: one.refused.value, lower=True),
    _share("failed", "requests on which the model raised", lambda one: one.failed.value, lower=True),
    _share("rouge_l", "mean ROUGE-L of the texts of answers", _texts(lambda one: one.rouge_l.value)),
    _share("rouge_l_low", "lower end of its 95 % interval", _texts(lambda one: one.rouge_l.low)),
    _share("repetition", "word trigrams that stood before in the same answer", _texts(lambda one: one.repetition), lower=True),
    _share("agreement", "computed values and single choices that are right", _texts(lambda one: one.agreement.value)),
    _share("distinct", "different texts of all texts written", _texts(lambda one: one.distinct)),
    _share("free_valid", "answers that fit the schema when nothing holds the model to it", _free_valid),
    _share("out_of_scope_recall", "out-of-scope requests known as such", _scope(lambda one: one.recall)),
    _share("false_alarms", "in-scope requests taken for out of scope", _scope(lambda one: one.false_alarms), lower=True),
    _share("in_scope_exact", "in-scope requests answered exactly", _scope(lambda one: one.in_scope_exact)),
    _share("confidence_right", "mean confidence of right answers", lambda one: one.confidence_right),
    _share("confidence_wrong", "mean confidence of wrong answers", lambda one: one.confidence_wrong, lower=True),
    _share("ece", "expected calibration error", lambda one: one.calibration.ece, lower=True),
    _share("brier", "Brier score", lambda one: one.calibration.brier, lower=True),
    _share("field_ece", "expected calibration error of fields", lambda one: one.field_calibration.ece, lower=True),
    _share("aurc", "area under the risk-coverage curve", lambda one: one.risk.aurc, lower=True),
    _share("coverage_at_0.5", "requests answered with at most 0.5 % wrong, by the 95 % upper bound", _coverage(0.005)),
    _share("coverage_at_1", "requests answered with at most 1 % wrong, by the 95 % upper bound", _coverage(0.01)),
    _share("coverage_at_2", "requests answered with at most 2 % wrong, by the 95 % upper bound", _coverage(0.02)),
    _share("coverage_at_5", "requests answered with at most 5 % wrong, by the 95 % upper bound", _coverage(0.05)),
    _time("p50_ms", "median time of one request", lambda one: one.p50_ms),
    _time("p95_ms", "time that 95 % of single requests keep", lambda one: one.p95_ms),
    _time("p99_ms", "time that 99 % of single requests keep", lambda one: one.p99_ms),
    Metric(name="rows_per_s", unit="rows/s", meaning="throughput in batches", read=lambda one: one.speed.rows_per_s),
    _size("rss_mb", "resident memory", lambda one: one.speed.rss_bytes),
    _size("peak_mb", "peak resident memory", lambda one: one.speed.peak_bytes),
    _size("artifact_mb", "size of the artifact", lambda one: one.speed.artifact_bytes),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""Name -> metric, in the order in which tables show them."""
DECISION = "decision:"
"""`decision:PATH` or `decision:PATH:KIND` names the share right of one of the plan's decisions."""


def parse_threshold(text: str) -> Threshold:
    """Read `metric=value`; a share may be written 0.95 or 95%.

    Raises:
        UsageError: if the metric is unknown, or the value is no number that the metric can take.
    """
    name, equals, written = (part.strip() for part in text.partition("="))
    if not equals or not name or not written:
        raise UsageError(f"{text!r} is no threshold", mend="write metric=value, e.g. exact=0.95")
    metric = _known(name)
    value = _number(text, written)
    if metric.unit == "share" and not 0.0 <= value <= 1.0:
        raise UsageError(
            f"{text!r}: {name} is a share, 0 to 1", mend=f"write {name}={value / 100:g} or {name}={value:g}%"
        )
    return Threshold(metric=name, value=value)


def check(evaluation: Evaluation, thresholds: Sequence[Threshold]) -> None:
    """Let a model pass that reaches every threshold; a value equal to its threshold passes.

    Raises:
        GateFailed: with one problem for every metric that is missed or was not scored.
        UsageError: if a metric is unknown.
    """
    problems = [problem for one in thresholds if (problem := _missed(evaluation, one)) is not None]
    if problems:
        raise GateFailed(
            f"{evaluation.model} does not pass the gate of task {evaluation.task}", problems=problems
        )


def _missed(evaluation: Evaluation, threshold: Threshold) -> Problem | None:
    metric = _known(threshold.metric)
    value = metric.read(evaluation)
    words, sign = ("at most", -1.0) if metric.lower_is_better else ("at least", 1.0)
    if value is None:
        return Problem(
            what=f"{metric.name} was not scored, {words} {_shown(threshold.value, metric)} is demanded",
            mend="use examples that have such requests, or drop the threshold",
        )
    if sign * value >= sign * threshold.value:
        return None
    return Problem(
        what=f"{metric.name} is {_shown(value, metric)} (n = {evaluation.n}), {words} "
        f"{_shown(threshold.value, metric)} is demanded"
    )


def _known(name: str) -> Metric:
    if name in METRICS:
        return METRICS[name]
    if name.startswith(DECISION):
        return _decision(name)
    near = get_close_matches(name, METRICS, n=1)
    raise UsageError(
        f"unknown metric {name!r}; known are: {', '.join(METRICS)}, {DECISION}PATH",
        mend=f"did you mean {near[0]}?" if near else None,
    )


def _decision(name: str) -> Metric:
    wanted = name.removeprefix(DECISION)

    def read(one: Evaluation) -> float | None:
        found = [row for row in one.decisions if wanted in (row.path, f"{row.path}:{row.kind}")]
        if not found:
            known = ", ".join(f"{DECISION}{row.path}:{row.kind}" for row in one.decisions)
            raise UsageError(f"unknown metric {name!r}; the plan's decisions are: {known}")
        scored = [row.right.value for row in found if row.right.value is not None]
        return min(scored) if scored else None

    return _share(name, f"decisions on {wanted} that are right; of several kinds the lowest", read)


def _number(text: str, written: str) -> float:
    scale = 100.0 if written.endswith("%") else 1.0
    try:
        value = float(written.removesuffix("%")) / scale
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise UsageError(f"{text!r}: {written!r} is no number", mend="write metric=value, e.g. exact=0.95")
    return value


def _shown(value: float, metric: Metric) -> str:
    """Enough digits that a value just short of its threshold does not look equal to it."""
    return f"{value:.6g}" if metric.unit == "share" else f"{value:.6g} {metric.unit}"
