from __future__ import annotations

from collections import Counter

import pytest

from microlith.data.augment import Augmentation, augmented
from microlith.data.example import Example
from microlith.data.spans import bindings
from microlith.errors import UsageError
from tests.data.small import KIND_PLAN, PLAN, VALIDATOR, member, row, wordy

ROWS = wordy(24)


def made(rows: list[Example], how: Augmentation, seed: int = 0, workers: int = 1) -> list[Example]:
    return list(augmented(rows, PLAN, how, seed=seed, workers=workers))


def test_made_rows_are_valid_grounded_and_point_to_their_parents() -> None:
    rows = made(ROWS, Augmentation(refill=4, compose_share=0.5, noise_share=0.5))
    sources = {one.source for one in ROWS}
    assert {one.made_by for one in rows} == {"resample", "repeat", "noise", "compose"}
    assert all(VALIDATOR.is_valid(one.output) for one in rows)
    assert all(bound.text in one.input for one in rows for bound in bindings(PLAN, one.output))
    assert all(one.parents and set(one.parents) <= sources for one in rows)


def test_classes_keep_their_shares_and_noise_does_not_give_a_class_away() -> None:
    rows = made(ROWS, Augmentation(refill=20, compose_share=0, noise_share=0.3))
    counts = Counter(one.output["action"] for one in rows)
    assert max(counts.values()) - min(counts.values()) <= 6
    noisy = Counter(one.output["action"] for one in rows if one.made_by == "noise")
    assert all(0.1 < noisy[action] / counts[action] < 0.5 for action in counts)


def test_the_result_depends_on_the_seed_alone() -> None:
    how = Augmentation(refill=3, compose_share=0.3)
    assert made(ROWS, how) == made(ROWS, how)
    assert made(ROWS, how) != made(ROWS, how, seed=1)
    assert sorted(one.key for one in made(ROWS[::-1], how)) == sorted(one.key for one in made(ROWS, how))


def test_workers_do_not_change_the_result() -> None:
    how = Augmentation(refill=3)
    assert made(ROWS, how, workers=2) == made(ROWS, how)


def test_nothing_asked_for_is_nothing_made() -> None:
    assert made(ROWS, Augmentation(refill=0, compose_share=0)) == []
    assert made([], Augmentation()) == []


def test_a_task_without_values_gets_noise_only() -> None:
    rows = [
        row(f"what is the meaning of word number {number}", {"kind": "prompt"}, f"f:{number}")
        for number in range(100)
    ]
    noisy = list(augmented(rows, KIND_PLAN, Augmentation(refill=5, noise_share=0.4), seed=0))
    assert {one.made_by for one in noisy} == {"noise"}
    assert 25 <= len(noisy) <= 55


def test_one_step_row_alone_is_not_composed() -> None:
    rows = made([member("bob to ops", "bob", "ops")], Augmentation(refill=5, compose_share=1))
    assert all(one.made_by != "compose" for one in rows)


@pytest.mark.parametrize("values", [{"refill": -1}, {"compose_share": 2.0}, {"noise_share": -0.1}])
def test_values_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        Augmentation(**values)  # type: ignore[arg-type]
