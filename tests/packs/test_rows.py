"""The rows that ship: every one is good, and none stands on two sides."""

from __future__ import annotations

import pytest

from microlith.data.kin import normalise
from microlith.data.load import load_examples, load_test, load_validation
from microlith.task import load_task
from microlith.task.packs import packs


@pytest.mark.parametrize("pack", packs())
def test_all_rows_are_good_and_kept_apart(pack: str) -> None:
    task = load_task(pack)
    train, validation, test = (load(task).checked() for load in (load_examples, load_validation, load_test))
    assert train
    assert test
    tested = {normalise(row.input) for row in test}
    assert not tested & {normalise(row.input) for row in validation}
    assert len({row.input for row in validation}) == len(validation)
