"""The scratch recipe: a small language model of a task's own, from nothing but its rows."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from microlith.data.example import Example
from microlith.errors import DataError, TrainingError
from microlith.events import Event, Progress, Step, Validation, Warned
from microlith.inference.cores import usable_cores
from microlith.inference.grounding import GroundingSpec
from microlith.inference.prompt import Pieces, Prompt
from microlith.inference.spelling import Speller
from microlith.task.plan import Plan
from microlith.training.answer_rows import cannot_be_spelled, token_rows
from microlith.training.checkpoint import CHECKPOINT, DAMAGE, save_checkpoint
from microlith.training.families import families_of
from microlith.training.loss_watch import LossCurve, LossLevels, Point, findings
from microlith.training.muon import Muon
from microlith.training.processor import precision_of
from microlith.training.scratch_files import write_scratch
from microlith.training.scratch_net import ScratchNet
from microlith.training.scratch_settings import ScratchSettings
from microlith.training.scratch_tokenizer import ANSWER, END, REQUEST, train_tokenizer
from microlith.training.token_rows import TokenRow, split_by_length, too_long

SCORED_ROWS = 256
"""Validation rows, evenly spread, that the loss is measured on while training."""
ANY_LEVEL = LossLevels(start=math.inf, target=math.inf, warn=math.inf)
"""Nobody knows which loss to expect of a tokenizer that was just made."""
TOKENIZER_TEXTS = 40_000
"""Texts that the tokenizer learns from at most."""


@dataclass(frozen=True, kw_only=True)
class TrainedScratch:
    """A trained model on the disk, and how it is asked."""

    folder: Path
    """Config, 16-bit weights, tokenizer: what transformers loads."""
    prompt: Prompt
    settings: ScratchSettings
    parameters: int
    tokens_per_s: float
    """Tokens of rows, padding left out, that training read a second."""


def train_scratch(
    plan: Plan,
    spec: GroundingSpec,
    train: Sequence[Example],
    validation: Sequence[Example],
    settings: ScratchSettings,
    run_folder: Path,
) -> Generator[Event, None, TrainedScratch]:
    """Train; yields events, returns the trained model. A killed run goes on from its last checkpoint.

    Args:
        plan: The task's plan.
        spec: How its requests are grounded.
        train: Rows to learn from; rows that share a first parent are variations of one row, of which every pass shows one.
        validation: Rows that only score the run while it goes; the weights that score best are kept.
        settings: Every value of the recipe.
        run_folder: Existing folder for the checkpoint and the model.

    Raises:
        TrainingError: if there are no rows, or the loss is no number.
        StorageError: if the disk refuses.
    """
    if not train:
        raise TrainingError("there is not one row to learn from", mend="add rows to the task's data folder")
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads or usable_cores())
    speller = Speller(plan, spec)
    yield Progress(stage="train", done=0, total=0, detail="spelling rows and learning tokens")
    tokenizer = train_tokenizer(
        _texts(speller, train, settings.seed), size=settings.vocabulary, longest=settings.longest_token
    )
    pieces, prompt = Pieces(tokenizer=tokenizer), prompt_of(tokenizer)
    rows = yield from _rows(speller, pieces, prompt, train, settings)
    scored, _ = token_rows(
        speller, pieces, prompt, validation[:: math.ceil(len(validation) / SCORED_ROWS) or 1]
    )
    run = ScratchRun(
        settings, pieces, prompt, rows, split_by_length(scored, settings.context_tokens)[0], run_folder
    )
    yield from run.events()
    folder = run_folder / "model"
    write_scratch(run.net, tokenizer, settings, folder)
    return TrainedScratch(
        folder=folder, prompt=prompt, settings=settings, tokens_per_s=run.tokens_per_s,
        parameters=sum(one.numel() for one in run.net.parameters()),
    )  # fmt: skip


def prompt_of(tokenizer: Tokenizer) -> Prompt:
    """The prompt of a model that knows one job only: nothing but the request between two control tokens."""
    request, answer, end = (int(tokenizer.token_to_id(word) or 0) for word in (REQUEST, ANSWER, END))
    return Prompt(
        before=(request,), after=(answer,), end=end, before_text=REQUEST, after_text=ANSWER, end_text=END
    )


def _texts(speller: Speller, train: Sequence[Example], seed: int) -> Iterator[str]:
    """Requests, and the pieces of answers."""
    picked = (
        train
        if len(train) <= TOKENIZER_TEXTS // 2
        else random.Random(seed).sample(list(train), TOKENIZER_TEXTS // 2)
    )
    for example in picked:
        yield example.input
        try:
            yield from speller.spell(example.input, example.output)
        except DataError:
            continue


def _rows(
    speller: Speller, pieces: Pieces, prompt: Prompt, train: Sequence[Example], settings: ScratchSettings
) -> Generator[Event, None, list[Sequence[TokenRow]]]:
    """Families of rows as tokens; what cannot be learnt is counted and named."""
    families: list[Sequence[TokenRow]] = []
    lost: list[Example] = []
    long: list[TokenRow] = []
    for family in families_of(train):
        spelled, left = token_rows(speller, pieces, prompt, family)
        fitting, longer = split_by_length(spelled, settings.context_tokens)
        lost += left
        long += longer
        if fitting:
            families.append(fitting)
    yield from cannot_be_spelled(lost)
    yield from too_long(long, settings.context_tokens, setting="context_tokens")
    if not families:
        short = f"of at most {settings.context_tokens} tokens to learn from", "raise context_tokens"
        what, mend = (
            short if long else ("whose answer can be spelled", "see that copied values stand in requests")
        )
        raise TrainingError(f"there is not one row {what}", mend=mend)
    return families


class ScratchRun:
    """One training run over families of rows."""

    def __init__(
        self, settings: ScratchSettings, pieces: Pieces, prompt: Prompt, families: Sequence[Sequence[TokenRow]],
        validation: Sequence[TokenRow], folder: Path,
    ) -> None:  # fmt: skip
        self.settings, self.families, self.validation, self.folder = settings, families, validation, folder
        dtype = torch.bfloat16 if precision_of(settings.precision) == "bf16" else torch.float32
        self.net = ScratchNet(
            vocabulary=pieces.tokenizer.get_vocab_size(), width=settings.width, layers=settings.layers, heads=settings.heads,
            inner=settings.inner, context=settings.context_tokens, dropout=settings.dropout, dtype=dtype,
        )  # fmt: skip
        self.muon = Muon(
            self.net.matrices(), rate=settings.matrix_rate, weight_decay=settings.weight_decay, dtype=dtype
        )
        self.adam = torch.optim.AdamW(
            self.net.others(), lr=settings.other_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )
        rows = max(settings.passes * len(families), settings.least_rows)
        mean = sum(len(family[0].ids) for family in families) / len(families)
        self.steps = max(1, math.ceil(min(rows * mean, settings.most_tokens) / settings.batch_tokens))
        self.end, self.keepable = prompt.end, _hideable(pieces)
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.tokens_per_s = 0.0
        self.curve: list[Point] = []
        self.scores: list[Point] = []
        self._told: set[str] = set()

    def events(self) -> Iterator[Event]:
        first = self._resume()
        if first:
            yield Warned(what=f"going on from step {first} of {self.steps}")
        begun = saved = time.monotonic()
        losses, tokens, rows, reported = 0.0, 0, 0, first
        every = max(1, self.steps // 100)
        checks = {
            round(self.steps * (number + 1) / (self.settings.validations + 1))
            for number in range(self.settings.validations)
        }
        for step, batch in self._batches(first):
            losses += self.update(step, batch)
            tokens += sum(len(one.ids) for one in batch)
            rows += len(batch)
            if step % every == 0 or step == self.steps:
                spent, mean = time.monotonic() - begun, losses / (step - reported)
                if not math.isfinite(mean):
                    raise TrainingError(
                        f"the loss is {mean} at step {step}", mend="lower matrix_rate and other_rate"
                    )
                self.tokens_per_s = tokens / spent
                yield Step(
                    step=step, steps=self.steps, loss=mean, rows_per_s=rows / spent,
                    seconds_left=spent / (step - first) * (self.steps - step),
                )  # fmt: skip
                self.curve.append((step, mean))
                losses, reported = 0.0, step
            if (step in checks or step == self.steps) and self.validation:
                yield self._scored(step)
                yield from self._watched()
            if time.monotonic() - saved > self.settings.checkpoint_every_s and step < self.steps:
                self._save(step)
                saved = time.monotonic()
        if self.best is not None:
            self.net.load_state_dict(self.best[1])
        self.net.eval()

    def _batches(self, done: int) -> Iterator[tuple[int, list[TokenRow]]]:
        """(step, rows) of every step after `done`; a pass depends on its number only."""
        step, number = 0, 0
        while True:
            rng = random.Random(f"{self.settings.seed}-{number}")
            picked = [family[0] if number == 0 else rng.choice(family) for family in self.families]
            number += 1
            for batch in batched(picked, self.settings.batch_tokens, rng):
                step += 1
                if step > done:
                    yield step, batch
                if step >= self.steps:
                    return

    def update(self, step: int, batch: Sequence[TokenRow]) -> float:
        settings, net = self.settings, self.net
        rate = self._rate(step)
        self.muon.param_groups[0]["lr"] = settings.matrix_rate * rate
        self.adam.param_groups[0]["lr"] = settings.other_rate * rate
        net.train()
        ids, rows, places, targets, weights = tensors(batch, self.end)
        if settings.word_dropout:
            ids = self._hidden(ids, batch, step)
        losses = F.cross_entropy(
            net(ids, rows, places), targets, reduction="none", label_smoothing=settings.label_smoothing
        )
        loss = (losses * weights).sum() / weights.sum()
        self.muon.zero_grad(set_to_none=True)
        self.adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.others(), 1.0)
        self.muon.step()
        self.adam.step()
        return float(loss.detach())

    def _rate(self, step: int) -> float:
        """Rises, stays, falls to zero: a share of the peak."""
        warm = max(1.0, self.settings.warmup * self.steps)
        cool = max(1.0, self.settings.cooldown * self.steps)
        return min(1.0, step / warm, (self.steps - step + 1) / cool)

    def _hidden(self, ids: Tensor, batch: Sequence[TokenRow], step: int) -> Tensor:
        """Some words of requests hidden; digits, and what the answer says too, stay."""
        rng = torch.Generator().manual_seed((self.settings.seed * 1_000_003 + step) % 2**63)
        hidden = (torch.rand(ids.shape, generator=rng) < self.settings.word_dropout) & self.keepable[ids]
        for row, one in enumerate(batch):
            hidden[row, one.answer_from - 1 :] = False
            hidden[row, :1] = False
            said = torch.tensor(sorted(set(one.ids[one.answer_from :])))
            hidden[row] &= ~torch.isin(ids[row], said)
        return torch.where(hidden, self.end, ids)

    @torch.no_grad()
    def _scored(self, step: int) -> Validation:
        """The mean loss of a validation row's answer token; the best weights so far are kept."""
        self.net.eval()
        total = weight = 0.0
        for batch in batched(self.validation, self.settings.batch_tokens, random.Random(0)):
            ids, rows, places, targets, weights = tensors(batch, self.end)
            losses = F.cross_entropy(self.net(ids, rows, places), targets, reduction="none")
            total += float((losses * weights).sum())
            weight += float(weights.sum())
        loss = total / weight
        self.scores.append((step, loss))
        if self.best is None or loss < self.best[0]:
            self.best = loss, {name: value.clone() for name, value in self.net.state_dict().items()}
        return Validation(step=step, loss=loss, rows=len(self.validation))

    def _watched(self) -> Iterator[Event]:
        """What the losses show, each finding once."""
        curve = LossCurve(training=tuple(self.curve), validation=tuple(self.scores), steps=self.steps)
        for found in findings(curve, ANY_LEVEL, rate=self.settings.matrix_rate):
            if found.kind not in self._told:
                self._told.add(found.kind)
                yield Warned(what=found.text)

    def _save(self, step: int) -> None:
        state = {
            "step": step, "steps": self.steps, "net": self.net.state_dict(), "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(), "best": self.best, "random": torch.get_rng_state(),
        }  # fmt: skip
        save_checkpoint(self.folder, state)

    def _resume(self) -> int:
        target = self.folder / CHECKPOINT
        if not target.is_file():
            return 0
        try:
            state = torch.load(target, weights_only=True)
            if state["steps"] != self.steps or not self._fits(state):
                return 0
            self.muon.load_state_dict(state["muon"])
            self.adam.load_state_dict(state["adam"])
            self.net.load_state_dict(state["net"])
            self.best = state["best"]
            torch.set_rng_state(state["random"])
            return int(state["step"])
        except DAMAGE:
            return 0

    def _fits(self, state: Mapping[str, Any]) -> bool:
        """Is every part there, and every weight of this net's shape? Asked first, since half a checkpoint is worse than none."""
        shapes = {name: value.shape for name, value in state["net"].items()}
        own = {name: value.shape for name, value in self.net.state_dict().items()}
        return shapes == own and state.keys() >= {"muon", "adam", "best", "random", "step"}


