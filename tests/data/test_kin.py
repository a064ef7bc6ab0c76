from __future__ import annotations

import numpy as np
import pytest

from microlith.data.example import Example
from microlith.data.kin import kinship, merge, normalise, wording
from microlith.data.spans import MASK
from tests.data.small import PLAN, dns, member, other, row, user

LONG = "the printer on the second floor prints every page twice since this morning"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Add, Bob!! ", "add bob"),
        ("ADD\tBOB", "add bob"),
        ("“Add” – bob…", "add bob"),
        ("ﬁne Straße", "fine strasse"),
        ("/help", "/help"),
        ("c++", "c++"),
        ("???", "???"),
        ("👍", "👍"),
        (f"add {MASK}, now", f"add {MASK} now"),
        ("", ""),
    ],
)
def test_requests_are_compared_without_what_means_nothing(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_the_wording_is_what_is_left_without_values() -> None:
    assert wording(user("Add Bob, login bob!", "bob"), PLAN) == wording(
        user("add ann login ann", "ann"), PLAN
    )


def test_a_row_outside_the_plan_keeps_its_values() -> None:
    assert wording(row("add bob", {"action": "fly"}), PLAN) == "add bob"


def families(rows: list[Example], *, largest_share: float = 1.0) -> list[int]:
    return [int(label) for label in kinship(rows, PLAN, largest_share=largest_share).labels]


KIN = {
    "same wording": [user("create bob", "bob", source="a"), user("Create ANN!", "ANN", source="b")],
    "nearly the same wording": [other(LONG, source="a"), other(LONG.replace("floor", "flor"), source="b")],
    "same source": [other("one thing", source="a"), other("quite another", source="a")],
    "same group": [other("one thing", source="a", group="g"), other("quite another", source="b", group="g")],
    "made of it": [other("one thing", source="a"), other("quite another", source="x", parents=("b", "a"))],
    "made of the same row": [other("one", source="x", parents=("a",)), other("two", source="y", parents=("a",))],
    "same template": [other("one", source="template:t:3", made_by="template"), other("two", source="template:t:3", made_by="template")],
}  # fmt: skip


@pytest.mark.parametrize("rows", KIN.values(), ids=KIN)
def test_rows_are_kin(rows: list[Example]) -> None:
    one, two = families(rows)
    assert one == two


def test_strangers_are_not_kin() -> None:
    rows = [
        user("create bob", "bob", source="a"),
        member("bob joins ops", "bob", "ops", source="b"),
        dns("x.lan is 10.0.0.1", "x.lan", "10.0.0.1", source="c"),
    ]
    assert len(set(families(rows))) == 3


def test_kin_of_kin_are_kin() -> None:
    rows = [
        other("one", source="a"),
        other("two", source="b", parents=("a",)),
        user("add x1", "x1", source="b", parents=("c",)),
        user("add y1", "y1", source="d"),
    ]
    assert len(set(families(rows))) == 1


def test_a_label_that_most_rows_share_makes_no_kin_and_is_told() -> None:
    rows = [user(f"{word} is the new one", word, source=f"s{word}", group="dns") for word in ("bob",)]
    rows += [other(text, source=text, group="dns") for text in ("apple pie", "train to rome", "winter boots")]
    result = kinship(rows, PLAN, largest_share=0.5)
    assert len(set(result.labels.tolist())) == 4
    assert "group 'dns' holds 4 of 4 rows" in result.notes[0]


def test_what_rows_were_made_of_always_counts() -> None:
    rows = [
        other(text, source=f"s{text}", parents=("a",))
        for text in ("apple pie", "train to rome", "winter boots")
    ]
    assert len(set(families(rows, largest_share=0.1))) == 1


def test_no_rows_are_no_families() -> None:
    assert families([]) == []


def test_families_are_merged() -> None:
    merged = merge(np.array([0, 1, 2, 3, 1]), np.array([0, 4]), np.array([2, 3]))
    assert merged[0] == merged[2]
    assert merged[1] == merged[3] == merged[4]
    assert merged[0] != merged[1]


def test_an_edge_named_many_times_is_still_an_edge() -> None:
    merged = merge(np.arange(2), np.zeros(256, dtype=np.int64), np.ones(256, dtype=np.int64))
    assert merged[0] == merged[1]
