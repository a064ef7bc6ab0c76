"""Small drawings as inline SVG: curves, shares with intervals, a heat map. No library, no script.

Colours, fonts and widths come from the page's style sheet through classes, so that a drawing follows light and dark.
Every text is escaped here. What a mark means is in its `<title>`: a tooltip in a browser, speech in a screen reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Literal

from microlith.evaluation.markup import safe
from microlith.evaluation.wording import percent, shortened

Point = tuple[float, float]
Style = Literal["line", "faint", "points", "line+points"]
COLOURS = 6
"""Series colours in the style sheet, `c0` to `c5`; a seventh series starts again."""
LABEL_SHOWN = 22
"""Characters of a label that fit beside a heat map; the rest is in the tooltip."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a chart."""

    label: str
    low: float
    high: float
    """Above `low`."""
    text: Callable[[float], str]
    """How the value of a tick is written."""
    ticks: tuple[float, ...] | None = None
    """Where ticks stand; round values when None."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of one model."""

    name: str
    points: tuple[Point, ...]
    style: Style = "line"
    colour: int = 0
    titles: tuple[str, ...] = ()
    """Tooltip of each point; none when empty."""
    bars: tuple[Point, ...] = ()
    """Lower and upper end of an interval around each point's y; none when empty."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One share with its interval."""

    name: str
    value: float
    low: float
    high: float
    title: str
    """Tooltip."""


def chart(
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    title: str,
    diagonal: bool = False,
    guides: Sequence[tuple[float, str]] = (),
) -> str:
    """Curves and points over two axes.

    Args:
        series: What to draw; a value outside an axis is drawn at its end.
        x: The horizontal axis.
        y: The vertical axis.
        title: Says what the chart shows, for those who cannot see it.
        diagonal: Draw the line y = x.
        guides: Heights at which a dotted line stands, each with its label.
    """
    width, height = 480.0, 340.0
    at = _Frame(left=54, top=30, width=width - 72, height=height - 82, x=x, y=y)
    parts = list(_axes(at))
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        parts.append(_line(at.place((low, low)), at.place((high, high)), "diagonal"))
    for level, label in guides:
        left, right = at.place((x.low, level)), at.place((x.high, level))
        parts += [_line(left, right, "guide"), _text(left[0] + 6, left[1] - 5, label, "small")]
    parts += [_drawn(one, at) for one in series]
    return _svg(width, height, title, parts)


def interval_rows(rows: Sequence[Row], *, title: str) -> str:
    """Shares with their intervals, one a row, on an axis that ends at 100 %."""
    tallest = 32.0
    lowest = min((row.low for row in rows), default=0.0)
    x = Axis(label="", low=max(0.0, floor(lowest * 10 - 0.5) / 10), high=1.0, text=percent)
    y = Axis(label="", low=0.0, high=float(max(len(rows), 1)), text=str, ticks=())
    at = _Frame(left=176, top=6, width=370, height=tallest * len(rows), x=x, y=y)
    parts = list(_axes(at))
    for index, row in enumerate(rows):
        middle = len(rows) - index - 0.5
        (left, height), (right, _), (centre, _) = (
            at.place((v, middle)) for v in (row.low, row.high, row.value)
        )
        parts.append(_text(at.left - 14, height + 4.5, row.name, "end", most=LABEL_SHOWN))
        parts.append(
            f'<g class="c{index % COLOURS}"><title>{safe(row.title)}</title>{_line((left, height), (right, height), "whisker")}'
            f'<circle class="dot" cx="{centre:.1f}" cy="{height:.1f}" r="5"/></g>'
        )
        parts.append(_text(at.left + at.width + 16, height + 4.5, percent(row.value, 1), "strong"))
    return _svg(640, at.height + 34, title, parts)


def heat_map(
    rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]], *, title: str
) -> str:
    """A matrix of counts, each cell shaded by its share of the row; the diagonal in another colour than the rest.

    Args:
        rows: Expected labels, down the side.
        columns: Given labels, along the top; a cell is on the diagonal where the two labels are equal.
        counts: (rows, columns).
        title: Says what the map shows.
    """
    side = 34.0 if max(len(rows), len(columns)) <= 14 else 27.0
    left = 16 + 8.0 * _longest(rows)
    top = 16 + 5.9 * _longest(columns)
    width, height = side * len(columns), side * len(rows)
    parts = [f'<rect class="ground" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>']
    parts += [
        _line((left + side * n, top), (left + side * n, top + height), "gap") for n in range(1, len(columns))
    ]
    parts += [
        _line((left, top + side * n), (left + width, top + side * n), "gap") for n in range(1, len(rows))
    ]
    parts += [
        _text(left + side * (index + 0.5) + 3, top - 9, name, "slanted", most=LABEL_SHOWN, turn=-50)
        for index, name in enumerate(columns)
    ]
    for line, (name, values) in enumerate(zip(rows, counts, strict=True)):
        middle = top + side * (line + 0.5) + 4.5
        parts.append(_text(left - 9, middle, name, "end", most=LABEL_SHOWN))
        parts += [
            _cell((left + side * number, top + side * line), side, (name, other), count, sum(values))
            for number, (other, count) in enumerate(zip(columns, values, strict=True))
            if count
        ]
        parts.append(_text(left + width + 9, middle, f"{sum(values):,}", "small"))
    slant = max(50.0, 5.2 * _longest(columns[-1:]))
    return _svg(left + width + slant, top + height + 4, title, parts, fixed=True)


