"""`train`: from rows to a proven specialist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from microlith.cli.options import AsJson, Minutes, Overrides, Recipe, Seed, Seeds, Size, TaskName, pairs_of

if TYPE_CHECKING:
    from microlith.task import Task
    from microlith.workflow.order import Order
    from microlith.workflow.train import Trained


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Train a specialist, prove it, register it.")(train)


def train(
    task: TaskName,
    recipe: Recipe = "auto",
    size: Size = None,
    seed: Seed = 0,
    seeds: Seeds = 1,
    minutes: Minutes = None,
    overrides: Overrides = None,
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config", help="Print every value of the recipe as TOML and leave; nothing is trained."
        ),
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Train anew even if nothing has changed or a killed run could go on."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the data, train, calibrate on validation rows, export, prove the export, score it beside its baselines.

    What was killed goes on from its last checkpoint. What has not changed is reused. An export that answers
    differently from the trained model is not registered.

    Examples:

      microlith train infra

      microlith train my-task --size thorough --set batch_size=16

      microlith train infra --minutes 2 --seeds 3

      microlith train cli-intent --recipe scratch

      microlith train cli-intent --recipe qlora --set base=smollm2-1.7b --print-config
    """
    from microlith.cli.progress import follow
    from microlith.task import load_task
    from microlith.workflow.order import Order
    from microlith.workflow.train import train_seeds

    order = Order(
        recipe=recipe, size=size, seed=seed, minutes=minutes, overrides=pairs_of(overrides), fresh=fresh
    )
    loaded = load_task(task)
    if print_config:
        _print_config(loaded, order)
        return
    trained = follow(train_seeds(loaded, order, seeds=seeds), as_json=as_json)
    show_trained(trained, task, as_json=as_json)


def _print_config(task: Task, order: Order) -> None:
    """Every value of the recipe, as [recipe] of task.toml takes it."""
    from microlith.cli.terminal import say
    from microlith.workflow.order import config_text

    say(config_text(task, order))


def show_trained(trained: Trained, task: str, *, as_json: bool) -> None:
    """What was made, how good it is, and what to type next."""
    from microlith.cli.terminal import emit, out, say

    if as_json:
        emit(trained.to_json())
        return
    from microlith.cli.models import threshold_line
    from microlith.evaluation.tables import comparison_table, figures_table, spread_table

    out().print()
    out().print(figures_table(trained.evaluations))
    if trained.comparison is not None:
        out().print()
        out().print(comparison_table(trained.comparison))
    if trained.spreads:
        out().print()
        out().print(spread_table(trained.spreads))
    card = trained.artifact.card
    verb = "nothing has changed: reused" if trained.reused else "registered"
    say(
        f"\n{verb} {card.name} ({card.kind}, {trained.size_bytes / 1e6:.1f} MB) in {trained.artifact.folder}",
        style="bold",
    )
    say(trained.why)
    if (line := threshold_line(task, trained.artifact.folder)) is not None:
        say(line)
    say()
    for text in next_steps(task):
        say(f"  {text}")


def next_steps(task: str) -> tuple[str, ...]:
    """What a person may type next."""
    return (
        f'microlith ask {task} "..."                                   one request, or none to type several',
        f"microlith predict {task} --input rows.jsonl -o out.jsonl     many",
        f"microlith evaluate {task} --report page.html                 every figure, with plots",
    )
