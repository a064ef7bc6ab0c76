"""Rows as a language model learns them: the tokens of prompt, answer and end of turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microlith.events import Warned

TOLD_SOURCES = 5
"""Rows that are named one by one where many are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRow:
    """One conversation of one turn."""

    ids: tuple[int, ...]
    """Prompt, answer and the token that ends the turn."""
    answer_from: int
    """Place of the first token of the answer; the loss is on `ids[answer_from:]`, at least one token."""
    source: str
    """`file:line` of the row, or where it was made from."""
    weight: float = 1.0
    """Weight in training, above 0."""


def split_by_length(
    rows: Sequence[TokenRow], max_length: int
) -> tuple[tuple[TokenRow, ...], tuple[TokenRow, ...]]:
    """(rows of at most `max_length` tokens, longer rows), both in order. No row is cut."""
    fitting = tuple(row for row in rows if len(row.ids) <= max_length)
    return fitting, tuple(row for row in rows if len(row.ids) > max_length)


def too_long(rows: Sequence[TokenRow], limit: int, *, setting: str) -> list[Warned]:
    """That rows of more than `limit` tokens are left out, with the setting that would keep them; empty where there are none."""
    if not rows:
        return []
    sources = [row.source for row in rows]
    named = ", ".join(sources[:TOLD_SOURCES]) + (", ..." if len(sources) > TOLD_SOURCES else "")
    what = (
        f"{len(rows)} rows of more than {limit} tokens are left out ({named}); raise {setting} to keep them"
    )
    return [Warned(what=what, facts={"rows": sources})]
