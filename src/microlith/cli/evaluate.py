"""`evaluate` and `compare`: how good is it, and is it better than what is cheaper?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microlith.cli.options import AsJson, ModelName, TaskName, TestFile

if TYPE_CHECKING:
    from microlith.workflow.evaluate import Evaluated

FailUnder = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="METRIC=VALUE",
        help="A gate, e.g. exact=0.95 or p95_ms=20; repeatable; missed: leaves with 1.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Also write one self-contained HTML page with plots."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(short_help="Score models on the frozen test set.")(evaluate)
    app.command(short_help="Paired tests among the models of a task.")(compare)


def evaluate(
    task: TaskName,
    model: ModelName = None,
    test: TestFile = None,
    report: Report = None,
    fail_under: FailUnder = None,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="Report the spread over all trained seeds of this recipe.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score the newest specialist beside its baselines, or one model alone with --model.

    Exactness with its interval, every decision, calibration, how much can be answered at which error, speed.
    Metrics for --fail-under: rouge_l, agreement, repetition, distinct, free_valid, exact, exact_low, valid, wrong_but_valid, refused, out_of_scope_recall,
    false_alarms, confidence_right, confidence_wrong, ece, brier, coverage_at_2, p50_ms, p95_ms, rows_per_s,
    artifact_mb, decision:PATH, ...

    Examples:

      microlith evaluate infra --report page.html

      microlith evaluate infra --model infra@2 --fail-under exact=0.95 --fail-under p95_ms=20

      microlith evaluate infra --test other.jsonl --json
    """
    from microlith.evaluation.gate import check, parse_threshold

    thresholds = [parse_threshold(text) for text in fail_under or ()]
    found = _run(task, [model] if model is not None else None, test, seeds=seeds, as_json=as_json)
    _show(found, report, as_json=as_json)
    check(found.evaluations[0], thresholds)


def compare(
    task: TaskName,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="encoder, generative, linear, nearest, rules or versions; the first is the candidate.",
        ),
    ] = None,
    test: TestFile = None,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Compare models on the same rows by exact McNemar tests: is one better, or was it luck?

    Examples:

      microlith compare infra

      microlith compare infra infra@4 infra@2 rules
    """
    from microlith.errors import UsageError

    if models is not None and len(models) == 1:
        raise UsageError(
            "one model cannot be compared with itself", mend="name two or more, or none for all there are"
        )
    _show(
        _run(task, list(models) if models else None, test, seeds=False, as_json=as_json),
        report,
        as_json=as_json,
    )


def _run(name: str, models: list[str] | None, test: Path | None, *, seeds: bool, as_json: bool) -> Evaluated:
    from microlith.cli.progress import follow
    from microlith.registry.models import split_version
    from microlith.task import load_task
    from microlith.workflow.evaluate import available
    from microlith.workflow.evaluate import evaluate as work

    target, version = split_version(name)
    task = load_task(target)
    chosen = models or ([version] if version else available(task))
    return follow(work(task, chosen, test=test, seeds=seeds), as_json=as_json)


def _show(found: Evaluated, report: Path | None, *, as_json: bool) -> None:
    from microlith.cli.terminal import emit, err, out

    if report is not None:
        from microlith.workflow.lines import whole_file

        with whole_file(report) as file:
            file.write(found.report().encode("utf-8", "replace"))
    if as_json:
        emit(found.to_json() | {"report": str(report) if report is not None else None})
        return
    from microlith.evaluation.tables import evaluation_tables

    out().print(evaluation_tables(found.evaluations, comparison=found.comparison, spreads=found.spreads))
    if report is not None:
        err().print(f"\nwrote {report}", markup=False, soft_wrap=True)
