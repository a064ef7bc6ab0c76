"""Real tokenizers through our files: llama.cpp ships their vocabularies with texts and the tokens that are right for them.

Wants llama.cpp's sources in the folder that MICROLITH_LLAMA_CPP names.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from microlith.export.gguf_vocab import describe_tokenizer
from microlith.export.gguf_write import write_gguf
from microlith.inference.gguf_splits import GPT4O, LLAMA3, QWEN2, QWEN35, TEKKEN
from microlith.inference.llama_cpp import LlamaFile
from tests.odd_texts import ODD_TEXTS
from tests.tiny_models import make_llama

SOURCES = os.environ.get("MICROLITH_LLAMA_CPP", "")
MODELS = Path(SOURCES) / "models"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOURCES, reason="MICROLITH_LLAMA_CPP names no folder of llama.cpp's sources"),
]
VOCABULARIES = ("llama-bpe", "llama-spm", "phi-3", "qwen2", "qwen35", "gpt-2", "gemma-4")
TEMPLATES = (
    "Qwen-Qwen3-0.6B", "HuggingFaceTB-SmolLM3-3B", "meta-llama-Llama-3.2-3B-Instruct", "microsoft-Phi-3.5-mini-instruct",
    "google-gemma-2-2b-it", "Qwen-Qwen2.5-7B-Instruct", "mistralai-Mistral-Nemo-Instruct-2407",
)  # fmt: skip
PATTERNS = {"llama-bpe": LLAMA3, "qwen2": QWEN2, "qwen35": QWEN35, "gpt-4o": GPT4O, "tekken": TEKKEN}
KNOWN = {"phi-3": {"<s>a</s> <unk>"}}
"""Phi-3 calls `</s>` an ordinary token; llama.cpp makes it a control token whatever a file says, and reads letters."""
SEPARATOR = "\n__ggml_vocab_test__\n"


@dataclass(frozen=True)
class Real:
    """A real vocabulary as a model's folder, and as the file that we made of it."""

    name: str
    folder: Path
    file: Path
    stored: dict[str, Any]
    """Metadata of llama.cpp's own file."""
    cases: list[tuple[str, list[int]]]


@pytest.fixture(scope="module", params=VOCABULARIES)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Real:
    path = MODELS / f"ggml-vocab-{request.param}.gguf"
    stored = {
        key: field.contents()
        for key, field in GGUFReader(path).fields.items()
        if key.startswith("tokenizer.")
    }
    folder = tmp_path_factory.mktemp("real") / request.param
    _write_folder(folder, stored)
    texts = path.with_suffix(".gguf.inp").read_text(encoding="utf-8").split(SEPARATOR)
    lines = path.with_suffix(".gguf.out").read_text(encoding="utf-8").split("\n")
    cases = [(text, [int(one) for one in line.split()]) for text, line in zip(texts, lines, strict=False)]
    file = write_gguf(folder, folder / "m.gguf", name="m").path
    return Real(request.param, folder, file, stored, cases)


def test_tokenizers_gives_the_right_tokens(real: Real) -> None:
    tokenizer = _tokenizer(real)
    assert len(real.cases) > 40
    for text, expected in real.cases:
        assert tokenizer.encode(text, add_special_tokens=False).ids == expected, text


def test_llama_cpp_gives_the_right_tokens_with_our_file(real: Real) -> None:
    file = LlamaFile.open(real.file, vocab_only=True)
    for text, expected in real.cases:
        assert file.tokenize(text) == expected, text


def test_both_agree_on_odd_texts(real: Real) -> None:
    file, tokenizer = LlamaFile.open(real.file, vocab_only=True), _tokenizer(real)
    differing = {
        text for text in ODD_TEXTS if file.tokenize(text) != tokenizer.encode(text, add_special_tokens=False).ids
    }  # fmt: skip
    assert differing == KNOWN.get(real.name, set())


