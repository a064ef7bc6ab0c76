"""The parts of the report, each a function from evaluations to HTML. The first evaluation is the candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from microlith.evaluation import wording as say
from microlith.evaluation.compare import Comparison, Pair, Spread, TextPair
from microlith.evaluation.figures import (
    Figure,
    best_of,
    contrasts,
    names_of,
    reference_note,
    scored_figures,
    values_of,
    written,
)
from microlith.evaluation.gate import METRICS
from microlith.evaluation.intervals import Bounded, Share
from microlith.evaluation.markup import Html, pair, safe, section, table
from microlith.evaluation.plots import Row, interval_rows
from microlith.evaluation.result import Constraint, Evaluation, GroupScore

GROUPS_SHOWN = 24
"""Rows of a table of groups; the weakest are shown."""


def cards(one: Evaluation) -> Html:
    """The candidate's headline figures."""
    bound = next((target for target in one.risk.targets if target.error == 0.02), None)
    latency = one.speed.latency
    shown = [
        _headline(one),
        (
            "Fits the schema",
            say.percent(one.valid.value, 1),
            f"{say.percent(one.wrong_but_valid.value, 1)} valid but wrong"
            if one.texts is None
            else f"{say.percent(one.texts.agreement.value, 1)} of levels agree",
        ),
        (
            "Answered at 2\u202f% error",
            say.percent(bound.coverage, 1) if bound and bound.coverage else "none",
            f"by the 95\u202f% bound; {say.percent(bound.hoped if bound else None, 1)} as seen",
        ),
        (
            "Confidence, right / wrong",
            f"{_two(one.confidence_right)} / {_two(one.confidence_wrong)}",
            f"calibration error {say.decimal(one.calibration.ece)}",
        ),
        (
            "One request",
            say.milliseconds(latency.p50_ms if latency else None),
            f"median; 99\u202f% within {say.milliseconds(latency.p99_ms if latency else None)}",
        ),
        ("Throughput", say.rate(one.speed.rows_per_s), f"in batches of {one.speed.batch_size}"),
        ("Artifact", say.megabytes(one.speed.artifact_bytes), "on disk"),
        (
            "Memory",
            say.megabytes(one.speed.rss_bytes),
            f"resident; {say.megabytes(one.speed.peak_bytes)} at the peak",
        ),
    ]
    items = "".join(
        f'<div><dt>{safe(a)}</dt><dd>{safe(b)}</dd><dd class="sub">{safe(c)}</dd></div>' for a, b, c in shown
    )
    return f'<dl class="cards">{items}</dl>'


def _headline(one: Evaluation) -> tuple[str, str, str]:
    """Whole answers exact; where answers hold text, ROUGE-L, since no two good answers need be equal."""
    if one.texts is not None:
        found = one.texts.rouge_l
        return (
            "ROUGE-L",
            say.percent(found.value, 1),
            f"{say.interval(found)}; {say.percent(one.exact.value, 1)} exact",
        )
    return (
        "Whole answer exact",
        say.percent(one.exact.value, 1),
        f"{say.interval(one.exact)}, {say.of(one.exact)}",
    )


def models_panel(evaluations: Sequence[Evaluation], spreads: Sequence[Spread]) -> Html:
    """Every metric, model by model, after a drawing of the first of them with its intervals."""
    names = names_of(evaluations)
    rows: list[list[Html]] = []
    for part, figures in scored_figures(evaluations):
        rows += [[part], *(_figure_row(figure, evaluations) for figure in figures)]
    head = ["", *_heads(names)]
    return section(
        "All figures" if len(names) == 1 else "The models side by side",
        _drawing(names, evaluations) if len(names) > 1 else "",
        table(head, rows, narrow=len(names) == 1),
        _spread_table(spreads),
        note="Small figures are 95 % intervals; – means not scored."
        + (" The best is bold." if len(names) > 1 else "")
        + f" {safe(reference_note(evaluations[0]))}",
    )


