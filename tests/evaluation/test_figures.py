from __future__ import annotations

from collections.abc import Callable

import pytest

from microlith.evaluation.figures import FIGURES, best_of, names_of, scored_figures
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
