"""Tokenizers in llama.cpp's words, and those for which it has none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import TokenType

from microlith.errors import ArtifactError
from microlith.export.gguf_vocab import chat_template, describe_tokenizer
from microlith.inference.gguf_splits import GPT4O, LLAMA3, QWEN2, QWEN35, TEKKEN, split_name
from tests.tiny_models import (
    make_gemma3,
    make_llama,
    make_mistral,
    make_phi3,
    make_qwen3,
    make_smollm,
    make_tinyllama,
)

Spoil = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {
        "llama": make_llama,
        "mistral": make_mistral,
        "qwen3": make_qwen3,
        "gemma3": make_gemma3,
        "phi3": make_phi3,
    }
    top = tmp_path_factory.mktemp("models")
    return {name: make(top / name) for name, make in made.items()}


def _copy(folder: Path, target: Path, change: Spoil, name: str = "tokenizer.json") -> Path:
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.safetensors"))
    data = json.loads((target / name).read_text("utf-8"))
    change(data)
    (target / name).write_text(json.dumps(data), encoding="utf-8")
    return target


def _words(*, regex: bool, blank: bool = False) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": blank, "use_regex": regex}


def _split(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}
    return {"type": "Sequence", "pretokenizers": [split, _words(regex=False)]}


@pytest.mark.parametrize(
    ("described", "whole", "name"),
    [
        (_split(LLAMA3), True, "llama-bpe"),
        (_split(LLAMA3), False, "dbrx"),
        (_split(QWEN2), False, "qwen2"),
        (_split(QWEN35), False, "qwen35"),
        (_split(GPT4O), False, "gpt-4o"),
        (_split(GPT4O, "Removed", True), False, "gpt-4o"),
        (_split(TEKKEN), True, "tekken"),
        (_words(regex=True), False, "gpt-2"),
        ({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _words(regex=True)]}, False,
         "smollm"),
    ],
)  # fmt: skip
def test_each_splitting_has_its_name(described: dict[str, Any], whole: bool, name: str) -> None:
    assert split_name({"pre_tokenizer": described, "model": {"ignore_merges": whole}}, place="x") == name


@pytest.mark.parametrize(
    ("described", "whole"),
    [(_split(QWEN2), True), (_split(r"\s+"), False), (_split(QWEN2, "Removed"), False), (_words(regex=True, blank=True), False),
     (None, False), ({"type": "Whitespace"}, False)],
)  # fmt: skip
def test_an_unknown_splitting_names_the_known_ones(described: dict[str, Any] | None, whole: bool) -> None:
    with pytest.raises(ArtifactError, match=r"tokenizer\.json: .*llama-bpe, .*qwen2"):
        split_name({"pre_tokenizer": described, "model": {"ignore_merges": whole}}, place="tokenizer.json")


def test_types_tell_control_tokens_from_words(folders: dict[str, Path]) -> None:
    found = describe_tokenizer(folders["qwen3"], rows=510)
    kinds = dict(zip(found.tokens, found.types, strict=True))
    assert kinds["<|im_end|>"] == TokenType.CONTROL
    assert kinds["<think>"] == TokenType.USER_DEFINED
    assert kinds["a"] == TokenType.NORMAL
    assert [kinds[f"[PAD{place}]"] for place in range(505, 510)] == [TokenType.UNUSED] * 5


def test_types_tell_bytes_and_the_unknown(folders: dict[str, Path]) -> None:
    found = describe_tokenizer(folders["mistral"], rows=585)
    assert found.types[:4] == (TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, TokenType.BYTE)
    assert found.types.count(TokenType.BYTE) == 256


def test_what_is_merged_first_scores_highest(folders: dict[str, Path]) -> None:
    data = json.loads((folders["mistral"] / "tokenizer.json").read_text("utf-8"))
    merged = list(dict.fromkeys("".join(pair) for pair in data["model"]["merges"]))
    found = describe_tokenizer(folders["mistral"], rows=585)
    scores = dict(zip(found.tokens, found.scores, strict=True))
    assert [scores[token] for token in merged] == sorted((scores[token] for token in merged), reverse=True)
    assert scores["a"] < scores[merged[-1]]
    assert found.notes == ()


def test_pairs_that_the_tokenizer_never_merges_are_said(folders: dict[str, Path], tmp_path: Path) -> None:
    def drop(data: dict[str, Any]) -> None:
        merges = data["model"]["merges"]
        kept = {"".join(pair): pair for pair in merges}
        data["model"]["merges"] = list(kept.values())

    found = describe_tokenizer(_copy(folders["mistral"], tmp_path / "m", drop), rows=585)
    assert "pairs that the tokenizer does not" in found.notes[0]


@pytest.mark.parametrize(
    ("family", "rows", "begins", "blank"),
    [("llama", 507, True, False), ("qwen3", 510, False, False), ("mistral", 585, True, True), ("gemma3", 589, True, False),
     ("phi3", 590, False, True)],
)  # fmt: skip
def test_what_stands_before_a_text_is_found(
    folders: dict[str, Path], family: str, rows: int, begins: bool, blank: bool
) -> None:
    found = describe_tokenizer(folders[family], rows=rows)
    assert (found.adds_begin, found.adds_end, found.blank_first) == (begins, False, blank)


def test_stop_tokens_of_all_files_and_the_callers_are_found(folders: dict[str, Path]) -> None:
    found = describe_tokenizer(folders["llama"], rows=507)
    assert [found.tokens[found.roles[role]] for role in ("eos", "eot", "eom")] == [
        "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>",
    ]  # fmt: skip
    assert describe_tokenizer(folders["llama"], rows=507, end_token=7).roles["eot"] == 7


def test_added_tokens_beyond_the_embeddings_are_left_out(folders: dict[str, Path], tmp_path: Path) -> None:
    beyond = {"id": 589, "content": "<image_soft_token>", "special": True, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False}  # fmt: skip
    folder = _copy(folders["gemma3"], tmp_path / "m", lambda data: data["added_tokens"].append(beyond))
    assert len(describe_tokenizer(folder, rows=589).tokens) == 589


def test_runs_of_blanks_stay_ordinary_words(folders: dict[str, Path], tmp_path: Path) -> None:
    run = {
        "content": "▁▁",
        "special": False,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
    }

    def add(data: dict[str, Any]) -> None:
        data["model"]["vocab"]["▁▁"] = len(data["model"]["vocab"])
        data["added_tokens"].append({**run, "id": data["model"]["vocab"]["▁▁"]})

    found = describe_tokenizer(_copy(folders["gemma3"], tmp_path / "m", add), rows=590)
    assert (found.tokens[589], found.types[589]) == ("▁▁", TokenType.NORMAL)


@pytest.mark.parametrize("make", [make_tinyllama, make_qwen3, make_gemma3, make_llama])
def test_a_tokenizer_that_transformers_saved_again_reads_the_same(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    folder = make(tmp_path / "m")
    rows = json.loads((folder / "config.json").read_text("utf-8"))["vocab_size"]
    before = describe_tokenizer(folder, rows=rows)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    after = describe_tokenizer(folder, rows=rows)
    for key in (
        "model",
        "split",
        "tokens",
        "merges",
        "adds_begin",
        "adds_end",
        "blank_first",
        "chat_template",
    ):
        assert getattr(after, key) == getattr(before, key)
    words = [place for place, kind in enumerate(before.types) if kind == TokenType.NORMAL]
    assert [after.scores[one : one + 1] for one in words] == [before.scores[one : one + 1] for one in words]


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("llama", lambda data: data["model"].update(continuing_subword_prefix="##"), "marks begin or end"),
        ("llama", lambda data: data["model"].update(type="Unigram"), "type 'Unigram'"),
        ("mistral", lambda data: data["model"].update(byte_fallback=False), "does not fall back on bytes"),
        ("mistral", lambda data: data.update(normalizer={"type": "Lowercase"}), "changes texts by Lowercase"),
        ("llama", lambda data: data.update(normalizer={"type": "NFKC"}), "changes texts by NFKC"),
        ("mistral", lambda data: data["model"]["vocab"].update({"<0x41>x": data["model"]["vocab"].pop("<0x41>")}),
         "255 tokens of single bytes"),
        ("llama", lambda data: data["model"]["vocab"].update(beyond=900), "number 900 for 507 rows"),
        ("llama", lambda data: data["post_processor"]["single"].insert(0, data["post_processor"]["single"][0]),
         "frames a text by 2 and 0"),
        ("llama", lambda data: data["model"].pop("merges"), "damaged"),
    ],
)  # fmt: skip
def test_a_tokenizer_beyond_llama_cpp_is_refused(
    folders: dict[str, Path], tmp_path: Path, family: str, change: Spoil, message: str
) -> None:
    folder = _copy(folders[family], tmp_path / "m", change)
    with pytest.raises(ArtifactError, match=message):
        describe_tokenizer(folder, rows={"llama": 507, "mistral": 585}[family])


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"tokenizer\.json"):
        describe_tokenizer(tmp_path, rows=10)


def test_the_default_of_several_chat_templates_is_taken(tmp_path: Path) -> None:
    several = [{"name": "tools", "template": "b"}, {"name": "default", "template": "a"}]
    assert chat_template(tmp_path, {"chat_template": several}) == "a"
    assert chat_template(tmp_path, {}) is None
    (tmp_path / "chat_template.jinja").write_text("own\n", encoding="utf-8")
    assert chat_template(tmp_path, {"chat_template": "a"}) == "own\n"


def test_blanks_that_llama_cpp_adds_are_said(folders: dict[str, Path], tmp_path: Path) -> None:
    def saved_again(data: dict[str, Any]) -> None:
        split = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
        data.update(normalizer=None, pre_tokenizer=split)

    found = describe_tokenizer(_copy(folders["mistral"], tmp_path / "m", saved_again), rows=585)
    assert found.blank_first
    assert "before one that begins with a blank" in found.notes[0]


def test_words_with_digits_are_split_as_smollm_does(tmp_path: Path) -> None:
    assert describe_tokenizer(make_smollm(tmp_path / "m"), rows=500).split == "smollm"
