"""`models`: what was trained here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microlith.cli.options import AsJson

if TYPE_CHECKING:
    from pathlib import Path

    from microlith.registry import Card, Listing


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="The artifacts that were trained here."
    )
    group.command("list", short_help="Every version, the newest first.")(list_)
    group.command(short_help="One artifact's card, its files verified.")(show)
    group.command(short_help="Let a version answer callers.")(promote)
    app.add_typer(group, name="models")


def list_(
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="Only this task's; default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List every version with its kind, score, size and age; files are not verified.

    Examples:

      microlith models list

      microlith models list infra --json
    """
    from microlith.cli.tables import show_table
    from microlith.cli.terminal import emit, say
    from microlith.registry import home, list_artifacts

    found = list_artifacts(task)
    if as_json:
        emit({"home": str(home()), "models": [_facts(one) for one in found]})
    elif not found:
        say(f"nothing was trained in {home()} yet; begin with: microlith train {task or 'infra'}")
    else:
        show_table(
            ("model", "kind", "exact", "size", "seed", "made", ""),
            [_row(one) for one in found],
            right=(2, 3, 4),
        )


def _facts(one: Listing) -> dict[str, Any]:
    return {
        "model": f"{one.task}@{one.version}", "folder": str(one.folder), "aliases": list(one.aliases), "problem": one.problem,
        "card": asdict(one.card) if one.card is not None else None,
    }  # fmt: skip


def _row(one: Listing) -> tuple[str, ...]:
    name = f"{one.task}@{one.version}"
    if one.card is None:
        return name, "", "", "", "", "", f"cannot be read: {one.problem}"
    size = sum((one.folder / file).stat().st_size for file in one.card.files if (one.folder / file).is_file())
    return (
        name,
        one.card.kind,
        _exact(one.card),
        f"{size / 1e6:.1f} MB",
        str(one.card.seed),
        one.card.created,
        ", ".join(one.aliases),
    )


def _exact(card: Card) -> str:
    metric = card.metrics.get("exact")
    return f"{metric.value:.1%} of {metric.n:,}" if metric is not None and metric.value is not None else ""


def show(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A task (its newest version) or TASK@VERSION.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show an artifact's card: base and licence, data, seed, versions, metrics, parity. Its files are verified.

    Examples:

      microlith models show infra

      microlith models show infra@2 --json
    """
    from pathlib import Path

    from microlith.cli.terminal import emit
    from microlith.registry import LATEST, open_artifact

    name, _, version = model.partition("@")
    artifact = open_artifact(Path(name).name, version or LATEST)
    if as_json:
        emit(asdict(artifact.card) | {"name": artifact.card.name, "folder": str(artifact.folder)})
        return
    _show_card(artifact.card, str(artifact.folder), threshold_line(name, artifact.folder))


def promote(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A number, or latest.")],
    as_json: AsJson = False,
) -> None:
    """Make a version live: servers answer with it from their next look on (every second), without a restart.

    Its files are verified first. Until a version is made live, servers answer with the newest.

    Examples:

      microlith models promote infra 3

      microlith models promote infra latest
    """
    from pathlib import Path

    from microlith.cli.terminal import emit, say
    from microlith.registry import LIVE, aliases, open_artifact, set_alias

    name = Path(task).name
    before = aliases(name).get(LIVE)
    artifact = open_artifact(name, version)
    number = set_alias(name, LIVE, artifact.card.version)
    if as_json:
        emit({"task": name, "live": number, "before": before})
        return
    was = "" if before in (None, number) else f"; before it was {name}@{before}"
    say(f"{name}@{number} is live{was}")


def threshold_line(task: str, folder: Path) -> str | None:
    """From which confidence on the artifact in `folder` keeps the task's error budget of today; None where it is not known."""
    from microlith.errors import TaskError
    from microlith.registry.heldout import read_heldout
    from microlith.routing.threshold import find_threshold
    from microlith.task import load_task

    outcomes = read_heldout(folder)
    try:
        return find_threshold(outcomes, load_task(task).error_budget).why if outcomes is not None else None
    except TaskError:  # an artifact outlives its task
        return None


def _show_card(card: Card, folder: str, threshold: str | None) -> None:
    from microlith.cli.tables import show_table
    from microlith.cli.terminal import say

    say(f"{card.name}  {card.kind}", style="bold")
    base = f"{card.base.name}, {card.base.licence}" if card.base is not None else "none"
    sizes = ", ".join(f"{count:,} {part}" for part, count in card.data.splits.items())
    facts = [
        ("made", card.created), ("folder", folder), ("base", base), ("data", f"{sizes}; hash {card.data.hash}"),
        ("seed", str(card.seed)), ("schema", card.schema_hash[:16]), ("files", f"{len(card.files)}, verified; hash {card.artifact_hash[:16]}"),
        ("libraries", ", ".join(f"{name} {version}" for name, version in card.libraries.items())),
    ]  # fmt: skip
    if card.parity is not None:
        gap = f"probabilities moved by {card.parity.confidence_shift:.4f}"
        facts.append(
            (
                "parity",
                f"{card.parity.different} of {card.parity.rows:,} answers differ from the trained model's; {gap}",
            )
        )
    if threshold is not None:
        facts.append(("threshold", threshold))
    if card.notes:
        facts.append(("notes", card.notes))
    show_table(("", ""), facts)
    rows = [
        (
            name,
            _number(one.value),
            f"{_number(one.low)} to {_number(one.high)}" if one.low is not None else "",
            f"{one.n:,}",
            one.on,
        )
        for name, one in card.metrics.items()
    ]
    if rows:
        say()
        show_table(("metric", "value", "95 % interval", "n", "on"), rows, right=(1, 3))
    settings = ", ".join(f"{name}={value}" for name, value in card.settings.items())
    say(f"\nsettings  {settings}", style="dim")


def _number(value: float | None) -> str:
    return "not scored" if value is None else f"{value:.4g}"
