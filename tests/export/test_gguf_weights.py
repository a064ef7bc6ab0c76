"""Weights are read from safetensors files by themselves, a few rows at a time."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from microlith.errors import ArtifactError
from microlith.export.gguf_weights import open_weights, read_safetensors


def _save(path: Path, head: dict[str, object], data: bytes = b"") -> Path:
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
def test_rows_of_every_kind_of_float_are_read(tmp_path: Path, kind: str) -> None:
    import torch
    from safetensors.torch import save_file

    values = torch.arange(-12.0, 12.0).reshape(6, 4).to(getattr(torch, kind)) / 3
    save_file({"a": torch.ones(3), "b": values}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = open_weights(tmp_path)["b"]
    assert found.shape == (6, 4)
    np.testing.assert_array_equal(found.rows(slice(2, 5)), values[2:5].float().numpy())
    np.testing.assert_array_equal(found.rows(np.array([5, 0])), values[[5, 0]].float().numpy())


@pytest.mark.parametrize(
    ("head", "data", "message"),
    [
        (
            {"a": {"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}},
            b"ab",
            "a holds I8 numbers.*not quantized",
        ),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"abc", "fewer"),
        ({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"abcdefgh", "should take 12"),
        ({"a": {"dtype": "F32"}}, b"", "damaged"),
    ],
)
def test_damaged_weights_are_named(
    tmp_path: Path, head: dict[str, object], data: bytes, message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_safetensors(_save(tmp_path / "m.safetensors", head, data))


@pytest.mark.parametrize("data", [b"", b"\x05", b"\xff" * 8 + b"{}", struct.pack("<Q", 3) + b"{x}"])
def test_what_is_no_safetensors_file_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(ArtifactError, match="damaged"):
        open_weights(tmp_path)


def test_a_missing_piece_is_named(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ArtifactError, match="00001-of-00002"):
        open_weights(tmp_path)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        open_weights(tmp_path)
