"""Which of two models is preferred: a larger one is only worth having where a paired test says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from microlith.evaluation.compare import mcnemar
from microlith.workflow.specialists import Made

if TYPE_CHECKING:
    from microlith.registry import Draft

ENOUGH_ROWS = 100
"""On fewer validation rows the test has no power, and the encoder is preferred, since pretraining knows wordings no row has. A model
without pretraining must show that it is better, however few rows there are."""
CHANCE = 0.05
"""The larger model is preferred where the paired test gives a lead like its own less than this by chance."""


def preference(made: Sequence[tuple[Made, Draft]], *, chooses: bool) -> tuple[list[tuple[Made, Draft]], str]:
    """The models, the preferred one first, and why."""
    best = made[-1]
    if len(made) == 1:
        return [best], f"{best[0].kind} is the recipe that was asked for or that this machine can run"
    cheap, rows = made[0], len(best[0].hits)
    larger, smaller = best[0].kind, cheap[0].kind
    if best[0].texts:
        better, on = _writes_better(best[0], cheap[0])
    else:
        better, on = _answers_better(best[0], cheap[0])
    pretrained = larger != "generative" or best[0].base is not None
    if chooses and (rows >= ENOUGH_ROWS or not pretrained) and not better:
        return [cheap, best], f"{smaller} is preferred, since the larger model is not shown to be better {on}"
    return [best, cheap], f"{larger} is preferred {on}"


def _answers_better(best: Made, cheap: Made) -> tuple[bool, str]:
    """Is the larger model shown to give more right answers? And the figures, in words."""
    pairs = list(zip(best.hits, cheap.hits, strict=True))
    only_best, only_cheap = pairs.count((True, False)), pairs.count((False, True))
    p = mcnemar(only_best, only_cheap)
    on = f"on {len(pairs):,} validation rows: {best.kind} {best.exact:.1%} exact, {cheap.kind} {cheap.exact:.1%}, paired test p = {p:.2g}"
    return only_best > only_cheap and p <= CHANCE, on


def _writes_better(best: Made, cheap: Made) -> tuple[bool, str]:
    """Are the larger model's texts shown to be more like the right ones? And the figures, in words."""
    from microlith.evaluation.compare import text_preference

    gap, low, high = text_preference(best.texts, cheap.texts)
    on = f"on {len(best.texts):,} validation rows: {best.kind} {best.score}, {cheap.kind} {cheap.score}, difference {gap:+.3f} ({low:+.3f} to {high:+.3f})"
    return low > 0, on
