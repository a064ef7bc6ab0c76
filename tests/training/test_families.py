"""Rows with their variations."""

from __future__ import annotations

from microlith.data.example import Example
from microlith.training.families import families_of


def row(source: str, *parents: str, made_by: str | None = None) -> Example:
    return Example(input=source, output={}, source=source, parents=parents, made_by=made_by)


def test_variations_stand_behind_their_row() -> None:
    made = row("a+", "a", made_by="noise")
    found = families_of([made, row("b"), row("a"), row("b+", "b", made_by="resample")])
    assert [[one.source for one in family] for family in found] == [["a", "a+"], ["b", "b+"]]


def test_a_row_of_several_is_a_family_of_its_own() -> None:
    both = row("a;b", "a", "b", made_by="compose")
    assert [len(family) for family in families_of([row("a"), row("b"), both])] == [1, 1, 1]


def test_no_rows_no_families() -> None:
    assert families_of([]) == []
