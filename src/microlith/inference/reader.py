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
    first = np.zeros(len(grounding.shown) + 1, dtype=np.int64)
    last = np.zeros(len(grounding.shown) + 1, dtype=np.int64)
    seen = -1
    for token, word in enumerate(encoding.word_ids):
        if word is None:
            continue
        if word != seen:
            first[seen + 1 : word + 1] = token  # pieces the tokenizer dropped stand where the next one begins
            seen = word
        last[word:] = token
    first[seen + 1 :] = last[seen] if seen >= 0 else 0
    last = np.maximum(last, first)
    pairs = grounding.candidates
    tokens = (
        np.stack([first[pairs[:, 0]], last[pairs[:, 1]]], axis=1)
        if len(pairs)
        else np.zeros((0, 2), np.int64)
    )
    return Read(grounding=grounding, ids=np.asarray(encoding.ids, dtype=np.int64), candidates=tokens)


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
