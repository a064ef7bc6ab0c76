"""Rows of a task as a language model learns them."""

from __future__ import annotations

from collections.abc import Sequence

from microlith.data.example import Example
from microlith.errors import MicrolithError
from microlith.events import Warned
from microlith.inference.prompt import Pieces, Prompt
from microlith.inference.spelling import Speller
from microlith.task.plan import Json
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
        except MicrolithError:
            left.append(example)
    return rows, left


def token_row(speller: Speller, pieces: Pieces, prompt: Prompt, example: Example) -> TokenRow:
    """The tokens of one row.

    Raises:
        DataError: if the grammar of the request does not hold the answer.
    """
    begun, said = spelled_ids(speller, pieces, prompt, example.input, example.output)
    return TokenRow(
        ids=(*begun, *said, prompt.end), answer_from=len(begun), source=example.source, weight=example.weight
    )


def spelled_ids(
    speller: Speller, pieces: Pieces, prompt: Prompt, request: str, output: Json
) -> tuple[list[int], list[int]]:
    """(tokens of the prompt around a request, tokens of an answer to it).

    Raises:
        DataError: if the grammar of the request does not hold the answer.
    """
    said = [token for piece in speller.spell(request, output) for token in pieces.ids(piece)]
    return prompt.ids(pieces.ids(request)), said


def cannot_be_spelled(examples: Sequence[Example]) -> list[Warned]:
    """That rows are left out whose answer the grammar does not hold; empty where there are none."""
    if not examples:
        return []
    sources = [one.source for one in examples]
    return [
        Warned(
            what=f"{len(sources)} rows are left out: their answer cannot be spelled", facts={"rows": sources}
        )
    ]
