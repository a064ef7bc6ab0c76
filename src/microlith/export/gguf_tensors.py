"""Which tensors a GGUF file of a model holds, under which names, and how they are made of the model's weights.

llama.cpp turns pairs of neighbouring dimensions by RoPE where transformers turns halves of a head, so that rows of queries
and keys of the Llama family change places; Gemma's norms are stored as what is added to one. Everything else keeps its
numbers and gets llama.cpp's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from microlith.errors import ArtifactError
from microlith.export.gguf_config import Config, long_factors, scaled_frequencies
from microlith.export.gguf_weights import Floats, Weight

_PROJECTIONS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
_NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
_HEAD_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
_GEMMA_NORMS = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
}  # fmt: skip
_FUSED = {
    "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output", "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
_AROUND = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LAYERS: Mapping[str, Mapping[str, str]] = {
    "llama": _PROJECTIONS | _NORMS, "smollm3": _PROJECTIONS | _NORMS, "qwen2": _PROJECTIONS | _NORMS,
    "qwen3": _PROJECTIONS | _NORMS | _HEAD_NORMS, "gemma2": _PROJECTIONS | _GEMMA_NORMS,
    "gemma3": _PROJECTIONS | _GEMMA_NORMS | _HEAD_NORMS, "phi3": _FUSED | _NORMS,
}  # fmt: skip
"""Modules of one layer and llama.cpp's names of them, by llama.cpp's name of the architecture."""
_TURNED = ("llama", "smollm3")
_RAISED = ("gemma2", "gemma3")
_NOT_NEEDED = (".rotary_emb.inv_freq", ".masked_bias")
_OTHER_SENSES = ("vision_tower.", "multi_modal_projector.", "vision_model.")
"""Parts of a model that also sees; only its text part is exported."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One tensor of the file to be."""

    name: str
    shape: tuple[int, ...]
    """As numpy has it: rows first."""
    weight: Weight | None = None
    """What it is made of; None where `values` holds it."""
    heads: int = 0
    """Heads whose rows change places; 0 for none."""
    raised: bool = False
    """True to add one."""
    values: Floats = field(default_factory=lambda: np.empty(0, np.float32))

    def rows(self, begin: int, end: int) -> Floats:
        """Rows `begin` to `end` (not included) as float32."""
        if self.weight is None:
            return self.values[begin:end]
        which = turned_rows(self.shape[0], self.heads)[begin:end] if self.heads else slice(begin, end)
        found = self.weight.rows(which)
        return found + np.float32(1.0) if self.raised else found


def turned_rows(rows: int, heads: int) -> npt.NDArray[np.intp]:
    """Which row of transformers' weight stands in each row of llama.cpp's."""
    return np.arange(rows, dtype=np.intp).reshape(heads, 2, rows // heads // 2).swapaxes(1, 2).reshape(rows)


def plan_tensors(config: Config, weights: Mapping[str, Weight]) -> list[Planned]:
    """Every tensor of the file, in the order in which it is written.

    Raises:
        ArtifactError: if weights are missing, unknown or of a wrong shape.
    """
    known = {_plain(name): weight for name, weight in weights.items() if not _passed_over(name, config)}
    expected = dict(_expected(config))
    _check(config, known, expected)
    planned = [_rope_tensors(config)] if config.architecture != "phi3" else [long_factors(config)]
    tensors = [
        Planned(name=name, shape=values.shape, values=values)
        for part in planned
        for name, values in part.items()
    ]
    tensors += [_planned(config, name, expected[name], weight) for name, weight in known.items()]
    return tensors


def gguf_name(config: Config, name: str) -> str | None:
    """llama.cpp's name of a module's weight, such as `blk.0.attn_q.weight`; None for one that it does not have."""
    module, _, kind = _plain(name).rpartition(".")
    if module in _AROUND:
        return f"{_AROUND[module]}.{kind}"
    parts = module.split(".", 3)
    inner = (
        _LAYERS[config.architecture].get(parts[3])
        if len(parts) == 4 and parts[:2] == ["model", "layers"]
        else None
    )
    return f"blk.{parts[2]}.{inner}.{kind}" if inner else None


def turned_heads(config: Config, name: str) -> int:
    """Heads whose rows change places in a tensor of that GGUF name; 0 for none."""
    if config.architecture not in _TURNED:
        return 0
    module = name.split(".")[-2]
    return {"attn_q": config.heads, "attn_k": config.key_heads}.get(module, 0)


def _rope_tensors(config: Config) -> dict[str, Floats]:
    factors = scaled_frequencies(config)
    return {} if factors is None else {"rope_freqs.weight": factors}


def _planned(config: Config, name: str, target: str, weight: Weight) -> Planned:
    return Planned(
        name=target, shape=weight.shape, weight=weight, heads=turned_heads(config, target),
        raised=config.architecture in _RAISED and target.endswith("norm.weight"),
    )  # fmt: skip


def _expected(config: Config) -> Iterator[tuple[str, str]]:
    for module, target in _AROUND.items():
        if not (module == "lm_head" and config.tied):
            yield f"{module}.weight", f"{target}.weight"
    for layer in range(config.layers):
        for module, target in _LAYERS[config.architecture].items():
            yield f"model.layers.{layer}.{module}.weight", f"blk.{layer}.{target}.weight"
            if not target.endswith("norm"):
                yield f"model.layers.{layer}.{module}.bias", f"blk.{layer}.{target}.bias"


def _check(config: Config, known: Mapping[str, Weight], expected: Mapping[str, str]) -> None:
    missing = [name for name in expected if name not in known and name.endswith(".weight")]
    if missing:
        raise ArtifactError(
            f"{len(missing)} weights are missing: {', '.join(missing[:3])}{' ...' if missing[3:] else ''}",
            place=str(config.folder), mend="name the folder of a whole model; merge an adapter into its base first",
        )  # fmt: skip
    beyond = [name for name in known if name not in expected]
    if beyond:
        raise ArtifactError(
            f"{len(beyond)} weights have no place in {config.architecture}: {', '.join(beyond[:3])}",
            place=str(config.folder), mend="name a model that is neither quantized nor changed in its build",
        )  # fmt: skip
    width = known["model.embed_tokens.weight"].shape[-1]
    if width != config.hidden:
        raise ArtifactError(
            f"the embeddings are {width} wide, config.json says {config.hidden}", place=str(config.folder)
        )


def _plain(name: str) -> str:
    """A weight's name without what a model that also sees puts before it."""
    found = name.replace("model.language_model.", "model.").replace("language_model.", "")
    return found.removeprefix("base_model.model.") if found.startswith("base_model.model.") else found


def _passed_over(name: str, config: Config) -> bool:
    tied = config.tied and _plain(name) == "lm_head.weight"
    return tied or name.endswith(_NOT_NEEDED) or any(part in name for part in _OTHER_SENSES)
