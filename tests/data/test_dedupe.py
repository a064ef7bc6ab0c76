from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from microlith.data.dedupe import deduplicate
from tests.data.small import other, row, user

LONG = "please create the new account for our colleague in the warehouse whose login is to be bob"


def test_equal_requests_with_equal_answers_are_one_row() -> None:
    result = deduplicate(
        [
            user("add bob", "bob", source="a"),
            user("Add bob!", "bob", source="b"),
            user("add ann", "ann", source="c"),
        ]
    )
    assert [one.source for one in result.kept] == ["a", "c"]
    assert [(gone.example.source, gone.of.source, gone.reason) for gone in result.removed] == [
        ("b", "a", "exact")
    ]


def test_nearly_equal_requests_with_equal_answers_are_one_row() -> None:
    rows = [user(LONG, "bob", source="a"), user(f"{LONG} now", "bob", source="b")]
    assert [gone.reason for gone in deduplicate(rows).removed] == ["near"]
    assert deduplicate(rows, near=None).removed == ()


def test_other_answers_are_never_duplicates() -> None:
    rows = [
        row("add bob", {"a": 1}),
        row("add bob", {"a": 2}),
        row("add bob", {"a": True}),
        row("add bob", {"a": 1.5}),
    ]
    assert deduplicate(rows).removed == ()


def test_the_order_of_keys_in_an_answer_does_not_matter() -> None:
    assert len(deduplicate([row("x", {"a": 1, "b": 2}), row("x", {"b": 2, "a": 1})]).kept) == 1


def test_the_verified_row_stays() -> None:
    rows = [user("add bob", "bob", source="a"), user("add bob.", "bob", source="b", verified=True)]
    assert [one.source for one in deduplicate(rows).kept] == ["b"]


@given(
    texts=st.lists(st.sampled_from(["a b c", "A b c", "a b d", "why?", "why", "👍", "👎", ""]), max_size=12)
)
def test_nothing_is_lost_and_a_second_pass_removes_nothing(texts: list[str]) -> None:
    rows = [other(text, source=str(number)) for number, text in enumerate(texts)]
    once = deduplicate(rows)
    assert {one.source for one in once.kept} | {gone.example.source for gone in once.removed} == {
        one.source for one in rows
    }
    assert len(once.kept) + len(once.removed) == len(rows)
    assert deduplicate(once.kept).kept == once.kept
