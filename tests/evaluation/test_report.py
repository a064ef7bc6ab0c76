from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from microlith.data.example import Example
from microlith.errors import UsageError
from microlith.evaluation.compare import compare, spread
from microlith.evaluation.report import render_report
from microlith.evaluation.result import Case, Cell, Confusion, Evaluation
from microlith.evaluation.scores import evaluate
from microlith.task.taskfile import Task

Scored = Callable[..., Evaluation]
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&</style></main>\u202e\x00\ud800"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Checks that every element is closed, and collects tags and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile(evaluation: Evaluation) -> Evaluation:
    case = Case(
        input=HOSTILE, expected={HOSTILE: HOSTILE}, got={HOSTILE: [HOSTILE]}, confidence=0.9, right=False, latency_ms=1.0,
        note=HOSTILE,
    )  # fmt: skip
    return replace(
        evaluation,
        task=HOSTILE,
        model=HOSTILE,
        worst=(case,),
        slowest=(case,),
        failures=(case,),
        groups=tuple(replace(row, name=f"{HOSTILE}{i}") for i, row in enumerate(evaluation.groups * 3)),
        decisions=tuple(replace(row, path=HOSTILE) for row in evaluation.decisions),
        confusion=Confusion(
            path=HOSTILE, labels=(HOSTILE, "a"), cells=(Cell(expected=HOSTILE, got="a", count=3),)
        ),
    )


@pytest.mark.parametrize(
    "right",
    [[True], [False], [True] * 30, [False] * 30, [True, False] * 100],
    ids=["one right", "one wrong", "all right", "all wrong", "mixed"],
)
def test_pages_of_every_kind_are_whole(scored: Scored, right: list[bool]) -> None:
    page = Page(render_report([scored(right, [(i % 50) / 50 for i in range(len(right))])]))
    assert "script" not in page.tags
    assert "95\u202f% interval" in page.text


def test_several_models_stand_side_by_side_with_their_tests(scored: Scored) -> None:
    models = [
        scored([True] * 40, name="new"),
        scored([True, False] * 20, name="old"),
        scored([False] * 40, name="old"),
    ]
    curves = {
        "new": [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "exact": 0.5}, {"stage": "x"}]
    }
    text = render_report(
        models,
        comparison=compare(*models),
        curves=curves,
        spreads=spread(models),
        facts={"Seed": "7"},
    )
    page = Page(text)
    for expected in (
        "new is better than old",
        "old #2",
        "Training loss",
        "Exact on validation rows",
        "Over seeds",
        "Seed",
    ):
        assert expected in page.text


def test_a_page_of_answers_with_text_leads_with_their_texts(told: Scored) -> None:
    page = Page(render_report([told(["a b c d", "a b"])]))
    for expected in (
        "The texts of answers score 91.7\u202f% ROUGE-L", "100.0\u202f% of levels agree", "Distinct texts", "The right answers have",
        "longest common subsequence",
    ):  # fmt: skip
        assert expected in page.text


def test_a_page_without_text_does_not_speak_of_it(scored: Scored) -> None:
    assert "ROUGE" not in render_report([scored([True, False])])


def test_what_the_constraint_costs_is_shown_for_each_model_that_speaks_freely(told: Scored) -> None:
    models = [
        told(["a b c d"] * 4, "new", spoken=["{}", "["] * 2),
        told(["a b"] * 4, "old"),
        told(["a"] * 4, HOSTILE, spoken=["["] * 4),
    ]
    text = render_report(models, comparison=compare(*models))
    page = Page(text)
    assert not page.tags & {"script", "img"}
    assert "Constrained, or free" in page.text
    assert page.text.count("Is JSON") == 2
    assert "ROUGE-L of its texts" in page.text


def test_a_page_of_models_that_cannot_speak_freely_has_no_such_panel(told: Scored) -> None:
    assert "Constrained, or free" not in render_report([told(["a b"])])


def test_hostile_text_stays_text(scored: Scored) -> None:
    one = hostile(scored([True, False] * 5))
    text = render_report(
        [one, one],
        comparison=compare(one, one),
        curves={HOSTILE: [{"step": 1, "loss": 1.0}]},
        facts={HOSTILE: HOSTILE},
    )
    page = Page(text)
    assert not page.tags & {"script", "img"}
    assert "<script>alert(1)</script>" in page.text
    text.encode("utf-8")


def test_the_page_asks_nothing_of_anyone(scored: Scored) -> None:
    text = render_report([scored([True, False] * 5)])
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|src=|@import|url\((?!#)|<link|<script", text)


def test_secrets_do_not_reach_the_page(actions: Task, scripted: Any) -> None:
    secret = {"action": "user_add", "user": "bob", "password": "hunter22"}
    rows = [Example(input="add bob with hunter22", output=secret, source="t:1")]
    for answer in (
        {**secret, "password": "hunter2"},
        {**secret, "user": "hunter22"},
        ValueError("no 'hunter22'"),
        secret,
    ):
        text = render_report([evaluate(scripted({"add bob with hunter22": answer}), rows, actions)])
        assert "hunter" not in text
        assert "••••" in text


def test_a_wide_confusion_keeps_the_labels_with_errors(scored: Scored) -> None:
    labels = tuple(f"label_{i:03}" for i in range(150))
    cells = (
        *(Cell(expected=name, got=name, count=5) for name in labels),
        Cell(expected=labels[140], got=labels[7], count=2),
    )
    one = replace(scored([True, False]), confusion=Confusion(path="label", labels=labels, cells=cells))
    text = render_report([one])
    assert "124 others are not drawn" in text
    assert ">label_140</text>" in text
    assert ">label_007</text>" in text


def test_many_groups_show_the_weakest(scored: Scored) -> None:
    one = scored([True, False])
    row = one.groups[0]
    groups = tuple(replace(row, by="group", name=f"g{i}") for i in range(100))
    assert "76 more, all at least as exact" in render_report([replace(one, groups=groups)])


@pytest.mark.parametrize("losses", [[float("nan")], [None], ["x"], [True], []])
def test_events_without_numbers_draw_nothing(scored: Scored, losses: list[Any]) -> None:
    curves = {"run": [{"step": 1, "loss": value} for value in losses]}
    assert "Training loss" not in render_report([scored([True])], curves=curves)


def test_no_evaluation_is_an_error() -> None:
    with pytest.raises(UsageError, match="at least one"):
        render_report([])


def test_a_report_is_of_one_task(scored: Scored) -> None:
    with pytest.raises(UsageError, match="one task"):
        render_report([scored([True]), replace(scored([True]), task="another")])
