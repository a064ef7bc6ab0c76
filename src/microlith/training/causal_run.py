"""One fine-tuning as attempts of a trainer in a thread: each goes on from the last checkpoint with a smaller batch."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
import warnings
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import Any

import torch

from microlith.errors import MicrolithError, StorageError, TrainingError, first_line
from microlith.events import Event, Warned
from microlith.inference.cores import usable_cores
from microlith.training import causal_load
from microlith.training.causal_base import CausalBase
from microlith.training.causal_checkpoints import (
    CHECKPOINTS,
    Batches,
    drop_all,
    drop_damaged,
    fingerprint,
    known_batches,
    last_checkpoint,
    record,
)
from microlith.training.causal_merge import merge_adapter, write_full
from microlith.training.causal_prepare import Prepared, is_first, pad_of, processes
from microlith.training.causal_trainer import (
    Listener,
    Stopped,
    TrainerPlan,
    build_trainer,
    curve_of,
    warmup_steps,
)
from microlith.training.loss_watch import LossLevels, findings
from microlith.training.quiet import quiet_transformers

MERGED, ADAPTER = "merged", "adapter"
"""Folders inside a run's folder."""


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """What the trainer's thread says last."""

    trainer: Any = None
    """The trainer, where it has finished."""
    error: BaseException | None = None
    """What went wrong; None for memory that ran out, since the error would keep the memory."""
    validating: bool = False
    """Did memory run out in a validation?"""
    reason: str = ""


_Heard = SimpleQueue[Event | _Ended]


