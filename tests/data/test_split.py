from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.data.example import Example
from microlith.data.kin import kinship
from microlith.data.resample import Pool, resample
from microlith.data.split import check_fence, fence, split, stratum
from microlith.errors import LeakError, UsageError
from tests.data.small import KIND_PLAN, PLAN, dns, member, other, row, user, wordy

LONG = "would somebody be so kind and create the new account {} for the warehouse on monday"


def test_every_row_is_on_one_side_and_the_share_is_kept() -> None:
    rows = wordy(200)
    parts = split(rows, 0.2, 1, plan=PLAN)
    assert sorted(one.source for one in (*parts.train, *parts.validation)) == sorted(
        one.source for one in rows
    )
    assert len(parts.validation) == 40
    assert parts.notes == ()


def test_the_outer_choice_keeps_its_shares() -> None:
    rows = wordy(200)
    parts = split(rows, 0.2, 1, plan=PLAN)
    assert Counter(stratum(one, PLAN) for one in parts.validation) == dict.fromkeys(
        {stratum(one, PLAN) for one in rows}, 10
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), share=st.sampled_from([0.05, 0.1, 0.3, 0.5]), copies=st.integers(1, 4))
def test_no_family_is_parted(seed: int, share: float, copies: int) -> None:
    rng, written = Random(seed), wordy(24)
    pool = Pool.of(written, PLAN)
    made = [resample(one, PLAN, pool, rng) for one in written for _ in range(copies)]
    rows = [*written, *(one for one in made if one is not None)]
    rng.shuffle(rows)
    parts = split(rows, share, seed, plan=PLAN)
    labels = kinship(rows, PLAN, largest_share=share).labels.tolist()
    held = {id(one) for one in parts.validation}
    validation = {label for label, one in zip(labels, rows, strict=True) if id(one) in held}
    assert not validation & {label for label, one in zip(labels, rows, strict=True) if id(one) not in held}


def test_the_split_does_not_depend_on_the_order_of_rows() -> None:
    rows = wordy(80)
    shuffled = Random(3).sample(rows, len(rows))
    one, two = (split(order, 0.2, 1, plan=PLAN).validation for order in (rows, shuffled))
    assert {row.key for row in one} == {row.key for row in two}


def test_another_seed_gives_another_split() -> None:
    rows = wordy(80)
    assert split(rows, 0.2, 1, plan=PLAN) != split(rows, 0.2, 2, plan=PLAN)


def test_groups_stay_together() -> None:
    rows = [
        other(text.input, source=text.source, group=f"g{number // 4}")
        for number, text in enumerate(wordy(200))
    ]
    parts = split(rows, 0.2, 0, plan=PLAN)
    assert not {one.group for one in parts.train} & {one.group for one in parts.validation}
    assert 30 <= len(parts.validation) <= 50


def test_a_group_of_nearly_all_rows_is_a_label_and_is_told() -> None:
    rows = [other(one.input, source=one.source, group="all") for one in wordy(50)]
    parts = split(rows, 0.2, 0, plan=PLAN)
    assert len(parts.validation) == 10
    assert "group 'all'" in parts.notes[0]


def test_families_too_large_for_the_share_are_told() -> None:
    rows = [other(one.input, source="x", parents=("one",), made_by="teacher") for one in wordy(20)]
    parts = split(rows, 0.2, 0, plan=PLAN)
    assert len(parts.train) == 20
    assert "0 of 20 rows where 4 were asked for" in parts.notes[0]


@pytest.mark.parametrize("rows", [[], wordy(1), wordy(2)])
def test_few_rows_are_no_error_and_train_first(rows: list[Example]) -> None:
    parts = split(rows, 0.5, 0, plan=PLAN)
    assert len(parts.train) + len(parts.validation) == len(rows)
    assert parts.train or not rows


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 2.0])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        split(wordy(4), share)


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (user("add bob", "bob"), '"user_add"'),
        (other("x"), '"none"'),
        (row("x", {"action": "sequence", "steps": []}), '"sequence"'),
    ],
)
def test_the_stratum_is_the_outer_choice(example: Example, expected: str) -> None:
    assert stratum(example, PLAN) == expected


def test_a_plain_object_is_balanced_by_its_choice() -> None:
    assert stratum(row("x", {"kind": "prompt"}), KIND_PLAN) == '"prompt"'
    assert stratum(row("x", {"kind": "prompt"}), None) == ""


TEST = [
    user(LONG.format("bob"), "bob", source="test:1"),
    member("bob joins ops", "bob", "ops", source="test:2"),
    other("is the coffee machine broken", source="test:3"),
]
LEAKS = {
    "same request": user(LONG.format("BOB") + "!", "BOB", source="train:1"),
    "same wording": member("ann joins night shift", "ann", "night shift", source="train:2"),
    "near-duplicate": user(LONG.format("carl").replace("kind", "knd"), "carl", source="train:3"),
    "same lineage": other(
        "words of quite another kind", source="train:4", parents=("test:3",), made_by="teacher"
    ),
}


@pytest.mark.parametrize("reason", LEAKS)
def test_a_planted_leak_is_caught(reason: str) -> None:
    clean = wordy(40)
    kept, dropped = fence([*clean, LEAKS[reason]], TEST, PLAN)
    assert list(kept) == clean
    assert [(row.example, row.reason) for row in dropped] == [(LEAKS[reason], reason)]
    assert dropped[0].kin_to.startswith("test:")


@pytest.mark.parametrize("reason", LEAKS)
def test_training_on_a_planted_leak_is_an_error_and_without_it_none(reason: str) -> None:
    clean = wordy(40)
    check_fence(clean, TEST, PLAN)
    with pytest.raises(LeakError) as error:
        check_fence([*clean, LEAKS[reason]], TEST, PLAN)
    assert error.value.problems[0].place == LEAKS[reason].source


@pytest.mark.parametrize("text", ["Bob joins OPS!", LONG.format("bob").replace("somebody", "sombody")])
def test_another_answer_does_not_hide_a_leak(text: str) -> None:
    assert fence([other(text, source="train:9")], TEST, PLAN)[0] == ()


def test_rows_made_of_a_leak_are_caught_with_it() -> None:
    pool = Pool.of(TEST, PLAN)
    made = [one for seed in range(20) if (one := resample(TEST[0], PLAN, pool, Random(seed)))]
    assert fence(made, TEST, PLAN)[0] == ()


def test_rows_that_only_share_a_group_with_the_test_stay() -> None:
    rows = [dns("x.lan is 10.0.0.1", "x.lan", "10.0.0.1", source="a", group="dns")]
    test = [dns("let y.lan resolve to 10.0.0.2 from now on", "y.lan", "10.0.0.2", source="b", group="dns")]
    assert fence(rows, test, PLAN)[0] == tuple(rows)


def test_without_a_test_nothing_is_fenced_off() -> None:
    assert fence(TEST, [], PLAN) == (tuple(TEST), ())
    assert fence([], TEST, PLAN) == ((), ())
