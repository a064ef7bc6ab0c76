"""The values of the recipes for language models."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, fields

import pytest

from microlith.errors import UsageError
from microlith.training.causal_presets import PRESETS, preset_of
from microlith.training.causal_settings import (
    CONFIGURATIONS,
    RECIPES,
    CausalSettings,
    causal_settings_of,
    print_config,
)


def test_the_named_configuration_has_the_values_that_were_asked_for() -> None:
    named = CONFIGURATIONS["smollm2-1.7b-qlora"]
    wanted = {
        "recipe": "qlora", "base": "HuggingFaceTB/SmolLM2-1.7B-Instruct", "quant_type": "nf4", "double_quant": True,
        "rank": 16, "alpha": 32, "dropout": 0.1, "batch_size": 4, "accumulation": 8, "rate": 2e-4, "passes": 3.0,
        "warmup_steps": 100, "schedule": "cosine", "clip": 1.0, "max_tokens": 512, "optimizer": "adamw_8bit",
        "gradient_checkpointing": True, "loss_start": 1.2, "loss_target": 0.3, "loss_warn": 0.8,
    }  # fmt: skip
    assert {name: getattr(named, name) for name in wanted} == wanted
    assert set(named.targets.split(",")) == set(PRESETS["smollm2-1.7b"].targets)


def test_recipe_and_base_alone_give_the_named_configuration() -> None:
    found = causal_settings_of("qlora", overrides={"base": "smollm2-1.7b"})
    assert found == CONFIGURATIONS["smollm2-1.7b-qlora"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_written_configuration_reads_back_whole(recipe: str) -> None:
    settings = causal_settings_of(recipe, "quick", {"base": 'a "quoted" \\ folder', "rate": 1e-5})
    assert tomllib.loads(print_config(settings)) == asdict(settings)


@pytest.mark.parametrize(("size", "passes"), [("quick", 1.0), ("standard", 3.0), ("thorough", 6.0)])
def test_the_dial_sets_the_passes(size: str, passes: float) -> None:
    assert causal_settings_of("lora", size).passes == passes


def test_text_becomes_the_type_of_its_field() -> None:
    found = causal_settings_of(
        "lora", overrides={"rank": "8", "rate": "1e-4", "gradient_checkpointing": "False"}
    )
    assert (found.rank, found.rate, found.gradient_checkpointing) == (8, 1e-4, False)


def test_every_unknown_name_is_listed() -> None:
    with pytest.raises(UsageError, match=r"'colour', 'size'.*rank"):
        causal_settings_of("lora", overrides={"colour": 1, "size": "quick"})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rank", "0", "rank=0 is outside 1 to 4096"), ("rank", "many", "rank='many' is not a int"),
        ("rate", "nan", "rate=nan is outside"), ("rate", 0, "learns nothing"),
        ("report", "paper", "none, tensorboard, mlflow, wandb"), ("double_quant", "perhaps", "not a bool"),
        ("targets", " , ", "targets is empty"), ("optimizer", "sgd", "adamw_torch, adamw_8bit"),
    ],
)  # fmt: skip
def test_unusable_values_are_named_with_what_was_expected(name: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        causal_settings_of("lora", overrides={name: value})


def test_an_unknown_recipe_or_size_names_the_choices() -> None:
    with pytest.raises(UsageError, match="full, lora, qlora"):
        causal_settings_of("lore")
    with pytest.raises(UsageError, match="quick, standard, thorough"):
        causal_settings_of("lora", "huge")


@pytest.mark.parametrize("alias", PRESETS)
def test_a_preset_is_found_by_alias_and_by_hub_name(alias: str) -> None:
    preset = PRESETS[alias]
    assert preset_of(alias.upper()) is preset_of(preset.hub_name.lower()) is preset
    assert causal_settings_of("full", overrides={"base": alias}).base == preset.hub_name
    assert causal_settings_of("full", overrides={"base": alias}).rate == preset.full_rate


def test_another_model_gets_all_linear_layers() -> None:
    assert preset_of("someone/some-model") is None
    assert causal_settings_of("lora", overrides={"base": "someone/some-model"}).targets == "all-linear"


def test_every_number_has_bounds() -> None:
    from microlith.training.causal_settings import _BOUNDS

    free = {"seed"}
    numbers = {item.name for item in fields(CausalSettings) if type(item.default) in (int, float)}
    assert numbers - free == set(_BOUNDS)
