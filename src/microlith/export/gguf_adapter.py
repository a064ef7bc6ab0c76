"""A LoRA adapter alone as GGUF, which llama.cpp applies to the base's file while it runs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFType, GGUFWriter, Keys

from microlith.errors import ArtifactError, UsageError
from microlith.export.gguf_config import Config, read_config, read_json
from microlith.export.gguf_tensors import Planned, gguf_name, turned_heads
from microlith.export.gguf_weights import Weight, read_safetensors
from microlith.export.gguf_write import write_tensors
from microlith.inference.gguf_file import GgufFacts, read_gguf

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PART = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<half>[AB])(?:\.default)?\.weight")
_MERGE = "merge the adapter into its base and export that"


@dataclass(frozen=True, kw_only=True)
class ScaledPlan(Planned):
    """The upper half of a pair, with a scale of its own taken in."""

    scale: float = 1.0

    def rows(self, begin: int, end: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Rows `begin` to `end` (not included) as float32."""
        found = super().rows(begin, end)
        return found if self.scale == 1.0 else found * np.float32(self.scale)


def write_adapter(
    folder: Path, base: Path, target: Path, *, name: str, half_floats: bool = False
) -> GgufFacts:
    """Write a PEFT LoRA adapter as GGUF.

    Args:
        folder: Holds adapter_config.json and adapter_model.safetensors.
        base: Folder of the base; only its config.json is read.
        target: The file to write; one that is there is replaced.
        name: The adapter's name inside the file.
        half_floats: True to store float16 instead of float32.

    Raises:
        UsageError: if the base's architecture is unknown.
        ArtifactError: if the adapter is damaged, or changes what llama.cpp cannot change while it runs.
        StorageError: if the disk refuses.
    """
    config, settings = read_config(base), read_json(folder / SETTINGS)
    _require(settings, folder)
    alpha = float(settings.get("lora_alpha") or 0)
    pairs = _pairs(read_safetensors(folder / WEIGHTS), folder)
    if not pairs or alpha <= 0:
        raise ArtifactError("the adapter changes nothing", place=str(folder), mend="train it first")
    writer = GGUFWriter(None, config.architecture)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, alpha)
    writer.add_name(name)
    kind = GGMLQuantizationType.F16 if half_floats else GGMLQuantizationType.F32
    tensors = [one for module in pairs for one in _planned(config, settings, module, pairs[module], folder)]
    write_tensors(writer, target, [(one, kind) for one in tensors])
    return replace(read_gguf(target), notes=config.notes())


def _require(settings: Mapping[str, Any], folder: Path) -> None:
    place = str(folder / SETTINGS)
    if str(settings.get("peft_type", "LORA")).upper() != "LORA":
        raise UsageError(
            f"an adapter of type {settings.get('peft_type')!r} is no LoRA", place=place, mend=_MERGE
        )
    for key, harmless in (
        ("use_dora", (False, None)),
        ("bias", ("none", None)),
        ("modules_to_save", (None, [])),
    ):
        if settings.get(key) not in harmless:
            raise ArtifactError(
                f"{key} is {settings[key]!r}, which llama.cpp cannot apply while it runs",
                place=place,
                mend=_MERGE,
            )


def _pairs(weights: Mapping[str, Weight], folder: Path) -> dict[str, dict[str, Weight]]:
    """Module -> its two halves, "A" (rank, inputs) and "B" (outputs, rank)."""
    found: dict[str, dict[str, Weight]] = {}
    for name, weight in weights.items():
        if ".base_layer." in name:
            continue  # peft stores the base's own output beside an adapter of it
        part = _PART.fullmatch(name)
        if part is None:
            raise ArtifactError(
                f"{name} is no half of a LoRA pair, so llama.cpp cannot apply it while it runs",
                place=str(folder / WEIGHTS), mend=_MERGE,
            )  # fmt: skip
        found.setdefault(part["module"], {})[part["half"]] = weight
    for module, halves in found.items():
        if len(halves) != 2 or halves["A"].shape[:1] != halves["B"].shape[1:]:
            raise ArtifactError(f"the halves of {module} do not fit", place=str(folder / WEIGHTS))
    return found


def _planned(
    config: Config, settings: Mapping[str, Any], module: str, halves: Mapping[str, Weight], folder: Path
) -> Iterator[Planned]:
    target = gguf_name(config, f"{module}.weight")
    tied_output = config.tied and target == "output.weight"
    if target is None or tied_output or target == "token_embd.weight":
        raise ArtifactError(
            f"the adapter changes {module}, which llama.cpp cannot change while it runs",
            place=str(folder),
            mend=_MERGE,
        )
    lower, upper = halves["A"], halves["B"]
    yield Planned(name=f"{target}.lora_a", shape=lower.shape, weight=lower)
    yield ScaledPlan(
        name=f"{target}.lora_b", shape=upper.shape, weight=upper, heads=turned_heads(config, target),
        scale=_own_scale(settings, module, rank=lower.shape[0]),
    )  # fmt: skip


def _own_scale(settings: Mapping[str, Any], module: str, *, rank: int) -> float:
    """What PEFT scales this module by, over what llama.cpp does (alpha / rank); 1 for an ordinary LoRA."""
    alpha = float(settings["lora_alpha"])
    own = next(
        (
            float(value)
            for key, value in (settings.get("alpha_pattern") or {}).items()
            if _matches(key, module)
        ),
        alpha,
    )
    scale = own / math.sqrt(rank) if settings.get("use_rslora") else own / rank
    return scale / (alpha / rank)


def _matches(pattern: str, module: str) -> bool:
    """Does a key of PEFT's `alpha_pattern` name this module? Its end, or all of it, as a regular expression."""
    return re.fullmatch(rf"(.*\.)?({pattern})", module) is not None
