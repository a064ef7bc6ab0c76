"""Write a model of a Hugging Face folder as one GGUF file that llama.cpp runs.

Tensors are made and written a block of rows at a time, so that memory does not grow with the model. The file appears under
its name only when it is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, GGUFType, GGUFWriter, LlamaFileType, size_label
from gguf.quants import quantize

from microlith.errors import ArtifactError, StorageError, UsageError
from microlith.export.gguf_config import Config, add_config, read_config
from microlith.export.gguf_tensors import Planned, plan_tensors
from microlith.export.gguf_vocab import Vocabulary, add_vocabulary, describe_tokenizer
from microlith.export.gguf_weights import open_weights
from microlith.inference.gguf_file import GgufFacts, read_gguf, tensor_bytes

FileType = Literal["f32", "f16", "q8_0", "q4_0"]
_Kind = GGMLQuantizationType
_KINDS: Mapping[str, tuple[_Kind, LlamaFileType]] = {
    "f32": (_Kind.F32, LlamaFileType.ALL_F32),
    "f16": (_Kind.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (_Kind.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (_Kind.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}
BLOCK_NUMBERS = 1 << 22
"""Numbers that are made at once: 16 MiB as float32."""
_OUTER = ("token_embd.weight", "output.weight")
"""Tensors that choose the next token; 4 bits are too few for them."""
_PHI_TOKENS = ("</s>", "<unk>", "<s>", "<|endoftext|>")
"""llama.cpp looks for these in every model whose name holds "phi-3" or "phi3", and stops where one is missing."""
_KEYS = ("general.", "microlith.")
_OWN_KEYS = {f"general.{one}" for one in ("architecture", "type", "name", "size_label", "file_type", "quantization_version",
                                          "alignment")}  # fmt: skip
"""Keys of the metadata that say how the file is built."""


def write_gguf(
    folder: Path,
    target: Path,
    *,
    name: str,
    file_type: FileType = "f16",
    chat_template: str | None = None,
    end_token: int | None = None,
    extra: Mapping[str, str | int | float] | None = None,
) -> GgufFacts:
    """Write a model as GGUF.

    Args:
        folder: Holds config.json, the weights as safetensors (one file or several) and tokenizer.json.
        target: The file to write; one that is there is replaced.
        name: The model's name inside the file.
        file_type: Number format of matrices; vectors stay float32, rows that do not fit into blocks of 32 float16, and
            "q4_0" keeps embeddings and output at 8 bits.
        chat_template: Jinja text of a conversation; None takes the folder's own.
        end_token: Token that ends an answer, beside those that the folder names.
        extra: More keys of the metadata; each begins with "general." or "microlith.".

    Returns:
        What `read_gguf` finds in the finished file, and where llama.cpp works otherwise than the folder's model.

    Raises:
        UsageError: if the architecture is unknown, or a value cannot stand in the file.
        ArtifactError: if weights are missing or damaged, or the tokenizer cannot be described.
        StorageError: if the disk refuses.
    """
    config, weights = read_config(folder), open_weights(folder)
    planned = plan_tensors(config, weights)
    rows = next(one.shape[0] for one in planned if one.name == _OUTER[0])
    vocabulary = describe_tokenizer(folder, rows=rows, end_token=end_token)
    if chat_template is not None:
        vocabulary = replace(vocabulary, chat_template=chat_template)
    _require(name, file_type, extra or {}, vocabulary, end_token)
    writer = GGUFWriter(None, config.architecture)
    _add_general(writer, config, planned, name=name, file_type=file_type, extra=extra or {})
    add_config(writer, config)
    add_vocabulary(writer, vocabulary)
    write_tensors(writer, target, [(one, kind_of(one, file_type)) for one in planned])
    return replace(read_gguf(target), notes=(*config.notes(), *vocabulary.notes))


def kind_of(planned: Planned, file_type: FileType) -> GGMLQuantizationType:
    """Number format of one tensor in a file of that type."""
    wanted = _KINDS[file_type][0]
    if len(planned.shape) < 2 or planned.name.endswith("_norm.weight") or wanted == _Kind.F32:
        return _Kind.F32
    if wanted != _Kind.F16 and planned.shape[-1] % 32:
        return _Kind.F16
    return _Kind.Q8_0 if wanted == _Kind.Q4_0 and planned.name in _OUTER else wanted


def file_type_code(file_type: FileType) -> int:
    """llama.cpp's number of a file type."""
    return int(_KINDS[file_type][1])