def constraint_panel(evaluations: Sequence[Evaluation]) -> Html:
    """What holding a language model to the plan gains and costs."""
    names = names_of(evaluations)
    parts = [
        _constraint_table(name if len(names) > 1 else "", one.constraint)
        for name, one in zip(names, evaluations, strict=True)
        if one.constraint is not None
    ]
    return section(
        "Constrained, or free",
        *parts,
        note="The same model on the same requests: constrained, each token chosen among those that the plan allows; and free, "
        "each token the most probable one. Difference in points, constrained minus free, with its paired interval.",
    )


def comparison_panel(comparison: Comparison | None) -> Html:
    """The paired test of the candidate against each reference."""
    if comparison is None:
        return ""
    head = [
        "Against",
        "Difference",
        "95 % interval",
        "Only candidate right",
        "Only other right",
        "p",
        "Finding",
    ]
    rows = [row for one in comparison.pairs for row in _pair_rows(one)]
    texts = any(one.texts is not None for one in comparison.pairs)
    return section(
        "Better, or luck?",
        table(head, rows),
        note=f"{safe(comparison.candidate)} against each other model on the same examples: exact McNemar test of whole "
        "answers; difference in points, with Newcombe's paired interval."
        + (" ROUGE-L of their texts: paired bootstrap over the examples." if texts else ""),
    )


def decisions_panel(evaluations: Sequence[Evaluation]) -> Html:
    """Each decision of the plan: how often it is right."""
    first = evaluations[0]
    others = [{(row.path, row.kind): row.right for row in one.decisions} for one in evaluations]
    scored = [row for row in first.decisions if row.right.n]
    rows = [
        [
            safe(row.path),
            f'<span class="soft">{row.kind}</span>',
            f"{row.right.n:,}",
            *(_share_cell(one.get((row.path, row.kind))) for one in others),
        ]
        for row in scored
    ]
    silent = len(first.decisions) - len(scored)
    note = "Share of right values where one is expected; presence and count over every object that has them."
    if silent:
        note += f" {silent} decision{'s' if silent > 1 else ''} without an example left out."
    head = ["Decision", "Kind", "n", *_heads(names_of(evaluations))]
    drawn = table(head, rows, text_columns=2, narrow=len(evaluations) == 1) if rows else ""
    return section("Decision by decision", drawn, note=note)


def groups_panel(evaluations: Sequence[Evaluation]) -> Html:
    """Exactness of parts of the examples."""
    left = _groups(evaluations, "label", "By expected answer")
    right = _groups(evaluations, "group", "By group") + _groups(
        evaluations, "length", "By length of the request"
    )
    sides = pair(f"<div>{left}</div>" if left else "", f"<div>{right}</div>" if right else "")
    inner = sides if len(evaluations) == 1 else left + right
    return section("Group by group", inner, note="Share of whole answers that are exact, the weakest first.")


def _two(value: float | None) -> str:
    return say.decimal(value, 2)


def _figure_row(figure: Figure, evaluations: Sequence[Evaluation]) -> list[Html]:
    metric = METRICS[figure.metric]
    values = values_of(figure, evaluations)
    best = best_of(figure, values)
    cells = []
    for one, value in zip(evaluations, values, strict=True):
        bounded = figure.bounded(one) if figure.bounded is not None else None
        text = written(metric, value)
        shown = f'<span class="best">{safe(text)}</span>' if text == best else safe(text)
        cells.append(shown + _bounds_cell(bounded))
    return [safe(figure.label), *cells]


def _spread_table(spreads: Sequence[Spread]) -> Html:
    if not spreads:
        return ""
    head = ["Over seeds", "Runs", "Mean", "Standard deviation", "Least", "Most"]
    rows = []
    for one in spreads:
        metric = METRICS[one.metric]
        deviation = say.UNSCORED if one.sd is None else say.decimal(one.sd, 4)
        values = [safe(written(metric, value)) for value in (one.mean, one.low, one.high)]
        rows.append([safe(one.metric), str(one.n), values[0], deviation, values[1], values[2]])
    return f"<br>{table(head, rows)}"


