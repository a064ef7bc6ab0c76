from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.evaluation.plots import Axis, Row, Series, chart, heat_map, interval_rows, round_ticks

SHARES = Axis(label="share", low=0.0, high=1.0, text=lambda value: f"{value:.1f}")
HOSTILE = "</svg><script>alert(1)</script>\"'&"


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0, 1100, (0, 250, 500, 750, 1000)),
        (0.9, 1.0, (0.9, 0.92, 0.94, 0.96, 0.98, 1.0)),
        (0, 0.06, (0, 0.02, 0.04, 0.06)),
        (3, 3, (3,)),
        (0, math.inf, (0,)),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: tuple[float, ...]) -> None:
    assert round_ticks(low, high) == pytest.approx(ticks)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    ticks = round_ticks(low, low + span)
    assert 1 <= len(ticks) <= 8
    slack = 1e-6 * span + 1e-9 * abs(low)
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)


def test_a_point_lies_where_its_axes_say() -> None:
    tree = parsed(
        chart([Series(name="s", points=((0.0, 0.0), (1.0, 1.0)), style="points")], SHARES, SHARES, title="t")
    )
    first, second = (dot.attrib for dot in tree.iter("circle"))
    assert (first["cx"], first["cy"]) == ("54.0", "288.0")
    assert (second["cx"], second["cy"]) == ("462.0", "30.0")


def test_values_outside_the_axes_are_drawn_at_their_ends() -> None:
    tree = parsed(chart([Series(name="s", points=((-5.0, 9.0),), style="points")], SHARES, SHARES, title="t"))
    dot = next(tree.iter("circle")).attrib
    assert (dot["cx"], dot["cy"]) == ("54.0", "30.0")


def test_a_single_point_of_a_line_is_still_seen() -> None:
    assert (
        len(
            list(
                parsed(chart([Series(name="s", points=((0.5, 0.5),))], SHARES, SHARES, title="t")).iter(
                    "circle"
                )
            )
        )
        == 1
    )


def test_every_point_has_its_tooltip() -> None:
    series = Series(name="s", points=((0.1, 0.1), (0.2, 0.3)), titles=("first", "second"))
    titles = [node.text for node in parsed(chart([series], SHARES, SHARES, title="t")).iter("title")]
    assert titles == ["s", "first", "second"]


def test_an_empty_chart_is_a_chart() -> None:
    assert parsed(chart([], SHARES, SHARES, title="t", diagonal=True, guides=[(0.02, "2 %")])).tag == "svg"


@pytest.mark.parametrize(
    "svg",
    [
        chart(
            [Series(name=HOSTILE, points=((0, 0), (1, 1)), titles=(HOSTILE, HOSTILE))],
            SHARES,
            SHARES,
            title=HOSTILE,
        ),
        heat_map([HOSTILE], [HOSTILE], [[1]], title=HOSTILE),
        interval_rows([Row(name=HOSTILE, value=0.5, low=0.4, high=0.6, title=HOSTILE)], title=HOSTILE),
    ],
)
def test_hostile_names_stay_text(svg: str) -> None:
    tree = parsed(svg)
    assert not list(tree.iter("script"))
    assert any(node.text == HOSTILE for node in tree.iter("title"))


def test_a_map_draws_its_counts_on_and_off_the_diagonal() -> None:
    tree = parsed(heat_map(["a", "b"], ["a", "b", "c"], [[9, 1, 0], [0, 0, 2]], title="t"))
    cells = [
        (node.attrib["class"], node.attrib["fill-opacity"])
        for node in tree.iter("rect")
        if "fill-opacity" in node.attrib
    ]
    assert cells == [("cell hit", "0.91"), ("cell miss", "0.21"), ("cell miss", "1.00")]
    assert "expected b, got c: 2 of 2" in [node.text for node in tree.iter("title")]


def test_a_long_label_is_shortened_and_told_in_full() -> None:
    tree = parsed(heat_map(["x" * 40], ["x" * 40], [[1]], title="t"))
    assert any(node.text == "x" * 40 for node in tree.iter("title"))
    assert not any((node.text or "") == "x" * 40 for node in tree.iter("text"))


def test_drawings_name_no_colour_of_their_own() -> None:
    svg = heat_map(["a"], ["a"], [[1]], title="t") + chart(
        [Series(name="s", points=((0, 0),))], SHARES, SHARES, title="t"
    )
    assert not re.search(r"#[0-9a-f]{3}|(?:fill|stroke)=", svg)