def test_scores_of_sentencepiece_are_found_again(real: Real) -> None:
    if "tokenizer.ggml.scores" not in real.stored or real.name == "gemma-4":
        pytest.skip("a byte-level vocabulary has no scores")
    found = describe_tokenizer(real.folder, rows=len(real.stored["tokenizer.ggml.tokens"]))
    types, tokens = real.stored["tokenizer.ggml.token_type"], real.stored["tokenizer.ggml.tokens"]
    ordinary = [place for place, kind in enumerate(types) if kind == 1 and tokens[place].strip("▁")]
    mine, theirs = (
        np.array([scores[one] for one in ordinary])
        for scores in (found.scores, real.stored["tokenizer.ggml.scores"])
    )
    assert len(set(mine)) == len(ordinary)
    # what is merged first counts; runs of blanks share the least score in SentencePiece's own
    assert (mine.argsort() == theirs.argsort()).all()


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("own_file", [True, False])
def test_real_chat_templates_come_through(name: str, own_file: bool, tmp_path: Path) -> None:
    template = (MODELS / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
    folder = make_llama(tmp_path / "m")
    if own_file:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    path = write_gguf(
        folder, tmp_path / "m.gguf", name="m", chat_template=None if own_file else template
    ).path
    assert LlamaFile.open(path, vocab_only=True).metadata("tokenizer.chat_template") == template


def _tokenizer(real: Real) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(real.folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def _write_folder(folder: Path, stored: dict[str, Any]) -> None:
    """A model of one small layer with the vocabulary's real number of rows."""
    rows = len(stored["tokenizer.ggml.tokens"])
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(json.dumps(_described(stored)), encoding="utf-8")
    config = {
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "vocab_size": rows, "tie_word_embeddings": True, "max_position_embeddings": 128,
        **{f"{role}_token_id": stored.get(f"tokenizer.ggml.{role}_token_id") for role in ("bos", "eos")},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    layer = "model.layers.0."
    matrices = [f"{layer}self_attn.{one}_proj" for one in "qkvo"] + [
        f"{layer}mlp.{one}_proj" for one in ("gate", "up", "down")
    ]
    norms = ["model.norm", f"{layer}input_layernorm", f"{layer}post_attention_layernorm"]
    weights = {f"{name}.weight": np.ones((32, 32), np.float16) for name in matrices}
    weights |= {f"{name}.weight": np.ones(32, np.float16) for name in norms}
    save_file(
        weights | {"model.embed_tokens.weight": np.ones((rows, 32), np.float16)}, folder / "model.safetensors"
    )


def _described(stored: dict[str, Any]) -> dict[str, Any]:
    """The tokenizer.json that says what llama.cpp's file does."""
    tokens, types = stored["tokenizer.ggml.tokens"], stored["tokenizer.ggml.token_type"]
    padding = re.compile(r"\[PAD\d+\]")
    added = [
        {"id": place, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": kind in (2, 3)}
        for place, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (2, 3, 4) and not padding.fullmatch(token)
    ]  # fmt: skip
    beyond = {one["id"] for one in added if not (token_of := tokens[one["id"]]) or token_of.startswith("<|")}
    vocabulary = {
        token: place
        for place, token in enumerate(tokens)
        if place not in beyond and not padding.fullmatch(token)
    }
    kind = stored["tokenizer.ggml.model"]
    model = {"type": "BPE", "vocab": vocabulary, "unk_token": None, "byte_fallback": kind != "gpt2", "fuse_unk": kind != "gpt2",
             "dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "ignore_merges": False}  # fmt: skip
    whole: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": added,
        "model": model,
        "post_processor": None,
        "decoder": None,
    }
    if kind == "gpt2":
        model["merges"] = [merge.split(" ") for merge in stored["tokenizer.ggml.merges"]]
        model["ignore_merges"] = stored["tokenizer.ggml.pre"] == "llama-bpe"
        return whole | {"normalizer": None, "pre_tokenizer": _split(stored["tokenizer.ggml.pre"])}
    replaced = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    model["unk_token"] = "<unk>"
    if kind == "gemma4":
        model["merges"] = [merge.split(" ") for merge in stored["tokenizer.ggml.merges"]]
        return whole | {"normalizer": replaced, "pre_tokenizer": None}
    model["merges"] = _merges(vocabulary, stored)
    first = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replaced]}
    return whole | {"normalizer": first, "pre_tokenizer": None}


def _merges(vocabulary: dict[str, int], stored: dict[str, Any]) -> list[list[str]]:
    """Every pair that makes an ordinary token, the best score first, as transformers lists them."""
    types, scores = stored["tokenizer.ggml.token_type"], stored["tokenizer.ggml.scores"]
    found = [
        (-scores[place], len(token[:cut]), token[:cut], token[cut:])
        for token, place in vocabulary.items() if types[place] == 1
        for cut in range(1, len(token)) if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]  # fmt: skip
    return [[left, right] for _, _, left, right in sorted(found)]


def _split(name: str) -> dict[str, Any]:
    def words(*, regex: bool) -> dict[str, Any]:
        return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": regex}

    if name == "gpt-2":
        return words(regex=True)
    split = {"type": "Split", "pattern": {"Regex": PATTERNS[name]}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, words(regex=False)]}