@dataclass(kw_only=True)
class CausalRun:
    """A run: as many attempts as memory asks for."""

    base: CausalBase
    prepared: Prepared
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    """What the run has shown, once it is over."""
    trainer: Any = None
    """The trainer of the attempt that finished."""
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Take over the batches of a killed run, or begin anew."""
        settings = self.settings = self.prepared.settings
        self.checkpoints = self.folder / CHECKPOINTS
        self.fingerprint = fingerprint(self.base, settings, self.prepared.rows)
        batches = ceil(len(self.prepared.rows) / (settings.batch_size * processes()))
        self.steps = max(1, ceil(settings.passes * ceil(batches / settings.accumulation)))
        size = settings.batch_size
        fresh = Batches(batch_size=size, accumulation=settings.accumulation, evaluation_batch=size)
        known = known_batches(self.checkpoints, self.fingerprint)
        self.goes_on = known is not None
        if known is None and is_first():
            drop_all(self.checkpoints)
        self._take(known or fresh)

    def _take(self, batches: Batches) -> None:
        self.batches = batches
        self.settings = replace(
            self.settings, batch_size=batches.batch_size, accumulation=batches.accumulation
        )

    def events(self) -> Generator[Event, None, None]:
        """Train until it is done."""
        begun = time.monotonic()
        while self.trainer is None:
            if is_first():
                record(self.checkpoints, self.fingerprint, self.batches)
                drop_damaged(self.checkpoints)
            found = last_checkpoint(self.checkpoints) if self.goes_on else None
            step, checkpoint = found or (0, None)
            self.goes_on = True
            yield from self._start_notes(step)
            ended = yield from self._attempt(checkpoint)
            if ended.error is not None:
                raise _wrapped(ended.error, self.checkpoints)
            self.trainer = ended.trainer
            if self.trainer is None:
                yield self._shrunk(ended)
        self._note(time.monotonic() - begun)
        yield from self._last_findings()

    def _start_notes(self, done: int) -> list[Event]:
        if done:
            return [Warned(what=f"going on from step {done} of {self.steps}")]
        taken, wanted = warmup_steps(self.settings, self.steps), self.settings.warmup_steps
        said = f"the run has {self.steps} steps: the rate rises in {taken} of them instead of {wanted}"
        return [] if taken == wanted else [Warned(what=said)]

    def _attempt(self, checkpoint: Path | None) -> Generator[Event, None, _Ended]:
        """Train in a thread, from `checkpoint` on; an event that the thread puts is yielded here."""
        heard: _Heard = SimpleQueue()
        stop = Flag()
        thread = Thread(target=self._work, args=(checkpoint, heard, stop), name="trainer", daemon=True)
        thread.start()
        try:
            while not isinstance(one := heard.get(), _Ended):
                yield one
            return one
        finally:
            stop.set()
            thread.join()

    def _work(self, checkpoint: Path | None, heard: _Heard, stop: Flag) -> None:
        """The trainer's thread; says how it ended as its last word, whatever happens."""
        trainer, ended = None, _Ended()
        try:
            torch.set_num_threads(self.settings.threads or usable_cores())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trainer = self._trainer(heard, stop)
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            ended = _Ended(trainer=trainer)
        except Stopped:
            pass
        except BaseException as error:  # also what a library raises to end the process: nothing may be lost
            memory = trainer is not None and is_out_of_memory(error)
            ended = _Ended(
                error=None if memory else error,
                validating=bool(memory and trainer and trainer.validating),
                reason=first_line(error),
            )
        finally:
            heard.put(ended)

    def _trainer(self, heard: _Heard, stop: Flag) -> Any:
        quiet_transformers()
        if self.settings.report == "tensorboard":
            os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(self.folder / "curves"))
        bf16 = self.prepared.machine.bf16
        plan = TrainerPlan(
            settings=self.settings, evaluation_batch=self.batches.evaluation_batch, steps=self.steps,
            folder=self.checkpoints, bf16=bf16, pad=pad_of(self.base), validation_rows=len(self.prepared.validation),
        )  # fmt: skip
        listener = Listener(plan=plan, put=heard.put, stop=stop, told=self._told, processes=processes())
        model = causal_load.load_model(self.base, self.settings, bf16=bf16)
        rows, validation = self.prepared.rows, self.prepared.validation
        return build_trainer(model, self.base.tokenizer, rows, validation, plan, listener)

    def _note(self, seconds: float) -> None:
        """Keep what the run has shown."""
        state, listener = self.trainer.state, self.trainer.listener
        self.curve = curve_of(state.log_history, self.steps)
        self.facts = {
            "loss": [list(point) for point in self.curve.training],
            "validation_loss": [list(point) for point in self.curve.validation],
            "steps": int(state.global_step), "steps_planned": self.steps, "resumed_from": listener.first,
            "stopped_early": listener.stopped_early, "best_step": state.best_global_step,
            "tokens_per_s": self.trainer.tokens_seen * processes() / max(1e-9, listener.seconds),
            "peak_memory_bytes": peak_memory(), "processes": processes(), "device": self.prepared.machine.device,
            "bf16": self.prepared.machine.bf16, "rows": len(self.prepared.rows), "seconds": seconds,
            "left_out": self.prepared.left_out, "trainable": self.prepared.needs.trainable,
            "estimate": self.prepared.needs.text,
        }  # fmt: skip

    def _last_findings(self) -> list[Event]:
        """What the level of the last losses says of a run that ended early; one that did not has told already."""
        settings = self.settings
        levels = LossLevels(start=settings.loss_start, target=settings.loss_target, warn=settings.loss_warn)
        found = findings(replace(self.curve, steps=self.curve.done), levels, rate=settings.rate)
        return [
            Warned(what=one.text, facts={"kind": one.kind}) for one in found if one.kind not in self._told
        ]

    def _shrunk(self, ended: _Ended) -> Event:
        """Halve the batch that memory ran out at; its rows stay a step's.

        Raises:
            TrainingError: at a batch of 1, or on several GPUs.
        """
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        batches = self.batches
        size = batches.evaluation_batch if ended.validating else batches.batch_size
        where = "validation" if ended.validating else "training"
        if size == 1 or processes() > 1:
            raise TrainingError(
                f"memory ran out in {where} at a batch of {size}: {ended.reason}",
                mend=self._less_memory()
                if size == 1
                else f"batch_size={size // 2} accumulation={2 * batches.accumulation}",
            )
        if ended.validating:
            self._take(replace(batches, evaluation_batch=size // 2))
        else:
            accumulation = ceil(size * batches.accumulation / (size // 2))
            self._take(replace(batches, batch_size=size // 2, accumulation=accumulation))
        return Warned(
            what=f"memory ran out in {where} at a batch of {size}: going on with {size // 2}",
            facts={"batch_size": self.batches.batch_size, "accumulation": self.batches.accumulation},
        )

    def _less_memory(self) -> str:
        settings = self.settings
        if not settings.gradient_checkpointing:
            return "gradient_checkpointing=true"
        longest = max(len(row.ids) for row in self.prepared.rows)
        recipes = "a smaller base" if settings.recipe != "full" else "recipe=lora"
        return f"take {recipes}, or a max_tokens below {longest}, the length of the longest row"

    def write(self) -> Path | None:
        """Write weights and adapter, from the first process, and let go of the trainer; returns the adapter's folder."""
        adapter = None if self.settings.recipe == "full" else self.folder / ADAPTER
        accelerator = self.trainer.accelerator
        model = accelerator.unwrap_model(self.trainer.model)
        self.trainer = None
        accelerator.free_memory()
        if is_first():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                shutil.rmtree(self.folder / ADAPTER, ignore_errors=True)
                if adapter is None:
                    write_full(self.base, model, self.folder / MERGED)
                else:
                    self._write_adapter(model, adapter)
                    del model
                    gc.collect()
                    merge_adapter(self.base, adapter, self.folder / MERGED)
            drop_all(self.checkpoints)
        accelerator.wait_for_everyone()
        return adapter

    def _write_adapter(self, model: Any, adapter: Path) -> None:
        for config in model.peft_config.values():
            config.base_model_name_or_path = self.base.name
        try:
            model.save_pretrained(adapter, save_embedding_layers=False)
        except OSError as error:
            raise StorageError(
                f"the adapter cannot be written: {error}", place=str(adapter), mend="free some disk"
            ) from error


def peak_memory() -> int:
    """Most bytes held so far: on the card, else by this process; 0 where the system does not say."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if find_spec("resource") is None:
        return 0
    resource = import_module("resource")
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def is_out_of_memory(error: BaseException) -> bool:
    """Did memory run out, on a card or in the machine?"""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "DefaultCPUAllocator" in text)


def _wrapped(error: BaseException, place: Path) -> BaseException:
    """An error of the thread as one of Microlith's where it is the disk's or the library's."""
    if isinstance(error, MicrolithError) or not isinstance(error, Exception):
        return error
    reason = first_line(error)
    if isinstance(error, OSError):
        wrapped: MicrolithError = StorageError(
            f"the checkpoint cannot be written: {reason}", place=str(place), mend="free some disk"
        )
    elif is_out_of_memory(error):
        wrapped = TrainingError(
            f"memory ran out while the base was loaded: {reason}", mend="take a smaller base"
        )
    else:
        wrapped = TrainingError(f"the trainer failed with {type(error).__name__}: {reason}")
    wrapped.__cause__ = error
    return wrapped