def _pair_rows(one: Pair) -> list[list[Html]]:
    rows = [
        [
            safe(one.reference),
            f'<span class="best">{say.points(one.difference)}</span>',
            f"{say.points(one.low)} to {say.points(one.high)}",
            f"{one.only_candidate:,}",
            f"{one.only_reference:,}",
            safe(say.p_text(one.p_value)),
            _finding(one),
        ]
    ]
    if one.texts is not None:
        found = one.texts.difference
        points = f'<span class="best">{say.points(found.value)}</span>'
        label = '<span class="soft">ROUGE-L of its texts</span>'
        rows.append([label, points, say.bounds(found), "", "", "", _finding(one.texts)])
    return rows


def _finding(one: Pair | TextPair) -> Html:
    word, kind = "no difference shown", "soft"
    if one.better or one.worse:
        word, kind = ("better", "good") if one.better else ("worse", "bad")
    return f'<span class="{kind}">{word}</span>'


def _constraint_table(name: str, one: Constraint) -> Html:
    rows = [
        [
            safe(row.label),
            _share_cell(row.constrained),
            _share_cell(row.free),
            f'<span class="best">{say.points(row.difference.value)}</span>',
            say.bounds(row.difference),
        ]
        for row in contrasts(one)
    ]
    head = [f"n = {one.n:,}", *_heads(["Constrained", "Free"]), "Difference", "95 % interval"]
    title = f"<h3><br>{safe(name)}</h3>" if name else ""
    return title + table(head, rows)


def _drawing(names: Sequence[str], evaluations: Sequence[Evaluation]) -> Html:
    """The first figure of every model with its interval: ROUGE-L where all write text, else exactness."""
    scores = [one.texts.rouge_l for one in evaluations if one.texts is not None]
    texts = len(scores) == len(evaluations)
    found: Sequence[Bounded] = scores if texts else [one.exact for one in evaluations]
    rows = [
        Row(
            name=name, value=one.value, low=one.low, high=one.high,
            title=f"{name}: {say.percent(one.value, 1)}, 95 % interval {say.interval(one)}, {_counted(one)}",
        )
        for name, one in zip(names, found, strict=True)
        if one.value is not None and one.low is not None and one.high is not None
    ]  # fmt: skip
    title = f"{'ROUGE-L' if texts else 'Whole-answer exactness'} with 95 % intervals"
    return f'<figure class="rows">{interval_rows(rows, title=title)}</figure>'


def _counted(one: Bounded) -> str:
    return say.of(one) if isinstance(one, Share) else f"n = {one.n:,}"


def _share_cell(share: Bounded | None) -> Html:
    return f"{say.percent(share.value if share is not None else None, 1)}{_bounds_cell(share)}"


def _exact(row: GroupScore | None) -> Share | None:
    return None if row is None else row.exact


def _heads(names: Sequence[str]) -> list[Html]:
    """Column heads that stand above the values, not above their intervals."""
    return [f"{safe(name)}{_bounds_cell(None)}" for name in names]


def _bounds_cell(share: Bounded | None) -> Html:
    """The interval beside a value, or a blank of the same width so that the values stay in line."""
    return f'<span class="bounds">{say.interval(share) if share is not None and share.n else ""}</span>'


def _groups(evaluations: Sequence[Evaluation], by: str, title: str) -> Html:
    tables: list[Mapping[str, GroupScore]] = [
        {row.name: row for row in one.groups if row.by == by} for one in evaluations
    ]
    first = list(tables[0].values())
    if len(first) < 2:
        return ""
    if by != "length":
        first.sort(key=lambda row: (row.exact.value or 0.0, -row.exact.n, row.name))
    rows = [
        [
            safe(say.shortened(row.name, 60)),
            f"{row.exact.n:,}",
            *(_share_cell(_exact(one.get(row.name))) for one in tables),
        ]
        for row in first[:GROUPS_SHOWN]
    ]
    more = len(first) - len(rows)
    rest = f'<p class="note">{more:,} more, all at least as exact.</p>' if more else ""
    heads = _heads(["Exact"] if len(evaluations) == 1 else names_of(evaluations))
    return f"<h3><br>{safe(title)}</h3>{table(['', 'n', *heads], rows)}{rest}"
