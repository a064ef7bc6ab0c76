"""Fine-tuning tiny language models, recipe by recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import torch

from microlith.errors import DataError, TrainingError
from microlith.events import Step, Validation
from microlith.training.causal import split_by_length
from microlith.training.causal_base import CausalBase, open_base, prompt_of
from microlith.training.causal_rows import Collator, require_answer_labels
from microlith.training.causal_settings import causal_settings_of
from microlith.training.token_rows import TokenRow
from tests.tiny_models import FAMILIES, make_smollm
from tests.training.causal_small import base_of, change_model, loss_on, rows_of, run, told


@pytest.fixture(scope="module")
def base() -> CausalBase:
    return base_of("smollm")


@pytest.mark.parametrize("recipe", ["full", "lora"])
def test_a_recipe_learns_and_writes_sixteen_bit_weights_with_tokenizer(
    recipe: str, base: CausalBase, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    rows = rows_of(base)
    trained, _ = run(base, tmp_path, recipe, passes=8, rate=1e-2 if recipe == "lora" else 3e-3)
    assert loss_on(trained.folder, rows) < 0.6 * loss_on(base.folder, rows)
    assert {one.dtype for one in load_file(trained.folder / "model.safetensors").values()} == {torch.bfloat16}
    again = open_base(causal_settings_of(recipe, overrides={"base": str(trained.folder)}))
    assert prompt_of(again, "JSON.") == prompt_of(base, "JSON.")
    assert again.parameters == base.parameters
    assert (trained.adapter is None) == (recipe == "full")
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_adapted_and_merged_as_its_adapter_computes(name: str, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = base_of(name)
    trained, _ = run(base, tmp_path, passes=1, validations=0)
    assert trained.adapter is not None
    ids = torch.tensor([rows_of(base)[0].ids])
    plain = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(plain, str(trained.adapter))
    merged = AutoModelForCausalLM.from_pretrained(trained.folder, dtype=torch.float32)
    with torch.no_grad():
        wanted, found = adapted(ids).logits, merged(ids).logits
        with adapted.disable_adapter():
            untrained = adapted(ids).logits
    assert float((found - wanted).abs().max()) < 0.1
    assert float((wanted - untrained).abs().max()) > 1e-3


def test_large_models_are_merged_in_shards(base: CausalBase, tmp_path: Path) -> None:
    from microlith.training.causal_merge import merge_adapter

    trained, _ = run(base, tmp_path, passes=1, validations=0)
    assert trained.adapter is not None
    merge_adapter(base, trained.adapter, tmp_path / "shards", shard_bytes=50_000)
    index = json.loads((tmp_path / "shards" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    rows = rows_of(base)[:2]
    assert loss_on(tmp_path / "shards", rows) == pytest.approx(loss_on(trained.folder, rows))


def test_events_tell_steps_and_validation_losses_and_facts_keep_them(
    base: CausalBase, tmp_path: Path
) -> None:
    trained, events = run(base, tmp_path)
    steps = [one for one in events if isinstance(one, Step)]
    assert [one.step for one in steps] == list(range(1, 13))
    assert {one.steps for one in steps} == {12}
    assert steps[-1].seconds_left == 0.0
    scored = [one for one in events if isinstance(one, Validation)]
    assert [(one.step, one.rows, one.exact) for one in scored] == [(6, 4, None), (12, 4, None)]
    assert trained.facts["validation_loss"] == [[one.step, one.loss] for one in scored]
    assert [loss for _, loss in trained.facts["loss"]] == pytest.approx([one.loss for one in steps])
    assert trained.facts["tokens_per_s"] > 0
    assert trained.facts["peak_memory_bytes"] > 10**8


def test_the_estimate_is_told_before_the_first_step(base: CausalBase, tmp_path: Path) -> None:
    _, events = run(base, tmp_path, passes=1)
    first = next(place for place, one in enumerate(events) if isinstance(one, Step))
    assert "the run takes about" in told(events[:first])


def test_nothing_is_printed(base: CausalBase, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(base, tmp_path, gradient_checkpointing=True)
    assert capfd.readouterr() == ("", "")


def test_rows_longer_than_the_context_are_left_out_and_named(base: CausalBase, tmp_path: Path) -> None:
    rows = rows_of(base)
    long = TokenRow(ids=rows[0].ids * 4, answer_from=rows[0].answer_from, source="train.jsonl:99")
    trained, events = run(base, tmp_path, rows=[*rows, long], passes=1)
    assert "1 rows of more than 96 tokens are left out (train.jsonl:99)" in told(events)
    assert trained.facts["left_out"] == 1


def test_no_row_is_ever_cut() -> None:
    rows = [TokenRow(ids=tuple(range(size)), answer_from=1, source=str(size)) for size in (5, 9, 3)]
    fitting, left = split_by_length(rows, 5)
    assert [row.source for row in fitting] == ["5", "3"]
    assert [row.source for row in left] == ["9"]
    assert all(len(row.ids) == int(row.source) for row in (*fitting, *left))


def test_labels_are_the_answers_only(base: CausalBase) -> None:
    rows = rows_of(base, 2)
    batch = Collator(pad=0)([{"input_ids": row.ids, "labels": row.ids, "weight": 1.0} for row in rows])
    with pytest.raises(TrainingError, match=r"instead of the answer"):
        require_answer_labels(batch, rows)


@pytest.mark.slow
def test_heavier_rows_are_learnt_better(base: CausalBase, tmp_path: Path) -> None:
    rows = rows_of(base)
    heavy = [
        TokenRow(
            ids=row.ids, answer_from=row.answer_from, source=row.source, weight=100.0 if place % 2 else 1.0
        )
        for place, row in enumerate(rows)
    ]
    plain, _ = run(base, tmp_path / "plain", rows=rows, validations=0, passes=8, rate=1e-2)
    weighed, _ = run(base, tmp_path / "weighed", rows=heavy, validations=0, passes=8, rate=1e-2)
    gap = loss_on(plain.folder, rows[::2]) - loss_on(plain.folder, rows[1::2])
    assert loss_on(weighed.folder, rows[::2]) - loss_on(weighed.folder, rows[1::2]) > gap + 0.2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"answer_from": 0}, "answer_from is 0"), ({"answer_from": 999}, "answer_from is 999"),
        ({"ids": (1, 10**6)}, "token 1000000, but the base knows"), ({"weight": 0.0}, "weight is 0.0"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_learnt_is_named(
    changes: dict[str, Any], said: str, base: CausalBase, tmp_path: Path
) -> None:
    bad = TokenRow(**{"ids": (1, 2, 3), "answer_from": 1, "source": "train.jsonl:7", **changes})
    with pytest.raises(DataError, match=f"train.jsonl:7: .*{said}"):
        run(base, tmp_path, rows=[bad])


def test_no_row_at_all_is_an_error(base: CausalBase, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not one row"):
        run(base, tmp_path, rows=[])


def test_early_stopping_takes_the_best_weights(base: CausalBase, tmp_path: Path) -> None:
    rows = rows_of(base)
    wrong = [TokenRow(ids=(*row.ids[: row.answer_from], *reversed(row.ids[row.answer_from :])),
                      answer_from=row.answer_from, source=row.source) for row in rows[:4]]  # fmt: skip
    trained, events = run(
        base, tmp_path, "full", validation=wrong, passes=20, validations=20, patience=2, rate=1e-2
    )
    assert "stopped at step" in told(events)
    assert trained.facts["stopped_early"]
    assert trained.facts["steps"] < trained.facts["steps_planned"]
    lowest = min(loss for _, loss in trained.facts["validation_loss"])
    assert loss_on(trained.folder, wrong) == pytest.approx(lowest, rel=0.1)


def test_a_loss_that_is_no_number_stops_the_run(
    base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: Any) -> None:
        with torch.no_grad():
            model.get_output_embeddings().weight.fill_(float("nan"))

    change_model(monkeypatch, broken)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 1 -> lower the rate"):
        run(base, tmp_path, "full")


def test_targets_that_the_model_lacks_are_refused_with_its_layers(base: CausalBase, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"targets=query: .*choose from down_proj, gate_proj"):
        run(base, tmp_path, targets="query")


def test_chosen_targets_alone_are_adapted(base: CausalBase, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    trained, _ = run(base, tmp_path, passes=1, targets="q_proj, v_proj", validations=0)
    assert trained.adapter is not None
    names = load_file(trained.adapter / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in names} == {"q_proj", "v_proj"}


def test_a_short_run_warms_up_in_a_tenth_of_its_steps_and_says_so(base: CausalBase, tmp_path: Path) -> None:
    _, events = run(base, tmp_path, warmup_steps=100)
    assert "the run has 12 steps: the rate rises in 1 of them instead of 100" in told(events)


def test_old_weights_are_merged_in_memory(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = make_smollm(tmp_path / "old")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    base = open_base(causal_settings_of("lora", overrides={"base": str(folder)}))
    trained, _ = run(base, tmp_path, passes=8, rate=1e-2, validations=0)
    assert loss_on(trained.folder, rows_of(base)) < 0.6 * loss_on(folder, rows_of(base))


def test_weights_close_to_one_give_the_losses_of_plain_rows(base: CausalBase, tmp_path: Path) -> None:
    rows = [replace(row, weight=1.0 + 1e-6 * place) for place, row in enumerate(rows_of(base))]
    plain, _ = run(base, tmp_path / "plain", passes=1)
    weighed, _ = run(base, tmp_path / "weighed", rows=rows, passes=1)
    losses = [loss for _, loss in plain.facts["loss"]]
    assert [loss for _, loss in weighed.facts["loss"]] == pytest.approx(losses, rel=1e-3)


def test_a_later_full_run_leaves_no_old_adapter(base: CausalBase, tmp_path: Path) -> None:
    run(base, tmp_path, passes=1, validations=0)
    run(base, tmp_path, "full", passes=1, validations=0)
    assert not (tmp_path / "adapter").exists()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["full", "lora"])
def test_bf16_learns_too(recipe: str, base: CausalBase, tmp_path: Path) -> None:
    changes = {
        "precision": "bf16",
        "gradient_checkpointing": True,
        "rate": 1e-2 if recipe == "lora" else 3e-3,
    }
    trained, _ = run(base, tmp_path, recipe, passes=8, validations=0, **changes)
    assert trained.facts["bf16"]
    assert trained.facts["loss"][-1][1] < 0.6 * trained.facts["loss"][0][1]
