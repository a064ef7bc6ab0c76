from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from microlith.data.dataset import Dataset, build_dataset, finished
from microlith.data.split import check_fence
from microlith.errors import DataError, UsageError
from microlith.events import Event, StageDone, StageStarted, Warned
from tests.data.small import PLAN, make_task, member, other, user, wordy

TEST = [member("bob joins ops", "bob", "ops"), other("is the coffee machine broken")]
LEAK = member("ann joins night shift", "ann", "night shift")


def test_a_dataset_is_made_and_its_parts_are_kept_apart(tmp_path: Path) -> None:
    seen: list[Event] = []
    task = make_task(tmp_path, [*wordy(80), LEAK, wordy(80)[0]], TEST)
    data = finished(build_dataset(task, refill=3, validation_share=0.2), on_event=seen.append)
    assert data.sizes["validation"] == 16
    assert data.sizes["test"] == 2
    assert data.sizes["train"] > 64 * 3
    assert (data.facts["read"], data.facts["duplicates"], data.facts["fenced"]) == (82, 1, 1)
    check_fence(data.train, [*data.test, *data.validation], PLAN)
    assert isinstance(seen[0], StageStarted)
    assert isinstance(seen[-1], StageDone)
    assert any(isinstance(event, Warned) and "kin to test rows" in event.what for event in seen)


def test_only_the_training_side_is_enlarged(tmp_path: Path) -> None:
    data = finished(build_dataset(make_task(tmp_path, wordy(80), TEST), refill=2))
    assert all(one.made_by is None for one in (*data.validation, *data.test))
    held = {one.source for one in (*data.validation, *data.test)}
    assert not any(held & {one.source, *one.parents} for one in data.train)


def test_the_hash_depends_on_content_alone(tmp_path: Path) -> None:
    rows = wordy(60)
    one = finished(build_dataset(make_task(tmp_path / "a", rows, TEST), refill=2))
    two = finished(build_dataset(make_task(tmp_path / "b", rows, TEST), refill=2))
    assert one.content_hash == two.content_hash
    shuffled = Random(0).sample(one.train, len(one.train))
    assert replace(one, train=tuple(shuffled)).content_hash == one.content_hash
    assert replace(one, train=one.train[1:]).content_hash != one.content_hash
    assert Dataset(train=one.validation, validation=one.train, test=one.test).content_hash != one.content_hash
    heavier = (replace(one.train[0], weight=2.0), *one.train[1:])
    assert replace(one, train=heavier).content_hash != one.content_hash


def test_the_hash_does_not_depend_on_the_order_of_rows_in_the_file(tmp_path: Path) -> None:
    rows = wordy(60)
    one = finished(build_dataset(make_task(tmp_path / "a", rows, TEST), refill=2))
    two = finished(build_dataset(make_task(tmp_path / "b", rows[::-1], TEST), refill=2))
    assert one.content_hash == two.content_hash


def test_another_seed_gives_another_dataset(tmp_path: Path) -> None:
    task = make_task(tmp_path, wordy(60), TEST)
    one, two = (finished(build_dataset(task, seed=seed, refill=2)) for seed in (0, 1))
    assert one.content_hash != two.content_hash


def test_every_row_has_its_lineage(tmp_path: Path) -> None:
    data = finished(build_dataset(make_task(tmp_path, wordy(40), TEST), refill=1))
    lineage = list(data.lineage())
    assert len(lineage) == sum(data.sizes.values())
    assert all(line.source.startswith("data/") for line in lineage)
    assert all(line.parents for line in lineage if line.made_by)


def test_bad_rows_stop_it_unless_they_may_be_skipped(tmp_path: Path) -> None:
    task = make_task(tmp_path, [*wordy(40), user("add bob", "carl")])
    with pytest.raises(DataError, match="1 mistakes"):
        finished(build_dataset(task))
    seen: list[Event] = []
    data = finished(build_dataset(task, skip_bad=True, refill=0, compose_share=0), on_event=seen.append)
    assert sum(data.sizes.values()) == 40
    assert any(isinstance(event, Warned) and "train.jsonl:41" in str(event.facts) for event in seen)


def test_contradictions_are_told(tmp_path: Path) -> None:
    seen: list[Event] = []
    task = make_task(tmp_path, [*wordy(40), user("add bob", "bob"), other("add bob")])
    finished(build_dataset(task, refill=0), on_event=seen.append)
    assert any(isinstance(event, Warned) and "contradicting" in event.what for event in seen)


def test_nothing_left_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows are left"):
        finished(build_dataset(make_task(tmp_path, [LEAK], TEST)))


def test_a_published_split_may_share_wordings_but_no_request(tmp_path: Path) -> None:
    rows = [*wordy(80), LEAK, TEST[0]]
    data = finished(build_dataset(make_task(tmp_path, rows, TEST), fence="text"))
    assert data.facts["fenced"] == 1
    assert LEAK.input in {one.input for one in (*data.train, *data.validation)}
    assert not {one.input for one in TEST} & {one.input for one in (*data.train, *data.validation)}


def test_validation_takes_no_more_rows_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microlith.data.dataset.VALIDATION_ROWS", 4)
    task = make_task(tmp_path, wordy(80))
    assert finished(build_dataset(task)).sizes["validation"] == 4
    assert finished(build_dataset(task, validation_share=0.2)).sizes["validation"] == 16


def test_rows_kept_for_validation_are_all_of_it_and_their_kin_is_not_trained_on(tmp_path: Path) -> None:
    held = [member("zoe joins chess", "zoe", "chess"), *wordy(90)[80:], TEST[1]]
    rows = [*wordy(80), LEAK, member("kim joins chess", "kim", "chess")]
    task = make_task(tmp_path, rows, [TEST[1]], validation=held)
    data = finished(build_dataset(task, refill=1))
    assert {one.input for one in data.validation} == {one.input for one in held[:-1]}
    assert not {LEAK.input, "kim joins chess"} & {one.input for one in data.train}
    check_fence(data.train, data.validation, PLAN)
    more = finished(build_dataset(task, refill=1, validation_share=0.2))
    assert data.sizes["validation"] < more.sizes["validation"]


def test_an_unknown_fence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose one of wording, text"):
        finished(build_dataset(make_task(tmp_path, wordy(20)), fence="hedge"))
