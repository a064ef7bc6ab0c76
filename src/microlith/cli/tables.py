"""Plain tables in the house's one look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from microlith.cli.terminal import out

if TYPE_CHECKING:
    from rich.table import Table


def table_of(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", right: Sequence[int] = ()
) -> Table:
    """A table of texts, which are taken literally.

    Args:
        columns: Headings.
        rows: One text a column; `rich.text.Text` keeps its style.
        title: A line above it.
        right: Columns that are flushed right.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for index, name in enumerate(columns):
        table.add_column(
            Text(name, style="dim"), justify="right" if index in right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return table


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", right: Sequence[int] = ()
) -> None:
    """Print `table_of` on standard output."""
    out().print(table_of(columns, rows, title=title, right=right))
