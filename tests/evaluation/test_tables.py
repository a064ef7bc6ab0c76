from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from microlith.evaluation.compare import compare, spread
from microlith.evaluation.result import Case, Evaluation
from microlith.evaluation.tables import evaluation_tables

Scored = Callable[..., Evaluation]


def shown(renderable: RenderableType) -> str:
    console = Console(width=140, no_color=True, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable)
    return console.export_text().replace("\u202f", " ")


def test_a_terminal_shows_the_same_facts(scored: Scored) -> None:
    models = [scored([True] * 20, name="new"), scored([True, False] * 10, name="old")]
    text = shown(evaluation_tables(models, comparison=compare(*models), spreads=spread(models)))
    for fact in (
        "sample, n = 20",
        "new",
        "old",
        "100.0 %  83.9–100.0 %",
        "+50.0",
        "better",
        "at most 2 % wrong",
        "label",
        "Over seeds",
    ):
        assert fact in text


@pytest.mark.parametrize("right", [[True], [False], [False] * 40])
def test_any_evaluation_can_be_shown(scored: Scored, right: list[bool]) -> None:
    assert "Whole answer exact" in shown(evaluation_tables([scored(right)]))


def test_a_request_cannot_command_the_terminal(scored: Scored) -> None:
    case = Case(
        input="\x1b[31m[bold]x[/bold]", expected={}, got=None, confidence=0.5, right=False, latency_ms=None, note="[link=x]y"
    )  # fmt: skip
    text = shown(evaluation_tables([replace(scored([False], name="[red]m"), worst=(case,))]))
    assert "\\u001b[31m[bold]x[/bold]" in text
    assert "[link=x]y" in text
    assert "Groups, [red]m" in text


def test_a_terminal_shows_texts_and_what_the_constraint_costs(told: Scored) -> None:
    models = [told(["a b c d"] * 4, "new", spoken=["{}", "["] * 2), told(["a b", "x"] * 2, "old")]
    text = shown(evaluation_tables(models, comparison=compare(*models)))
    for fact in (
        "ROUGE-L",
        "Levels that agree",
        "ROUGE-L of its texts",
        "new, constrained and free, n = 4",
        "The right answers",
    ):
        assert fact in text
    assert "old, constrained" not in text
