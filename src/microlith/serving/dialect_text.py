"""An answer as JSON text, in pieces: what the schema forces and what was decided.

A specialist writes no tokens. What comes closest, for callers who ask for log probabilities or a stream, are the pieces of the
text: the forced ones are certain, each decided value is as probable as its field's confidence says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from microlith.inference.protocol import Prediction
from microlith.task.plan import Json

NEVER = -9999.0
"""Log probability that stands for 0, which JSON cannot say."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One piece of an answer's text."""

    text: str
    logprob: float = 0.0
    """0 for forced text, else the logarithm of the field's confidence; at least `NEVER`."""


def as_text(value: Json) -> str:
    """`value` as JSON text, with the spaces that Python puts in."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def pieces_of(prediction: Prediction) -> tuple[Piece, ...]:
    """The answer in pieces, which together are `as_text(prediction.output)`.

    An answer whose model says nothing of its fields is one piece, as probable as the whole answer.
    """
    if not prediction.fields:
        return (Piece(text=as_text(prediction.output), logprob=_log(prediction.confidence)),)
    confidences = {one.path: one.confidence for one in prediction.fields}
    made: list[Piece] = []
    forced = ""
    for text, path in _written(prediction.output, ""):
        if path is None:
            forced += text
            continue
        made += [Piece(text=forced)] if forced else []
        made.append(Piece(text=text, logprob=_log(confidences.get(path, prediction.confidence))))
        forced = ""
    return (*made, Piece(text=forced)) if forced else tuple(made)


def _log(confidence: float) -> float:
    return max(math.log(confidence), NEVER) if confidence > 0 else NEVER


def _written(node: Json, path: str) -> Iterator[tuple[str, str | None]]:
    """Parts of the text with the path of the value that they are; None for forced text."""
    if isinstance(node, dict):
        yield "{", None
        for at, (name, child) in enumerate(node.items()):
            yield f"{', ' if at else ''}{as_text(name)}: ", None
            yield from _written(child, f"{path}.{name}" if path else name)
        yield "}", None
    elif isinstance(node, list):
        yield "[", None
        for at, child in enumerate(node):
            if at:
                yield ", ", None
            yield from _written(child, f"{path}[{at}]")
        yield "]", None
    else:
        yield as_text(node), path
