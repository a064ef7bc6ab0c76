"""A model's config.json in llama.cpp's words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, RopeScalingType

from microlith.errors import ArtifactError, UsageError
from microlith.export.gguf_weights import Floats

ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "smollm3": "smollm3", "qwen2": "qwen2", "qwen3": "qwen3", "gemma2": "gemma2",
    "gemma3_text": "gemma3", "gemma3": "gemma3", "phi3": "phi3",
}  # fmt: skip
"""`model_type` of config.json -> llama.cpp's name of the architecture."""
_GEMMA = ("gemma2", "gemma3")
_WIDEST = {"gemma2": 46, "gemma3": 62}
"""Layers of the 27B models, whose scores llama.cpp scales by the width of a head as hidden / heads gives it."""
_ROPE_KINDS = ("default", "llama3", "linear", "yarn", "longrope", "su")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What config.json says about a model of text."""

    architecture: str
    """llama.cpp's name, a value of `ARCHITECTURES`."""
    folder: Path
    values: Mapping[str, Any]
    """config.json itself; the part about text where the model also sees."""
    hidden: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    """Dimensions of a head."""
    tied: bool
    """Do the embeddings also make the output?"""
    context_tokens: int
    rope: Mapping[str, Any]
    """RoPE of layers that see everything: `rope_type`, `rope_theta` and what the type wants."""
    local_theta: float | None
    """RoPE base of layers with a sliding window; None where it is the same."""

    @property
    def turned_size(self) -> int:
        """Dimensions of a head that RoPE turns."""
        return int(self.head_size * float(self.rope.get("partial_rotary_factor") or 1.0))

    @property
    def original_tokens(self) -> int:
        """Context for which the model was trained before it was stretched."""
        found = self.rope.get("original_max_position_embeddings")
        return int(found or self.values.get("original_max_position_embeddings") or self.context_tokens)

    def notes(self) -> tuple[str, ...]:
        """Where llama.cpp computes something else than transformers, in a sentence each."""
        found = []
        window = self.values.get("sliding_window")
        windowed = self.architecture in ("llama", "phi3") or self.values.get("use_sliding_window")
        if window and windowed and window < self.context_tokens and self.architecture not in _GEMMA:
            found.append(
                f"llama.cpp reads all tokens before, the base only the last {window:,}; below that they agree"
            )
        if self.rope["rope_type"] in ("longrope", "su"):
            found.append(
                f"llama.cpp chooses the long RoPE factors by the size of the context, the base by that of the text: "
                f"keep num_ctx at {self.original_tokens:,} or below for texts shorter than that"
            )
        return tuple(found)


def read_config(folder: Path) -> Config:
    """Read config.json.

    Raises:
        ArtifactError: if it is missing or damaged, or says what llama.cpp cannot compute.
        UsageError: if the architecture is none of `ARCHITECTURES`.
    """
    whole = read_json(folder / "config.json")
    kind = str(whole.get("model_type"))
    if kind not in ARCHITECTURES:
        raise UsageError(
            f"a model of type {kind!r} cannot be written as GGUF", place=str(folder / "config.json"),
            mend=f"choose one of {', '.join(ARCHITECTURES)}",
        )  # fmt: skip
    values = {**whole, **whole["text_config"]} if isinstance(whole.get("text_config"), dict) else whole
    try:
        config = _config(folder, ARCHITECTURES[kind], values)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"config.json lacks or misstates {error}", place=str(folder / "config.json")
        ) from error
    _require(config)
    return config


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ArtifactError: if there is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path.name} cannot be read: {error}", place=str(path), mend="name the folder of a whole model"
        ) from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{path.name} should hold a JSON object", place=str(path))
    return found


