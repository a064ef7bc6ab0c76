"""HTML text that nobody's request can break, and tables made of it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from microlith.evaluation.wording import visible

Html = str
"""Text that is HTML already: everything that came from outside went through `safe`."""


def safe(text: str) -> Html:
    """`text` escaped for HTML, for use in elements and in quoted attributes.

    Characters that nobody can see are spelled out, as `wording.visible` does.
    """
    return escape(visible(text), quote=True)


def table(
    head: Sequence[Html], rows: Sequence[Sequence[Html]], *, text_columns: int = 1, narrow: bool = False
) -> Html:
    """A table that scrolls where the page is narrow; columns after the first `text_columns` hold numbers.

    A row of one cell is a heading over all columns. A narrow table is not stretched over the page.
    """
    top = "".join(_cell("th", value, number=index >= text_columns) for index, value in enumerate(head))
    body = "".join(_row(row, len(head), text_columns) for row in rows)
    return f'<div class="scroll{" narrow" if narrow else ""}"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title: str, *parts: Html, note: Html = "") -> Html:
    """A titled part of the page; nothing at all where every part is empty."""
    inner = "".join(parts)
    if not inner:
        return ""
    below = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{safe(title)}</h2>{below}{inner}</section>"


def figure(title: str, drawing: Html, *, key: Html = "", note: Html = "") -> Html:
    """A titled drawing with its key and a sentence on how to read it."""
    caption = f"<figcaption>{note}</figcaption>" if note else ""
    return f"<figure><h3>{safe(title)}</h3>{drawing}{key}{caption}</figure>"


def pair(*parts: Html) -> Html:
    """Parts side by side where the page is wide enough; nothing where all are empty."""
    kept = [part for part in parts if part]
    return f'<div class="pair">{"".join(kept)}</div>' if kept else ""


def folded(summary: Html, inner: Html) -> Html:
    """A part that opens on a click; nothing where it is empty."""
    return f"<details><summary>{summary}</summary>{inner}</details>" if inner else ""


def key(names: Sequence[str], colours: int) -> Html:
    """Which colour is whose; nothing for a single name."""
    if len(names) < 2:
        return ""
    items = "".join(
        f'<li class="c{index % colours}"><i></i>{safe(name)}</li>' for index, name in enumerate(names)
    )
    return f'<ul class="key">{items}</ul>'


def _row(row: Sequence[Html], columns: int, text_columns: int) -> Html:
    if len(row) == 1 and columns > 1:
        return f'<tr class="part"><th colspan="{columns}" scope="colgroup">{row[0]}</th></tr>'
    cells = "".join(
        _cell("th" if index == 0 else "td", value, number=index >= text_columns)
        for index, value in enumerate(row)
    )
    return f"<tr>{cells}</tr>"


def _cell(tag: str, value: Html, *, number: bool) -> Html:
    return f'<{tag} class="number">{value}</{tag}>' if number else f"<{tag}>{value}</{tag}>"
