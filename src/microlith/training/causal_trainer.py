"""The trainer of the recipes full, lora and qlora: TRL's, with the loss on answers, and callbacks that make events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from microlith.errors import TrainingError
from microlith.events import Event, Step, Validation, Warned
from microlith.training.causal_rows import IGNORED, Collator, dataset_of
from microlith.training.causal_settings import CausalSettings
from microlith.training.loss_watch import LossCurve, LossLevels, findings, since_best
from microlith.training.token_rows import TokenRow

LOGGED = 100
"""Loss values that a whole run reports."""
SHARED_SAVES = 20
"""Checkpoints of a run on several GPUs, which must agree on the steps without looking at their clocks."""


class Stopped(Exception):
    """The caller closed the run; no error."""


class AnswerTrainer(SFTTrainer):
    """TRL's trainer; knows whether it is validating, counts tokens, weighs rows and writes no model card."""

    validating = False
    tokens_seen = 0
    listener: Listener

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Read the validation part; `validating` stays true when that fails."""
        self.validating = True
        found: dict[str, float] = super().evaluate(*args, **kwargs)
        self.validating = False
        return found

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """One batch forward and backward."""
        self.tokens_seen += int(inputs["attention_mask"].sum())
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)  # type: ignore[no-untyped-call]
        return loss

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean negative log-likelihood of the answers' tokens, times their rows' weights where these differ."""
        weights = inputs.pop("row_weights", None)
        if weights is None or not model.training:
            return super().compute_loss(  # type: ignore[no-untyped-call]
                model, inputs, return_outputs, num_items_in_batch
            )
        labels = inputs.pop("labels")
        logits = model(**inputs, use_cache=False).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels[:, 1:], ignore_index=IGNORED, reduction="none"
        )
        count = num_items_in_batch if num_items_in_batch is not None else (labels[:, 1:] != IGNORED).sum()
        loss = (losses * weights[:, None]).sum() / count
        return loss * (self.accelerator.num_processes if num_items_in_batch is not None else 1)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """The artifact has a card of its own."""


@dataclass(frozen=True, kw_only=True)
class TrainerPlan:
    """What a trainer is to do, beyond the settings."""

    settings: CausalSettings
    """With batch_size and accumulation as they are now."""
    evaluation_batch: int
    """Rows of the validation part that go through the model at once."""
    steps: int
    folder: Path
    """Where the checkpoints go."""
    bf16: bool
    validation_rows: int
    """Rows of the validation part that are read."""
    pad: int
    """Token that fills rows up."""


