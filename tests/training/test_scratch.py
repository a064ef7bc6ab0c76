"""The scratch recipe: events, checkpoints, what it warns of, what it refuses, and what it writes."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from microlith.data.example import Example
from microlith.errors import StorageError, TrainingError
from microlith.events import Progress, Step, Validation, Warned
from microlith.training import scratch
from microlith.training.scratch import CHECKPOINT, batched, tensors
from microlith.training.scratch_tokenizer import ANSWER, END, REQUEST
from microlith.training.token_rows import TokenRow
from tests.training.scratch_small import rows as small_rows
from tests.training.scratch_small import run, told, work

LONG = Example(
    input="turn on the lamp of bob " * 60, output={"lamp": "on", "name": "bob"}, source="train.jsonl:99"
)
ASTRAY = Example(input="turn on the lamp", output={"lamp": "on", "name": "nobody"}, source="train.jsonl:98")
KILLED = """\
import sys
from pathlib import Path
from microlith.events import Step
from tests.training.scratch_small import work
for event in work(Path(sys.argv[1]), checkpoint_every_s=0, least_rows=400):
    if isinstance(event, Step):
        print(event.step, flush=True)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], Any]:
    """A training that went through, with checkpoints at every step."""
    return run(tmp_path_factory.mktemp("run"), checkpoint_every_s=0)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return found


def equal(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_it_tells_of_every_step_and_scores_the_validation_rows(made: tuple[list[Any], Any]) -> None:
    events, trained = made
    assert isinstance(events[0], Progress)
    steps = [one for one in events if isinstance(one, Step)]
    assert [one.step for one in steps] == list(range(1, steps[-1].steps + 1))
    assert steps[-1].loss < steps[0].loss
    assert steps[-1].seconds_left == 0
    scores = [one for one in events if isinstance(one, Validation)]
    assert scores[-1].step == steps[-1].steps
    assert len(scores) == 3
    assert all(one.loss is not None and one.rows == 4 for one in scores)
    assert trained.tokens_per_s > 0


def test_transformers_loads_what_is_written(made: tuple[list[Any], Any]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trained = made[1]
    model = AutoModelForCausalLM.from_pretrained(trained.folder)
    assert sum(one.numel() for one in model.parameters()) == trained.parameters
    tokenizer = AutoTokenizer.from_pretrained(trained.folder)
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "{}"}], tokenize=False
    )
    assert chat == f"{REQUEST}hi{ANSWER}{{}}{END}"
    assert tokenizer.eos_token_id == trained.prompt.end


def test_equal_seeds_give_equal_weights_and_others_do_not(
    made: tuple[list[Any], Any], tmp_path: Path
) -> None:
    torch.rand(7)  # whatever was drawn before does not count
    assert equal(run(tmp_path / "a")[1].folder, made[1].folder)
    assert not equal(run(tmp_path / "b", seed=1)[1].folder, made[1].folder)


def test_a_closed_training_goes_on_to_the_same_weights(made: tuple[list[Any], Any], tmp_path: Path) -> None:
    begun = work(tmp_path, checkpoint_every_s=0)
    while not (isinstance(event := next(begun), Step) and event.step == 3):
        pass
    begun.close()
    assert (tmp_path / CHECKPOINT).is_file()
    events, trained = run(tmp_path, checkpoint_every_s=0)
    assert "going on from step 2 of" in told(events)
    assert equal(trained.folder, made[1].folder)