def _hideable(pieces: Pieces) -> Tensor:
    """(vocabulary,) tokens of letters, which a request may lose in training."""
    return torch.tensor(
        [bool(word) and not any(48 <= byte <= 57 for byte in word) for word in pieces.vocabulary]
    )


def batched(rows: Sequence[TokenRow], tokens: int, rng: random.Random) -> list[list[TokenRow]]:
    """Batches of like length and at most `tokens` tokens, padding included, in random order; a longer row is alone."""
    order = sorted(rows, key=lambda one: (len(one.ids), rng.random()))
    found: list[list[TokenRow]] = []
    for one in reversed(order):
        width = len(found[-1][0].ids) if found else 0
        if not found or (len(found[-1]) + 1) * width > tokens:
            found.append([])
        found[-1].append(one)
    rng.shuffle(found)
    return found


def tensors(batch: Sequence[TokenRow], filler: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(batch, tokens) ids; and of every answer token its row, the place before it, itself, and its weight."""
    width = max(len(one.ids) for one in batch)
    ids = torch.tensor([[*one.ids, *([filler] * (width - len(one.ids)))] for one in batch])
    asked = [
        (row, place - 1, one.ids[place], one.weight)
        for row, one in enumerate(batch)
        for place in range(one.answer_from, len(one.ids))
    ]
    rows, places, targets, weights = zip(*asked, strict=True)
    return ids, torch.tensor(rows), torch.tensor(places), torch.tensor(targets), torch.tensor(weights)
