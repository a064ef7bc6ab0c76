from __future__ import annotations

from random import Random

import pytest

from microlith.task.draw import SAMPLES, draw_answer, draw_reading
from microlith.task.formats import FORMATS
from microlith.task.taskfile import load_task


def test_every_format_has_samples_that_fit() -> None:
    assert set(SAMPLES) == set(FORMATS)
    assert all(FORMATS[name].check(text) for name, texts in SAMPLES.items() for text in texts)


def test_the_same_seed_draws_the_same_answer() -> None:
    plan = load_task("infra").plan
    assert draw_answer(plan, Random(3)) == draw_answer(plan, Random(3))


@pytest.mark.parametrize("seed", range(20))
def test_a_drawn_reading_leaves_out_no_required_value(seed: int) -> None:
    plan = load_task("infra").plan
    for step in draw_reading(plan, Random(seed))[()]:
        variant = next(
            one
            for one in plan.root.variants
            if all(step.get(key) == value for key, value in one.tags.items())
        )
        assert all(step[key] is not None for key in variant.required)


def test_in_time_every_branch_is_drawn() -> None:
    plan = load_task("infra").plan
    drawn = {str(draw_answer(plan, Random(seed))["action"]) for seed in range(300)}
    assert {"sequence", "unsupported", "dns_add", "cert_revoke"} <= drawn
