"""Rows with their variations: every pass over the rows shows one of each family."""

from __future__ import annotations

from collections.abc import Sequence

from microlith.data.example import Example


def families_of(train: Sequence[Example]) -> list[list[Example]]:
    """Rows with what was made of them, in order; a row stands before what was made of it."""
    families: dict[str, list[Example]] = {}
    for example in train:
        root = example.parents[0] if example.parents and example.made_by != "compose" else example.source
        families.setdefault(root, []).append(example)
    return [sorted(family, key=lambda one: bool(one.parents)) for family in families.values()]
