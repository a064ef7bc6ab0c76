"""The same facts for a terminal: functions that return rich renderables. Only `cli` prints them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from microlith.evaluation import wording as say
from microlith.evaluation.compare import Comparison, Pair, Spread, TextPair
from microlith.evaluation.figures import (
    best_of,
    contrasts,
    names_of,
    reference_note,
    scored_figures,
    values_of,
    written,
)
from microlith.evaluation.gate import METRICS
from microlith.evaluation.result import Case, Constraint, Evaluation

CASES_SHOWN = 5
ROWS_SHOWN = 15


def evaluation_tables(
    evaluations: Sequence[Evaluation], *, comparison: Comparison | None = None, spreads: Sequence[Spread] = ()
) -> RenderableType:
    """Everything that a terminal shows of an evaluation; the first one is the candidate.

    Args:
        evaluations: At least one, of one task.
        comparison: Paired tests of the candidate; None for none.
        spreads: Metrics over several seeds.
    """
    first = evaluations[0]
    parts: list[RenderableType] = [figures_table(evaluations)]
    parts += [
        constraint_table(name, one.constraint)
        for name, one in zip(names_of(evaluations), evaluations, strict=True)
        if one.constraint is not None
    ]
    if comparison is not None:
        parts.append(comparison_table(comparison))
    if spreads:
        parts.append(spread_table(spreads))
    parts += [coverage_table(evaluations), decisions_table(evaluations), groups_table(first)]
    if first.worst:
        parts.append(cases_table(first.worst, "Wrong and sure of it"))
    return Group(*(item for part in parts for item in (part, Text())))


def figures_table(evaluations: Sequence[Evaluation]) -> Table:
    """Every metric, model by model; shares with their 95 % intervals, the best of several in bold."""
    table = _table(f"{evaluations[0].task}, n = {evaluations[0].n:,}", "", *names_of(evaluations))
    if note := reference_note(evaluations[0]):
        table.caption, table.caption_justify = Text(note, style="dim"), "left"
    for part, figures in scored_figures(evaluations):
        table.add_section()
        table.add_row(Text(part, style="dim"))
        for figure in figures:
            metric, values = METRICS[figure.metric], values_of(figure, evaluations)
            best = best_of(figure, values)
            cells = []
            for one, value in zip(evaluations, values, strict=True):
                bounded = figure.bounded(one) if figure.bounded is not None else None
                cell = Text(written(metric, value), style="bold" if written(metric, value) == best else "")
                if bounded is not None and bounded.n:
                    cell.append(f"  {say.interval(bounded)}", style="dim")
                cells.append(cell)
            table.add_row(f"  {figure.label}", *cells)
    return table


def comparison_table(comparison: Comparison) -> Table:
    """The paired test of the candidate against each reference."""
    table = _table(
        f"{comparison.candidate} against, on the same examples",
        "",
        "points",
        "95 % interval",
        "only it",
        "only other",
        "p",
        "",
    )
    for one in comparison.pairs:
        table.add_row(
            Text(say.visible(one.reference)),
            say.points(one.difference),
            f"{say.points(one.low)} to {say.points(one.high)}",
            f"{one.only_candidate:,}",
            f"{one.only_reference:,}",
            say.p_text(one.p_value),
            _finding(one),
        )
        if one.texts is not None:
            table.add_row(
                Text("  ROUGE-L of its texts", style="dim"),
                say.points(one.texts.difference.value),
                say.bounds(one.texts.difference),
                *("", "", ""),
                _finding(one.texts),
            )
    return table


def constraint_table(name: str, one: Constraint) -> Table:
    """What holding a model to the plan gains and costs."""
    table = _table(
        f"{name}, constrained and free, n = {one.n:,}", "", "constrained", "free", "points", "95 % interval"
    )
    for row in contrasts(one):
        cells = [
            Text(say.percent(found.value, 1)).append(f"  {say.interval(found)}", style="dim")
            for found in (row.constrained, row.free)
        ]
        table.add_row(row.label, *cells, say.points(row.difference.value), say.bounds(row.difference))
    return table


def spread_table(spreads: Sequence[Spread]) -> Table:
    """Metrics over several seeds."""
    table = _table("Over seeds", "", "runs", "mean", "sd", "least", "most")
    for one in spreads:
        metric = METRICS[one.metric]
        mean, low, high = (written(metric, value) for value in (one.mean, one.low, one.high))
        table.add_row(one.metric, f"{one.n}", mean, say.decimal(one.sd, 4), low, high)
    return table


def coverage_table(evaluations: Sequence[Evaluation]) -> Table:
    """How much each model can answer at a given error: by the 95 % upper bound, and as seen."""
    table = _table("Requests answered, by the 95 % upper bound (as seen)", "", *names_of(evaluations))
    found = [{target.error: target for target in one.risk.targets} for one in evaluations]
    for error in found[0]:
        cells = []
        for targets in found:
            target = targets.get(error)
            seen = "" if target is None else f"  ({say.percent(target.hoped, 1)})"
            cells.append(Text(say.percent(target.coverage if target else None, 1)).append(seen, style="dim"))
        table.add_row(f"at most {100 * error:g} % wrong", *cells)
    return table


def decisions_table(evaluations: Sequence[Evaluation]) -> Table:
    """Each decision of the plan that occurs in the examples: how often it is right."""
    table = _table("Decisions", "", "kind", "n", *names_of(evaluations))
    by_model = [{(row.path, row.kind): row.right for row in one.decisions} for one in evaluations]
    for row in evaluations[0].decisions:
        if row.right.n:
            shares = [one.get((row.path, row.kind)) for one in by_model]
            cells = [say.percent(share.value if share else None, 1) for share in shares]
            table.add_row(Text(row.path), row.kind, f"{row.right.n:,}", *cells)
    return table


def groups_table(one: Evaluation) -> Table:
    """Exactness of parts of the examples, the weakest of each kind first; at most `ROWS_SHOWN` of a kind."""
    table = _table(f"Groups, {one.model}", "", "n", "exact", "95 % interval")
    for by, title in (("label", "By expected answer"), ("group", "By group"), ("length", "By length")):
        rows = [row for row in one.groups if row.by == by]
        if len(rows) < 2:
            continue
        if by != "length":
            rows.sort(key=lambda row: (row.exact.value or 0.0, -row.exact.n, row.name))
        table.add_section()
        table.add_row(Text(title, style="dim"))
        for row in rows[:ROWS_SHOWN]:
            name = Text(f"  {say.visible(say.shortened(row.name, 40))}")
            table.add_row(name, f"{row.exact.n:,}", say.percent(row.exact.value, 1), say.interval(row.exact))
        if len(rows) > ROWS_SHOWN:
            table.add_row(Text(f"  {len(rows) - ROWS_SHOWN:,} more, at least as exact", style="dim"))
    return table


def cases_table(cases: Sequence[Case], title: str) -> Table:
    """Requests worth looking at, with what was expected and what came."""
    table = Table(
        title=Text(say.visible(title)),
        title_justify="left",
        title_style="bold",
        show_header=False,
        box=None,
        pad_edge=False,
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for case in cases[:CASES_SHOWN]:
        table.add_row("request", Text(say.visible(case.input), style="bold"))
        table.add_row("expected", Text(say.visible(say.compact(case.expected))))
        table.add_row("got", Text(say.visible(say.compact(case.got))))
        if case.confidence is not None:
            table.add_row("confidence", f"{case.confidence:.3f}")
        if case.note:
            table.add_row("note", Text(say.visible(case.note)))
        table.add_row()
    return table


def _finding(one: Pair | TextPair) -> Text:
    word, style = (
        ("better", "green") if one.better else ("worse", "red") if one.worse else ("not shown", "dim")
    )
    return Text(word, style=style)


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=Text(say.visible(title)),
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for index, name in enumerate(columns):
        table.add_column(Text(say.visible(name)), justify="left" if index == 0 else "right")
    return table
