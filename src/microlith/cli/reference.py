"""The reference of all commands, made from the commands: `python -m microlith.cli.reference > docs/commands.md`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

HEAD = """# Commands

Made by `make docs` from the commands themselves; a test fails when this page is not up to date. Every command also takes
`--help`; `--debug` on any command shows the traceback of an error. `MICROLITH_HOME` names the folder of runs and artifacts
(default: `.microlith` in the current folder).

| exit code | meaning |
|---|---|
| 0 | well |
| 1 | a gate failed, or an error of no other kind |
| 2 | the command line, or a value on it, cannot work |
| 3 | a task is wrong or unknown |
| 4 | rows are wrong |
| 5 | training cannot start or go on |
| 6 | an artifact is missing or damaged, or it does not answer as the trained model did |
| 7 | an optional dependency is not installed |
| 8 | the teacher gave no usable answer |
| 9 | the disk refused |
| 70 | an error that was not foreseen |
| 130 | interrupted; the same command goes on from there |
"""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """An argument or option of a command."""

    shown: str
    """How it is written, e.g. `--seed INTEGER`."""
    default: str
    help: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A command."""

    path: str
    """e.g. `microlith data check`."""
    help: str
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]


def entries() -> Iterator[Entry]:
    """Every command, groups included, in the order of the help page."""
    from microlith.cli.app import app

    yield from _walk("microlith", typer.main.get_command(app))


def _walk(path: str, command: Any) -> Iterator[Entry]:
    shown = [one for one in command.params if one.name not in ("help", "debug", "version")]
    yield Entry(
        path=path,
        help=inspect.cleandoc(command.help or ""),
        arguments=tuple(_parameter(one) for one in shown if one.param_type_name == "argument"),
        options=tuple(_parameter(one) for one in shown if one.param_type_name == "option"),
    )
    names = getattr(command, "list_commands", lambda _: ())(None)
    for name in names:
        yield from _walk(f"{path} {name}", command.commands[name])


def _parameter(one: Any) -> Parameter:
    if one.param_type_name == "argument":
        shown = one.metavar or one.name.upper()
    else:
        value = "" if one.is_flag else f" {one.metavar}"
        shown = ", ".join([*one.opts, *one.secondary_opts]) + value
    default = "" if one.default is None or one.default is False or one.required else str(one.default)
    return Parameter(shown=shown, default="required" if one.required else default, help=one.help or "")


def reference() -> str:
    """The page as markdown."""
    return HEAD + "".join(_section(one) for one in entries() if one.path != "microlith")


def _section(entry: Entry) -> str:
    about, _, examples = entry.help.partition("Examples:")
    parts = [f"\n## {entry.path}\n", about.strip() + "\n"]
    if examples.strip():
        lines = [line.strip() for line in examples.splitlines() if line.strip()]
        parts.append("```sh\n" + "\n".join(lines) + "\n```\n")
    rows = [*entry.arguments, *entry.options]
    if rows:
        parts.append(
            "| | default | |\n|---|---|---|\n"
            + "".join(f"| `{_cell(row.shown)}` | {row.default} | {_cell(row.help)} |\n" for row in rows)
        )
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    import sys

    sys.stdout.write(reference())
