"""Files held against those of llama.cpp's own converter, which runs as a program of its own with its own `gguf` package.

Wants llama.cpp's sources in the folder that MICROLITH_LLAMA_CPP names.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from microlith.export.gguf_adapter import write_adapter
from microlith.export.gguf_write import write_gguf
from tests.tiny_models import FAMILIES, VARIANTS, make_llama, make_mistral, make_phi3, make_qwen3

SOURCES = os.environ.get("MICROLITH_LLAMA_CPP", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOURCES, reason="MICROLITH_LLAMA_CPP names no folder of llama.cpp's sources"),
]
RUN = """
import runpy, sys, types
import transformers
sources, words, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
sys.path[:0] = [sources, sources + "/gguf-py"]
absent = types.ModuleType("sentencepiece")
class SentencePieceProcessor:
    def LoadFromFile(self, path): raise FileNotFoundError(path)
absent.SentencePieceProcessor = SentencePieceProcessor
sys.modules["sentencepiece"] = absent
from conversion.base import TextModel
from conversion.gemma import Gemma2Model
from conversion.phi import Phi3MiniModel
TextModel.get_vocab_base_pre = lambda self, tokenizer: "default"
if words == "none":
    Gemma2Model.set_vocab = Phi3MiniModel.set_vocab = TextModel._set_vocab_none
program = arguments.pop(0)
sys.argv = [program, *arguments]
runpy.run_path(sources + "/" + program, run_name="__main__")
"""
"""Runs a converter. It knows tokenizers by a checksum, tiny ones not: their way of splitting is given; and Gemma 2 and Phi-3
only by tokenizer.model, so that they are converted without words."""
LETTERS = {"tinyllama", "mistral"}
"""Families with SentencePiece's kind of tokenizer that the converter reads without tokenizer.model, though without scores."""
OWN_WORDS = {"tokenizer.ggml.pre", "tokenizer.ggml.scores", "tokenizer.ggml.add_eos_token", "tokenizer.ggml.add_space_prefix",
             "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id", "tokenizer.ggml.eos_token_id",
             "tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.add_sep_token"}  # fmt: skip
"""Keys that only one of the two writes, or that a checksum decides; each has a test by behaviour in test_gguf_write."""


def _convert(program: str, *arguments: str, words: str = "all") -> None:
    command = [sys.executable, "-c", RUN, SOURCES, words, program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def _values(reader: GGUFReader) -> dict[str, Any]:
    return {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}


def _same_tensors(mine: GGUFReader, theirs: GGUFReader) -> None:
    ours, others = ({one.name: one for one in reader.tensors} for reader in (mine, theirs))
    assert sorted(ours) == sorted(others)
    for name, tensor in ours.items():
        assert tensor.tensor_type == others[name].tensor_type, name
        assert tensor.shape.tolist() == others[name].shape.tolist(), name
        if name == "rope_freqs.weight":  # computed by another formula of the same value
            np.testing.assert_allclose(tensor.data, others[name].data, rtol=1e-6)
        else:
            np.testing.assert_array_equal(tensor.data, others[name].data, err_msg=name)


@pytest.mark.parametrize("file_type", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize("family", [*FAMILIES, *VARIANTS])
def test_tensors_and_settings_are_the_converters(family: str, file_type: Any, tmp_path: Path) -> None:
    folder = {**FAMILIES, **VARIANTS}[family](tmp_path / family)
    mine = GGUFReader(write_gguf(folder, tmp_path / "mine.gguf", name="m", file_type=file_type).path)
    theirs = _converted(folder, tmp_path, family, file_type)
    _same_tensors(mine, theirs)
    ours, others = _values(mine), _values(theirs)
    kept = [key for key in others if not key.startswith(("general.", "tokenizer."))]
    assert {key: ours.get(key) for key in kept} == {key: others[key] for key in kept}
    assert [
        key for key in ours if key.startswith(f"{ours['general.architecture']}.") and key not in others
    ] == []
    for key in ("general.architecture", "general.type", "general.file_type", "general.quantization_version"):
        assert ours[key] == others[key]


def _converted(folder: Path, tmp_path: Path, family: str, file_type: str) -> GGUFReader:
    words = "none" if family in ("gemma2", "phi3", "phi35") else "all"
    arguments = (str(folder), "--outfile", str(tmp_path / "theirs.gguf"), "--outtype", file_type)
    _convert("convert_hf_to_gguf.py", *arguments, words=words)
    return GGUFReader(tmp_path / "theirs.gguf")


@pytest.mark.parametrize("family", ["llama", "smollm", "qwen2", "qwen3", "phi4", "mistral", "tinyllama"])
def test_tokens_types_and_merges_are_the_converters(family: str, tmp_path: Path) -> None:
    folder = {**FAMILIES, **VARIANTS}[family](tmp_path / family)
    mine = _values(GGUFReader(write_gguf(folder, tmp_path / "mine.gguf", name="m").path))
    theirs = _values(_converted(folder, tmp_path, family, "f16"))
    if family in LETTERS:  # the unknown token is UNKNOWN where SentencePiece itself is asked, CONTROL here
        assert (mine["tokenizer.ggml.token_type"][0], theirs["tokenizer.ggml.token_type"][0]) == (2, 3)
        mine["tokenizer.ggml.token_type"][0] = 3
    kept = [key for key in theirs if key.startswith("tokenizer.") and key not in OWN_WORDS]
    assert len(kept) >= 4
    assert {key: mine.get(key) for key in kept} == {key: theirs[key] for key in kept}


@pytest.mark.parametrize("make", [make_llama, make_mistral, make_qwen3, make_phi3])
def test_adapters_are_the_converters(make: Any, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = make(tmp_path / "base")
    lora = LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", init_lora_weights=False)
    torch.manual_seed(0)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora).save_pretrained(tmp_path / "adapter")
    mine = GGUFReader(write_adapter(tmp_path / "adapter", base, tmp_path / "mine.gguf", name="a").path)
    _convert(
        "convert_lora_to_gguf.py",
        str(tmp_path / "adapter"),
        "--base",
        str(base),
        "--outfile",
        str(tmp_path / "theirs.gguf"),
    )
    theirs = GGUFReader(tmp_path / "theirs.gguf")
    _same_tensors(mine, theirs)
    ours, others = _values(mine), _values(theirs)
    for key in ("general.architecture", "general.type", "adapter.type", "adapter.lora.alpha"):
        assert ours[key] == others[key]
