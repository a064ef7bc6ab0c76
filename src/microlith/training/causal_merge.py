"""Writing a fine-tuned model as 16-bit weights: tensor by tensor, so that memory holds one shard at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from microlith.errors import StorageError
from microlith.training.causal_base import CausalBase

SHARD_BYTES = 2_000_000_000
"""Weights in one file, and in memory while they are written."""
_PEFT = "base_model.model."
"""What peft puts before the names of the model's layers."""


def merge_adapter(base: CausalBase, adapter: Path, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write the base's weights with the adapter added in, with config and tokenizer.

    Args:
        base: The base that the adapter was trained beside.
        adapter: Folder that peft wrote.
        folder: Folder to write; what is in it is taken away.
        shard_bytes: Weights in one file.

    Raises:
        StorageError: if the disk refuses.
    """
    deltas = _deltas(adapter)
    with _written(folder):
        if all(file.suffix == ".safetensors" for file in base.weights) and set(deltas) <= _names(base):
            _stream(base, deltas, folder, shard_bytes)
        else:
            _merge_loaded(base, adapter, folder, shard_bytes)
        write_companions(base, folder)


def write_full(base: CausalBase, model: Any, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Write all weights of a trained model in 16 bits, with config and tokenizer; changes `model`'s type.

    Raises:
        StorageError: if the disk refuses.
    """
    with _written(folder):
        model.to(sixteen_bits(base)).save_pretrained(folder, max_shard_size=shard_bytes)
        write_companions(base, folder)


def write_companions(base: CausalBase, folder: Path) -> None:
    """Put the base's own config (with the type of the weights) and its tokenizer beside the weights."""
    kind = str(sixteen_bits(base)).removeprefix("torch.")
    config = {
        name: value
        for name, value in base.config.items()
        if name not in ("torch_dtype", "quantization_config")
    }
    text = json.dumps({**config, "dtype": kind}, indent=2, ensure_ascii=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    if (base.folder / "generation_config.json").is_file():
        shutil.copyfile(base.folder / "generation_config.json", folder / "generation_config.json")
    base.tokenizer.save_pretrained(folder)
    for name in ("tokenizer.model", "LICENSE", "LICENSE.txt", "NOTICE"):
        if (base.folder / name).is_file():
            shutil.copyfile(base.folder / name, folder / name)


def sixteen_bits(base: CausalBase) -> torch.dtype:
    """float16 for a base that has it, else bfloat16."""
    kind = base.config.get("dtype") or base.config.get("torch_dtype")
    return torch.float16 if kind == "float16" else torch.bfloat16


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    """A folder, new and empty; a refusal of the disk becomes a StorageError."""
    from safetensors import SafetensorError

    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"the weights cannot be written: {error}", place=str(folder), mend="free some disk"
        ) from error


@dataclass(frozen=True, kw_only=True)
class _Delta:
    """What an adapter adds to a matrix: `scale * up @ down`."""

    down: Tensor
    """(rank, inputs)."""
    up: Tensor
    """(outputs, rank)."""
    scale: float

    def added_to(self, weight: Tensor) -> Tensor:
        """(outputs, inputs) in float32."""
        return torch.addmm(weight.float(), self.up.float(), self.down.float(), alpha=self.scale)


def _deltas(adapter: Path) -> dict[str, _Delta]:
    """Name of the base's tensor -> what is added to it."""
    from safetensors.torch import load_file

    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    scale = float(config["lora_alpha"]) / float(config["r"])
    held = load_file(adapter / "adapter_model.safetensors")
    ending = ".lora_A.weight"
    layers = [name.removesuffix(ending) for name in held if name.endswith(ending)]
    return {
        f"{layer.removeprefix(_PEFT)}.weight": _Delta(
            down=held[f"{layer}.lora_A.weight"], up=held[f"{layer}.lora_B.weight"], scale=scale
        )
        for layer in layers
    }


def _names(base: CausalBase) -> set[str]:
    from safetensors import safe_open

    names: set[str] = set()
    for file in base.weights:
        with safe_open(file, framework="pt") as opened:
            names.update(opened.keys())
    return names


def _tensors(base: CausalBase) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of all weights, one in memory at a time."""
    from safetensors import safe_open

    for file in base.weights:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                yield name, opened.get_tensor(name)


def _stream(base: CausalBase, deltas: Mapping[str, _Delta], folder: Path, shard_bytes: int) -> None:
    shards, kind = _Shards(folder=folder, shard_bytes=shard_bytes), sixteen_bits(base)
    for name, weight in _tensors(base):
        whole = deltas[name].added_to(weight) if name in deltas else weight
        shards.add(name, whole.to(kind) if whole.is_floating_point() else whole)
    shards.close()


@dataclass(kw_only=True)
class _Shards:
    """Collects tensors and writes them in files of a size, then the index where there are several."""

    folder: Path
    shard_bytes: int
    held: dict[str, Tensor] = field(default_factory=dict)
    held_bytes: int = 0
    total_bytes: int = 0
    files: list[list[str]] = field(default_factory=list)

    def add(self, name: str, tensor: Tensor) -> None:
        """Take one tensor; writes a file when it would grow too large."""
        size = tensor.numel() * tensor.element_size()
        if self.held and self.held_bytes + size > self.shard_bytes:
            self._write()
        self.held[name] = tensor.contiguous()
        self.held_bytes += size
        self.total_bytes += size

    def close(self) -> None:
        """Write what is left, name the files as transformers does, and write the index."""
        self._write()
        count = len(self.files)
        if count == 1:
            (self.folder / "part-1").rename(self.folder / "model.safetensors")
            return
        placed: dict[str, str] = {}
        for number, names in enumerate(self.files, start=1):
            file = f"model-{number:05d}-of-{count:05d}.safetensors"
            (self.folder / f"part-{number}").rename(self.folder / file)
            placed.update(dict.fromkeys(names, file))
        index = {"metadata": {"total_size": self.total_bytes}, "weight_map": placed}
        (self.folder / "model.safetensors.index.json").write_text(
            json.dumps(index, indent=2), encoding="utf-8"
        )

    def _write(self) -> None:
        from safetensors.torch import save_file

        if self.held:
            self.files.append(list(self.held))
            save_file(self.held, self.folder / f"part-{len(self.files)}", metadata={"format": "pt"})
            self.held, self.held_bytes = {}, 0


def _merge_loaded(base: CausalBase, adapter: Path, folder: Path, shard_bytes: int) -> None:
    """The way for weights that are named otherwise in the file than in the model: the whole model in memory."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=sixteen_bits(base), local_files_only=True)
    merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    merged.save_pretrained(folder, max_shard_size=shard_bytes)
