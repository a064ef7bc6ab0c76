"""From requests to the arrays an encoder takes: tokens, candidates, features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from microlith.inference.grounding import FEATURES, Grounding, GroundingSpec, ground


@dataclass(frozen=True, kw_only=True)
class Read:
    """One request, ready for the encoder."""

    grounding: Grounding
    ids: npt.NDArray[np.int64]
    """(tokens,) token ids with the tokenizer's own start and end tokens."""
    candidates: npt.NDArray[np.int64]
    """(candidates, 2) first and last token of each candidate, inclusive."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded arrays of several requests, named as the encoder's inputs."""

    input_ids: npt.NDArray[np.int64]
    attention_mask: npt.NDArray[np.int64]
    candidates: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by the names of the encoder's inputs."""
        return dict(vars(self))


def read_requests(requests: Sequence[str], tokenizer: Tokenizer, spec: GroundingSpec) -> list[Read]:
    """Ground and tokenize `requests`."""
    groundings = [ground(request, spec) for request in requests]
    encodings = tokenizer.encode_batch([list(one.shown) for one in groundings], is_pretokenized=True)
    return [_read(one, encoding) for one, encoding in zip(groundings, encodings, strict=True)]


def _read(grounding: Grounding, encoding: Encoding) -> Read:
    pairs = grounding.candidates
    if len(pairs):
        first, last = _tokens_of_pieces(encoding.word_ids, len(grounding.shown))
        tokens = np.stack([np.asarray(first)[pairs[:, 0]], np.asarray(last)[pairs[:, 1]]], axis=1)
    else:
        tokens = np.zeros((0, 2), np.int64)
    return Read(grounding=grounding, ids=np.asarray(encoding.ids, dtype=np.int64), candidates=tokens)


def _tokens_of_pieces(pieces: Sequence[int | None], count: int) -> tuple[list[int], list[int]]:
    """First and last token of each of `count` pieces.

    A piece that the tokenizer dropped stands where the next one begins, or where the last one ends.

    Args:
        pieces: The piece that each token is of; None for the tokenizer's own tokens.
        count: Number of pieces.
    """
    first, last, seen = [0] * count, [0] * count, -1
    for token, piece in enumerate(pieces):
        if piece is None:
            continue
        if piece != seen:
            for one in range(seen + 1, piece + 1):
                first[one] = last[one] = token
            seen = piece
        last[piece] = token
    end = last[seen] if seen >= 0 else 0
    for one in range(seen + 1, count):
        first[one] = last[one] = end
    return first, last


def collate(reads: Sequence[Read], pad_id: int = 0) -> Batch:
    """Pad requests to one batch; at least one candidate column, so that every axis is positive."""
    tokens = max(len(one.ids) for one in reads)
    width = max(1, max(len(one.candidates) for one in reads))
    ids = np.full((len(reads), tokens), pad_id, dtype=np.int64)
    mask = np.zeros((len(reads), tokens), dtype=np.int64)
    candidates = np.zeros((len(reads), width, 2), dtype=np.int64)
    features = np.zeros((len(reads), width, len(FEATURES)), dtype=np.float32)
    for row, one in enumerate(reads):
        ids[row, : len(one.ids)] = one.ids
        mask[row, : len(one.ids)] = 1
        candidates[row, : len(one.candidates)] = one.candidates
        features[row, : len(one.candidates)] = one.grounding.features
    return Batch(input_ids=ids, attention_mask=mask, candidates=candidates, features=features)
