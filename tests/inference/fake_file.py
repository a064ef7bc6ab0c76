"""Stands in for a language model file: a tokenizer made on the spot, and logits at random or of one who knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from microlith.inference.guided import Guide
from microlith.inference.prompt import Pieces, Prompt
from microlith.inference.spelling import Speller

SPECIAL = ("<|begin|>", "<|end|>")
LEARNT = (
    'open port 22, then point a.lan at 10.0.0.1 "action": "sequence", "steps": [{"host": "a.lan"}]',
    "The quick brown fox jumps over the lazy dog; Straße 漢字 1234 56.7",
    'it said \\"no\\" and.\\nthen red, green, low, medium, high',
)
Logits = npt.NDArray[np.float32]


@lru_cache(maxsize=1)
def pieces() -> Pieces:
    """A byte-level tokenizer with a few merged words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=list(SPECIAL), show_progress=False, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(LEARNT, trainer)
    return Pieces(tokenizer=tokenizer)


def prompt_of(used: Pieces) -> Prompt:
    """Begin, request, line end."""
    return Prompt(
        before=(0, *used.ids("Answer.\n")), after=used.ids("\n"), end=1,
        before_text="<|begin|>Answer.\n", after_text="\n", end_text="<|end|>",
    )  # fmt: skip


class RandomFile:
    """Logits that depend on everything that was read, the same for the same; counts what it reads."""

    def __init__(
        self, *, seed: int = 0, context_tokens: int = 4096, spread: float = 3.0, spare: int = 5
    ) -> None:
        self.seed, self.context_tokens, self.spread = seed, context_tokens, spread
        self.vocabulary_size = len(pieces().vocabulary) + spare
        self.held: list[int] = []
        self.calls = self.tokens = 0

    def forget(self, begin: int) -> None:
        assert 0 <= begin <= len(self.held)
        del self.held[begin:]

    def read(self, ids: Sequence[int], begin: int, *, wanted: Iterable[int] | None = None) -> Logits:
        assert ids
        assert begin == len(self.held)
        assert begin + len(ids) <= self.context_tokens
        assert wanted is None
        self.held += ids
        self.calls += 1
        self.tokens += len(ids)
        return self.logits()[None].astype(np.float32)

    def logits(self) -> npt.NDArray[Any]:
        source = np.random.default_rng(hash((self.seed, *self.held)) % 2**32)
        return self.spread * source.standard_normal(self.vocabulary_size)


class KnowingFile(RandomFile):
    """Knows the tokens of one conversation and wants to go on with them."""

    def __init__(self, known: Sequence[int], **more: Any) -> None:
        super().__init__(**more)
        self.known = list(known)

    def logits(self) -> npt.NDArray[Any]:
        found = super().logits()
        place = len(self.held)
        if self.held == self.known[:place] and place < len(self.known):
            found[self.known[place]] += 100.0
        return found


def guide_of(speller: Speller, file: RandomFile) -> Guide:
    return Guide(speller, pieces(), prompt_of(pieces()), file)


def knowing(speller: Speller, request: str, answer: Any, **more: Any) -> KnowingFile:
    """A file that knows the right answer to a request."""
    said = [token for piece in speller.spell(request, answer) for token in pieces().ids(piece)]
    return KnowingFile([*prompt_of(pieces()).ids(pieces().ids(request)), *said, 1], **more)


def seeds(count: int, rng: Random) -> list[int]:
    return [rng.randrange(10**6) for _ in range(count)]
