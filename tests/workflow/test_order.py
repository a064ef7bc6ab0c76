"""Orders made definite, and the fingerprint by which work is known again."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from microlith.errors import MissingExtra, UsageError
from microlith.task import load_task
from microlith.training.causal_settings import CausalSettings
from microlith.training.scratch_settings import ScratchSettings
from microlith.training.settings import EncoderSettings
from microlith.workflow import order as module
from microlith.workflow.order import BASELINES, FINE_TUNING, RECIPES, Order, config_text, resolve_order


def inputs(folder: Path, **changes: Any) -> str:
    return resolve_order(load_task(folder), Order(**changes)).inputs


def test_the_default_is_the_encoder_with_a_choice(task_folder: Path) -> None:
    resolved = resolve_order(load_task(task_folder), Order())
    assert (resolved.kind, resolved.chooses, resolved.slug) == (
        "encoder",
        True,
        f"encoder-{resolved.inputs}-0",
    )
    assert isinstance(resolved.settings, EncoderSettings)


def test_settings_of_the_data_and_of_the_recipe_are_told_apart(task_folder: Path) -> None:
    resolved = resolve_order(
        load_task(task_folder), Order(overrides={"refill": "3", "batch_size": "7"}, seed=5)
    )
    assert resolved.data == {"refill": 3}
    assert isinstance(resolved.settings, EncoderSettings)
    assert (resolved.settings.batch_size, resolved.settings.seed) == (7, 5)


def test_the_tasks_own_settings_count_and_the_callers_win(task_folder: Path) -> None:
    toml = task_folder / "task.toml"
    toml.write_text(toml.read_text() + '[recipe]\nname = "auto"\nsize = "quick"\nbatch_size = 9\n')
    resolved = resolve_order(load_task(task_folder), Order(overrides={"batch_size": "11"}))
    assert isinstance(resolved.settings, EncoderSettings)
    assert (resolved.settings.size, resolved.settings.batch_size) == ("quick", 11)


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": "linear"},
        {"overrides": {"refill": "1"}},
        {"overrides": {"dropout": "0.2"}},
        {"minutes": 1.0},
    ],
)
def test_another_order_has_another_fingerprint(changes: dict[str, Any], task_folder: Path) -> None:
    assert inputs(task_folder, **changes) != inputs(task_folder)


@pytest.mark.parametrize("file", ["data/train.jsonl", "data/test.jsonl", "rules.py"])
def test_another_file_has_another_fingerprint(file: str, task_folder: Path) -> None:
    before = inputs(task_folder)
    with (task_folder / file).open("a") as stream:
        stream.write("\n")
    assert inputs(task_folder) != before


def test_the_seed_is_not_in_the_fingerprint_but_in_the_slug(task_folder: Path) -> None:
    assert inputs(task_folder, seed=1) == inputs(task_folder)
    assert resolve_order(load_task(task_folder), Order(seed=1)).slug.endswith("-1")


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": "lira"},
        {"size": "huge"},
        {"overrides": {"nonsense": "1"}},
        {"overrides": {"refill": "x"}},
        {"overrides": {"refill": 1.5}},
    ],
)
def test_what_cannot_be_is_a_usage_error(changes: dict[str, Any], task_folder: Path) -> None:
    with pytest.raises(UsageError):
        resolve_order(load_task(task_folder), Order(**changes))


def test_missing_libraries_leave_the_linear_recipe_or_say_what_to_install(
    task_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_task(task_folder)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "torch" else object())
    assert resolve_order(task, Order()).kind == "linear"
    with pytest.raises(MissingExtra, match="torch"):
        resolve_order(task, Order(recipe="encoder"))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        resolve_order(task, Order())
    assert caught.value.problems[0].mend == 'pip install "microlith[train]"'


@pytest.mark.parametrize(
    ("recipe", "kind"), [("scratch", ScratchSettings), *((one, CausalSettings) for one in FINE_TUNING)]
)
def test_a_language_model_has_settings_of_its_recipe(recipe: str, kind: type, task_folder: Path) -> None:
    resolved = resolve_order(load_task(task_folder), Order(recipe=recipe, seed=3))
    assert (resolved.kind, resolved.recipe, resolved.chooses) == ("generative", recipe, False)
    assert isinstance(resolved.settings, kind)
    assert resolved.settings.seed == 3
    assert resolved.slug == f"{recipe}-{resolved.inputs}-3"


def test_what_no_encoder_answers_is_written_by_a_language_model(text_task: Path) -> None:
    resolved = resolve_order(load_task(text_task), Order())
    assert (resolved.kind, resolved.recipe, resolved.chooses) == ("generative", "scratch", True)


def test_the_instruction_counts_where_the_model_reads_it(task_folder: Path) -> None:
    before = {recipe: inputs(task_folder, recipe=recipe) for recipe in ("scratch", "lora")}
    toml = task_folder / "task.toml"
    toml.write_text(toml.read_text().replace("Add people, or stop.", "Add them, or stop."))
    after = {recipe: inputs(task_folder, recipe=recipe) for recipe in ("scratch", "lora")}
    assert before["scratch"] == after["scratch"]
    assert before["lora"] != after["lora"]


@pytest.mark.parametrize("recipe", [one for one in RECIPES if one != "auto"])
def test_the_printed_values_in_a_task_file_give_the_same_order(recipe: str, task_folder: Path) -> None:
    given = {"refill": "3"} if recipe in BASELINES else {"refill": "3", "threads": "2"}
    task = load_task(task_folder)
    order = Order(recipe=recipe, size="quick", overrides=given)
    printed = config_text(task, order)
    assert tomllib.loads(printed)["recipe"]["name"] == recipe
    toml = task_folder / "task.toml"
    toml.write_text(toml.read_text() + printed + "\n")
    again, first = resolve_order(load_task(task_folder), Order()), resolve_order(task, order)
    assert (again.recipe, again.settings, again.data) == (first.recipe, first.settings, first.data)
    assert again.inputs == first.inputs


@pytest.mark.parametrize(
    ("recipe", "absent", "mend"),
    [
        ("scratch", "xllamacpp", 'pip install "microlith[train]"'),
        ("lora", "peft", 'pip install "microlith[train,finetune]"'),
    ],
)
def test_a_missing_library_names_the_extras_that_bring_it(
    recipe: str, absent: str, mend: str, task_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == absent else object())
    with pytest.raises(MissingExtra, match=absent) as caught:
        resolve_order(load_task(task_folder), Order(recipe=recipe))
    assert caught.value.problems[0].mend == mend


def test_settings_of_task_toml_belong_to_the_recipe_they_were_written_for(task_folder: Path) -> None:
    toml = task_folder / "task.toml"
    toml.write_text(toml.read_text() + '[recipe]\nname = "encoder"\npasses = 9.0\nrefill = 2\n')
    own = resolve_order(load_task(task_folder), Order())
    other = resolve_order(load_task(task_folder), Order(recipe="scratch"))
    assert own.settings is not None
    assert other.settings is not None
    assert (own.settings.passes, own.data) == (9.0, {"refill": 2})
    assert (other.settings.passes != 9.0, other.data) == (True, {"refill": 2})


def test_linear_is_refused_where_answers_hold_text() -> None:
    with pytest.raises(UsageError, match="cannot write"):
        resolve_order(load_task("task-plan"), Order(recipe="linear"))


def test_another_content_of_a_base_that_is_a_file_has_another_fingerprint(
    task_folder: Path, tmp_path: Path
) -> None:
    base = tmp_path / "model.gguf"
    changes: dict[str, Any] = {"recipe": "lora", "overrides": {"base": str(base)}}
    base.write_bytes(b"one")
    before = inputs(task_folder, **changes)
    base.write_bytes(b"another")
    assert inputs(task_folder, **changes) != before


def test_another_base_in_the_same_folder_has_another_fingerprint(task_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"one")
    changes: dict[str, Any] = {"recipe": "lora", "overrides": {"base": str(tmp_path)}}
    before = inputs(task_folder, **changes)
    (tmp_path / "model.safetensors").write_bytes(b"another")
    assert inputs(task_folder, **changes) != before
