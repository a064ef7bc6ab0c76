"""Fine-tunings that are killed, run out of memory, or cannot start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import torch

from microlith.errors import MissingExtra, TrainingError
from microlith.events import Step
from microlith.training import causal_load, causal_memory, causal_prepare
from microlith.training.causal import train_causal
from microlith.training.causal_base import CausalBase, open_base
from microlith.training.causal_run import is_out_of_memory
from microlith.training.causal_settings import causal_settings_of
from tests import tiny_models
from tests.training.causal_small import QUICK, base_of, change_model, loss_on, rows_of, run, told

CARD = causal_memory.Machine(
    device="cuda", memory_bytes=10**11, disk_bytes=10**12, flops_per_s=1e14, bf16=True
)
"""A GPU that is not there."""


@pytest.fixture(scope="module")
def base() -> CausalBase:
    return base_of("smollm")


def fail_at(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *, calls: int, training: bool, always: bool = False
) -> None:
    """Let the model raise `error` at its `calls`-th forward pass in training or in validation, once or for ever."""
    seen = {"calls": 0}

    def hook(module: Any, *_: Any) -> None:
        if module.training == training:
            seen["calls"] += 1
            if seen["calls"] == calls or (always and seen["calls"] > calls):
                raise error

    change_model(monkeypatch, lambda model: model.register_forward_pre_hook(hook) and None)


def test_memory_that_runs_out_halves_the_batch_and_goes_on_from_the_checkpoint(
    base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
    )
    fail_at(monkeypatch, error, calls=8, training=True)
    trained, events = run(base, tmp_path, checkpoint_every_s=0)
    assert "memory ran out in training at a batch of 4: going on with 2" in told(events)
    assert "going on from step 7 of 12" in told(events)
    assert (trained.settings.batch_size, trained.settings.accumulation) == (2, 2)
    assert trained.facts["steps"] == 12
    assert [step for step, _ in trained.facts["loss"]] == list(range(1, 13))


def test_memory_that_runs_out_in_validation_halves_the_validation_batch(
    base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"), calls=1, training=False)
    trained, events = run(base, tmp_path)
    assert "memory ran out in validation at a batch of 4: going on with 2" in told(events)
    assert trained.settings.batch_size == 4
    assert len(trained.facts["validation_loss"]) == 2


def test_memory_that_runs_out_at_a_batch_of_one_is_an_error(
    base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"), calls=2, training=True, always=True)
    with pytest.raises(
        TrainingError, match=r"training at a batch of 1: CUDA out of memory -> gradient_checkpointing=true"
    ):
        run(base, tmp_path)


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: Exception, memory: bool) -> None:
    assert is_out_of_memory(error) is memory


def test_another_failure_keeps_its_reason(
    base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, RuntimeError("shapes differ"), calls=2, training=True)
    with pytest.raises(TrainingError, match="RuntimeError: shapes differ"):
        run(base, tmp_path)


def test_closing_the_generator_stops_the_thread(base: CausalBase, tmp_path: Path) -> None:
    import threading

    settings = causal_settings_of("lora", overrides={**QUICK, "base": str(base.folder), "passes": 500})
    work = train_causal(rows_of(base), [], base, settings, tmp_path)
    next(one for one in work if isinstance(one, Step))
    assert any(one.name == "trainer" for one in threading.enumerate())
    work.close()
    assert not any(one.name == "trainer" for one in threading.enumerate())


KILLED = """
import os, signal, sys
from pathlib import Path
from microlith.events import Step
from microlith.training.causal import train_causal
from microlith.training.causal_base import open_base
from microlith.training.causal_settings import causal_settings_of
from tests.training.causal_small import QUICK, rows_of
settings = causal_settings_of("lora", overrides={**QUICK, "base": sys.argv[1], "checkpoint_every_s": 0})
base = open_base(settings)
for event in train_causal(rows_of(base), rows_of(base)[:4], base, settings, Path(sys.argv[2])):
    if isinstance(event, Step) and event.step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_checkpoint(base: CausalBase, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(base.folder), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL, done.stderr
    whole = run(base, tmp_path / "whole", checkpoint_every_s=0)[0]
    trained, events = run(base, tmp_path, checkpoint_every_s=0)
    assert trained.facts["resumed_from"] >= 6
    assert f"going on from step {trained.facts['resumed_from']} of 12" in told(events)
    assert [loss for _, loss in trained.facts["loss"]] == pytest.approx(
        [loss for _, loss in whole.facts["loss"]]
    )


def stopped_midway(base: CausalBase, folder: Path) -> None:
    """Leave checkpoints of a run of QUICK behind."""
    settings = causal_settings_of(
        "lora", overrides={**QUICK, "base": str(base.folder), "checkpoint_every_s": 0}
    )
    work = train_causal(rows_of(base), rows_of(base)[:4], base, settings, folder)
    next(one for one in work if isinstance(one, Step) and one.step == 5)
    work.close()


def test_a_run_that_was_stopped_goes_on_and_ends_with_equal_losses(base: CausalBase, tmp_path: Path) -> None:
    whole, _ = run(base, tmp_path / "whole")
    stopped_midway(base, tmp_path)
    trained, events = run(base, tmp_path)
    assert f"going on from step {trained.facts['resumed_from']} of 12" in told(events)
    assert trained.facts["resumed_from"] >= 4
    losses = [loss for _, loss in whole.facts["loss"]]
    assert [loss for _, loss in trained.facts["loss"]] == pytest.approx(losses)


def test_a_halved_batch_stays_halved_after_a_stop(
    base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail_at(patch, torch.OutOfMemoryError("CUDA out of memory"), calls=2, training=True)
        stopped_midway(base, tmp_path)
    trained, _ = run(base, tmp_path)
    assert (trained.settings.batch_size, trained.settings.accumulation) == (2, 2)


def test_a_checkpoint_that_was_cut_short_is_not_gone_on_from(base: CausalBase, tmp_path: Path) -> None:
    stopped_midway(base, tmp_path)
    last = max(
        (tmp_path / "checkpoints").glob("checkpoint-*"), key=lambda one: int(one.name.rpartition("-")[2])
    )
    (last / "trainer_state.json").write_text("{")
    trained, _ = run(base, tmp_path, checkpoint_every_s=0)
    assert 0 < trained.facts["resumed_from"] < int(last.name.rpartition("-")[2])
    assert trained.facts["steps"] == 12


@pytest.mark.parametrize("changes", [{"rate": 1e-3}, {"rank": 2}])
def test_checkpoints_of_other_settings_are_not_gone_on_from(
    changes: dict[str, Any], base: CausalBase, tmp_path: Path
) -> None:
    stopped_midway(base, tmp_path)
    trained, events = run(base, tmp_path, **changes)
    assert trained.facts["resumed_from"] == 0
    assert "going on" not in told(events)


def test_qlora_without_cuda_names_the_recipe_that_would_fit(base: CausalBase, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    with pytest.raises(TrainingError, match=r"qlora.*CUDA GPU.*recipe=lora fits: about .* of memory"):
        run(base, tmp_path, "qlora")


@pytest.mark.slow
def test_qlora_learns_and_is_merged_into_sixteen_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(
        "bitsandbytes", reason="bitsandbytes is not installed; its kernels for processors stand in for CUDA's"
    )
    monkeypatch.setattr(
        tiny_models, "SHAPE", {**tiny_models.SHAPE, "hidden_size": 128, "intermediate_size": 256}
    )
    folder = tiny_models.make_smollm(tmp_path / "base")
    base = open_base(causal_settings_of("qlora", overrides={"base": str(folder)}))
    load = causal_load._pretrained
    monkeypatch.setattr(causal_prepare, "machine_now", lambda *_, **__: CARD)
    monkeypatch.setattr(
        causal_load,
        "_pretrained",
        lambda base, **options: load(base, **{**options, "device_map": {"": "cpu"}}),
    )
    changes = {"precision": "bf16", "optimizer": "adamw_torch", "gradient_checkpointing": True, "rate": 1e-2}
    trained, _ = run(base, tmp_path, "qlora", passes=8, **changes)
    assert loss_on(trained.folder, rows_of(base)) == pytest.approx(trained.facts["loss"][-1][1], rel=0.1)
    assert loss_on(trained.folder, rows_of(base)) < 0.3 * loss_on(base.folder, rows_of(base))


def test_qlora_without_bitsandbytes_names_the_package(
    base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causal_prepare, "machine_now", lambda *_, **__: CARD)
    hide(monkeypatch, "bitsandbytes")
    with pytest.raises(MissingExtra, match="pip install bitsandbytes"):
        run(base, tmp_path, "qlora")


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let packages seem absent."""
    find = causal_load.find_spec
    monkeypatch.setattr(causal_load, "find_spec", lambda name: None if name in names else find(name))


@pytest.mark.parametrize("library", ["trl", "peft"])
def test_a_missing_library_is_named_with_the_command(
    library: str, base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, library)
    with pytest.raises(MissingExtra, match=rf"needs {library} -> pip install"):
        run(base, tmp_path)


@pytest.mark.parametrize("report", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_reporter_is_named(
    report: str, base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "tensorboard", "tensorboardX", "mlflow", "wandb")
    with pytest.raises(MissingExtra, match=f"report={report} needs the package {report}"):
        run(base, tmp_path, report=report)


def test_eight_bit_adamw_becomes_the_plain_one_without_cuda_and_says_so(
    base: CausalBase, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    trained, events = run(base, tmp_path, passes=1, optimizer="adamw_8bit")
    assert trained.settings.optimizer == "adamw_torch"
    assert "adamw_8bit needs a CUDA GPU and bitsandbytes" in told(events)


def test_a_machine_that_is_too_small_is_refused_before_anything_is_loaded(
    base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = causal_memory.Machine(
        device="cpu", memory_bytes=10**6, disk_bytes=10**12, flops_per_s=1e11, bf16=False
    )
    monkeypatch.setattr(causal_prepare, "machine_now", lambda *_, **__: machine)
    monkeypatch.setattr(causal_load, "load_model", None)
    with pytest.raises(TrainingError, match=r"the run needs about .* of 1\.0 MB free"):
        run(base, tmp_path)


def test_only_the_first_process_reports(
    base: CausalBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microlith.training.causal.is_first", lambda: False)
    assert run(base, tmp_path, passes=1)[1] == []


def test_unsloth_is_used_where_it_is_installed_and_there_is_cuda(
    base: CausalBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    class FastLanguageModel:
        @staticmethod
        def from_pretrained(**options: Any) -> tuple[Any, None]:
            asked.update(options)
            return torch.nn.ModuleDict(
                {"q_proj": torch.nn.Linear(2, 2), "lm_head": torch.nn.Linear(2, 2)}
            ), None

        @staticmethod
        def get_peft_model(model: Any, **options: Any) -> Any:
            asked.update(options)
            return model

    find = causal_load.find_spec
    monkeypatch.setitem(sys.modules, "unsloth", types.SimpleNamespace(FastLanguageModel=FastLanguageModel))
    monkeypatch.setattr(causal_load, "find_spec", lambda name: name == "unsloth" or find(name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    settings = causal_settings_of("qlora", overrides={"base": str(base.folder)})
    causal_load.load_model(base, settings, bf16=True)
    assert (asked["load_in_4bit"], asked["r"], asked["target_modules"]) == (True, 16, ["q_proj"])
    without = causal_settings_of("qlora", overrides={"base": str(base.folder), "unsloth": "no"})
    assert not causal_load.takes_unsloth(without)
