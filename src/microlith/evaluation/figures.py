"""Which figures are shown, in which order and words: shared by the page and the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from microlith.evaluation import wording as say
from microlith.evaluation.gate import METRICS, Metric
from microlith.evaluation.intervals import Bounded, Difference, Share
from microlith.evaluation.result import Constraint, Evaluation, Scope, Spoken, Texts


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One metric as a row of a table."""

    metric: str
    """A name of `gate.METRICS`."""
    label: str
    bounded: Callable[[Evaluation], Bounded | None] | None = None
    """Gives the interval behind the metric; None where it has none."""
    ranks: bool = True
    """False where more or less is no merit by itself, so that no model is called best."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One figure of a model's constrained answers beside that of its free ones."""

    label: str
    constrained: Bounded
    free: Bounded
    difference: Difference
    """Constrained minus free."""


def _scope(read: Callable[[Scope], Share]) -> Callable[[Evaluation], Share | None]:
    return lambda one: None if one.scope is None else read(one.scope)


def _texts(read: Callable[[Texts], Bounded]) -> Callable[[Evaluation], Bounded | None]:
    return lambda one: None if one.texts is None else read(one.texts)


FIGURES: tuple[tuple[str, tuple[Figure, ...]], ...] = (
    ("Answers", (
        Figure(metric="exact", label="Whole answer exact", bounded=lambda one: one.exact),
        Figure(metric="valid", label="Fits the schema", bounded=lambda one: one.valid),
        Figure(metric="wrong_but_valid", label="Wrong but valid", bounded=lambda one: one.wrong_but_valid),
        Figure(metric="refused", label="Refused", bounded=lambda one: one.refused),
        Figure(metric="failed", label="Failed", bounded=lambda one: one.failed),
    )),
    ("Texts", (
        Figure(metric="rouge_l", label="ROUGE-L", bounded=_texts(lambda one: one.rouge_l)),
        Figure(metric="repetition", label="Repetition"),
        Figure(metric="agreement", label="Levels that agree", bounded=_texts(lambda one: one.agreement)),
        Figure(metric="distinct", label="Distinct texts"),
    )),
    ("Scope", (
        Figure(metric="out_of_scope_recall", label="Out-of-scope requests recognised", bounded=_scope(lambda one: one.recall)),
        Figure(metric="false_alarms", label="In-scope requests turned away", bounded=_scope(lambda one: one.false_alarms)),
        Figure(metric="in_scope_exact", label="In-scope requests exact", bounded=_scope(lambda one: one.in_scope_exact)),
    )),
    ("Confidence", (
        Figure(metric="confidence_right", label="Mean when right", ranks=False),
        Figure(metric="confidence_wrong", label="Mean when wrong", ranks=False),
        Figure(metric="ece", label="Calibration error (ECE)"),
        Figure(metric="brier", label="Brier score"),
        Figure(metric="field_ece", label="Calibration error of fields"),
        Figure(metric="aurc", label="Area under risk-coverage (AURC)"),
    )),
    ("Time and space", (
        Figure(metric="p50_ms", label="One request, median"),
        Figure(metric="p95_ms", label="95 % of requests within"),
        Figure(metric="p99_ms", label="99 % of requests within"),
        Figure(metric="rows_per_s", label="Throughput in batches"),
        Figure(metric="artifact_mb", label="Artifact"),
        Figure(metric="rss_mb", label="Resident memory of the process", ranks=False),
        Figure(metric="peak_mb", label="Peak memory of the process", ranks=False),
    )),
)  # fmt: skip
"""Part -> its figures, in the order in which they are shown."""
_AS_DECIMAL = frozenset({"ece", "brier", "field_ece", "aurc", "confidence_right", "confidence_wrong"})


def names_of(evaluations: Sequence[Evaluation]) -> list[str]:
    """The models' names; one that occurs again is numbered."""
    seen: dict[str, int] = {}
    names = []
    for one in evaluations:
        seen[one.model] = seen.get(one.model, 0) + 1
        names.append(one.model if seen[one.model] == 1 else f"{one.model} #{seen[one.model]}")
    return names


def scored_figures(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[Figure]]]:
    """The figures that at least one of `evaluations` has a value for, part by part."""
    parts = [
        (part, [one for one in figures if any(value is not None for value in values_of(one, evaluations))])
        for part, figures in FIGURES
    ]
    return [(part, figures) for part, figures in parts if figures]


def contrasts(one: Constraint) -> list[Contrast]:
    """What the constraint gains and costs, row by row; what was not scored is left out."""
    rows: tuple[tuple[str, Callable[[Spoken], Bounded | None], Difference | None], ...] = (
        ("Is JSON", lambda said: said.json, one.json),
        ("Fits the schema", lambda said: said.valid, one.valid),
        ("Wrong but valid", lambda said: said.wrong_but_valid, one.wrong_but_valid),
        ("Whole answer exact", lambda said: said.exact, one.exact),
        ("ROUGE-L", lambda said: said.rouge_l, one.rouge_l),
    )
    found = []
    for label, read, difference in rows:
        constrained, free = read(one.constrained), read(one.free)
        if constrained is not None and free is not None and difference is not None:
            found.append(Contrast(label=label, constrained=constrained, free=free, difference=difference))
    return found


def reference_note(one: Evaluation) -> str:
    """What the texts of the right answers are like, to compare with; empty where the plan writes no text."""
    if one.texts is None:
        return ""
    repeated, words = say.percent(one.texts.reference_repetition, 1), f"{one.texts.reference_words:.1f}"
    different = say.percent(one.texts.reference_distinct, 1)
    return f"The right answers have {words} words on average, repetition {repeated} and {different} distinct texts."


def values_of(figure: Figure, evaluations: Sequence[Evaluation]) -> list[float | None]:
    """The figure's value in each evaluation."""
    return [METRICS[figure.metric].read(one) for one in evaluations]


def written(metric: Metric, value: float | None) -> str:
    """A metric's value as people read it."""
    if value is None:
        return say.UNSCORED
    if metric.name in _AS_DECIMAL:
        return say.decimal(value)
    if metric.unit == "share":
        return say.percent(value, 1)
    if metric.unit == "ms":
        return say.milliseconds(value)
    if metric.unit == "MB":
        return say.megabytes(round(value * 1e6))
    return say.rate(value) if metric.unit == "rows/s" else f"{value:,.0f}"


def best_of(figure: Figure, values: Sequence[float | None]) -> str | None:
    """The best of several values as it is written; None where there is nothing to tell apart."""
    metric = METRICS[figure.metric]
    scored = [value for value in values if value is not None]
    if not figure.ranks or len({written(metric, value) for value in scored}) < 2:
        return None
    return written(metric, min(scored) if metric.lower_is_better else max(scored))
