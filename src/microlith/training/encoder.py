"""The encoder recipe: fine-tune a pretrained encoder with heads grown from the task's plan."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from microlith.data.example import Example
from microlith.errors import TrainingError
from microlith.events import Event, Step, Validation, Warned
from microlith.inference.cores import usable_cores
from microlith.inference.decode import Decoder
from microlith.inference.grounding import PLACEHOLDERS, GroundingSpec, spec_of
from microlith.inference.layout import Layout, layout_of
from microlith.inference.precision import rounded
from microlith.inference.reader import collate, read_requests
from microlith.task.plan import Plan
from microlith.task.reading import copied_values, read, write
from microlith.training import attention
from microlith.training.base import Base, find_base
from microlith.training.checkpoint import CHECKPOINT, DAMAGE, save_checkpoint
from microlith.training.encoder_data import Row, batches, inputs, prepare, tensors
from microlith.training.encoder_net import EncoderNet, parameter_groups
from microlith.training.families import families_of
from microlith.training.losses import group_loss
from microlith.training.processor import precision_of
from microlith.training.quiet import quiet_transformers
from microlith.training.rounding import prepare_rounding, ranges_found, start_rounding
from microlith.training.settings import EncoderSettings

_PLACEHOLDER_WORDS = {
    "[email]": ("email", "address"), "[ipv4]": ("ip", "address", "four"), "[ipv6]": ("hex", "colon", "six"),
    "[cidr]": ("network", "mask", "slash"),
}  # fmt: skip
"""A new placeholder word is the mean of these words' embeddings. All differ, since embeddings may stay frozen."""
SCORED_ROWS = 256
"""Validation rows, evenly spread over all of them, that a training is scored on while it goes."""
RANGE_ROWS = 256
"""Training rows on which the ranges of the rounding layers are found."""


@dataclass(frozen=True, kw_only=True)
class TrainedEncoder:
    """A network and everything that is needed to ask it."""

    net: EncoderNet
    tokenizer: Tokenizer
    plan: Plan
    layout: Layout
    spec: GroundingSpec
    base: Base
    settings: EncoderSettings


def train_encoder(
    plan: Plan,
    train: Sequence[Example],
    validation: Sequence[Example],
    settings: EncoderSettings,
    run_folder: Path,
) -> Generator[Event, None, TrainedEncoder]:
    """Train; yields events, returns the trained encoder. A killed run goes on from its last checkpoint.

    Args:
        plan: The task's plan; must hold no Text and no Number.
        train: Rows to learn from; rows that share a first parent are variations of one row, of which every
            pass shows one.
        validation: Rows that only score the run while it goes.
        settings: Every value of the recipe.
        run_folder: Existing folder for the checkpoint.

    Raises:
        TrainingError: if the plan or the rows cannot be learnt.
        MissingBase: if the pretrained encoder is not on this machine.
        StorageError: if a checkpoint cannot be written.
    """
    _require(plan, train)
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads or usable_cores())
    base = find_base(settings.base)
    trained = _untrained(plan, train, settings, base)
    run = _Run(trained, train, validation, run_folder)
    yield from run.events()
    _round_words(trained.net.encoder)
    return trained


def _require(plan: Plan, train: Sequence[Example]) -> None:
    beyond = plan.beyond_encoder()
    if beyond:
        raise TrainingError(
            f"an encoder cannot write {', '.join(beyond[:5])}: free text or a number that is not in the request",
            mend='mark copied values with "x-source": "input", list the others in an "enum", or use a generative recipe',
        )
    if not train:
        raise TrainingError("there is not one row to learn from", mend="add rows to the task's data folder")
    answers = {repr(sorted(_shape(plan, example))) for example in train}
    spans = any(slot.kind == "span" for group in plan.groups for slot in group.slots.values())
    if len(answers) < 2 and not spans:
        raise TrainingError(
            f"all {len(train)} rows have the same answer, so there is nothing to decide",
            mend="add rows with other answers",
        )


def _shape(plan: Plan, example: Example) -> list[str]:
    reading = read(plan, example.output)
    return [f"{key}={value}" for steps in reading.values() for step in steps for key, value in step.items()]


