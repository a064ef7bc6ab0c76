"""Look at a GGUF file before anything loads it: what it is, and whether all of it is there."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from microlith.errors import ArtifactError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
Value = str | int | float | bool
_PLAIN = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""`struct` letter of every plain type of a value (specification of GGUF)."""
_TEXT, _LIST = 8, 9
_LARGEST_COUNT = 1 << 26
"""Most entries or characters that are believed."""
_MEND = "export it again"


@dataclass(frozen=True, kw_only=True)
class GgufTensor:
    """One tensor of a file."""

    name: str
    shape: tuple[int, ...]
    """As numpy has it: rows first."""
    kind: str
    """Name of its number format, such as "F16" or "Q8_0"."""
    offset: int
    """First byte in the file."""
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class GgufFacts:
    """What a GGUF file says about itself."""

    path: Path
    architecture: str
    """llama.cpp's name of it, such as "qwen3"."""
    kind: str
    """"model" or "adapter"."""
    name: str
    values: Mapping[str, Value]
    """Metadata that is one text or number; lists such as the tokens are left out."""
    lengths: Mapping[str, int]
    """Entries of every list of the metadata."""
    tensors: tuple[GgufTensor, ...]
    size_bytes: int
    notes: tuple[str, ...] = field(default=())
    """Where llama.cpp works otherwise than the model the file was made of, a sentence each; only a writer knows them."""

    @property
    def parameters(self) -> int:
        """Numbers in all tensors."""
        return sum(prod(tensor.shape) for tensor in self.tensors)

    @property
    def context_tokens(self) -> int:
        """Context for which the model was trained; 0 where the file does not say."""
        return int(self.values.get(f"{self.architecture}.context_length", 0))

    @property
    def vocabulary_size(self) -> int:
        """Tokens; 0 for an adapter."""
        return self.lengths.get("tokenizer.ggml.tokens", 0)


def read_gguf(path: Path) -> GgufFacts:
    """Read a file's head and hold it against the file's size; no tensor is read.

    Raises:
        ArtifactError: if the file is absent, no GGUF file, of another version, damaged or cut off.
    """
    try:
        with path.open("rb") as file:
            return _facts(file, path)
    except OSError as error:
        raise ArtifactError(
            f"the file cannot be read: {error.strerror}", place=str(path), mend=_MEND
        ) from error
    except (EOFError, UnicodeDecodeError, ValueError) as error:
        raise ArtifactError(
            f"the head of the GGUF file is damaged: {error}", place=str(path), mend=_MEND
        ) from error


def _facts(file: BinaryIO, path: Path) -> GgufFacts:
    if file.read(4) != MAGIC:
        raise ArtifactError("this is no GGUF file", place=str(path), mend="name a file that ends in .gguf")
    (version,) = _numbers(file, "I")
    if version not in VERSIONS:
        raise ArtifactError(
            f"the GGUF version is {version}, expected {' or '.join(map(str, VERSIONS))}",
            place=str(path),
            mend=_MEND,
        )
    tensors, entries = (int(one) for one in _numbers(file, "QQ"))
    values: dict[str, Value] = {}
    lengths: dict[str, int] = {}
    for _ in range(_believed(entries)):
        key, kind = _text(file), int(_numbers(file, "I")[0])
        if kind == _LIST:
            lengths[key] = _pass_list(file)
        else:
            values[key] = _value(file, kind)
    found = tuple(_tensors(file, _believed(tensors), int(values.get("general.alignment", 32))))
    _check_end(path, found)
    return GgufFacts(
        path=path, architecture=str(values.get("general.architecture", "")), kind=str(values.get("general.type", "model")),
        name=str(values.get("general.name", "")), values=values, lengths=lengths, tensors=found,
        size_bytes=path.stat().st_size,
    )  # fmt: skip


def _tensors(file: BinaryIO, count: int, alignment: int) -> list[GgufTensor]:
    heads = []
    for _ in range(count):
        name = _text(file)
        (dimensions,) = _numbers(file, "I")
        if dimensions > 4:
            raise ValueError(f"{name} has {dimensions} dimensions")
        shape = tuple(int(one) for one in reversed(_numbers(file, "Q" * int(dimensions))))
        kind, offset = _numbers(file, "IQ")
        heads.append((name, shape, GGMLQuantizationType(int(kind)), int(offset)))
    if alignment < 1:
        raise ValueError(f"the alignment is {alignment}")
    begin = -(-file.tell() // alignment) * alignment
    return [
        GgufTensor(
            name=name,
            shape=shape,
            kind=kind.name,
            offset=begin + offset,
            size_bytes=tensor_bytes(shape, kind),
        )
        for name, shape, kind, offset in heads
    ]


def tensor_bytes(shape: tuple[int, ...], kind: GGMLQuantizationType) -> int:
    """Bytes that a tensor takes.

    Raises:
        ValueError: if its rows are no multiple of the format's block.
    """
    block, size = GGML_QUANT_SIZES[kind]
    if shape and shape[-1] % block:
        raise ValueError(f"rows of {shape[-1]} numbers do not fit into blocks of {block}")
    return prod(shape) // block * size


def _check_end(path: Path, tensors: tuple[GgufTensor, ...]) -> None:
    size = path.stat().st_size
    for tensor in tensors:
        end = tensor.offset + tensor.size_bytes
        if end > size:
            raise ArtifactError(
                f"the GGUF file is cut off: it has {size:,} bytes, {tensor.name} ends at {end:,}", place=str(path),
                mend=_MEND,
            )  # fmt: skip


def _value(file: BinaryIO, kind: int) -> Value:
    if kind == _TEXT:
        return _text(file)
    if kind not in _PLAIN:
        raise ValueError(f"a value of type {kind}")
    found: Value = _numbers(file, _PLAIN[kind])[0]
    return found


def _pass_list(file: BinaryIO) -> int:
    """Go past a list; returns its length."""
    kind, count = (int(one) for one in _numbers(file, "IQ"))
    if kind in _PLAIN:
        _bytes(file, _believed(count) * struct.calcsize(f"<{_PLAIN[kind]}"))
    elif kind == _TEXT:
        for _ in range(_believed(count)):
            _bytes(file, _believed(int(_numbers(file, "Q")[0])))
    else:
        raise ValueError(f"a list of type {kind}")
    return count


def _text(file: BinaryIO) -> str:
    return _bytes(file, _believed(int(_numbers(file, "Q")[0]))).decode("utf-8")


def _numbers(file: BinaryIO, letters: str) -> tuple[int | float | bool, ...]:
    return struct.unpack(f"<{letters}", _bytes(file, struct.calcsize(f"<{letters}")))


def _bytes(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise EOFError("it ends too soon")
    return found


def _believed(count: int) -> int:
    if count > _LARGEST_COUNT:
        raise ValueError(f"a count of {count:,}")
    return count
