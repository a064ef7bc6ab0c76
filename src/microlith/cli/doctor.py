"""`doctor`: is this machine ready?"""

from __future__ import annotations

import os

import typer

from microlith.cli.options import AsJson

MARKS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "bad": ("✗", "bold red")}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Is this machine ready, and is what was trained still whole?")(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Look at Python, the processor, memory, disk, libraries, extras, the base encoder and every artifact.

    Each finding that is not well says how to mend it. Goes nowhere near the network. Leaves with 1 when
    something will fail.

    Examples:

      microlith doctor
    """
    from dataclasses import asdict

    from microlith.cli.terminal import emit, out
    from microlith.registry.home import home
    from microlith.workflow.doctor import examine

    os.environ["HF_HUB_OFFLINE"] = "1"
    found = []
    for one in examine(home()):
        found.append(one)
        if not as_json:
            mark, style = MARKS[one.status]
            out().print(f"{mark} {one.name:<14}", style=style, end=" ", markup=False)
            out().print(one.detail, markup=False, soft_wrap=True)
            if one.mend:
                out().print(f"  mend           {one.mend}", style="green", markup=False, soft_wrap=True)
    if as_json:
        emit({"well": all(one.status != "bad" for one in found), "findings": [asdict(one) for one in found]})
    if any(one.status == "bad" for one in found):
        raise typer.Exit(1)