def add_config(writer: GGUFWriter, config: Config) -> None:
    """Add the keys that llama.cpp reads of this architecture."""
    values = config.values
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context_tokens)
    writer.add_embedding_length(config.hidden)
    writer.add_feed_forward_length(int(values["intermediate_size"]))
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.key_heads)
    writer.add_layer_norm_rms_eps(float(values.get("rms_norm_eps", 1e-6)))
    if config.architecture != "gemma2":
        writer.add_rope_freq_base(float(config.rope["rope_theta"]))
    if config.architecture in _GEMMA or (values.get("head_dim") and config.architecture != "phi3"):
        writer.add_key_length(config.head_size)
        writer.add_value_length(config.head_size)
    if config.architecture in ("llama", "smollm3"):
        writer.add_vocab_size(int(values["vocab_size"]))
        writer.add_rope_dimension_count(config.head_size)
    if config.architecture in _GEMMA:
        _add_gemma(writer, config)
    if config.architecture == "phi3":
        _add_phi3(writer, config)
    else:
        _add_rope_scaling(writer, config)


def scaled_frequencies(config: Config) -> Floats | None:
    """What RoPE's frequencies are divided by, a factor a pair of dimensions; None where they stay.

    Source: Llama 3.1's scaling as in transformers' `_compute_llama3_parameters`.
    """
    rope = config.rope
    if rope["rope_type"] != "llama3":
        return None
    half = np.arange(0, config.head_size, 2, dtype=np.float32) / np.float32(config.head_size)
    frequencies = np.float32(1.0) / np.power(np.float32(rope["rope_theta"]), half)
    factor, low, high = (float(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    factors = []
    for frequency in frequencies.tolist():
        turns = config.original_tokens * frequency / (2 * math.pi)
        share = min(max((turns - low) / (high - low), 0.0), 1.0)
        factors.append(1.0 / ((1.0 - share) / factor + share))
    return np.array(factors, dtype=np.float32)


def long_factors(config: Config) -> dict[str, Floats]:
    """Phi's RoPE factors of long and short texts by their tensors' names; empty where it has none.

    Raises:
        ArtifactError: if their number is not half the turned dimensions.
    """
    if not config.rope.get("long_factor"):
        return {}
    found = {
        f"rope_factors_{kind}.weight": config.rope.get(f"{kind}_factor") or () for kind in ("long", "short")
    }
    for name, factors in found.items():
        if len(factors) != config.turned_size // 2:
            raise ArtifactError(
                f"{name} has {len(factors)} factors, expected {config.turned_size // 2}",
                place=str(config.folder / "config.json"),
            )
    return {name: np.array(factors, dtype=np.float32) for name, factors in found.items()}


def _config(folder: Path, architecture: str, values: Mapping[str, Any]) -> Config:
    heads = int(
        values.get("num_attention_heads")
        or (8 if architecture == "gemma3" else values["num_attention_heads"])
    )
    hidden = int(values["hidden_size"])
    default_size = 256 if architecture in _GEMMA else hidden // heads
    rope, local = _rope(values, 1e6 if architecture == "gemma3" else 1e4)
    return Config(
        architecture=architecture, folder=folder, values=values, hidden=hidden, layers=int(values["num_hidden_layers"]),
        heads=heads, key_heads=int(values.get("num_key_value_heads") or (4 if architecture in _GEMMA else heads)),
        head_size=int(values.get("head_dim") or default_size),
        tied=bool(values.get("tie_word_embeddings", architecture in _GEMMA)),
        context_tokens=int(values.get("max_position_embeddings", 131072)), rope=rope, local_theta=local,
    )  # fmt: skip


def _rope(values: Mapping[str, Any], default_theta: float) -> tuple[dict[str, Any], float | None]:
    """RoPE's parameters from config.json of transformers 4 (several keys) or 5 (`rope_parameters`)."""
    given = dict(values.get("rope_parameters") or values.get("rope_scaling") or {})
    local = values.get("rope_local_base_freq")
    if "full_attention" in given:
        local = (given.get("sliding_attention") or {}).get("rope_theta", local)
        given = dict(given["full_attention"])
    kind = str(given.get("rope_type") or given.get("type") or "default").lower()
    rope = {
        "rope_theta": values.get("rope_theta") or default_theta,
        "partial_rotary_factor": values.get("partial_rotary_factor"),
        **given, "rope_type": kind,
    }  # fmt: skip
    return rope, None if local is None else float(local)


def _require(config: Config) -> None:
    """Refuse what llama.cpp would compute otherwise without a word."""
    place, kind = str(config.folder / "config.json"), config.rope["rope_type"]
    long = kind in ("longrope", "su")
    if (
        kind not in _ROPE_KINDS
        or long != bool(config.rope.get("long_factor"))
        or (long and config.architecture != "phi3")
    ):
        raise ArtifactError(f"RoPE of type {kind!r} cannot be written for {config.architecture}", place=place)
    if config.heads % config.key_heads:
        raise ArtifactError(
            f"{config.heads} heads are no multiple of {config.key_heads} key heads", place=place
        )
    for key, expected in _fixed(config):
        found = config.values.get(key)
        if found is not None and found != expected:
            raise ArtifactError(f"{key} is {found}, llama.cpp computes with {expected}", place=place)


def _fixed(config: Config) -> Iterator[tuple[str, Any]]:
    """What llama.cpp takes for granted in an architecture, by its name in config.json."""
    if config.architecture not in _GEMMA:
        yield "hidden_act", "silu"
    else:
        wide = config.layers == _WIDEST[config.architecture]
        yield "query_pre_attn_scalar", config.hidden // config.heads if wide else config.head_size
        yield "hidden_activation", "gelu_pytorch_tanh"
        every = 2 if config.architecture == "gemma2" else 6
        kinds = ("full_attention", "sliding_attention")
        yield "layer_types", [kinds[bool((layer + 1) % every)] for layer in range(config.layers)]
    if config.architecture == "smollm3":
        yield "no_rope_layers", [int(bool((layer + 1) % 4)) for layer in range(config.layers)]


def _add_gemma(writer: GGUFWriter, config: Config) -> None:
    values = config.values
    if config.architecture == "gemma2" and values.get("attn_logit_softcapping"):
        writer.add_attn_logit_softcapping(float(values["attn_logit_softcapping"]))
    if values.get("final_logit_softcapping"):
        writer.add_final_logit_softcapping(float(values["final_logit_softcapping"]))
    if values.get("sliding_window") and values.get("sliding_window_pattern") != 1:
        writer.add_sliding_window(int(values["sliding_window"]))
    if config.local_theta is not None:
        writer.add_rope_freq_base_swa(config.local_theta)


def _add_phi3(writer: GGUFWriter, config: Config) -> None:
    writer.add_rope_scaling_orig_ctx_len(config.original_tokens)
    writer.add_rope_dimension_count(config.turned_size)
    writer.add_sliding_window(int(config.values.get("sliding_window") or 0))
    if config.rope.get("long_factor"):
        scale, original = config.context_tokens / config.original_tokens, config.original_tokens
        factor = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1.0 else 1.0
        writer.add_rope_scaling_attn_factors(factor)


def _add_rope_scaling(writer: GGUFWriter, config: Config) -> None:
    rope = config.rope
    if rope["rope_type"] not in ("linear", "yarn"):
        return
    writer.add_rope_scaling_type(
        RopeScalingType.LINEAR if rope["rope_type"] == "linear" else RopeScalingType.YARN
    )
    writer.add_rope_scaling_factor(float(rope["factor"]))
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(config.original_tokens)
        for key, add in (
            ("attention_factor", writer.add_rope_scaling_yarn_attn_factor),
            ("beta_fast", writer.add_rope_scaling_yarn_beta_fast),
            ("beta_slow", writer.add_rope_scaling_yarn_beta_slow),
        ):
            if rope.get(key) is not None:
                add(float(rope[key]))
