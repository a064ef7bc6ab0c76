"""How an answer is spelled, piece by piece: the grammar of one request.

`Speller.walk` goes through an answer from left to right. It yields what comes next: text that is forced, a pick between
options, a text to be written. Whoever drives it says which option it is: while training the right answer's own text
(`spell`), while answering the model (`microlith.inference.guided`). So a model is trained on the very pieces that it is
later asked for, and what can be learnt and what can be said are one grammar.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from microlith.errors import DataError
from microlith.inference.answer_shapes import shapes_of
from microlith.inference.asks import SEPARATORS, Ask, DeadEnd, Forced, Walk, Write
from microlith.inference.grounding import Grounding, GroundingSpec, ground
from microlith.inference.walk import Walker
from microlith.task.plan import Json, Plan
from microlith.task.reading import read, write


class Speller:
    """Spells the answers of one plan. Safe to share between threads."""

    def __init__(self, plan: Plan, spec: GroundingSpec) -> None:
        """Work out what is the same for every request."""
        self.plan, self.spec = plan, spec
        self.shapes = {group.path: shapes_of(plan, group) for group in plan.groups}
        self.inside = shapes_of(plan, plan.root, inside=True)
        self.columns = {name: place for place, name in enumerate(spec.formats)}

    def ground(self, request: str) -> Grounding:
        """Cut a request into candidates; none are listed where the plan copies nothing."""
        return ground(request, self.spec)

    def walk(self, request: str, grounding: Grounding) -> Walk:
        """Go through an answer to `request`; see the module.

        Raises:
            DeadEnd: while walking, if nothing valid can follow.
        """
        return Walker(self, request, grounding).answer()

    def spell(self, request: str, answer: Json) -> list[str]:
        """The pieces of a right answer, which together are its JSON text.

        Raises:
            DataError: if the grammar of this request does not hold the answer.
        """
        output = write(self.plan, read(self.plan, answer), request)
        text = json.dumps(output, ensure_ascii=False, separators=(",", ":"))
        pieces = list(_parsed(self.walk(request, self.ground(request)), text))
        if "".join(pieces) != text:
            raise DataError(f"the answer {text[:200]} cannot be spelled")
        return pieces


# ------------------------------------------------------------------------------------------------ reading a text


def _parsed(walk: Walk, text: str) -> Iterator[str]:
    """The pieces of `text`, by answering the walk with what stands there."""
    place, reply = 0, None
    while True:
        try:
            ask = walk.send(reply)
        except StopIteration:
            return
        except DeadEnd as error:
            raise DataError(f"the answer cannot be spelled: {error.what}") from error
        pieces, reply = _said(ask, text, place)
        place += sum(map(len, pieces))
        yield from pieces


def _said(ask: Ask, text: str, place: int) -> tuple[tuple[str, ...], Any]:
    """(pieces, reply) of what `text` says at `place`."""
    if isinstance(ask, Forced):
        if not text.startswith("".join(ask.pieces), place):
            raise DataError(f"{''.join(ask.pieces)!r} is expected at {text[place : place + 40]!r}")
        return ask.pieces, None
    if isinstance(ask, Write):
        raw = _raw_number(text, place) if ask.number else _raw_text(text, place)
        if ask.number is not None and not raw:
            raise DataError(f"a number is expected at {text[place : place + 40]!r}")
        if ask.number is None and raw != json.dumps(json.loads(f'"{raw}"'), ensure_ascii=False)[1:-1]:
            raise DataError(f"the text {raw[:40]!r} is not spelled the usual way")
        return ((raw,) if raw else ()), raw if ask.number else json.loads(f'"{raw}"')
    best, length = -1, -1
    for number, option in enumerate(ask.options):
        joined = "".join(option.pieces)
        end = place + len(joined)
        fits = text.startswith(joined, place) and (not ask.open_ended or text[end : end + 1] in SEPARATORS)
        if fits and len(joined) > length:
            best, length = number, len(joined)
    if best < 0:
        raise DataError(f"nothing that may stand there begins {text[place : place + 40]!r}")
    return ask.options[best].pieces, best


def _raw_text(text: str, place: int) -> str:
    end = place
    while text[end] != '"':
        end += 2 if text[end] == "\\" else 1
    return text[place:end]


def _raw_number(text: str, place: int) -> str:
    end = place
    while text[end] not in SEPARATORS:
        end += 1
    return text[place:end]