def test_a_killed_training_goes_on(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= 4:
            break
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not (tmp_path / "model").exists()
    events, trained = run(tmp_path, checkpoint_every_s=0, least_rows=400)
    assert "going on from step" in told(events)
    assert equal(trained.folder, run(tmp_path / "whole", least_rows=400)[1].folder)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _foreign(path: Path) -> None:
    path.write_bytes(b"no checkpoint")


def _other_net(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    torch.save({**state, "net": {**state["net"], "words": torch.zeros(5, 32)}}, path)


def _a_part_lost(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    del state["adam"]
    torch.save(state, path)


def _other_length(path: Path) -> None:
    torch.save({**torch.load(path, weights_only=True), "steps": 9999}, path)


@pytest.mark.parametrize("spoil", [_cut, _foreign, _other_net, _a_part_lost, _other_length])
def test_a_damaged_checkpoint_costs_time_alone(
    spoil: Callable[[Path], None], made: tuple[list[Any], Any], tmp_path: Path
) -> None:
    begun = work(tmp_path, checkpoint_every_s=0)
    while not (isinstance(event := next(begun), Step) and event.step == 3):
        pass
    begun.close()
    spoil(tmp_path / CHECKPOINT)
    events, trained = run(tmp_path)
    assert "going on" not in told(events)
    assert equal(trained.folder, made[1].folder)


def test_the_best_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[dict[str, torch.Tensor]] = []
    plain = scratch.ScratchRun._scored

    def scored(self: Any, step: int) -> Validation:
        """The second score is the best by decree."""
        found = plain(self, step)
        kept.append({name: value.clone() for name, value in self.net.state_dict().items()})
        self.best = (0.0, kept[1]) if len(kept) > 1 else self.best
        return found

    monkeypatch.setattr(scratch.ScratchRun, "_scored", scored)
    written: list[dict[str, torch.Tensor]] = []
    monkeypatch.setattr(scratch, "write_scratch", lambda net, *_: written.append(net.state_dict()))
    run(tmp_path)
    assert len(kept) == 3
    assert all(torch.equal(written[0][name], kept[1][name]) for name in kept[1])
    assert not torch.equal(written[0]["words"], kept[2]["words"])


def test_without_validation_rows_the_last_weights_are_kept(tmp_path: Path) -> None:
    events, trained = run(tmp_path, validation=[])
    assert not [one for one in events if isinstance(one, Validation)]
    assert (trained.folder / "model.safetensors").is_file()


def test_a_loss_that_is_no_number_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = scratch.ScratchRun.update
    monkeypatch.setattr(
        scratch.ScratchRun,
        "update",
        lambda self, step, batch: plain(self, step, batch) * (float("nan") if step > 2 else 1),
    )
    with pytest.raises(TrainingError, match="the loss is nan at step 3") as caught:
        run(tmp_path)
    assert "matrix_rate" in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_rows_too_long_and_rows_that_cannot_be_spelled_are_named(tmp_path: Path) -> None:
    events, _ = run(tmp_path, train=[*small_rows(), LONG, ASTRAY])
    assert "1 rows of more than 128 tokens are left out (train.jsonl:99); raise context_tokens" in told(
        events
    )
    assert "1 rows are left out: their answer cannot be spelled" in told(events)
    facts = [one.facts["rows"] for one in events if isinstance(one, Warned)]
    assert facts == [["train.jsonl:98"], ["train.jsonl:99"]]


@pytest.mark.parametrize(
    ("train", "told"),
    [([], "not one row to learn from"), ([LONG], "not one row of at most 128 tokens"), ([ASTRAY], "not one row whose answer")],
)  # fmt: skip
def test_without_rows_there_is_nothing_to_learn(train: list[Example], told: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=told):
        run(tmp_path, train=train)


def test_a_validation_row_that_is_too_long_is_not_scored(tmp_path: Path) -> None:
    events, _ = run(tmp_path, validation=[*small_rows(("tom",)), LONG])
    assert {one.rows for one in events if isinstance(one, Validation)} == {2}


def _full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_at_a_checkpoint_keeps_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = work(tmp_path, checkpoint_every_s=0)
    while not (isinstance(event := next(begun), Step) and event.step == 3):
        pass
    before = (tmp_path / CHECKPOINT).read_bytes()
    monkeypatch.setattr("microlith.training.checkpoint.os.replace", _full)
    with pytest.raises(StorageError, match="No space left"):
        list(begun)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_full_disk_at_the_end_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(StorageError, match="No space left"):
        run(tmp_path)


def test_batches_hold_every_row_once_and_no_more_tokens_than_asked() -> None:
    made = [
        TokenRow(ids=(1,) * size, answer_from=1, source=str(size)) for size in (2, 3, 3, 5, 8, 40, 2, 7, 4)
    ]
    found = batched(made, 16, random.Random(0))
    assert sorted(one.source for batch in found for one in batch) == sorted(one.source for one in made)
    assert all(len(batch) == 1 or len(batch) * max(len(one.ids) for one in batch) <= 16 for batch in found)


def test_only_tokens_of_answers_are_asked_for() -> None:
    rows = [
        TokenRow(ids=(5, 6, 7, 8), answer_from=2, source="a", weight=2.0),
        TokenRow(ids=(5, 9), answer_from=1, source="b"),
    ]
    ids, row, place, target, weight = tensors(rows, 0)
    assert ids.tolist() == [[5, 6, 7, 8], [5, 9, 0, 0]]
    assert (row.tolist(), place.tolist(), target.tolist()) == ([0, 0, 1], [1, 2, 0], [7, 8, 9])
    assert weight.tolist() == [2.0, 2.0, 1.0]


def test_hidden_words_are_of_the_request_and_never_what_the_answer_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor, list[TokenRow], Any]] = []
    plain = scratch.ScratchRun._hidden

    def hidden(self: Any, ids: torch.Tensor, batch: list[TokenRow], step: int) -> torch.Tensor:
        found = plain(self, ids, batch, step)
        seen.append((ids, found, batch, self))
        return found

    monkeypatch.setattr(scratch.ScratchRun, "_hidden", hidden)
    run(tmp_path, word_dropout=0.9)
    lost = 0
    for ids, found, batch, owner in seen:
        for row, one in enumerate(batch):
            changed = (ids[row] != found[row]).nonzero().flatten().tolist()
            lost += len(changed)
            assert all(0 < place < one.answer_from - 1 for place in changed)
            assert not {one.ids[place] for place in changed} & set(one.ids[one.answer_from :])
            assert all(owner.keepable[one.ids[place]] for place in changed)
    assert lost > 50


def test_the_rate_rises_stays_and_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners: list[Any] = []
    plain = scratch.ScratchRun.__init__

    def noted(self: Any, *args: Any) -> None:
        plain(self, *args)
        owners.append(self)

    monkeypatch.setattr(scratch.ScratchRun, "__init__", noted)
    next_of = work(tmp_path, warmup=0.2, cooldown=0.5)
    while not isinstance(next(next_of), Step):
        pass
    owners[0].steps = 100
    owners[0].settings = replace(owners[0].settings, warmup=0.2, cooldown=0.5)
    rates = [owners[0]._rate(step) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[19] == rates[49] == 1.0
    assert rates[-1] == pytest.approx(0.02)
    assert rates == [*sorted(rates[:50]), *sorted(rates[50:], reverse=True)]


def test_the_model_says_what_reads_it(made: tuple[list[Any], Any]) -> None:
    config = json.loads((made[1].folder / "config.json").read_text("utf-8"))
    assert config["max_position_embeddings"] == 128
    assert config["architectures"] == ["LlamaForCausalLM"]
