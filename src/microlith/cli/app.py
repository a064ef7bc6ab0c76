"""The command line: which commands there are, in which order, under which headings."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from microlith.cli import answer, data, demo, doctor, evaluate, export, keys, models, serve, task, train

HEADINGS = {
    "Start": ("demo", "doctor"),
    "Make a task": ("new", "lint", "data"),
    "Make a specialist": ("train", "evaluate", "compare", "export", "models"),
    "Use it": ("ask", "predict"),
    "Serve it": ("serve", "keys"),
}
"""Heading of the help page -> its commands."""


class Headed(TyperGroup):
    """A group whose help lists the commands under headings."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Commands in the order of `HEADINGS`."""
        return [name for names in HEADINGS.values() for name in names if name in self.commands]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section a heading."""
        for heading, names in HEADINGS.items():
            rows = [
                (name, self.commands[name].get_short_help_str(64)) for name in names if name in self.commands
            ]
            with formatter.section(heading):
                formatter.write_dl(rows)


def _version(wanted: bool) -> None:
    if wanted:
        from microlith import __version__

        typer.echo(f"microlith {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Headed,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def microlith(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="On an error show the traceback; works after any command.")
    ] = False,
) -> None:
    """Turn one narrow text-to-JSON job into a small, proven model that answers in milliseconds on a CPU.

    Start with `microlith demo`. A TASK is a pack (infra, cli-intent, reasoning-mode, task-risk, task-plan) or a folder of yours.
    Exit codes: 0 well, 1 a gate failed, 2 usage, 3 task, 4 data, 5 training, 6 artifact, 7 a missing extra,
    8 teacher, 9 storage, 130 interrupted.
    """


for module in (task, data, train, evaluate, export, models, answer, serve, keys, demo, doctor):
    module.register(app)
