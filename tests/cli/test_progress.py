"""Events as people and machines read them."""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest

from microlith.cli.progress import Curve, PlainListener, clock_text, event_facts, follow, sparkline, step_text
from microlith.events import Event, StageDone, StageStarted, Step, Validation, Warned


def step(number: int, loss: float) -> Step:
    return Step(step=number, steps=10, loss=loss, rows_per_s=300.0, seconds_left=75.0)


def work() -> Generator[Event, None, str]:
    yield StageStarted(stage="train")
    yield step(1, 2.0)
    yield Validation(step=1, exact=0.5, rows=10)
    yield step(10, 0.1)
    yield Warned(what="two rows are left out")
    yield StageDone(stage="train", detail="10 steps", seconds=1.25)
    return "result"


def test_follow_gives_back_the_result_and_shows_the_events_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert follow(work(), as_json=False) == "result"
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "step 10/10  loss 0.100  validation 50.0%  300 rows/s  1:15 left" in shown.err
    assert "! two rows are left out" in shown.err
    assert "✓ train      10 steps  loss 2.00 █▁ 0.100  1.2 s" in shown.err


def test_json_events_are_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    follow(work(), as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [row["event"] for row in rows] == [
        "stage_started",
        "step",
        "validation",
        "step",
        "warned",
        "stage_done",
    ]
    assert rows[1]["loss"] == 2.0


def test_an_error_of_the_work_comes_through() -> None:
    def failing() -> Generator[Event, None, None]:
        yield StageStarted(stage="train")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        follow(failing(), as_json=False)


def test_logs_are_not_flooded(capsys: pytest.CaptureFixture[str]) -> None:
    listener = PlainListener()
    for number in range(1, 10):
        listener.hear(step(number, 1.0))
    assert capsys.readouterr().err == ""


def test_a_reused_stage_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    PlainListener().hear(StageDone(stage="data", detail="3 rows", reused=True))
    assert "= data       3 rows  reused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [([1.0, 2.0, 3.0], 8, "▁▄█"), ([5.0, 5.0], 8, "▁▁"), ([0.0, 0.0, 7.0, 7.0], 2, "▁█"), ([3.0], 4, "▁")],
)
def test_sparkline(values: list[float], width: int, drawn: str) -> None:
    assert sparkline(values, width).replace("▅", "▄") == drawn


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (75, "1:15"), (3700, "1:01:40"), (-3, "0:00")])
def test_clock_text(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_step_text_leaves_out_a_score_there_is_not() -> None:
    assert "validation" not in step_text(step(1, 2.0), "")


def test_a_new_stage_begins_a_new_curve() -> None:
    curve = Curve()
    for event in (step(1, 2.0), StageStarted(stage="linear")):
        curve.add(event)
    assert curve.summary() == ""


def test_event_facts_name_the_event() -> None:
    assert event_facts(Warned(what="x")) == {"event": "warned", "what": "x", "facts": {}}
