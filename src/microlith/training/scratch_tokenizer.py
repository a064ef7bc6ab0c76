"""A tokenizer of a task's own, in which a word has the same tokens wherever it stands.

A small decoder copies well only then. So blanks are tokens of their own (a byte-pair merge never crosses one), digits stand
alone, and tokens are short. At run time the split is that of SmolLM, which llama.cpp knows by the name "smollm".
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

REQUEST, ANSWER, END = "<|request|>", "<|answer|>", "<|end|>"
"""Control tokens: before a request, before its answer, after the answer."""
SPECIAL = (END, REQUEST, ANSWER)
LEAST_PAIRS = 2
"""Times that two tokens must stand side by side to become one."""


def train_tokenizer(texts: Iterable[str], *, size: int, longest: int) -> Tokenizer:
    """Learn byte-pair merges (Sennrich et al. 2016) from texts.

    Args:
        texts: Requests, and the pieces of answers.
        size: Tokens at most, at least 256 bytes and the control tokens.
        longest: A token has fewer bytes than this, at least 3.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "isolated"), pre_tokenizers.Digits(individual_digits=True), _byte_level()]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size, min_frequency=LEAST_PAIRS, special_tokens=list(SPECIAL), show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), max_token_length=longest,
        ),
    )  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), _byte_level()]
    )
    return tokenizer


def _byte_level() -> pre_tokenizers.ByteLevel:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