def round_ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """About `count` round values within low..high; `low` alone when the range is empty or endless."""
    span = high - low
    if not (isfinite(span) and span > 0):
        return (low,)
    power = 10.0 ** floor(log10(span / count))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * count >= span * 0.999)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return tuple(round(number * step, 12) for number in range(first, last + 1))


# ---------------------------------------------------------------------------------------------- parts


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """Where the drawing area lies in SVG units, and what its axes mean."""

    left: float
    top: float
    width: float
    height: float
    x: Axis
    y: Axis

    def place(self, point: Point) -> Point:
        across, up = (_share(value, axis) for value, axis in zip(point, (self.x, self.y), strict=True))
        return self.left + across * self.width, self.top + (1 - up) * self.height


def _share(value: float, axis: Axis) -> float:
    span = axis.high - axis.low
    return min(max((value - axis.low) / span, 0.0), 1.0) if span > 0 else 0.5


def _axes(at: _Frame) -> Iterator[str]:
    bottom, right = at.top + at.height, at.left + at.width
    for tick in at.x.ticks if at.x.ticks is not None else round_ticks(at.x.low, at.x.high):
        across, _ = at.place((tick, at.y.low))
        yield _line((across, at.top), (across, bottom), "grid")
        yield _text(across, bottom + 18, at.x.text(tick), "tick middle")
    for tick in at.y.ticks if at.y.ticks is not None else round_ticks(at.y.low, at.y.high):
        _, height = at.place((at.x.low, tick))
        yield _line((at.left, height), (right, height), "grid")
        yield _text(at.left - 8, height + 4.5, at.y.text(tick), "tick end")
    yield _line((at.left, bottom), (right, bottom), "axis")
    if at.x.label:
        yield _text(at.left + at.width / 2, bottom + 40, at.x.label, "middle")
    if at.y.label:
        yield _text(at.left - 50, at.top - 13, at.y.label, "small")


def _drawn(series: Series, at: _Frame) -> str:
    placed = [at.place(point) for point in series.points]
    parts = []
    if series.style != "points" and len(placed) > 1:
        spots = " ".join(f"{across:.1f},{height:.1f}" for across, height in placed)
        name = {"faint": "curve faint", "line+points": "curve thin"}.get(series.style, "curve")
        parts.append(
            f'<polyline class="{name}" points="{spots}"><title>{safe(series.name)}</title></polyline>'
        )
    for point, (low, high) in zip(series.points, series.bars, strict=False):
        parts.append(_line(at.place((point[0], low)), at.place((point[0], high)), "whisker thin"))
    if series.style in ("points", "line+points") or len(placed) == 1:
        parts += [_dot(spot, title) for spot, title in zip(placed, _titles(series), strict=True)]
    elif series.titles:
        parts += [_dot(spot, title, hidden=True) for spot, title in zip(placed, series.titles, strict=True)]
    return f'<g class="c{series.colour % COLOURS}">{"".join(parts)}</g>'


def _titles(series: Series) -> Sequence[str]:
    return series.titles or [series.name] * len(series.points)


def _dot(at: Point, title: str, *, hidden: bool = False) -> str:
    name, radius = ("touch", 7) if hidden else ("dot", 4)
    return f'<circle class="{name}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius}"><title>{safe(title)}</title></circle>'


def _cell(at: Point, side: float, labels: tuple[str, str], count: int, total: int) -> str:
    expected, got = labels
    kind, share = "hit" if expected == got else "miss", count / total
    ink = f"count{' on' if share > 0.5 else ''}{' long' if count > 99 else ''}"
    words = f"expected {expected}, got {got}: {count:,} of {total:,}"
    text = _text(at[0] + side / 2, at[1] + side / 2 + 4.5, f"{count}", ink)
    return (
        f'<g><title>{safe(words)}</title><rect class="cell {kind}" fill-opacity="{0.12 + 0.88 * share:.2f}" x="{at[0] + 1:.1f}" y="{at[1] + 1:.1f}" '
        f'width="{side - 2:.1f}" height="{side - 2:.1f}" rx="3"/>{text}</g>'
    )


def _line(one: Point, other: Point, name: str) -> str:
    return (
        f'<line class="{name}" x1="{one[0]:.1f}" y1="{one[1]:.1f}" x2="{other[0]:.1f}" y2="{other[1]:.1f}"/>'
    )


def _text(
    across: float, height: float, text: str, name: str, *, most: int | None = None, turn: float = 0.0
) -> str:
    shown = text if most is None else shortened(text, most)
    turned = f' transform="rotate({turn:g} {across:.1f} {height:.1f})"' if turn else ""
    full = f"<title>{safe(text)}</title>" if shown != text else ""
    return f'<text class="{name}" x="{across:.1f}" y="{height:.1f}"{turned}>{safe(shown)}{full}</text>'


def _longest(labels: Sequence[str]) -> int:
    return max((min(len(one), LABEL_SHOWN) for one in labels), default=0)


def _svg(width: float, height: float, title: str, parts: Sequence[str], *, fixed: bool = False) -> str:
    """The drawing; a fixed one keeps its size and is scrolled where the page is narrower."""
    size = f'width="{width:.0f}" height="{height:.0f}" ' if fixed else ""
    return (
        f'<svg {size}viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{safe(title)}">'
        f"{''.join(parts)}</svg>"
    )