def arguments(plan: TrainerPlan, *, validated: bool) -> SFTConfig:
    """The trainer's own settings."""
    settings, cuda = plan.settings, torch.cuda.is_available()
    made = SFTConfig(
        output_dir=str(plan.folder), max_steps=plan.steps, seed=settings.seed,
        per_device_train_batch_size=settings.batch_size, per_device_eval_batch_size=plan.evaluation_batch,
        gradient_accumulation_steps=settings.accumulation, learning_rate=settings.rate,
        lr_scheduler_type=settings.schedule, warmup_steps=warmup_steps(settings, plan.steps),
        max_grad_norm=settings.clip, weight_decay=settings.weight_decay, optim=settings.optimizer,
        gradient_checkpointing=settings.gradient_checkpointing, bf16=plan.bf16, use_cpu=not cuda,
        logging_steps=max(1, plan.steps // LOGGED), logging_first_step=True, logging_nan_inf_filter=False,
        eval_strategy="steps" if validated else "no",
        eval_steps=max(1, plan.steps // max(1, settings.validations)), prediction_loss_only=True,
        save_strategy="best" if validated else "no", save_total_limit=2, load_best_model_at_end=validated,
        metric_for_best_model="eval_loss" if validated else None, greater_is_better=False if validated else None,
        report_to=[] if settings.report == "none" else [settings.report],
        disable_tqdm=True, log_level="error", log_level_replica="error", remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True}, max_length=None, dataloader_pin_memory=cuda, ddp_find_unused_parameters=False,
    )  # fmt: skip
    if made.parallel_mode.value == "not_distributed":
        made._n_gpu = (
            1  # several cards are used through `accelerate launch`, never by copying within a process
        )
    return made


def warmup_steps(settings: CausalSettings, steps: int) -> int:
    """Steps in which the rate rises: those of the settings, at most a tenth of the run."""
    return min(settings.warmup_steps, steps // 10)


def build_trainer(
    model: Any, tokenizer: Any, rows: Sequence[TokenRow], validation: Sequence[TokenRow], plan: TrainerPlan,
    listener: Listener,
) -> AnswerTrainer:  # fmt: skip
    """A trainer that reports to nothing but `listener` and where the settings say."""
    trainer = AnswerTrainer(
        model=model, args=arguments(plan, validated=bool(validation)), data_collator=Collator(pad=plan.pad),
        train_dataset=dataset_of(rows), eval_dataset=dataset_of(validation) if validation else None,
        processing_class=tokenizer, callbacks=[listener],
    )  # fmt: skip
    trainer.listener = listener
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def curve_of(history: Sequence[dict[str, Any]], steps: int) -> LossCurve:
    """The losses in a trainer's log."""
    return LossCurve(
        training=tuple((int(one["step"]), float(one["loss"])) for one in history if "loss" in one),
        validation=tuple(
            (int(one["step"]), float(one["eval_loss"])) for one in history if "eval_loss" in one
        ),
        steps=steps,
    )


@dataclass(kw_only=True)
class Listener(TrainerCallback):
    """Turns what a trainer does into events, saves by the clock, and stops it where it must."""

    plan: TrainerPlan
    put: Callable[[Event], None]
    """Takes the events; called from the trainer's thread."""
    stop: Flag
    """Set when the caller has gone."""
    told: set[str] = field(default_factory=set)
    """Kinds of findings that were told already."""
    processes: int = 1
    stopped_early: bool = False
    first: int = 0
    """Step that the attempt went on from."""
    seconds: float = 0.0
    """Time of the attempt."""
    _begun: float = 0.0
    _saved: float = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clocks."""
        self._begun = self._saved = time.monotonic()
        self.first = state.global_step

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock."""
        self.seconds = time.monotonic() - self._begun

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Between two batches of a step."""
        self._leave()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save by the clock, and validate at the end."""
        self._leave()
        last = state.global_step >= state.max_steps
        control.should_log = control.should_log or last
        control.should_evaluate = control.should_evaluate or (last and args.eval_strategy != "no")
        due = time.monotonic() - self._saved >= self.plan.settings.checkpoint_every_s
        if self.processes > 1:
            due = state.global_step % max(1, state.max_steps // SHARED_SAVES) == 0
        if due and not last:
            control.should_save = True
            self._saved = time.monotonic()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """A loss has been logged, of training or of the validation part."""
        logs = logs or {}
        curve = curve_of(state.log_history, self.plan.steps)
        if "loss" in logs:
            self.put(self._step(state, float(logs["loss"])))
        elif "eval_loss" in logs:
            loss = float(logs["eval_loss"])
            self.put(Validation(step=state.global_step, rows=self.plan.validation_rows, loss=loss))
            self._be_patient(curve, control)
        else:
            return
        self._watch(curve)

    def _step(self, state: Any, loss: float) -> Step:
        spent = max(1e-9, time.monotonic() - self._begun)
        steps = max(1, state.global_step - self.first)
        rows = steps * self.plan.settings.step_rows * self.processes
        return Step(
            step=state.global_step, steps=self.plan.steps, loss=loss, rows_per_s=rows / spent,
            seconds_left=spent / steps * (self.plan.steps - state.global_step),
        )  # fmt: skip

    def _be_patient(self, curve: LossCurve, control: Any) -> None:
        waited, patience = since_best(curve.validation), self.plan.settings.patience
        if patience and waited >= patience and curve.done < self.plan.steps:
            control.should_training_stop = True
            self.stopped_early = True
            self.put(
                Warned(
                    what=f"the validation loss has not fallen for {waited} validations: stopped at step {curve.done} of "
                    f"{self.plan.steps}, the best weights are taken",
                    facts={"step": curve.done, "steps": self.plan.steps},
                )
            )

    def _watch(self, curve: LossCurve) -> None:
        settings = self.plan.settings
        levels = LossLevels(start=settings.loss_start, target=settings.loss_target, warn=settings.loss_warn)
        for found in findings(curve, levels, rate=settings.rate):
            if found.fatal:
                raise TrainingError(found.what, mend=found.remedy)
            if found.kind not in self.told:
                self.told.add(found.kind)
                self.put(Warned(what=found.text, facts={"kind": found.kind, "step": curve.done}))

    def _leave(self) -> None:
        if self.stop.is_set():
            raise Stopped
