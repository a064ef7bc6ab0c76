"""The same GGUF file with fewer bits a number: 8-bit and 4-bit blocks, made here; nothing else of it changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader, GGUFValueType, GGUFWriter, dequantize

from microlith.errors import UsageError
from microlith.export.gguf_tensors import Planned
from microlith.export.gguf_write import file_type_code, kind_of, write_tensors
from microlith.inference.gguf_file import GgufFacts, read_gguf

Floats = npt.NDArray[np.float32]
SmallType = Literal["q8_0", "q4_0"]
_SET_BY_WRITER = (
    "GGUF.version",
    "GGUF.tensor_count",
    "GGUF.kv_count",
    "general.architecture",
)
_FILE_TYPE = "general.file_type"


@dataclass(frozen=True, kw_only=True)
class _Stored(Planned):
    """A tensor of the source file."""

    source: Any = None

    def rows(self, begin: int, end: int) -> Floats:
        """Rows `begin` to `end` (not included) as float32."""
        part = self.source.data[begin:end]
        return np.asarray(dequantize(np.ascontiguousarray(part), self.source.tensor_type), dtype=np.float32)


def requantized(source: Path, target: Path, *, file_type: SmallType) -> GgufFacts:
    """Write `source` with its matrices as 8-bit or 4-bit blocks of 32.

    Args:
        source: A GGUF file whose matrices are float32 or float16.
        target: The file to write; one that is there is replaced.
        file_type: "q8_0", or "q4_0", which keeps embeddings and output at 8 bits.

    Raises:
        UsageError: if the file is quantized already.
        ArtifactError: if the source is damaged.
        StorageError: if the disk refuses.
    """
    facts = read_gguf(source)
    if any(tensor.kind not in ("F32", "F16", "BF16") for tensor in facts.tensors):
        raise UsageError(
            "the file is quantized already", place=str(source), mend='begin with one of type "f16"'
        )
    reader = GGUFReader(source)
    writer = GGUFWriter(None, facts.architecture)
    for name, field in reader.fields.items():
        if name == _FILE_TYPE:
            writer.add_file_type(file_type_code(file_type))
        elif name not in _SET_BY_WRITER:
            _copy(writer, name, field)
    tensors = [
        _Stored(name=one.name, shape=tuple(int(size) for size in reversed(one.shape)), source=one)
        for one in reader.tensors
    ]
    write_tensors(writer, target, [(one, kind_of(one, file_type)) for one in tensors])
    return read_gguf(target)


def _copy(writer: GGUFWriter, name: str, field: Any) -> None:
    kind = field.types[0]
    if kind == GGUFValueType.ARRAY:
        writer.add_array(name, field.contents())
        written = writer.kv_data[-1].get(name)
        if written is not None:
            written.sub_type = field.types[-1]
    else:
        writer.add_key_value(name, field.contents(), kind)
