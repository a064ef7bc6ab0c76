"""A trained model in torch, asked as llama.cpp is: what an exported file is held against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from microlith.errors import UsageError
from microlith.training.quiet import quiet_transformers


class TorchFile:
    """The reference for `microlith.inference.llama_cpp.LlamaFile`: the same calls, computed in float32 by transformers."""

    def __init__(self, folder: Path, *, n_ctx: int) -> None:
        """Load a model from config.json and safetensors; `n_ctx` is the most tokens of prompt and answer."""
        from transformers import AutoModelForCausalLM

        quiet_transformers()
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model = model.eval()
        self.vocabulary_size = int(self._model.config.get_text_config().vocab_size)
        self.context_tokens = n_ctx
        self._cache: Any = None
        self._held: list[int] = []

    def forget(self, begin: int) -> None:
        """Drop what was read from place `begin` on; what stands before is read anew where the cache cannot go back."""
        kept = self._held[:begin]
        if len(kept) == len(self._held):
            return
        dropped = len(self._held) - len(kept)
        self._held = kept
        try:
            if kept:
                self._cache.crop(-dropped)
                return
        except (RuntimeError, ValueError):  # a sliding window has lost what stood before it
            pass
        self._cache, self._held = None, []
        if kept:
            self.read(kept, 0)

    @torch.no_grad()
    def read(
        self, ids: Sequence[int], begin: int, *, wanted: Iterable[int] | None = None
    ) -> npt.NDArray[np.float32]:
        """Read tokens that follow the first `begin` ones; see `LlamaFile.read`."""
        if not ids or begin + len(ids) > self.context_tokens:
            raise UsageError(f"{begin} + {len(ids)} tokens do not fit into {self.context_tokens}")
        found = self._model(input_ids=torch.tensor([list(ids)]), past_key_values=self._cache, use_cache=True)
        self._cache = found.past_key_values
        self._held[begin:] = ids
        places = [len(ids) - 1] if wanted is None else list(wanted)
        return np.asarray(found.logits[0, places].float().numpy(), dtype=np.float32)
