"""Language models that are known by name: what to adapt in them, how they end a turn, and rates that suit them."""

from __future__ import annotations

from dataclasses import dataclass

_SPLIT = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")


@dataclass(frozen=True, kw_only=True)
class CausalPreset:
    """One pretrained language model that follows instructions."""

    alias: str
    """Short name: `base=smollm2-1.7b`."""
    hub_name: str
    """Name on the Hugging Face hub."""
    parameters: int
    """Weights in all, tied ones counted once."""
    targets: tuple[str, ...] = _SPLIT
    """Names of the linear layers inside the blocks, which adapters are put on."""
    end_token: str
    """Token that ends an answer."""
    licence: str
    """SPDX name, or the name of the vendor's own licence."""
    gated: bool = False
    """Must its licence be accepted on the hub before it can be fetched?"""
    adapter_rate: float = 2e-4
    """Peak learning rate of the recipes lora and qlora."""
    full_rate: float = 2e-5
    """Peak learning rate of the recipe full."""


_KNOWN = (
    CausalPreset(
        alias="smollm2-135m", hub_name="HuggingFaceTB/SmolLM2-135M-Instruct", parameters=134_515_008,
        end_token="<|im_end|>", licence="Apache-2.0", adapter_rate=1e-3, full_rate=3e-4,
    ),
    CausalPreset(
        alias="smollm2-360m", hub_name="HuggingFaceTB/SmolLM2-360M-Instruct", parameters=361_821_120,
        end_token="<|im_end|>", licence="Apache-2.0", adapter_rate=5e-4, full_rate=1e-4,
    ),
    CausalPreset(
        alias="smollm2-1.7b", hub_name="HuggingFaceTB/SmolLM2-1.7B-Instruct", parameters=1_711_376_384,
        end_token="<|im_end|>", licence="Apache-2.0",
    ),
    CausalPreset(
        alias="llama-3.2-1b", hub_name="meta-llama/Llama-3.2-1B-Instruct", parameters=1_235_814_400,
        end_token="<|eot_id|>", licence="Llama-3.2-Community", gated=True,
    ),
    CausalPreset(
        alias="llama-3.2-3b", hub_name="meta-llama/Llama-3.2-3B-Instruct", parameters=3_212_749_824,
        end_token="<|eot_id|>", licence="Llama-3.2-Community", gated=True, full_rate=1e-5,
    ),
    CausalPreset(
        alias="qwen3-0.6b", hub_name="Qwen/Qwen3-0.6B", parameters=596_049_920,
        end_token="<|im_end|>", licence="Apache-2.0", adapter_rate=3e-4, full_rate=5e-5,
    ),
    CausalPreset(
        alias="qwen3-1.7b", hub_name="Qwen/Qwen3-1.7B", parameters=1_720_574_976,
        end_token="<|im_end|>", licence="Apache-2.0",
    ),
    CausalPreset(
        alias="phi-3.5-mini", hub_name="microsoft/Phi-3.5-mini-instruct", parameters=3_821_079_552, targets=_FUSED,
        end_token="<|end|>", licence="MIT", full_rate=1e-5,
    ),
    CausalPreset(
        alias="phi-4-mini", hub_name="microsoft/Phi-4-mini-instruct", parameters=3_836_021_760, targets=_FUSED,
        end_token="<|end|>", licence="MIT", full_rate=1e-5,
    ),
    CausalPreset(
        alias="gemma-3-270m", hub_name="google/gemma-3-270m-it", parameters=268_098_176,
        end_token="<end_of_turn>", licence="Gemma", gated=True, adapter_rate=5e-4, full_rate=1e-4,
    ),
    CausalPreset(
        alias="gemma-3-1b", hub_name="google/gemma-3-1b-it", parameters=999_885_952,
        end_token="<end_of_turn>", licence="Gemma", gated=True,
    ),
    CausalPreset(
        alias="tinyllama-1.1b", hub_name="TinyLlama/TinyLlama-1.1B-Chat-v1.0", parameters=1_100_048_384,
        end_token="</s>", licence="Apache-2.0",
    ),
    CausalPreset(
        alias="mistral-7b", hub_name="mistralai/Mistral-7B-Instruct-v0.3", parameters=7_248_023_552,
        end_token="</s>", licence="Apache-2.0", adapter_rate=1e-4, full_rate=5e-6,
    ),
)  # fmt: skip
PRESETS: dict[str, CausalPreset] = {preset.alias: preset for preset in _KNOWN}
"""Alias -> preset."""


def preset_of(base: str) -> CausalPreset | None:
    """The preset of an alias or a hub name, in any case of letters; None for any other model."""
    wanted = base.lower()
    return next((one for one in _KNOWN if wanted in (one.alias, one.hub_name.lower())), None)
