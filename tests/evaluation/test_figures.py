from __future__ import annotations

from collections.abc import Callable

import pytest

from microlith.evaluation.figures import (
    FIGURES,
    best_of,
    contrasts,
    names_of,
    reference_note,
    scored_figures,
)
from microlith.evaluation.gate import METRICS
from microlith.evaluation.result import Evaluation

BY_NAME = {figure.metric: figure for _, figures in FIGURES for figure in figures}


def test_every_figure_is_a_known_metric() -> None:
    assert set(BY_NAME) <= set(METRICS)


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("exact", [0.9, 0.95, None], "95.0 %"),
        ("ece", [0.05, 0.01], "0.010"),
        ("exact", [0.9, 0.90001], None),
        ("exact", [0.9], None),
        ("rss_mb", [1.0, 2.0], None),
        ("confidence_right", [0.5, 0.9], None),
    ],
)
def test_the_best_is_named_only_where_models_differ(
    metric: str, values: list[float | None], best: str | None
) -> None:
    found = best_of(BY_NAME[metric], values)
    assert (found and found.replace("\u202f", " ")) == best


def test_equal_names_are_numbered(scored: Callable[..., Evaluation]) -> None:
    assert names_of([scored([True], name=name) for name in ("a", "b", "a")]) == ["a", "b", "a #2"]


def test_what_no_model_has_is_left_out(scored: Callable[..., Evaluation]) -> None:
    metrics = {figure.metric for _, figures in scored_figures([scored([True])]) for figure in figures}
    assert "exact" in metrics
    assert not metrics & {"artifact_mb", "confidence_wrong"}


def test_figures_of_texts_are_shown_where_answers_hold_text(
    told: Callable[..., Evaluation], scored: Callable[..., Evaluation]
) -> None:
    shown = {part: [figure.metric for figure in figures] for part, figures in scored_figures([told(["a b"])])}
    assert shown["Texts"] == ["rouge_l", "repetition", "agreement", "distinct"]
    assert "Texts" not in {part for part, _ in scored_figures([scored([True])])}


def test_rouge_l_has_an_interval(told: Callable[..., Evaluation]) -> None:
    one, read = told(["a b", "a b c d"]), BY_NAME["rouge_l"].bounded
    assert one.texts is not None
    assert read is not None
    assert read(one) is one.texts.rouge_l


def test_free_decoding_is_shown_figure_by_figure(told: Callable[..., Evaluation]) -> None:
    one = told(["a b", "a"], spoken=["{}", "["]).constraint
    assert one is not None
    assert [row.label for row in contrasts(one)] == [
        "Is JSON",
        "Fits the schema",
        "Wrong but valid",
        "ROUGE-L",
    ]


def test_what_right_answers_are_like_is_noted(
    told: Callable[..., Evaluation], scored: Callable[..., Evaluation]
) -> None:
    assert "7.0 words on average, repetition 0.0\u202f% and 100.0\u202f% distinct" in reference_note(
        told(["x"])
    )
    assert reference_note(scored([True])) == ""
