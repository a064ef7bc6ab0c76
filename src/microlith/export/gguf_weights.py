"""The weights of a Hugging Face folder, read piece by piece so that a large model needs little memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microlith.errors import ArtifactError

Floats = npt.NDArray[np.float32]
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_KINDS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"), "F64": np.dtype("<f8"),
}  # fmt: skip
"""Numbers as they lie in the file; a bfloat16 is the upper half of a float32."""
_LARGEST_HEAD = 100_000_000
"""Bytes of a head that are believed (the format's own bound)."""


@dataclass(frozen=True, kw_only=True)
class Weight:
    """Where one weight lies."""

    path: Path
    kind: str
    """Name of the number format: "F32", "F16", "BF16" or "F64"."""
    shape: tuple[int, ...]
    offset: int
    """First byte in the file."""

    @cached_property
    def _stored(self) -> Any:
        if not all(self.shape):
            return np.empty(self.shape, _KINDS[self.kind])
        return np.memmap(self.path, _KINDS[self.kind], "r", self.offset, self.shape)

    def rows(self, which: slice | npt.NDArray[np.intp]) -> Floats:
        """Some rows (entries of a vector) as float32."""
        found = np.asarray(self._stored[which])
        if self.kind == "BF16":
            return (found.astype(np.uint32) << 16).view(np.float32)
        return found.astype(np.float32)


def open_weights(folder: Path) -> dict[str, Weight]:
    """Every weight of a folder by its name; only heads are read.

    Raises:
        ArtifactError: if a file is missing, damaged, cut off, or holds numbers that are no plain floats.
    """
    found: dict[str, Weight] = {}
    for path in _files(folder):
        found.update(read_safetensors(path))
    return found


def read_safetensors(path: Path) -> Mapping[str, Weight]:
    """The weights of one file.

    Raises:
        ArtifactError: as `open_weights`.
    """
    try:
        return dict(_weights(path))
    except OSError as error:
        raise ArtifactError(
            f"the weights cannot be read: {error.strerror}",
            place=str(path),
            mend="train or download the model again",
        ) from error
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise ArtifactError(
            f"the weights are damaged: {error}", place=str(path), mend="train or download the model again"
        ) from error


def _files(folder: Path) -> list[Path]:
    index = folder / INDEX
    if (folder / WHOLE).is_file() or not index.is_file():
        return [folder / WHOLE]
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ArtifactError(f"the list of weights is damaged: {error}", place=str(index)) from error
    return [folder / str(name) for name in sorted(names)]


def _weights(path: Path) -> Iterator[tuple[str, Weight]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(_LARGEST_HEAD, size):
            raise ValueError("the file ends in its head")
        head = json.loads(file.read(length))
    for name, facts in head.items():
        if name == "__metadata__":
            continue
        if facts["dtype"] not in _KINDS:
            raise ArtifactError(
                f"{name} holds {facts['dtype']} numbers, expected one of {', '.join(_KINDS)}", place=str(path),
                mend="name a model that is not quantized",
            )  # fmt: skip
        begin, end = facts["data_offsets"]
        shape = tuple(int(one) for one in facts["shape"])
        expected = int(np.prod(shape, dtype=np.int64)) * _KINDS[facts["dtype"]].itemsize
        if end - begin != expected or 8 + length + end > size:
            raise ValueError(f"{name} should take {expected:,} bytes, the file holds fewer")
        yield name, Weight(path=path, kind=facts["dtype"], shape=shape, offset=8 + length + begin)
