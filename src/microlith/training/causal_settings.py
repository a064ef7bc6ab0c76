"""Every value of the recipes full, lora and qlora, and the one dial from which the rest follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from microlith.errors import UsageError
from microlith.training.causal_presets import preset_of
from microlith.training.overriding import as_toml, check_bounds, converted

RECIPES = ("full", "lora", "qlora")
CAUSAL_SIZES: dict[str, float] = {"quick": 1.0, "standard": 3.0, "thorough": 6.0}
"""The dial: passes over the rows."""
ALL_LINEAR = "all-linear"
"""Stands for every linear layer but the one that gives the words."""
_CHOICES: dict[str, tuple[str, ...]] = {
    "recipe": RECIPES,
    "schedule": ("cosine", "linear", "constant"),
    "optimizer": ("adamw_torch", "adamw_8bit"),
    "precision": ("auto", "bf16", "float32"),
    "quant_type": ("nf4", "fp4"),
    "unsloth": ("auto", "no"),
    "file_type": ("f32", "f16", "q8_0", "q4_0"),
    "report": ("none", "tensorboard", "mlflow", "wandb"),
}
_BOUNDS: dict[str, tuple[float, float]] = {
    "passes": (0.001, 1000), "batch_size": (1, 4096), "accumulation": (1, 65536), "rate": (0.0, 1.0),
    "warmup_steps": (0, 10**6), "clip": (0.0, 1000.0), "weight_decay": (0.0, 1.0), "max_tokens": (8, 1_048_576),
    "rank": (1, 4096), "alpha": (1, 65536), "dropout": (0.0, 0.95), "validations": (0, 1000),
    "validation_rows": (1, 10**6), "patience": (0, 1000), "checkpoint_every_s": (0.0, 10**7),
    "loss_start": (0.0, 100.0), "loss_target": (0.0, 100.0), "loss_warn": (0.0, 100.0), "threads": (0, 1024),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CausalSettings:
    """Settings of one fine-tuning of a language model. The defaults are the named configuration's."""

    recipe: str = "qlora"
    """"full" (all weights), "lora" (adapters beside 16-bit weights) or "qlora" (adapters beside 4-bit weights)."""
    size: str = "standard"
    """The dial; a name of CAUSAL_SIZES."""
    base: str = "HuggingFaceTB/SmolLM2-1.7B-Instruct"
    """Hub name or local folder of the pretrained language model."""
    seed: int = 0
    passes: float = 3.0
    """Times every row is seen, above 0."""
    batch_size: int = 4
    """Rows that go through the model at once, on each device."""
    accumulation: int = 8
    """Batches before the weights move; `batch_size * accumulation` rows make a step."""
    rate: float = 2e-4
    """Peak learning rate."""
    schedule: str = "cosine"
    """How the rate falls after the warm-up: "cosine", "linear" or "constant"."""
    warmup_steps: int = 100
    """Steps in which the rate rises; a short run takes a tenth of its steps where that is less."""
    clip: float = 1.0
    """Norm that gradients are cut to; 0 cuts nothing."""
    weight_decay: float = 0.0
    max_tokens: int = 512
    """Tokens of prompt and answer together; longer rows are left out."""
    optimizer: str = "adamw_8bit"
    """"adamw_torch" or "adamw_8bit" (needs a CUDA GPU and bitsandbytes)."""
    gradient_checkpointing: bool = True
    """Compute activations a second time instead of keeping them: a third slower, far less memory."""
    precision: str = "auto"
    """"auto" (bf16 where the machine computes it), "bf16" or "float32"."""
    rank: int = 16
    """Rank of the adapters."""
    alpha: int = 32
    """Scale of the adapters, divided by the rank."""
    dropout: float = 0.1
    """On what the adapters read, 0-0.95."""
    targets: str = ALL_LINEAR
    """Layers that get adapters: "all-linear", or their names with commas between."""
    quant_type: str = "nf4"
    """4-bit type of the base's weights under qlora: "nf4" or "fp4"."""
    double_quant: bool = True
    """Also quantise the scales of the 4-bit weights."""
    unsloth: str = "auto"
    """"auto" (Unsloth's kernels where it is installed and there is a CUDA GPU) or "no"."""
    validations: int = 10
    """Times the validation part is read while training; 0 for never."""
    validation_rows: int = 256
    """Rows of the validation part that are read, evenly spread."""
    patience: int = 3
    """Validations without a lower loss after which the run ends and the best weights are taken; 0 for never."""
    checkpoint_every_s: float = 300.0
    """Seconds between checkpoints."""
    loss_start: float = 1.2
    """Loss to expect at the start, in nats a token; far above it something is wrong with prompt or labels."""
    loss_target: float = 0.3
    """Loss to reach, in nats a token."""
    loss_warn: float = 0.8
    """Final loss above which the run is called poor, in nats a token."""
    report: str = "none"
    """Also send the curves to "tensorboard", "mlflow" or "wandb"."""
    file_type: str = "f16"
    """Number format of the exported GGUF file's matrices: "f32", "f16", "q8_0" or "q4_0"."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""

    @property
    def step_rows(self) -> int:
        """Rows of one step on one device."""
        return self.batch_size * self.accumulation


CONFIGURATIONS: dict[str, CausalSettings] = {
    "smollm2-1.7b-qlora": CausalSettings(targets="q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"),
}
"""Configurations known by name, every value fixed."""


def causal_settings_of(
    recipe: str, size: str = "standard", overrides: Mapping[str, Any] | None = None
) -> CausalSettings:
    """The settings that recipe, size and base stand for, with single values overridden.

    Args:
        recipe: "full", "lora" or "qlora".
        size: "quick", "standard" or "thorough".
        overrides: Field name -> value; text is converted to the field's type. `base` may be an alias of PRESETS.

    Raises:
        UsageError: naming every unknown field or the unusable value.
    """
    if recipe not in RECIPES:
        raise UsageError(f"the recipe {recipe!r} is unknown", mend=f"choose one of {', '.join(RECIPES)}")
    if size not in CAUSAL_SIZES:
        raise UsageError(f"--size {size!r} is unknown", mend=f"choose one of {', '.join(CAUSAL_SIZES)}")
    values = _converted_all(overrides or {})
    settings = _suited(recipe, size, values.get("base", CausalSettings.base))
    settings = replace(settings, **{name: value for name, value in values.items() if name != "base"})
    check_settings(settings)
    return settings


def _suited(recipe: str, size: str, base: str) -> CausalSettings:
    """Values that follow from the recipe, the dial and the base."""
    preset = preset_of(base)
    full = recipe == "full"
    rates = (preset.full_rate, preset.adapter_rate) if preset else (2e-5, 2e-4)
    return CausalSettings(
        recipe=recipe, size=size, base=preset.hub_name if preset else base, passes=CAUSAL_SIZES[size],
        rate=rates[0] if full else rates[1], weight_decay=0.01 if full else 0.0,
        optimizer="adamw_8bit" if recipe == "qlora" else "adamw_torch",
        targets=",".join(preset.targets) if preset else ALL_LINEAR,
    )  # fmt: skip


def _converted_all(overrides: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {
        item.name: type(item.default)
        for item in fields(CausalSettings)
        if item.name not in ("recipe", "size")
    }
    unknown = [name for name in overrides if name not in kinds]
    if unknown:
        named = ", ".join(repr(name) for name in unknown)
        raise UsageError(f"the recipe has no setting {named}", mend=f"choose one of {', '.join(kinds)}")
    return {name: converted(name, value, kinds[name]) for name, value in overrides.items()}


def check_settings(settings: CausalSettings) -> None:
    """Refuse values out of bounds.

    Raises:
        UsageError: naming the first one and its bounds.
    """
    check_bounds(settings, _BOUNDS)
    for name, allowed in _CHOICES.items():
        value = getattr(settings, name)
        if value not in allowed:
            raise UsageError(f"{name}={value!r} is unknown", mend=f"choose one of {', '.join(allowed)}")
    if settings.rate == 0.0:
        raise UsageError("rate=0.0 learns nothing", mend="e.g. --set rate=2e-4")
    if not settings.targets.strip(" ,"):
        raise UsageError("targets is empty", mend=f"e.g. --set targets={ALL_LINEAR}")


def print_config(settings: CausalSettings) -> str:
    """Every value as TOML text, in the order of the fields; ends with a newline."""
    return as_toml(asdict(settings))
