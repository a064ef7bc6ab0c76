"""The parts of the report that draw: training, confidence, confusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import floor, isfinite

from microlith.evaluation import wording as say
from microlith.evaluation.figures import names_of
from microlith.evaluation.markup import Html, figure, folded, key, pair, safe, section, table
from microlith.evaluation.measures import RiskTarget
from microlith.evaluation.plots import COLOURS, Axis, Point, Series, Style, chart, heat_map
from microlith.evaluation.result import Confusion, Evaluation
from microlith.task.plan import Json

Events = Sequence[Mapping[str, Json]]
"""Events of a run as metrics.json keeps them; those with `step` and `loss`, or `step` and `exact`, are drawn."""
MAP_SHOWN = 26
"""Labels of a confusion map; of more, those with the most errors are shown."""
CONFUSIONS_SHOWN = 10
SETTLED = 0.1
"""From this coverage on the risk decides how high its axis is; over fewer answers it jumps."""
NO_ANSWER = "(no answer)"


def training_panel(curves: Mapping[str, Events]) -> Html:
    """Loss and validation exactness over the steps of training, one curve a run."""
    drawn = [_curve(curves, "loss"), _curve(curves, "exact")]
    return section("Training", pair(*drawn))


def confidence_panel(evaluations: Sequence[Evaluation]) -> Html:
    """Reliability, risk against coverage, and what can be answered at a given error."""
    legend = key(names_of(evaluations), COLOURS)
    reliability = figure(
        "Reliability",
        _reliability(evaluations),
        key=legend,
        note="Answers in the order of their confidence, in up to fifteen groups of about equal size, with 95\u202f% intervals. "
        "On the dotted line 90\u202f% sure means right nine times in ten; below it the model is too sure.",
    )
    risk = figure(
        "Risk against coverage",
        _risk(evaluations),
        key=legend,
        note="Errors among the answered when only the most confident requests are answered. The faint line is the upper bound "
        "of the first model.",
    )
    drawn = pair(
        reliability if any(one.calibration.bins for one in evaluations) else "",
        risk if any(one.risk.points for one in evaluations) else "",
    )
    return section("Can its confidence be believed?", drawn, _targets(evaluations))


def confusion_panel(evaluations: Sequence[Evaluation]) -> Html:
    """Which labels are taken for which: a map for the candidate, the others folded away."""
    parts = []
    for index, (name, one) in enumerate(zip(names_of(evaluations), evaluations, strict=True)):
        if one.confusion is None:
            continue
        inner = _confusion(one.confusion)
        parts.append(inner if index == 0 else folded(safe(name), inner))
    note = "Rows are what was expected, columns what came; each cell is shaded by its share of the row."
    return section("What is taken for what", *parts, note=note)


def _curve(curves: Mapping[str, Events], name: str) -> Html:
    series = []
    for index, (run, events) in enumerate(curves.items()):
        points = _points(events, name)
        if points:
            titles = tuple(f"{run}, step {step:,.0f}: {_value(name, value)}" for step, value in points)
            style: Style = "line+points" if name == "exact" and len(points) <= 40 else "line"
            series.append(Series(name=run, points=points, colour=index, titles=titles, style=style))
    if not series:
        return ""
    title = {"loss": "Training loss", "exact": "Exact on validation rows"}[name]
    every = [point for one in series for point in one.points]
    x = Axis(
        label="step", low=0.0, high=max(1.0, *(step for step, _ in every)), text=lambda value: f"{value:,.0f}"
    )
    drawing = chart(series, x, _height(name, [value for _, value in every]), title=title)
    return figure(title, drawing, key=key(list(curves), COLOURS))


def _height(name: str, values: Sequence[float]) -> Axis:
    if name == "exact":
        return Axis(label="exact", low=_start(values), high=1.0, text=say.percent)
    high = 1.05 * max(values)
    return Axis(label="loss", low=0.0, high=high if high > 0 else 1.0, text=lambda value: f"{value:g}")


def _value(name: str, value: float) -> str:
    return say.percent(value, 1) if name == "exact" else f"{value:.4g}"


def _points(events: Events, name: str) -> tuple[Point, ...]:
    pairs = [(_number(event.get("step")), _number(event.get(name))) for event in events]
    return tuple((step, value) for step, value in pairs if step is not None and value is not None)


def _number(value: Json) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if known else None


def _reliability(evaluations: Sequence[Evaluation]) -> Html:
    series = [
        Series(
            name=name,
            points=tuple((one.confidence, one.accuracy) for one in evaluation.calibration.bins),
            bars=tuple((one.low, one.high) for one in evaluation.calibration.bins),
            titles=tuple(
                f"{name}: {say.percent(one.confidence, 1)} sure, {say.percent(one.accuracy, 1)} right of {one.n:,}"
                for one in evaluation.calibration.bins
            ),
            style="line+points",
            colour=index,
        )
        for index, (name, evaluation) in enumerate(zip(names_of(evaluations), evaluations, strict=True))
    ]
    bins = [one for evaluation in evaluations for one in evaluation.calibration.bins]
    x = Axis(label="confidence", low=_start([one.confidence for one in bins]), high=1.0, text=say.percent)
    y = Axis(label="right", low=_start([one.accuracy for one in bins]), high=1.0, text=say.percent)
    return chart(series, x, y, title="Reliability: share right against confidence", diagonal=True)


def _start(shares: Sequence[float]) -> float:
    """Where an axis of shares that ends at 1 begins: a tenth that leaves out none of `shares`, at most 0.9."""
    return min(0.9, floor(min(shares, default=0.0) * 10) / 10)


def _risk(evaluations: Sequence[Evaluation]) -> Html:
    series = []
    for index, (name, one) in enumerate(zip(names_of(evaluations), evaluations, strict=True)):
        titles = tuple(
            f"{name}: answers {say.percent(point.coverage, 1)} with {say.percent(point.risk, 1)} wrong, at most "
            f"{say.percent(point.upper, 1)}; confidence from {point.threshold:.3f}"
            for point in one.risk.points
        )
        points = tuple((point.coverage, point.risk) for point in one.risk.points)
        series.append(Series(name=name, points=points, colour=index, titles=titles))
    settled = [point.risk for one in evaluations for point in one.risk.points if point.coverage >= SETTLED]
    high = max(settled, default=0.0)
    top = min(1.0, max(0.06, 1.15 * high))
    bound = tuple((point.coverage, point.upper) for point in evaluations[0].risk.points if point.upper <= top)
    drawn = [Series(name="upper bound", points=bound, colour=0, style="faint"), *series]
    x = Axis(label="answered", low=0.0, high=1.0, text=say.percent)
    y = Axis(
        label="wrong among the answered", low=0.0, high=top, text=lambda value: f"{100 * value:g}\u202f%"
    )
    return chart(
        drawn, x, y, title="Risk against coverage", guides=[(0.02, "2\u202f%")] if top >= 0.04 else ()
    )


def _targets(evaluations: Sequence[Evaluation]) -> Html:
    by_model = [{target.error: target for target in one.risk.targets} for one in evaluations]
    rows = [
        [f"at most {100 * error:g}\u202f% wrong", *(_target(one.get(error)) for one in by_model)]
        for error in by_model[0]
    ]
    note = (
        '<p class="note">Largest share of requests answered while the one-sided 95\u202f% Clopper-Pearson upper bound of the '
        "error stays within the limit; “as seen” is the same without the bound.</p>"
    )
    shown = table(["", *map(safe, names_of(evaluations))], rows, narrow=len(by_model) == 1)
    return f"<h3><br>How much can be answered</h3>{note}{shown}" if rows else ""


def _target(target: RiskTarget | None) -> Html:
    if target is None:
        return say.UNSCORED
    limit = "" if target.threshold is None else f", confidence from {target.threshold:.3f}"
    covered = say.percent(target.coverage, 1) if target.coverage else "none"
    return f"{covered}<br><small>{say.percent(target.hoped, 1)} as seen{limit}</small>"


def _confusion(confusion: Confusion) -> Html:
    counts = Counter({(cell.expected, cell.got or NO_ANSWER): cell.count for cell in confusion.cells})
    labels, hidden = _chosen(confusion, counts)
    columns = [*labels, *((NO_ANSWER,) if any(got == NO_ANSWER for _, got in counts) else ())]
    rows = [label for label in labels if any(expected == label for expected, _ in counts)]
    matrix = [[counts[(row, column)] for column in columns] for row in rows]
    drawing = heat_map(rows, columns, matrix, title=f"Confusion of {confusion.path}")
    note = (
        f'<p class="note">The {len(labels)} labels with the most errors; {hidden} others are not drawn.</p>'
        if hidden
        else ""
    )
    wrong = [(pair_, count) for pair_, count in counts.most_common() if pair_[0] != pair_[1]][
        :CONFUSIONS_SHOWN
    ]
    return f'{note}<div class="scroll">{drawing}</div>{_confusions(wrong)}'


def _confusions(wrong: Sequence[tuple[tuple[str, str], int]]) -> Html:
    rows = [[safe(expected), safe(got), f"{count:,}"] for (expected, got), count in wrong]
    if not rows:
        return ""
    return f"<h3><br>Most frequent confusions</h3>{table(['Expected', 'Got', 'Examples'], rows, text_columns=2, narrow=True)}"


def _chosen(confusion: Confusion, counts: Counter[tuple[str, str]]) -> tuple[list[str], int]:
    """Labels to draw, in the plan's order, and how many are left out."""
    labels = list(confusion.labels)
    if len(labels) <= MAP_SHOWN:
        return labels, 0
    errors: Counter[str] = Counter()
    for (expected, got), count in counts.items():
        if expected != got:
            errors[expected] += count
            errors[got] += count
    kept = set(sorted(labels, key=lambda label: (-errors[label], labels.index(label)))[:MAP_SHOWN])
    return [label for label in labels if label in kept], len(labels) - len(kept)