def _untrained(plan: Plan, train: Sequence[Example], settings: EncoderSettings, base: Base) -> TrainedEncoder:
    from transformers import AutoConfig, AutoModel

    quiet_transformers()
    layout, spec = (
        layout_of(plan),
        spec_of(plan, copied_values(plan, (read(plan, one.output) for one in train))),
    )
    tokenizer = Tokenizer.from_file(str(base.folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(settings.max_tokens)
    kind = AutoConfig.from_pretrained(base.folder).model_type
    if kind != "bert":
        raise TrainingError(
            f"the base is of the {kind!r} architecture; the encoder recipe exports BERT-shaped encoders",
            place=str(base.folder),
            mend='name a base whose config.json says "model_type": "bert", e.g. MiniLM, BERT, BGE, E5 or GTE (small, base, large)',
        )
    encoder = AutoModel.from_pretrained(
        base.folder, add_pooling_layer=False, attn_implementation=attention.register()
    )
    if spec.atoms:
        tokenizer.add_special_tokens(list(PLACEHOLDERS))
        _add_placeholders(encoder, tokenizer)
    embeddings = encoder.get_input_embeddings()
    embeddings.weight.requires_grad_(settings.train_embeddings)
    _round_words(encoder)
    prepare_rounding(encoder)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = settings.encoder_dropout
        if hasattr(module, "dropout_prob"):
            module.dropout_prob = settings.encoder_dropout
    net = EncoderNet(encoder, layout, settings.dropout)
    return TrainedEncoder(
        net=net, tokenizer=tokenizer, plan=plan, layout=layout, spec=spec, base=base, settings=settings
    )


@torch.no_grad()
def _add_placeholders(encoder: Any, tokenizer: Tokenizer) -> None:
    size = max(tokenizer.get_vocab_size(), encoder.config.vocab_size)
    encoder.resize_token_embeddings(size, mean_resizing=False)
    weight = encoder.get_input_embeddings().weight
    for word, alike in _PLACEHOLDER_WORDS.items():
        known = [tokenizer.token_to_id(one) for one in alike]
        rows = [row for row in known if row is not None]
        if rows:
            weight[tokenizer.token_to_id(word)] = weight[rows].mean(0)


class _Run:
    """One training run over families of rows."""

    def __init__(
        self, trained: TrainedEncoder, train: Sequence[Example], validation: Sequence[Example], folder: Path
    ) -> None:
        self.trained, self.settings, self.folder = trained, trained.settings, folder
        self.validation = validation
        self.families = families_of(train)
        rows = max(self.settings.passes * len(self.families), self.settings.least_rows)
        self.steps = max(1, math.ceil(rows / self.settings.batch_size))
        rates = {
            "encoder": self.settings.encoder_rate, "heads": self.settings.heads_rate,
            "layer_decay": self.settings.layer_decay, "weight_decay": self.settings.weight_decay,
        }  # fmt: skip
        groups = parameter_groups(trained.net, rates)
        self.peaks = [float(group["lr"]) for group in groups]
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        self.precision = precision_of(self.settings.precision)
        self.rounds_after = min(round(self.steps * (1.0 - self.settings.rounded_share)), self.steps - 1)

    def events(self) -> Iterator[Event]:
        net = self.trained.net
        first = self._resume()
        if first:
            yield Warned(what=f"going on from step {first} of {self.steps}")
        begun, saved, losses, rows = time.monotonic(), time.monotonic(), 0.0, 0
        reported = first
        every = max(1, self.steps // 100)
        checks = {
            round(self.steps * (n + 1) / (self.settings.validations + 1))
            for n in range(self.settings.validations)
        }
        for step, chunk, lost in self._chunks(first):
            if lost:
                yield Warned(
                    what=f"{len(lost)} rows are left out: no slice spells a value", facts={"rows": lost}
                )
            if step == self.rounds_after + 1:
                self._find_ranges()
            net.train()
            losses += self._update(step, chunk)
            rows += len(chunk)
            if step % every == 0 or step == self.steps:
                spent = time.monotonic() - begun
                mean = losses / (step - reported)
                if not math.isfinite(mean):
                    raise TrainingError(
                        f"the loss is {mean} at step {step}", mend="lower encoder_rate and heads_rate"
                    )
                yield Step(
                    step=step, steps=self.steps, loss=mean, rows_per_s=rows / spent,
                    seconds_left=spent / (step - first) * (self.steps - step),
                )  # fmt: skip
                losses, reported = 0.0, step
            if (step in checks or step == self.steps) and self.validation:
                yield self._scored(step)
            if time.monotonic() - saved > self.settings.checkpoint_every_s and step < self.steps:
                self._save(step)
                saved = time.monotonic()
        net.eval()

    def _chunks(self, done: int) -> Iterator[tuple[int, list[Row], list[str]]]:
        """(step, batch, sources newly left out) of every step after `done`; each pass depends on its number only."""
        step, number, told = 0, 0, set[str]()
        sizes = self.settings.batch_size
        while step < self.steps:
            rng = random.Random(f"{self.settings.seed}-{number}")
            picked = [family[0] if number == 0 else rng.choice(family) for family in self.families]
            number += 1
            if step + math.ceil(len(picked) / sizes) <= done:
                step += math.ceil(len(picked) / sizes)
                continue
            rows, left = prepare(
                picked, self.trained.plan, self.trained.layout, self.trained.spec, self.trained.tokenizer
            )
            if not rows:
                raise TrainingError("no row can be learnt: no slice of the requests spells their values")
            lost = [one.source for one in left if one.source not in told]
            told.update(lost)
            for chunk in batches(rows, sizes, rng):
                step += 1
                if step > done:
                    yield step, chunk, lost
                    lost = []
                if step >= self.steps:
                    return

    def _update(self, step: int, chunk: Sequence[Row]) -> float:
        trained, settings = self.trained, self.settings
        warm = max(1.0, settings.warmup * self.steps)
        factor = min(1.0, step / warm) * (1.0 - (step - 1) / self.steps)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        arrays, targets, weights = tensors(chunk, trained.plan, trained.layout, trained.spec)
        with self._autocast():
            out = {name: value.float() for name, value in trained.net(**arrays).items()}
        loss = torch.zeros(len(chunk))
        for number, (heads, target) in enumerate(zip(trained.layout.groups, targets, strict=True)):
            mine = _of_group(out, number)
            loss = loss + group_loss(mine, target, heads, settings.label_smoothing)
        mean = (loss * weights).sum() / weights.sum()
        self.optimizer.zero_grad(set_to_none=True)
        mean.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained.net.parameters(), 1.0)
        self.optimizer.step()
        return float(mean.detach())

    def _find_ranges(self) -> None:
        """Fix the ranges of all layers on training rows, and let them round from here on."""
        rng = random.Random(self.settings.seed)
        families = rng.sample(self.families, min(RANGE_ROWS, len(self.families)))
        logits = logits_of(self.trained, [family[0].input for family in families])
        with ranges_found(self.trained.net.encoder):
            deque(logits, maxlen=0)
        start_rounding(self.trained.net.encoder)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast("cpu", dtype=torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def _scored(self, step: int) -> Validation:
        rows = self.validation[:: math.ceil(len(self.validation) / SCORED_ROWS)]
        answers = answer(self.trained, [row.input for row in rows])
        hits = sum(got == row.output for got, row in zip(answers, rows, strict=True))
        return Validation(step=step, exact=hits / len(rows), rows=len(rows))

    def _save(self, step: int) -> None:
        state = {
            "step": step, "steps": self.steps, "net": self.trained.net.state_dict(),
            "optimizer": self.optimizer.state_dict(), "random": torch.get_rng_state(),
        }  # fmt: skip
        save_checkpoint(self.folder, state)

    def _resume(self) -> int:
        target = self.folder / CHECKPOINT
        if not target.is_file():
            return 0
        try:
            state = torch.load(target, weights_only=True)
            if state["steps"] != self.steps:
                return 0
            self.trained.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"])
            if state["step"] > self.rounds_after:
                start_rounding(self.trained.net.encoder)
            return int(state["step"])
        except DAMAGE:
            return 0


@torch.no_grad()
def _round_words(encoder: Any) -> None:
    """Put the word embeddings on the int8 grid, so that storing them as int8 changes nothing."""
    words = encoder.get_input_embeddings().weight
    words.copy_(torch.from_numpy(rounded(words.numpy())))


def _of_group(out: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    return {name.partition(".")[2]: value for name, value in out.items() if name.startswith(f"{number}.")}


@torch.no_grad()
def logits_of(
    trained: TrainedEncoder, requests: Sequence[str], size: int = 64
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """(read request, its logits as numpy arrays) of every request, in order."""
    trained.net.eval()
    for begin in range(0, len(requests), size):
        reads = read_requests(requests[begin : begin + size], trained.tokenizer, trained.spec)
        out = {name: value.float().numpy() for name, value in trained.net(**inputs(collate(reads))).items()}
        for row, one in enumerate(reads):
            yield one, {name: value[row] for name, value in out.items()}


def answer(trained: TrainedEncoder, requests: Sequence[str]) -> list[Any]:
    """The answer to every request, None where there is no valid one."""
    decoder = Decoder(trained.plan, trained.layout, trained.spec)
    answers: list[Any] = []
    for request, (one, logits) in zip(requests, logits_of(trained, requests), strict=True):
        decoded = decoder.decode(one.grounding, logits)
        answers.append(None if decoded.reading is None else write(trained.plan, decoded.reading, request))
    return answers
