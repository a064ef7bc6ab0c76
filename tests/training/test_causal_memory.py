"""Memory and time before the start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from microlith.errors import TrainingError
from microlith.training.causal_memory import (
    Machine,
    ModelShape,
    Workload,
    adapter_weights,
    estimate,
    machine_now,
    require_fit,
    shape_of,
)
from microlith.training.causal_settings import CausalSettings, causal_settings_of
from tests.tiny_models import FAMILIES
from tests.training.causal_small import base_of

SMOLLM = ModelShape(
    parameters=1_711_376_384,
    layers=24,
    hidden=2048,
    inner=8192,
    queries=2048,
    keys=2048,
    vocabulary=49152,
    tied=True,
)
WORK = Workload(rows=1000, tokens=200_000, longest=512)
GPU = Machine(device="cuda", memory_bytes=24 * 10**9, disk_bytes=10**12, flops_per_s=1e14, bf16=True)
CPU = Machine(
    device="cpu", memory_bytes=16 * 10**9, disk_bytes=10**12, flops_per_s=1e11, bf16=False, measured=False
)


def test_full_takes_sixteen_bytes_a_weight_before_activations() -> None:
    found = estimate(SMOLLM, causal_settings_of("full"), WORK, CPU)
    held = found.weights_bytes + found.gradients_bytes + found.optimizer_bytes
    assert held == 16 * SMOLLM.parameters


def test_qlora_takes_about_half_a_byte_a_weight() -> None:
    found = estimate(SMOLLM, CausalSettings(), WORK, GPU)
    four_bits = SMOLLM.linear * (4 + 0.127) / 8
    assert found.weights_bytes == pytest.approx(
        four_bits + 2 * (SMOLLM.parameters - SMOLLM.linear) + 2 * found.trainable, rel=1e-3
    )
    assert found.total_bytes < 4e9


def test_recipes_order_by_memory() -> None:
    full, lora, qlora = (
        estimate(SMOLLM, causal_settings_of(one), WORK, GPU).total_bytes for one in ("full", "lora", "qlora")
    )
    assert qlora < lora < full


def test_checkpointing_takes_less_memory_and_more_time() -> None:
    kept = estimate(SMOLLM, replace(CausalSettings(), gradient_checkpointing=False), WORK, GPU)
    again = estimate(SMOLLM, CausalSettings(), WORK, GPU)
    assert again.activations_bytes < kept.activations_bytes / 4
    assert again.seconds > kept.seconds


def test_seconds_follow_tokens_passes_and_speed() -> None:
    one = estimate(SMOLLM, replace(CausalSettings(), passes=1.0), WORK, GPU).seconds
    assert estimate(SMOLLM, CausalSettings(), WORK, GPU).seconds == pytest.approx(3 * one)
    assert estimate(SMOLLM, CausalSettings(), WORK, replace(GPU, flops_per_s=2e14)).seconds == pytest.approx(
        1.5 * one
    )


def test_what_fits_is_estimated_with_its_numbers() -> None:
    found = require_fit(SMOLLM, CausalSettings(), WORK, GPU)
    assert "of 24.0 GB free" in found.text
    assert "at a measured speed" in found.text


@pytest.mark.parametrize(
    ("recipe", "machine", "mend"),
    [
        ("full", replace(GPU, memory_bytes=23 * 10**9), "optimizer=adamw_8bit fits"),
        ("full", replace(GPU, memory_bytes=8 * 10**9), "recipe=lora"),
        ("full", CPU, "recipe=lora"),
        ("lora", replace(GPU, memory_bytes=3_600_000_000), "recipe=qlora"),
        ("lora", replace(CPU, memory_bytes=4 * 10**9), "take a smaller base, e.g. base=qwen3-0.6b"),
        ("lora", replace(CPU, memory_bytes=10**7), "recipe scratch"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_setting_that_would(
    recipe: str, machine: Machine, mend: str
) -> None:
    with pytest.raises(TrainingError, match=r"the run needs about [\d.]+ GB of memory") as caught:
        require_fit(SMOLLM, causal_settings_of(recipe), WORK, machine)
    assert mend in str(caught.value)


def test_the_setting_that_is_named_fits() -> None:
    tight = replace(GPU, memory_bytes=8 * 10**9)
    with pytest.raises(TrainingError) as caught:
        require_fit(SMOLLM, causal_settings_of("full"), WORK, tight)
    words = str(caught.value.problems[0].mend).partition(" fits")[0].split()
    changes = dict(word.split("=") for word in words)
    settings = causal_settings_of(changes.pop("recipe"), overrides=changes)
    assert require_fit(SMOLLM, settings, WORK, tight).fits


def test_a_full_disk_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"free .* of disk"):
        require_fit(SMOLLM, causal_settings_of("lora"), WORK, replace(GPU, disk_bytes=10**9))


@pytest.mark.parametrize("name", FAMILIES)
def test_adapters_are_counted_as_peft_makes_them(name: str) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    base = base_of(name)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base.folder))
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    shape = shape_of(base.config, base.parameters)
    fused = "qkv_proj,o_proj,gate_up_proj,down_proj"
    settings = causal_settings_of(
        "lora", overrides={"rank": 4, "targets": fused if name == "phi3" else "all-linear"}
    )
    assert adapter_weights(shape, settings) == adapted.num_parameters(only_trainable=True)
    assert shape.linear < base.parameters


def test_this_machine_has_memory_disk_and_speed(tmp_path: Path) -> None:
    found = machine_now(tmp_path, precision="float32")
    assert found.memory_bytes > 10**8
    assert found.disk_bytes > 0
    assert found.flops_per_s > 1e8
    assert not found.bf16
