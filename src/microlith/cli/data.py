"""`data`: look at a task's rows, take rows in, make more, split them, give them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microlith.cli.options import AsJson, Seed, TaskName

if TYPE_CHECKING:
    from microlith.data.dataset import Dataset
    from microlith.errors import Problem
    from microlith.workflow.data import DataCheck, FileFacts

SHOWN = 12
"""Findings of one kind that are shown; `--json` has them all."""

RowFormatName = Annotated[
    str, typer.Option("--format", metavar="NAME", help="native, alpaca, sharegpt or chat.")
]
ValidationShare = Annotated[
    float | None,
    typer.Option(
        "--validation",
        metavar="SHARE",
        min=0.01,
        max=0.9,
        help="Share of the written rows for validation; default: a tenth, at most 600 rows.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="A task's rows: check, import, generate, split, export.",
    )
    group.command(short_help="Read and judge every row.")(check)
    group.command("import", short_help="Take rows of any known format into a task.")(import_)
    group.command(short_help="Make rows: resampled, from templates, or by a larger model.")(generate)
    group.command(short_help="Show how the rows are parted, leak-safe.")(split)
    group.command(short_help="Write the dataset that training would use.")(export)
    app.add_typer(group, name="data")


def check(
    target: Annotated[
        str, typer.Argument(metavar="TASK_OR_FILE", help="A pack, a task folder, or a file of rows.")
    ],
    as_json: AsJson = False,
) -> None:
    """Read every row and say what is wrong: bad rows by file and line, duplicates, contradictions, leaks.

    Shows three rows of each file as they were understood. Leaves with 4 when a row is bad.

    Examples:

      microlith data check infra

      microlith data check rows.jsonl --json
    """
    from microlith.errors import DataError

    bad = (
        _check_file(Path(target), as_json=as_json)
        if _is_rows(target)
        else _check_task(target, as_json=as_json)
    )
    if bad:
        raise DataError(f"{len(bad)} mistakes in the rows", problems=bad)


def _is_rows(target: str) -> bool:
    return Path(target).is_file() and Path(target).suffix != ".toml"


def _check_file(path: Path, *, as_json: bool) -> tuple[Problem, ...]:
    from microlith.cli.terminal import emit, say
    from microlith.data.formats import read_rows
    from microlith.workflow.data import file_facts

    facts, bad = file_facts(path), read_rows(path).bad
    if as_json:
        emit(
            facts.to_json()
            | {"bad": [{"what": one.what, "place": one.place, "mend": one.mend} for one in bad]}
        )
    else:
        _show_file(facts)
        say(f"\n{facts.rows:,} rows can be read, {len(bad):,} cannot")
    return bad


def _check_task(name: str, *, as_json: bool) -> tuple[Problem, ...]:
    from microlith.cli.terminal import emit
    from microlith.task import load_task
    from microlith.workflow.data import check_data

    found = check_data(load_task(name))
    if as_json:
        emit(found.to_json())
    else:
        _show_check(found)
    return found.bad


def _show_check(found: DataCheck) -> None:
    from microlith.cli.tables import show_table
    from microlith.cli.terminal import say

    for facts in found.files:
        _show_file(facts)
    if found.labels:
        say()
        show_table(("answer", "rows"), [(label, f"{count:,}") for label, count in found.labels], right=(1,))
    _show_some(
        "duplicates, left out",
        [f"{one.example.source} says what {one.of.source} says ({one.reason})" for one in found.duplicates],
    )
    certain = [one.problem().what for one in found.conflicts if one.certain]
    likely = [one.problem().what for one in found.conflicts if not one.certain]
    _show_some("contradictions: the same request, other answers", certain)
    _show_some("nearly equal requests with other answers, worth a look", likely)
    leaks = [f"{one.example.source}: {one.reason} as {one.kin_to}" for one in found.fenced]
    _show_some("kin to rows kept for test or validation, never trained on", leaks)
    for note in found.notes:
        say(f"! {note}", style="yellow")
    usable = found.rows - len(found.duplicates) - len(found.fenced)
    say(
        f"\n{found.rows:,} good rows, {len(found.bad):,} mistakes; {len(found.duplicates):,} duplicates and {len(found.fenced):,} kin "
        f"of rows kept apart are left out: {usable:,} to learn from; kept apart: {found.validation_rows:,} validation rows, "
        f"{found.test_rows:,} frozen test rows"
    )


def _show_some(title: str, findings: list[str]) -> None:
    from microlith.cli.terminal import say

    if findings:
        say(f"\n{len(findings):,} {title}", style="bold")
        for text in findings[:SHOWN]:
            say(f"  {text}")
        if len(findings) > SHOWN:
            say(f"  ... and {len(findings) - SHOWN:,} more (--json has them all)", style="dim")


def _show_file(facts: FileFacts) -> None:
    from microlith.cli.terminal import say

    say(f"{facts.path}  {facts.format} rows in {facts.container}, {facts.rows:,}", style="bold")
    for row in facts.preview:
        request = row.input if len(row.input) <= 100 else f"{row.input[:97]}..."
        say(f"  {json.dumps(request, ensure_ascii=False)}")
        say(f"    -> {json.dumps(row.output, ensure_ascii=False)}", style="dim")


def import_(
    task: TaskName,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Rows: JSON lines or one array, gzip or not, four formats.")
    ],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="NAME", help="File name below the task's data/; default: train-FILE.jsonl."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Take the good rows, name the bad ones, go on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take rows into a task. The format is told by content; a bad row is named by file and line.

    Examples:

      microlith data import my-task alpaca.json

      microlith data import my-task chats.jsonl.gz --to train-chats.jsonl
    """
    from microlith.cli.terminal import emit, say
    from microlith.task import load_task
    from microlith.workflow.data import import_rows

    facts, count, target = import_rows(load_task(task), file, name=to, skip_bad=skip_bad)
    if as_json:
        emit(facts.to_json() | {"taken": count, "written": str(target)})
        return
    _show_file(facts)
    say(f"\n{count:,} rows were written to {target}")


