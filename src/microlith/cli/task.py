"""`new` and `lint`: making a task, and hearing what becomes of its schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microlith.cli.options import AsJson

if TYPE_CHECKING:
    from microlith.task.linter import Finding
    from microlith.task.plan import Plan
    from microlith.task.schema import SchemaDocument

STYLES = {"decoding": "green", "after": "yellow", "rejected": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(short_help="Make a task from labelled rows.")(new)
    app.command(short_help="What becomes of every keyword of a schema.")(lint)


def lint(
    target: Annotated[
        str, typer.Argument(metavar="TASK_OR_SCHEMA", help="A pack, a task folder or a JSON Schema file.")
    ],
    as_json: AsJson = False,
    brief: Annotated[
        bool, typer.Option("--brief", help="Leave out the table of keywords; show the decisions only.")
    ] = False,
) -> None:
    """Say keyword by keyword what is enforced while decoding, what is checked afterwards and what is rejected.

    There is no silent third state. Ends with the decisions that a model has to make. Leaves with 3 when a
    keyword is rejected.

    Examples:

      microlith lint infra

      microlith lint schema.json --json
    """
    from microlith.errors import SchemaError
    from microlith.task.linter import lint as judge
    from microlith.task.linter import plan_of, rejections
    from microlith.workflow.tasks import schema_of

    document, task_error = schema_of(target)
    findings = judge(document)
    refused = rejections(document, findings)
    plan = None if refused else plan_of(document)
    if as_json:
        _lint_json(document, findings, plan)
    else:
        _lint_tables(document, findings, plan, brief=brief)
    if task_error is not None:
        raise task_error
    if refused:
        raise SchemaError(
            f"{document.name} cannot become a decision plan: {len(refused)} keywords are rejected",
            problems=refused,
        )


def _lint_json(document: SchemaDocument, findings: Sequence[Finding], plan: Plan | None) -> None:
    from dataclasses import asdict

    from microlith.cli.terminal import emit

    decisions: list[Any] = (
        [{"path": path, "kind": kind, "detail": detail} for path, kind, detail in plan.decisions]
        if plan
        else []
    )
    emit({
        "schema": document.name, "accepted": plan is not None, "counts": dict(Counter(one.status for one in findings)),
        "findings": [asdict(one) for one in findings], "decisions": decisions,
    })  # fmt: skip


def _lint_tables(
    document: SchemaDocument, findings: Sequence[Finding], plan: Plan | None, *, brief: bool
) -> None:
    from rich.text import Text

    from microlith.cli.tables import show_table
    from microlith.cli.terminal import counted, say

    if not brief:
        rows = [
            (
                one.keyword,
                f"{document.name}:{one.line}",
                Text(one.status, style=STYLES[one.status]),
                one.reason,
            )
            for one in findings
        ]
        show_table(("keyword", "place", "status", "reason"), rows)
        say()
    counts = Counter(one.status for one in findings)
    say(
        f"{document.name}: {len(findings)} keywords; {counts['decoding']} enforced in decoding, "
        f"{counts['after']} checked after, {counts['rejected']} rejected"
    )
    if plan is not None:
        say()
        show_table(("path", "decision", ""), plan.decisions, title=counted(len(plan.decisions), "decision"))
        beyond = plan.beyond_encoder()
        if beyond:
            say(
                f"\nan encoder cannot decide {', '.join(beyond)}: free text or a number that is not in the request",
                style="yellow",
            )


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the task and of the folder that is made.")
    ],
    rows: Annotated[
        Path,
        typer.Option(
            "--from", metavar="ROWS", help="Labelled rows: native, Alpaca, ShareGPT or chat messages."
        ),
    ],
    test: Annotated[
        Path | None, typer.Option("--test", metavar="FILE", help="Rows to keep aside as the frozen test set.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", metavar="FOLDER", help="Where to make it; default: a folder called NAME here."
        ),
    ] = None,
    instruction: Annotated[
        str | None, typer.Option("--instruction", metavar="TEXT", help="What the job is, in a sentence.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Infer a schema from labelled rows and write a task that a person can edit.

    Strings that are always slices of the request become spans, small closed sets become choices, keys that are
    not always there become optional. Every guess is listed, doubts are marked.

    Examples:

      microlith new tickets --from rows.jsonl

      microlith new tickets --from rows.jsonl --test held-out.jsonl --instruction "Route a support ticket."
    """
    from microlith.cli.terminal import emit, say
    from microlith.workflow.tasks import new as make

    made = make(name, rows, test=test, folder=folder, instruction=instruction)
    if as_json:
        emit(made.to_json())
        return
    from rich.text import Text

    from microlith.cli.tables import show_table

    rows_shown = [
        (
            one.path,
            one.kind,
            one.detail,
            f"{one.given:,} of {one.possible:,}",
            Text("; ".join(one.doubts), style="yellow"),
        )
        for one in made.findings
    ]
    show_table(
        ("path", "taken for", "", "given", "look at"),
        rows_shown,
        title=f"what {made.rows:,} rows say",
        right=(3,),
    )
    say(f"\nmade {made.folder}/: {', '.join(made.files)}")
    say(f"next: read {made.folder}/schema.json, then  microlith train {made.folder}")
