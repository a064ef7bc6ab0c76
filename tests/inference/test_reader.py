"""Requests become the arrays of the encoder: every candidate knows its tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from microlith.inference.grounding import FEATURES, PLACEHOLDERS, GroundingSpec
from microlith.inference.reader import Read, collate, read_requests
from tests.tiny_base import make_tiny_base

SPEC = GroundingSpec(formats=("ip", "text", "word"), atoms=("ip",), max_words=3)
REQUESTS = (
    "add bob to ops",
    "",
    "point nas.lan at 10.0.0.5, please!",
    "é\u00a0中文 \x00 👍",
    "\u200b \u200b word",
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder: Path = make_tiny_base(tmp_path_factory.mktemp("base"), REQUESTS * 2)
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.no_padding()
    made.enable_truncation(24)
    made.add_special_tokens(list(PLACEHOLDERS))
    return made


def spelled(read: Read, tokenizer: Tokenizer, candidate: int) -> str:
    first, last = read.candidates[candidate]
    return "".join(tokenizer.id_to_token(i).removeprefix("##") for i in read.ids[first : last + 1].tolist())


def test_a_candidate_covers_the_tokens_that_spell_it(tokenizer: Tokenizer) -> None:
    (read,) = read_requests(["add bob to ops"], tokenizer, SPEC)
    for candidate in range(len(read.candidates)):
        assert spelled(read, tokenizer, candidate) == read.grounding.text(candidate).replace(" ", "")


def test_an_address_is_one_placeholder(tokenizer: Tokenizer) -> None:
    (read,) = read_requests(["point nas.lan at 10.0.0.5"], tokenizer, SPEC)
    texts = [read.grounding.text(row) for row in range(len(read.candidates))]
    assert spelled(read, tokenizer, texts.index("10.0.0.5")) == "[ipv4]"


@pytest.mark.parametrize("request_text", [*REQUESTS, "x " * 500])
def test_tokens_of_candidates_are_in_the_request(tokenizer: Tokenizer, request_text: str) -> None:
    (read,) = read_requests([request_text], tokenizer, SPEC)
    assert len(read.candidates) == len(read.grounding.candidates)
    assert (read.candidates >= 0).all()
    assert (read.candidates < len(read.ids)).all()
    assert (read.candidates[:, 0] <= read.candidates[:, 1]).all()


def test_a_batch_holds_every_request_and_padding(tokenizer: Tokenizer) -> None:
    reads = read_requests(REQUESTS, tokenizer, SPEC)
    batch = collate(reads)
    assert batch.input_ids.shape == batch.attention_mask.shape
    assert batch.features.shape == (len(REQUESTS), batch.candidates.shape[1], len(FEATURES))
    for row, read in enumerate(reads):
        assert batch.attention_mask[row].sum() == len(read.ids)
        assert np.array_equal(batch.input_ids[row, : len(read.ids)], read.ids)
        assert np.array_equal(batch.candidates[row, : len(read.candidates)], read.candidates)
        assert not batch.features[row, len(read.candidates) :].any()


def test_requests_without_candidates_still_make_a_batch(tokenizer: Tokenizer) -> None:
    batch = collate(read_requests([""], tokenizer, SPEC))
    assert batch.candidates.shape == (1, 1, 2)


def test_reading_alone_and_together_is_the_same(tokenizer: Tokenizer) -> None:
    together = read_requests(REQUESTS, tokenizer, SPEC)
    for request, read in zip(REQUESTS, together, strict=True):
        (alone,) = read_requests([request], tokenizer, SPEC)
        assert np.array_equal(alone.ids, read.ids)
        assert np.array_equal(alone.candidates, read.candidates)
