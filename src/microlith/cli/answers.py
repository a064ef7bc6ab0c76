"""A prediction as a person reads it: the request with its values marked, the JSON, and how sure every field is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from microlith.cli.terminal import out
from microlith.inference.protocol import Prediction

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

BAR = 16
"""Columns of a bar of confidence."""
EIGHTHS = " ▏▎▍▌▋▊▉"
SURE, DOUBTFUL = 0.9, 0.6
"""Confidence from which a bar is green; below the second it is red."""
SHOWN = 2000
"""Characters of a request that are shown."""


def show_answer(request: str, prediction: Prediction) -> None:
    """Draw one answer on standard output."""
    console = out()
    console.print(marked(request, prediction), soft_wrap=True)
    if prediction.refusal is not None:
        console.print(f"  no answer: {prediction.refusal}", style="yellow", markup=False, soft_wrap=True)
    else:
        text = json.dumps(prediction.output, indent=2, ensure_ascii=False)
        console.print(_indented(text), style="bold", markup=False, soft_wrap=True)
        console.print(field_table(prediction))
    console.print(
        f"  {prediction.confidence:.1%} sure of the whole  ·  {prediction.latency_ms:.1f} ms  ·  {prediction.model}",
        style="dim", markup=False,
    )  # fmt: skip


def marked(request: str, prediction: Prediction) -> Text:
    """The request with every copied value underlined; line feeds are shown as `⏎`, other control characters as `·`."""
    from rich.text import Text

    shown = "".join(char if char.isprintable() else "⏎" if char == "\n" else "·" for char in request[:SHOWN])
    text = Text(f"> {shown}")
    for field in prediction.fields:
        if field.span is not None and field.span[1] <= SHOWN:
            text.stylize("underline bold cyan", field.span[0] + 2, field.span[1] + 2)
    if len(request) > SHOWN:
        text.append(f" ... ({len(request):,} characters)", style="dim")
    return text


def field_table(prediction: Prediction) -> Table:
    """A row a field: path, value, bar, confidence, where it stands."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for _ in range(5):
        table.add_column(overflow="fold")
    for field in prediction.fields:
        place = f"{field.span[0]}-{field.span[1]}" if field.span is not None else ""
        table.add_row(
            _plain(f"  {field.path}"), _plain(_value(field.value)), bar(field.confidence),
            f"{field.confidence:.1%}", _plain(place, "dim"),
        )  # fmt: skip
    return table


def bar(share: float) -> Text:
    """A bar of `share`, 0-1, coloured by how sure it is."""
    from rich.text import Text

    eighths = round(max(0.0, min(share, 1.0)) * BAR * 8)
    full, rest = divmod(eighths, 8)
    drawn = "█" * full + (EIGHTHS[rest] if rest else "")
    colour = "green" if share >= SURE else "yellow" if share >= DOUBTFUL else "red"
    return Text(drawn.ljust(BAR, " "), style=f"{colour} on grey15" if rest or full < BAR else colour)


def _plain(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _indented(text: str) -> str:
    return "\n".join(f"  {row}" for row in text.splitlines())
