"""Loading the language model of a recipe: all weights to move, or adapters beside 16-bit or 4-bit weights."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from microlith.errors import MissingExtra, TrainingError, first_line
from microlith.training.causal_base import EXTRA, CausalBase
from microlith.training.causal_settings import ALL_LINEAR, CausalSettings

LIBRARIES = ("torch", "transformers", "trl", "accelerate", "datasets")
REPORTERS = {"tensorboard": ("tensorboard", "tensorboardX"), "mlflow": ("mlflow",), "wandb": ("wandb",)}
"""Where curves can be sent -> packages of which one must be there."""


def require_libraries(settings: CausalSettings) -> None:
    """See that everything that the settings name is installed.

    Raises:
        MissingExtra: naming the packages and the command.
    """
    wanted = [*LIBRARIES, *(["peft"] if settings.recipe != "full" else [])]
    absent = [name for name in wanted if find_spec(name) is None]
    if absent:
        raise MissingExtra(f"the recipe {settings.recipe} needs {', '.join(absent)}", mend=EXTRA)
    reporters = REPORTERS.get(settings.report, ())
    if reporters and not any(find_spec(name) for name in reporters):
        raise MissingExtra(
            f"report={settings.report} needs the package {reporters[0]}", mend=f"pip install {reporters[0]}"
        )


def require_bitsandbytes() -> None:
    """See that 4-bit weights can be held.

    Raises:
        MissingExtra: if bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise MissingExtra(
            "the recipe qlora needs bitsandbytes", mend="pip install bitsandbytes, or take recipe=lora"
        )


def takes_unsloth(settings: CausalSettings) -> bool:
    """Is Unsloth wanted, installed, and is there a CUDA GPU for it?"""
    wanted = settings.unsloth == "auto" and settings.recipe != "full"
    return wanted and torch.cuda.is_available() and find_spec("unsloth") is not None


def load_model(base: CausalBase, settings: CausalSettings, *, bf16: bool) -> Any:
    """The model as the recipe trains it, on the processor or (4-bit weights) on this process's GPU.

    Args:
        base: The base.
        settings: Recipe, adapters, quantisation and seed of the adapters' first weights.
        bf16: Hold frozen weights in bf16, else in float32. Weights that move are float32 either way.

    Raises:
        TrainingError: if the weights do not fit the config, or no layer has the name of a target.
    """
    torch.manual_seed(settings.seed)
    if takes_unsloth(settings):
        return _unsloth_model(base, settings, bf16=bf16)
    if settings.recipe == "full":
        return _pretrained(base, dtype=torch.float32)
    dtype = torch.bfloat16 if bf16 else torch.float32
    if settings.recipe == "lora":
        return _adapted(_pretrained(base, dtype=dtype), settings)
    return _adapted(_four_bit(base, settings), settings)


def _pretrained(base: CausalBase, **options: Any) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(base.folder, local_files_only=True, **options)
    except (ValueError, OSError, KeyError) as error:
        reason = first_line(error)
        raise TrainingError(
            f"the base cannot be loaded: {reason}", place=str(base.folder),
            mend="take an architecture that this transformers version knows, without code of its own",
        ) from error  # fmt: skip


def _four_bit(base: CausalBase, settings: CausalSettings) -> Any:
    from peft import prepare_model_for_kbit_training
    from transformers import BitsAndBytesConfig

    quantized = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type=settings.quant_type,
        bnb_4bit_use_double_quant=settings.double_quant, bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    card = int(os.environ.get("LOCAL_RANK", "0"))
    model = _pretrained(base, dtype=torch.bfloat16, quantization_config=quantized, device_map={"": card})
    return prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
        model, use_gradient_checkpointing=settings.gradient_checkpointing
    )


def _targets(settings: CausalSettings) -> str | list[str]:
    if settings.targets == ALL_LINEAR:
        return ALL_LINEAR
    return [name.strip() for name in settings.targets.split(",") if name.strip()]


def _adapted(model: Any, settings: CausalSettings) -> Any:
    """The model with adapters (Hu et al. 2021, "LoRA")."""
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, bias="none",
        target_modules=_targets(settings), task_type="CAUSAL_LM",
    )  # fmt: skip
    try:
        return get_peft_model(model, adapters)
    except ValueError as error:
        layers = {
            name.rpartition(".")[2] for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)
        }
        raise TrainingError(
            f"no adapter can be put on targets={settings.targets}: {str(error)[:120]}",
            mend=f"choose from {', '.join(sorted(layers - {'lm_head'}))}, or targets={ALL_LINEAR}",
        ) from error


def _unsloth_model(base: CausalBase, settings: CausalSettings, *, bf16: bool) -> Any:
    """The model with Unsloth's kernels, which compute the same with less memory and time."""
    fast = import_module("unsloth").FastLanguageModel

    model, _ = fast.from_pretrained(
        model_name=str(base.folder), max_seq_length=settings.max_tokens,
        dtype=torch.bfloat16 if bf16 else torch.float16, load_in_4bit=settings.recipe == "qlora",
    )  # fmt: skip
    targets = _targets(settings)
    if isinstance(targets, str):
        linear = (
            name.rpartition(".")[2] for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)
        )
        targets = sorted(set(linear) - {"lm_head"})
    return fast.get_peft_model(
        model, r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, bias="none",
        target_modules=targets, random_state=settings.seed,
        use_gradient_checkpointing="unsloth" if settings.gradient_checkpointing else False,
    )  # fmt: skip
