"""The tokenizer of a task's own: a word has the same tokens wherever it stands, here and in llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from microlith.inference.prompt import Pieces
from microlith.training.scratch_files import write_scratch
from microlith.training.scratch_net import ScratchNet
from microlith.training.scratch_tokenizer import SPECIAL, train_tokenizer
from tests.odd_texts import ODD_TEXTS
from tests.training.scratch_small import settings

TEXTS = [
    "turn the kitchen lamp on at 19:45 please", "Turn it off, don't wait: the lamp of Zoë is hot",
    '{"lamp": "on", "minutes": 1234}', "the  kitchen\nthe\tkitchen", "naïve café straße",
] * 4  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, size=400, longest=6)


@pytest.mark.parametrize("word", ["kitchen", "lamp", "Zoë", "please", "unheard", "off,", "don't"])
def test_a_word_has_the_same_tokens_everywhere(tokenizer: Tokenizer, word: str) -> None:
    pieces = Pieces(tokenizer=tokenizer)
    alone, blank = pieces.ids(word), pieces.ids(" ")
    assert len(blank) == 1
    assert pieces.ids(f" {word}") == (*blank, *alone)
    assert pieces.ids(f"{word} {word}  {word}") == (*alone, *blank, *alone, *blank, *blank, *alone)


def test_digits_stand_alone(tokenizer: Tokenizer) -> None:
    pieces = Pieces(tokenizer=tokenizer)
    assert len(pieces.ids("1234567890")) == 10
    assert pieces.ids("19") == (*pieces.ids("1"), *pieces.ids("9"))


@pytest.mark.parametrize("longest", [3, 4, 6])
def test_every_token_is_shorter_than_asked(longest: int) -> None:
    found = Pieces(tokenizer=train_tokenizer(TEXTS, size=400, longest=longest)).vocabulary
    assert max(len(word) for word in found) == longest - 1


def test_the_vocabulary_is_no_larger_than_asked_and_holds_every_byte(tokenizer: Tokenizer) -> None:
    words = Pieces(tokenizer=tokenizer).vocabulary
    assert tokenizer.get_vocab_size() <= 400
    assert {bytes([byte]) for byte in range(256)} <= set(words)
    assert all(words[tokenizer.token_to_id(name)] == b"" for name in SPECIAL)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_every_text_is_spelled_back(tokenizer: Tokenizer, text: str) -> None:
    pieces = Pieces(tokenizer=tokenizer)
    assert pieces.spell(pieces.ids(text)) == text


def test_equal_texts_give_an_equal_tokenizer(tokenizer: Tokenizer) -> None:
    assert train_tokenizer(TEXTS, size=400, longest=6).to_str() == tokenizer.to_str()


def test_one_short_text_is_enough() -> None:
    assert train_tokenizer(["a"], size=300, longest=4).get_vocab_size() == 259


def test_llama_cpp_reads_the_same_tokens(tokenizer: Tokenizer, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    from microlith.export.gguf_write import write_gguf
    from microlith.inference.llama_cpp import LlamaFile

    given = settings(vocabulary=400)
    net = ScratchNet(
        vocabulary=tokenizer.get_vocab_size(), width=32, layers=1, heads=2, inner=64, context=32, dropout=0.0, dtype=torch.float32
    )  # fmt: skip
    write_scratch(net, tokenizer, given, tmp_path / "model")
    facts = write_gguf(tmp_path / "model", tmp_path / "m.gguf", name="m")
    file, pieces = LlamaFile.open(facts.path, vocab_only=True), Pieces(tokenizer=tokenizer)
    for text in (*ODD_TEXTS, *TEXTS, json.dumps(TEXTS)):
        assert tuple(file.tokenize(text)) == pieces.ids(text), text
