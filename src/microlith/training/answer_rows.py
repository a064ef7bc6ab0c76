"""Rows of a task as a language model learns them."""

from __future__ import annotations

from collections.abc import Sequence

from microlith.data.example import Example
from microlith.errors import DataError, MicrolithError
from microlith.inference.prompt import Pieces, Prompt
from microlith.inference.spelling import Speller
from microlith.training.token_rows import TokenRow


def token_rows(
    speller: Speller, pieces: Pieces, prompt: Prompt, examples: Sequence[Example]
) -> tuple[list[TokenRow], list[Example]]:
    """The tokens of every row, and the rows whose answer the grammar of their request does not hold.

    Such are rows whose value overlaps another value's only place in the request.
    """
    rows: list[TokenRow] = []
    left: list[Example] = []
    for example in examples:
        try:
            rows.append(token_row(speller, pieces, prompt, example))
        except (DataError, MicrolithError):
            left.append(example)
    return rows, left


def token_row(speller: Speller, pieces: Pieces, prompt: Prompt, example: Example) -> TokenRow:
    """The tokens of one row.

    Raises:
        DataError: if the grammar of the request does not hold the answer.
    """
    begun = prompt.ids(pieces.ids(example.input))
    said = [token for piece in speller.spell(example.input, example.output) for token in pieces.ids(piece)]
    return TokenRow(
        ids=(*begun, *said, prompt.end), answer_from=len(begun), source=example.source, weight=example.weight
    )