def write_tensors(
    writer: GGUFWriter, target: Path, tensors: Sequence[tuple[Planned, GGMLQuantizationType]]
) -> None:
    """Write head and tensors beside `target`, and give the file its name when it is whole.

    Raises:
        StorageError: if the disk refuses.
        ArtifactError: if a weight cannot be read, or is no number.
    """
    for one, kind in tensors:
        writer.add_tensor_info(one.name, one.shape, np.dtype(np.float32), tensor_bytes(one.shape, kind), kind)
    _require_room(target, sum(tensor_bytes(one.shape, kind) for one, kind in tensors))
    part = target.with_name(target.name + ".part")
    with _whole_or_nothing(writer, part, target):
        writer.write_header_to_file(part)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        assert writer.fout is not None
        file = writer.fout[0]
        writer.write_padding(file, file.tell())
        for one, kind in tensors:
            _write_tensor(file, one, kind)
            writer.write_padding(file, tensor_bytes(one.shape, kind))


@contextmanager
def _whole_or_nothing(writer: GGUFWriter, part: Path, target: Path) -> Iterator[None]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
        writer.close()
        part.replace(target)
    except OSError as error:
        raise StorageError(
            f"the GGUF file cannot be written: {error.strerror or error}",
            place=str(target),
            mend="free some disk",
        ) from error
    finally:
        _close_quietly(writer)
        if part.exists():
            part.unlink()


def _close_quietly(writer: GGUFWriter) -> None:
    """Close what a failed writing left open; the error that is on its way says why."""
    for file in writer.fout or ():
        try:
            file.close()
        except OSError:
            continue


def _write_tensor(file: BinaryIO, planned: Planned, kind: GGMLQuantizationType) -> None:
    step = max(1, BLOCK_NUMBERS // max(1, prod(planned.shape[1:])))
    for begin in range(0, planned.shape[0], step):
        rows = planned.rows(begin, min(begin + step, planned.shape[0]))
        if not np.isfinite(rows).all():
            raise ArtifactError(
                f"{planned.name} holds a value that is no number", mend="train again at a lower rate"
            )
        file.write(_stored(planned.name, rows, kind).tobytes())


def _stored(name: str, rows: npt.NDArray[np.float32], kind: GGMLQuantizationType) -> npt.NDArray[Any]:
    if kind == _Kind.F32:
        return rows.astype("<f4", copy=False)
    if kind == _Kind.F16:
        with np.errstate(over="ignore"):
            halves = rows.astype("<f2")
        if not np.isfinite(halves).all():
            raise ArtifactError(
                f"{name} holds a value beyond float16's 65,504", mend='write it as "f32" or "q8_0"'
            )
        return halves
    return np.asarray(quantize(rows, kind))


def _require(
    name: str, file_type: str, extra: Mapping[str, Any], vocabulary: Vocabulary, end_token: int | None
) -> None:
    if file_type not in _KINDS:
        raise UsageError(f"file_type={file_type!r} is unknown", mend=f"choose one of {', '.join(_KINDS)}")
    if end_token is not None and not 0 <= end_token < len(vocabulary.tokens):
        raise UsageError(f"end_token={end_token} is outside 0 to {len(vocabulary.tokens) - 1}")
    for key, value in extra.items():
        if key in _OWN_KEYS or not key.startswith(_KEYS) or not _fits(key, value):
            raise UsageError(
                f"extra key {key!r} cannot stand in the file with {value!r}",
                mend=f"begin it with {' or '.join(_KEYS)}, and give a text, a truth or a number",
            )
    _require_name(name, vocabulary)


def _fits(key: str, value: Any) -> bool:
    if isinstance(value, int):
        return 0 <= value < 1 << 32 if key.startswith(_KEYS[0]) else abs(value) < 1 << 63
    return isinstance(value, str | float)


def _require_name(name: str, vocabulary: Vocabulary) -> None:
    if not name.strip():
        raise UsageError("the model's name is empty", mend="name it after its task")
    lacking = [token for token in _PHI_TOKENS if token not in vocabulary.tokens]
    if lacking and any(sign in name.lower() for sign in ("phi-3", "phi3")):
        raise UsageError(
            f"llama.cpp takes the name {name!r} for a Phi-3 model, whose token {lacking[0]} is missing here",
            mend='leave "phi-3" out of the name',
        )


def _require_room(target: Path, needed_bytes: int) -> None:
    folder = next((one for one in target.absolute().parents if one.is_dir()), Path("/"))
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StorageError(
            f"the GGUF file takes {needed_bytes:,} bytes, {free:,} are free",
            place=str(target),
            mend="free some disk",
        )


def _add_general(
    writer: GGUFWriter, config: Config, planned: Sequence[Planned], *, name: str, file_type: str,
    extra: Mapping[str, str | int | float],
) -> None:  # fmt: skip
    total = sum(prod(one.shape) for one in planned)
    writer.add_type(GGUFType.MODEL)
    writer.add_name(name)
    writer.add_size_label(size_label(total, 0, 0, 0))
    writer.add_file_type(_KINDS[file_type][1])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    for key, value in extra.items():
        _add(writer, key, value)


def _add(writer: GGUFWriter, key: str, value: str | int | float) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_int64(key, value) if key.startswith("microlith.") else writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_string(key, value)
