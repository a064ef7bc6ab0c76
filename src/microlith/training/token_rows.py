"""Rows as a language model learns them: the tokens of prompt, answer and end of turn."""

from __future__ import annotations

from dataclasses import dataclass


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
