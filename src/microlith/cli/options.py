"""Options that several commands share, so that they are named and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TaskName = Annotated[
    str, typer.Argument(metavar="TASK", help="A pack (infra, cli-intent, reasoning-mode) or a task folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the same facts as JSON for programs.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Fixes every random choice.")]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds", metavar="N", min=1, max=20, help="Train this many seeds and report their spread."
    ),
]
Recipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="auto, encoder, linear, nearest, scratch, full, lora or qlora; auto takes the cheapest that plan and paired test allow.",
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="NAME", help="The dial: quick, standard or thorough; the rest follows from it."
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes", metavar="X", min=0.05, help="Stop training in time to keep within this many minutes."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one value of the recipe, e.g. batch_size=16; repeatable."
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="encoder, generative, linear, nearest, rules, or a version such as infra@3; default: the newest specialist.",
    ),
]
TestFile = Annotated[
    Path | None,
    typer.Option("--test", metavar="FILE", help="Rows to score on instead of the task's frozen test set."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Where to write; taken only when it is whole."),
]


def pairs_of(overrides: list[str] | None) -> dict[str, str]:
    """`key=value` texts as a mapping.

    Raises:
        UsageError: naming every text that is not of this form.
    """
    from microlith.errors import Problem, UsageError

    bad = [text for text in overrides or () if not text.partition("=")[0].strip() or "=" not in text]
    if bad:
        problems = [
            Problem(what=f"--set {text!r} has no value", mend="write --set batch_size=16") for text in bad
        ]
        raise UsageError("--set takes key=value", problems=problems)
    return {
        name.strip(): value.strip() for name, _, value in (text.partition("=") for text in overrides or ())
    }