def generate(
    task: TaskName,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="File for the rows; with --teacher it is gone on with."
        ),
    ],
    count: Annotated[
        int,
        typer.Option(
            "--count",
            "-n",
            metavar="N",
            min=1,
            help="How many rows; fewer come where nothing new can be said.",
        ),
    ] = 1000,
    templates: Annotated[
        Path | None,
        typer.Option(
            "--templates", metavar="FILE", help="Template file: answers with their phrasings below."
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", metavar="URL", help="OpenAI-compatible endpoint of a larger model."),
    ] = None,
    teacher_model: Annotated[
        str | None, typer.Option("--teacher-model", metavar="NAME", help="Its name there.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Make rows: other values in written rows, several requests in one, typing noise; or templates; or a teacher.

    Every row fits the schema and copies its values. A teacher's key is read from OPENAI_API_KEY; values that the
    schema calls secret are replaced before it sees a row.

    Examples:

      microlith data generate infra --count 5000 --output made.jsonl

      microlith data generate my-task --templates phrases.txt --output my-task/data/train-templates.jsonl

      microlith data generate my-task --teacher http://127.0.0.1:11434/v1 --teacher-model llama3.1 -o rows.jsonl
    """
    from microlith.cli.progress import follow
    from microlith.cli.terminal import emit, say
    from microlith.errors import UsageError
    from microlith.task import load_task
    from microlith.workflow.data import from_teacher, from_templates, resampled

    loaded = load_task(task)
    if teacher is not None:
        if templates is not None or teacher_model is None:
            raise UsageError(
                "a teacher needs its model's name and takes no templates",
                mend="--teacher URL --teacher-model NAME",
            )
        work = from_teacher(loaded, output, count=count, url=teacher, model=teacher_model, seed=seed)
    elif templates is not None:
        work = from_templates(loaded, templates, output, count=count, seed=seed)
    else:
        work = resampled(loaded, output, count=count, seed=seed)
    facts = follow(work, as_json=as_json)
    if as_json:
        emit(facts)
        return
    say(f"{facts['rows']:,} rows in {output}")
    for reason, number in facts.get("rejected", {}).items():
        say(f"  not taken: {number:,} {reason}", style="yellow")


def split(
    task: TaskName,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Folder for the parts and lineage.jsonl."),
    ] = None,
    validation: ValidationShare = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Part the written rows into training, validation and the frozen test: families of kin rows stay together.

    Examples:

      microlith data split infra

      microlith data split my-task --validation 0.2 --output parts
    """
    dataset = _dataset(task, seed=seed, validation=validation, refill=0, as_json=as_json)
    _write(dataset, task, output, "native", as_json=as_json)


def export(
    task: TaskName,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Folder for train, validation, test and lineage files."
        ),
    ],
    row_format: RowFormatName = "native",
    refill: Annotated[
        int | None,
        typer.Option(
            "--refill",
            metavar="N",
            min=0,
            help="Made copies of each row, 0 for the written rows only; default: as training does.",
        ),
    ] = None,
    validation: ValidationShare = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Write the dataset that training would use, in any of the four formats.

    Examples:

      microlith data export infra --output out --format chat
    """
    dataset = _dataset(task, seed=seed, validation=validation, refill=refill, as_json=as_json)
    _write(dataset, task, output, row_format, as_json=as_json)


def _dataset(name: str, *, seed: int, validation: float | None, refill: int | None, as_json: bool) -> Dataset:
    from microlith.cli.progress import follow
    from microlith.task import load_task
    from microlith.workflow.data import split_rows

    return follow(
        split_rows(load_task(name), seed=seed, validation_share=validation, refill=refill), as_json=as_json
    )


def _write(dataset: Dataset, name: str, folder: Path | None, row_format: str, *, as_json: bool) -> None:
    from microlith.cli.terminal import emit, say
    from microlith.task import load_task
    from microlith.workflow.data import export_rows

    written: dict[str, Any] = {}
    if folder is not None:
        written = export_rows(dataset, folder, row_format, instruction=load_task(name).instruction)
    if as_json:
        emit({
            "hash": dataset.content_hash, "sizes": dataset.sizes, "notes": list(dataset.notes), "facts": dataset.facts,
            "written": written,
        })  # fmt: skip
        return
    say("  ".join(f"{part} {count:,}" for part, count in dataset.sizes.items()))
    say(f"hash {dataset.content_hash}", style="dim")
    for file, count in written.items():
        say(f"  {folder}/{file}  {count:,} rows")
