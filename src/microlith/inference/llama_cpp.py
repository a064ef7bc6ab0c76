"""llama.cpp in this process: the few calls of its C interface that answering needs.

The package xllamacpp carries llama.cpp, compiled, with its C functions exported. Its own Python classes run a whole
server; decisions need less and more: the logits after a prefix, and branches that share one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int8, c_int32, c_size_t, c_uint32, c_void_p
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microlith.errors import ArtifactError, MissingExtra, UsageError

BUILD = "2026.10.11549"
"""Release of xllamacpp whose structures are described here; another one is refused unless its defaults read the same."""
_SPARE = 256
"""Bytes that a later release may add to a structure without harm."""

Logits = npt.NDArray[np.float32]
_NOTHING_OPEN = "the file is closed, or was opened for its vocabulary only"


class _ModelParams(ctypes.Structure):
    _fields_ = (
        ("devices", c_void_p), ("tensor_buft_overrides", c_void_p), ("n_gpu_layers", c_int32), ("split_mode", c_int32),
        ("load_mode", c_int32), ("lazy_mode", c_int32), ("main_gpu", c_int32), ("tensor_split", c_void_p),
        ("progress_callback", c_void_p), ("progress_callback_user_data", c_void_p), ("kv_overrides", c_void_p),
        ("vocab_only", c_bool), ("check_tensors", c_bool), ("use_extra_bufts", c_bool), ("no_host", c_bool),
        ("no_alloc", c_bool), ("load_mtp", c_bool), ("spare", c_int8 * _SPARE),
    )  # fmt: skip


class _ContextParams(ctypes.Structure):
    _fields_ = (
        ("n_ctx", c_uint32), ("n_batch", c_uint32), ("n_ubatch", c_uint32), ("n_seq_max", c_uint32), ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32), ("n_outputs_max_per_seq", c_uint32), ("n_threads", c_int32), ("n_threads_batch", c_int32),
        ("ctx_type", c_int32), ("rope_scaling_type", c_int32), ("pooling_type", c_int32), ("attention_type", c_int32),
        ("flash_attn_type", c_int32), ("rope_freq_base", c_float), ("rope_freq_scale", c_float), ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float), ("yarn_beta_fast", c_float), ("yarn_beta_slow", c_float), ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float), ("cb_eval", c_void_p), ("cb_eval_user_data", c_void_p), ("type_k", c_int32),
        ("type_v", c_int32), ("abort_callback", c_void_p), ("abort_callback_data", c_void_p), ("reserved", c_void_p),
        ("embeddings", c_bool),
        ("offload_kqv", c_bool), ("no_perf", c_bool), ("op_offload", c_bool), ("swa_full", c_bool), ("kv_unified", c_bool),
        ("samplers", c_void_p), ("n_samplers", c_size_t), ("ctx_other", c_void_p), ("spare", c_int8 * _SPARE),
    )  # fmt: skip


class _Batch(ctypes.Structure):
    _fields_ = (
        ("n_tokens", c_int32), ("token", POINTER(c_int32)), ("embd", c_void_p), ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)), ("seq_id", POINTER(POINTER(c_int32))), ("logits", POINTER(c_int8)),
    )  # fmt: skip


_LOG = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
_CALLS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (_LOG, c_void_p)),
    "llama_model_default_params": (_ModelParams, ()),
    "llama_context_default_params": (_ContextParams, ()),
    "llama_model_load_from_file": (c_void_p, (c_char_p, _ModelParams)),
    "llama_model_free": (None, (c_void_p,)),
    "llama_init_from_model": (c_void_p, (c_void_p, _ContextParams)),
    "llama_free": (None, (c_void_p,)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_model_n_ctx_train": (c_int32, (c_void_p,)),
    "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
    "llama_vocab_is_eog": (c_bool, (c_void_p, c_int32)),
    "llama_tokenize": (c_int32, (c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool)),
    "llama_batch_init": (_Batch, (c_int32, c_int32, c_int32)),
    "llama_batch_free": (None, (_Batch,)),
    "llama_decode": (c_int32, (c_void_p, _Batch)),
    "llama_get_logits_ith": (c_void_p, (c_void_p, c_int32)),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_memory_clear": (None, (c_void_p, c_bool)),
    "llama_memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    "llama_model_meta_val_str": (c_int32, (c_void_p, c_char_p, c_char_p, c_size_t)),
    "llama_adapter_lora_init": (c_void_p, (c_void_p, c_char_p)),
    "llama_adapter_lora_free": (None, (c_void_p,)),
    "llama_set_adapters_lora": (c_int32, (c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_float))),
}
"""Result and arguments of every function that is called."""


@lru_cache(maxsize=1)
def _library() -> Any:
    """llama.cpp, silent and ready.

    Raises:
        MissingExtra: if xllamacpp is not installed, or its structures are other ones.
    """
    spec = find_spec("xllamacpp")
    if spec is None or spec.origin is None:
        raise MissingExtra(
            "a language model is run by xllamacpp, which is not installed",
            mend='pip install "microlith[llama]"',
        )
    files = sorted(Path(spec.origin).parent.glob("xllamacpp*.so")) or sorted(
        Path(spec.origin).parent.glob("xllamacpp*.pyd")
    )
    library: Any = ctypes.CDLL(str(files[0]))
    for name, (result, arguments) in _CALLS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.llama_log_set(_SILENT, None)
    library.llama_backend_init()
    _check_structures(library)
    return library


def _silent(level: int, text: bytes, data: int) -> None:
    """Swallow what llama.cpp would print."""


_SILENT = _LOG(_silent)


def _check_structures(library: Any) -> None:
    """Defaults that stand where they are expected show that the structures are the ones described here."""
    model, context = library.llama_model_default_params(), library.llama_context_default_params()
    found = (
        model.main_gpu, model.vocab_only, model.use_extra_bufts, context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max,
        context.rope_freq_base, context.yarn_ext_factor, context.type_k, context.type_v, context.offload_kqv, context.no_perf, context.n_samplers,
    )  # fmt: skip
    if found != (0, False, True, 512, 2048, 512, 1, 0.0, -1.0, 1, 1, True, True, 0):
        raise MissingExtra(
            f"this release of xllamacpp has other structures than {BUILD}: {found}",
            mend=f"pip install xllamacpp=={BUILD}",
        )


def _check_whole(path: Path) -> None:
    """See that the file is whole, since llama.cpp says only that it cannot load it.

    Raises:
        ArtifactError: if it is not.
        MissingExtra: if the package gguf is not installed.
    """
    try:
        from microlith.inference.gguf_file import read_gguf
    except ImportError as error:
        raise MissingExtra(
            "reading a GGUF file needs the package gguf", mend='pip install "microlith[llama]"'
        ) from error
    read_gguf(path)


class LlamaFile:
    """A GGUF file in llama.cpp with one context. Not safe to share between threads: hold a lock around calls."""

    def __init__(self, model: int, *, n_ctx: int, threads: int) -> None:
        """A loaded model; `LlamaFile.open` loads one. `n_ctx` 0 opens the vocabulary only."""
        self._library = _library()
        self._model: int = model
        self._context: int | None = None
        self._vocab = self._library.llama_model_get_vocab(model)
        self.vocabulary_size = int(self._library.llama_vocab_n_tokens(self._vocab))
        self._row = c_float * self.vocabulary_size
        self.context_tokens = n_ctx
        self._batch: _Batch | None = None
        self._held: list[int] = []
        if n_ctx:
            self._start(n_ctx, threads)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        vocab_only: bool = False,
        n_ctx: int = 512,
        threads: int = 1,
        adapter: Path | None = None,
    ) -> LlamaFile:
        """Load a GGUF file.

        Args:
            path: The file.
            vocab_only: True to tokenize only.
            n_ctx: Most tokens of prompt and answer together, at least 1.
            threads: Processor cores to compute on, at least 1.
            adapter: A LoRA adapter as GGUF to apply; None for none.

        Raises:
            ArtifactError: if the file is truncated, damaged or of an architecture that llama.cpp does not know.
            MissingExtra: if xllamacpp is not installed.
        """
        _check_whole(path)
        library = _library()
        params = library.llama_model_default_params()
        params.vocab_only, params.n_gpu_layers = vocab_only, 0
        model = library.llama_model_load_from_file(str(path).encode(), params)
        if not model:
            raise ArtifactError("llama.cpp cannot load the model", place=str(path), mend="export it again")
        made = cls(model, n_ctx=0 if vocab_only else n_ctx, threads=threads)
        if adapter is not None:
            made.apply(adapter)
        return made

    def _start(self, n_ctx: int, threads: int) -> None:
        params = self._library.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, n_ctx, min(n_ctx, 512)
        params.n_threads = params.n_threads_batch = threads
        self._context = self._library.llama_init_from_model(self._model, params)
        if not self._context:
            raise ArtifactError(
                f"llama.cpp cannot make a context of {n_ctx} tokens",
                mend="ask for fewer, or free some memory",
            )
        self._memory = self._library.llama_get_memory(self._context)
        self._batch = self._library.llama_batch_init(n_ctx, 0, 1)

    def apply(self, adapter: Path, *, scale: float = 1.0) -> None:
        """Apply a LoRA adapter to everything computed from now on; scale 0 takes it off again.

        Raises:
            ArtifactError: if it is damaged or was made for another base.
        """
        if self._context is None:
            raise UsageError(_NOTHING_OPEN)
        _check_whole(adapter)
        made = self._library.llama_adapter_lora_init(self._model, str(adapter).encode())
        if not made:
            raise ArtifactError(
                "llama.cpp cannot apply the adapter",
                place=str(adapter),
                mend="was it made for this base? export it again",
            )
        handles, scales = (c_void_p * 1)(made), (c_float * 1)(scale)
        if self._library.llama_set_adapters_lora(self._context, handles, 1, scales):
            raise ArtifactError("the adapter does not fit this model", place=str(adapter))
        self.forget(0)

    def tokenize(self, text: str, *, special: bool = False, add_special: bool = False) -> list[int]:
        """llama.cpp's own tokens of a text.

        Args:
            text: Any text.
            special: True to read spelled control tokens as such.
            add_special: True to add what the file says stands at the begin and the end of every text.

        Raises:
            UsageError: if the file is closed.
        """
        self._require_model()
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 16
        while True:
            found = (c_int32 * room)()
            count = self._library.llama_tokenize(
                self._vocab, raw, len(raw), found, room, add_special, special
            )
            if count >= 0:
                return list(found[:count])
            room = -count

    def is_end(self, token: int) -> bool:
        """Does the file name this token as an end of generation?"""
        self._require_model()
        return bool(self._library.llama_vocab_is_eog(self._vocab, token))

    def metadata(self, key: str) -> str | None:
        """A value of the file's metadata as text; None where there is none."""
        self._require_model()
        size = self._library.llama_model_meta_val_str(self._model, key.encode(), None, 0)
        if size < 0:
            return None
        found = ctypes.create_string_buffer(size + 1)
        self._library.llama_model_meta_val_str(self._model, key.encode(), found, size + 1)
        return found.value.decode("utf-8", "replace")

    def logits(self, ids: Sequence[int]) -> Logits:
        """(tokens, vocabulary) logits after each of `ids`, read from the start."""
        self.forget(0)
        return self.read(ids, 0, wanted=range(len(ids)))

    def forget(self, begin: int) -> None:
        """Drop what was read from place `begin` on; what stands before is read anew where llama.cpp drops it too.

        Raises:
            UsageError: if the file was opened for its vocabulary only, or is closed.
        """
        if self._context is None:
            raise UsageError(_NOTHING_OPEN)
        kept = self._held[:begin]
        self._held = kept
        if not kept or not self._library.llama_memory_seq_rm(self._memory, 0, begin, -1):
            self._library.llama_memory_clear(self._memory, False)
            if kept:
                self.read(kept, 0)

    def _require_model(self) -> None:
        if not self._model:
            raise UsageError("the model file is closed")

    def read(self, ids: Sequence[int], begin: int, *, wanted: Iterable[int] | None = None) -> Logits:
        """Read tokens that follow the first `begin` ones.

        Args:
            ids: The tokens, at least one; `begin` and they together at most `context_tokens`.
            begin: Tokens that were read before.
            wanted: Places in `ids` whose logits are given; None for the last alone.

        Returns:
            (wanted places, vocabulary) logits of the next token after each of them.

        Raises:
            UsageError: if they do not fit into the context, or there is none.
        """
        if self._context is None:
            raise UsageError(_NOTHING_OPEN)
        if not ids or begin + len(ids) > self.context_tokens:
            raise UsageError(f"{begin} + {len(ids)} tokens do not fit into {self.context_tokens}")
        batch = self._batch
        assert batch is not None
        places = [len(ids) - 1] if wanted is None else list(wanted)
        asked = set(places)
        batch.n_tokens = len(ids)
        for place, token in enumerate(ids):
            batch.token[place], batch.pos[place] = token, begin + place
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
            batch.logits[place] = place in asked
        code = self._library.llama_decode(self._context, batch)
        if code:
            raise ArtifactError(f"llama.cpp could not compute: code {code}")
        self._held[begin:] = ids
        found = np.empty((len(places), self.vocabulary_size), dtype=np.float32)
        for row, place in enumerate(places):
            address = self._library.llama_get_logits_ith(self._context, place)
            found[row] = np.frombuffer(memoryview(self._row.from_address(address)), dtype=np.float32)
        return found

    def close(self) -> None:
        """Free what llama.cpp holds."""
        if self._batch is not None:
            self._library.llama_batch_free(self._batch)
        if self._context is not None:
            self._library.llama_free(self._context)
        if self._model:
            self._library.llama_model_free(self._model)
        self._batch = self._context = None
        self._model = 0

    def __del__(self) -> None:
        """Free what llama.cpp holds."""
        if getattr(self, "_library", None) is not None:
            self.close()
