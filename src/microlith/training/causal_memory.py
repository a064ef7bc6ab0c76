"""Memory, disk and time that a fine-tuning takes, beside what the machine has: told before it starts."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from microlith.errors import TrainingError
from microlith.training.causal_presets import PRESETS
from microlith.training.causal_settings import ALL_LINEAR, CausalSettings
from microlith.training.processor import computes_bf16

GB = 1e9
"""Bytes of a gigabyte, as memory is told."""
BATCH_SETTINGS = ("batch_size", "accumulation")
CUDA_RUNTIME_BYTES = int(0.7 * GB)
"""The CUDA context and the libraries' kernels on the card."""
CPU_RUNTIME_BYTES = int(1.1 * GB)
"""Buffers of the libraries beyond what the process holds already."""
CPU_SPREAD = 1.5
"""Times the activations that a processor's allocator holds: it gives freed pieces back late. Measured: a model of
SmolLM2-135M's shape took 0.79 to 0.99 times its estimate (full, lora, lora without gradient checkpointing), the mapped
file of the weights not counted."""
LOGIT_TOKENS = 1024
"""Tokens whose word probabilities are held at once; only those of answers are computed."""
REACHED_SHARE = {"cuda": 0.35, "cpu": 0.4}
"""Share of the speed of a large matrix product that a whole training step reaches; stated."""
CHECKPOINTS_KEPT = 3
"""The best, the last, and the next while it is written."""


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of a transformer."""

    parameters: int
    layers: int
    hidden: int
    inner: int
    """Width inside the feed-forward part."""
    queries: int
    """Query heads times their width."""
    keys: int
    """Key heads times their width."""
    vocabulary: int
    tied: bool
    """Do the words' embeddings also give the output?"""

    @property
    def products(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of every linear layer of a block; fused ones are split."""
        hidden, inner = self.hidden, self.inner
        return {
            "q_proj": (hidden, self.queries), "k_proj": (hidden, self.keys), "v_proj": (hidden, self.keys),
            "o_proj": (self.queries, hidden), "gate_proj": (hidden, inner), "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }  # fmt: skip

    @property
    def linear(self) -> int:
        """Weights in the linear layers of all blocks."""
        return self.layers * sum(read * written for read, written in self.products.values())


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is learnt, in tokens."""

    rows: int
    tokens: int
    """Of all rows together."""
    longest: int
    """Of the longest row."""
    validation_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What there is to compute on."""

    device: str
    """"cuda" or "cpu"."""
    memory_bytes: int
    """Free memory of the GPU, or of the machine."""
    disk_bytes: int
    """Free on the disk of the run."""
    flops_per_s: float
    """Speed of a large matrix product in the precision of the run."""
    bf16: bool
    """Does it compute in bf16?"""
    measured: bool = True
    """Was the speed measured, or is it stated?"""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Bytes at the peak, bytes on disk and seconds."""

    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    runtime_bytes: int
    available_bytes: int
    disk_bytes: int
    disk_available_bytes: int
    trainable: int
    """Weights that move."""
    seconds: float
    measured: bool
    """Do the seconds come from a measured speed?"""

    @property
    def total_bytes(self) -> int:
        """Memory in all."""
        parts = (self.weights_bytes, self.gradients_bytes, self.optimizer_bytes, self.activations_bytes)
        return sum(parts) + self.runtime_bytes

    @property
    def fits(self) -> bool:
        """Memory and disk are enough."""
        return self.total_bytes <= self.available_bytes and self.disk_bytes <= self.disk_available_bytes

    @property
    def text(self) -> str:
        """The estimate in a line."""
        return (
            f"about {_gb(self.total_bytes)} of memory (weights {_gb(self.weights_bytes)}, gradients "
            f"{_gb(self.gradients_bytes)}, optimiser {_gb(self.optimizer_bytes)}, activations "
            f"{_gb(self.activations_bytes)}, libraries {_gb(self.runtime_bytes)}) of {_gb(self.available_bytes)} free, "
            f"{_gb(self.disk_bytes)} of disk of {_gb(self.disk_available_bytes)} free, "
            f"and {_duration(self.seconds)} at {'a measured' if self.measured else 'the stated'} speed"
        )


def shape_of(config: Mapping[str, Any], parameters: int) -> ModelShape:
    """The sizes that a config.json tells; absent ones are taken as in most models."""
    hidden = int(config.get("hidden_size") or config.get("n_embd") or 0)
    heads = int(config.get("num_attention_heads") or config.get("n_head") or 1)
    width = int(config.get("head_dim") or hidden // heads)
    return ModelShape(
        parameters=parameters, layers=int(config.get("num_hidden_layers") or config.get("n_layer") or 1),
        hidden=hidden, inner=int(config.get("intermediate_size") or config.get("n_inner") or 4 * hidden),
        queries=heads * width, keys=int(config.get("num_key_value_heads") or heads) * width,
        vocabulary=int(config.get("vocab_size") or 0), tied=bool(config.get("tie_word_embeddings", True)),
    )  # fmt: skip


def estimate(shape: ModelShape, settings: CausalSettings, work: Workload, machine: Machine) -> Estimate:
    """What a run takes on `machine`.

    Weights: full 4 bytes each (and 2 for the copies that bf16 computes with), lora 2 (4 without bf16), qlora 4 bits
    and their scales (Dettmers et al. 2023, "QLoRA", section 3) with embeddings at 2 bytes. Gradients 4 bytes and
    AdamW 8 bytes (2 in 8 bits) for each weight that moves.
    """
    bf16 = machine.bf16 and settings.precision != "float32"
    moving = shape.parameters if settings.recipe == "full" else adapter_weights(shape, settings)
    each = 2 if settings.optimizer == "adamw_8bit" and machine.device == "cuda" else 8
    spread = CPU_SPREAD if machine.device == "cpu" else 1.0
    copies = 12 * moving if settings.recipe == "full" else 12 * moving + 2 * shape.parameters // 100
    return Estimate(
        weights_bytes=_weights_bytes(shape, settings, moving, bf16=bf16),
        gradients_bytes=4 * moving, optimizer_bytes=each * moving,
        activations_bytes=int(spread * _activations_bytes(shape, settings, work, bf16=bf16)),
        runtime_bytes=CUDA_RUNTIME_BYTES if machine.device == "cuda" else CPU_RUNTIME_BYTES,
        available_bytes=machine.memory_bytes, disk_bytes=CHECKPOINTS_KEPT * copies + 2 * shape.parameters,
        disk_available_bytes=machine.disk_bytes, trainable=moving,
        seconds=_flops(shape, settings, work) / (machine.flops_per_s * REACHED_SHARE[machine.device]),
        measured=machine.measured,
    )  # fmt: skip


def adapter_weights(shape: ModelShape, settings: CausalSettings) -> int:
    """Weights of the adapters: rank times inputs and outputs of every layer that has one."""
    return shape.layers * settings.rank * sum(read + written for read, written in _adapted(shape, settings))


def _adapted(shape: ModelShape, settings: CausalSettings) -> list[tuple[int, int]]:
    """(inputs, outputs) of the adapted layers of a block, fused ones as one."""
    hidden, fused = shape.hidden, shape.products
    fused["qkv_proj"] = (hidden, shape.queries + 2 * shape.keys)
    fused["gate_up_proj"] = (hidden, 2 * shape.inner)
    if settings.targets == ALL_LINEAR:
        return list(shape.products.values())
    return [fused[name.strip()] for name in settings.targets.split(",") if name.strip() in fused]


def _weights_bytes(shape: ModelShape, settings: CausalSettings, moving: int, *, bf16: bool) -> int:
    if settings.recipe == "full":
        return (6 if bf16 else 4) * shape.parameters
    if settings.recipe == "lora":
        return (2 if bf16 else 4) * shape.parameters + 4 * moving
    scale_bits = 8 / 64 + 32 / (64 * 256) if settings.double_quant else 32 / 64
    rest = max(0, shape.parameters - shape.linear)
    return math.ceil(shape.linear * (4 + scale_bits) / 8) + 2 * rest + 2 * moving


def _activations_bytes(shape: ModelShape, settings: CausalSettings, work: Workload, *, bf16: bool) -> int:
    """What the backward pass needs of the forward pass, counted layer by layer; attention keeps no matrix of scores."""
    each = 2 if bf16 else 4
    tokens = settings.batch_size * min(work.longest, settings.max_tokens)
    block = (
        each * (5 * shape.hidden + 2 * shape.queries + 2 * shape.keys + 4 * shape.inner) + 8 * shape.hidden
    )
    if settings.recipe != "full" and settings.dropout > 0:
        block += (each + 1) * sum(read for read, _ in _adapted(shape, settings))
    kept = (
        each * shape.hidden * shape.layers + block
        if settings.gradient_checkpointing
        else block * shape.layers
    )
    return tokens * kept + 3 * 4 * shape.vocabulary * min(tokens, LOGIT_TOKENS)


def _flops(shape: ModelShape, settings: CausalSettings, work: Workload) -> float:
    """Floating point operations of the run: 2 a weight forward, 2 for inputs' and 2 for weights' gradients."""
    factor = 2 + 2 + (2 if settings.recipe == "full" else 0) + (2 if settings.gradient_checkpointing else 0)
    validated = 2.0 * settings.validations * work.validation_tokens
    return shape.parameters * (factor * settings.passes * work.tokens + validated)


def require_fit(shape: ModelShape, settings: CausalSettings, work: Workload, machine: Machine) -> Estimate:
    """The estimate, if the machine has what it takes.

    Raises:
        TrainingError: with the numbers and the setting that would fit.
    """
    found = estimate(shape, settings, work, machine)
    if found.disk_bytes > found.disk_available_bytes:
        raise TrainingError(
            f"the run needs {found.text}",
            mend=f"free {_gb(found.disk_bytes - found.disk_available_bytes)} of disk",
        )
    if found.fits:
        return found
    raise TrainingError(f"the run needs {found.text}", mend=_what_fits(shape, settings, work, machine))


def _what_fits(shape: ModelShape, settings: CausalSettings, work: Workload, machine: Machine) -> str:
    for changed in _smaller(settings, machine):
        found = estimate(shape, changed, work, machine)
        if found.fits:
            return f"{_difference(settings, changed)} fits, with about {_gb(found.total_bytes)}"
    least = estimate(shape, list(_smaller(settings, machine))[-1], work, machine)
    share = 0.8 * machine.memory_bytes / least.total_bytes  # other bases have other words and widths
    bases = [one for one in PRESETS.values() if one.parameters < share * shape.parameters]
    best = max(bases, key=lambda one: one.parameters, default=None)
    return (
        f"take a smaller base, e.g. base={best.alias}" if best else "take the recipe scratch, or more memory"
    )


def _smaller(settings: CausalSettings, machine: Machine) -> Iterator[CausalSettings]:
    """Settings that take less memory, the gentlest first."""
    yield replace(settings, gradient_checkpointing=True)
    single = replace(settings, gradient_checkpointing=True, batch_size=1, accumulation=settings.step_rows)
    yield single
    cuda = machine.device == "cuda"
    if cuda:
        yield replace(single, optimizer="adamw_8bit")
    recipes = ("full", "lora", "qlora")
    for recipe in recipes[recipes.index(settings.recipe) + 1 :]:
        if recipe == "lora" or cuda:
            yield replace(settings, recipe=recipe, gradient_checkpointing=True)
            yield replace(single, recipe=recipe)


def _difference(settings: CausalSettings, changed: CausalSettings) -> str:
    names = ("recipe", *BATCH_SETTINGS, "gradient_checkpointing", "optimizer")
    pairs = [
        (name, getattr(changed, name)) for name in names if getattr(settings, name) != getattr(changed, name)
    ]
    return " ".join(f"{name}={str(value).lower()}" for name, value in pairs)


def machine_now(folder: Path, *, precision: str = "auto") -> Machine:
    """What this machine has free at the moment; a matrix product of a tenth of a second tells its speed.

    Args:
        folder: Existing folder on the disk of the run.
        precision: "auto", "bf16" or "float32".
    """
    import torch

    cuda = torch.cuda.is_available()
    able = torch.cuda.is_bf16_supported() if cuda else computes_bf16()
    bf16 = precision == "bf16" or (precision == "auto" and able)
    return Machine(
        device="cuda" if cuda else "cpu",
        memory_bytes=int(torch.cuda.mem_get_info()[0]) if cuda else free_memory(),
        disk_bytes=shutil.disk_usage(folder).free,
        flops_per_s=_measured_flops("cuda" if cuda else "cpu", bf16=bf16), bf16=bf16,
    )  # fmt: skip


def free_memory() -> int:
    """Bytes of memory that this process may still take: the system's, or its control group's if that is less."""
    free = _system_memory()
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return free
    return free if limit == "max" else max(0, min(free, int(limit) - used))


def _system_memory() -> int:
    """Memory that the system can hand out; where it does not say, all that is built in."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        return int(text.partition("MemAvailable:")[2].split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _measured_flops(device: str, *, bf16: bool, seconds: float = 0.1) -> float:
    import torch

    size = 4096 if device == "cuda" else 768
    matrix = torch.ones(size, size, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    wait = torch.cuda.synchronize if device == "cuda" else _nothing
    torch.mm(matrix, matrix)
    wait()
    begun, products = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        torch.mm(matrix, matrix)
        wait()
        products += 1
    return products * 2.0 * size**3 / (time.perf_counter() - begun)


def _nothing() -> None:
    """A processor has nothing to wait for."""


def _gb(size: int) -> str:
    return f"{size / GB:.1f} GB" if size >= GB / 10 else f"{size / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
