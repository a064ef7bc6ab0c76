"""`demo`: the whole story in one command."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Annotated

import typer

from microlith.cli.options import AsJson, Seed

REQUESTS = {
    "infra": (
        "hi, could you point wiki.lan at 192.168.1.20 please",
        "AAAA for cam1.home.example is 2001:db8::17",
        "new starter on monday: j.okafor, temp password Harbour-42!",
        "take priya out of the finance group",
        "Maria only needs to look at the Accounts 2024 share, read-only",
        "share D:\\Scans\\incoming as scans",
        "allow udp 51820 from 203.0.113.0/24",
        "create user bob and add him to ops, then open port 443/tcp",
        "add a dns record for nas.lan",
        "why is my dns so slow today?",
    ),
    "cli-intent": (
        "/theme solarized", "what does a mutex do?", "write a function that reverses a string",
        "rename every *.jpeg in ./photos to .jpg, then commit", "why does my Node.js server eat more memory every day?",
        "set up a REST API with login and tests", "/context clear", "explain this regex: ^a.+z$",
        "move the helpers out of app.py and update the imports", "thanks!",
    ),
    "reasoning-mode": (
        "hey there", "what is 17.5 % of 2,340?", "if Ana is older than Ben and Ben older than Cy, who is youngest?",
        "write a launch plan for a bakery's web shop", "what's the weather in Lisbon right now?", "capital of Peru?",
        "prove that the square root of 2 is irrational", "compare Postgres and MySQL for a small team and recommend one",
        "convert 3 pm CET to Tokyo time", "tell me a joke",
    ),
}  # fmt: skip
"""Pack -> ten requests as a person would type them; none of them stands in any file of rows."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Build a specialist, prove it, and ask it ten things.")(demo)


def demo(
    task: Annotated[
        str,
        typer.Option("--task", metavar="NAME", help="The pack to show: infra, cli-intent or reasoning-mode."),
    ] = "infra",
    seed: Seed = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train anew even if nothing has changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build a specialist from its rows, score it beside its baselines, export and prove it, then ask it ten things.

    A few minutes on two cores, without a GPU and offline. A second run reuses what is done.

    Examples:

      microlith demo

      microlith demo --task cli-intent
    """
    from microlith.cli.progress import follow
    from microlith.cli.terminal import counted, say
    from microlith.cli.train import show_trained
    from microlith.errors import UsageError
    from microlith.task import load_task
    from microlith.workflow.order import Order
    from microlith.workflow.train import train

    if task not in REQUESTS:
        raise UsageError(f"there is no demo of {task!r}", mend=f"choose one of {', '.join(REQUESTS)}")
    begun = monotonic()
    loaded = load_task(task)
    if not as_json:
        say(f"{task}: {loaded.schema.value.get('description', '')}", style="bold")
        say(
            f"{counted(len(loaded.plan.decisions), 'decision')}, {counted(len(loaded.train_files), 'file')} of rows\n"
        )
    trained = follow(train(loaded, Order(seed=seed, fresh=fresh)), as_json=as_json)
    if as_json:
        _ask_json(trained.to_json(), task, REQUESTS[task])
        return
    show_trained(trained, task, as_json=False)
    _ask(task, REQUESTS[task])
    say(f"\nall of it took {monotonic() - begun:.0f} s; now ask it something yourself:\n", style="bold")
    say(f'  microlith ask {task} "{REQUESTS[task][0]}"\n  microlith ask {task}')


def _ask(task: str, requests: Sequence[str]) -> None:
    from microlith.cli.answers import show_answer
    from microlith.cli.terminal import say
    from microlith.registry.models import load_model

    model = load_model(task)
    model.predict(requests[:1])
    say("\nten requests as a person would type them", style="bold")
    for request in requests:
        say()
        show_answer(request, model.predict([request])[0])


def _ask_json(facts: dict[str, object], task: str, requests: Sequence[str]) -> None:
    from microlith.cli.terminal import emit
    from microlith.registry.models import load_model
    from microlith.workflow.lines import prediction_facts

    model = load_model(task)
    answers = [prediction_facts(request, model.predict([request])[0]) for request in requests]
    emit({**facts, "answers": answers})
