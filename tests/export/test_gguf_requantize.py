"""A finished file with fewer bits a number is the file that would have been written so."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("xllamacpp")

from microlith.errors import ArtifactError, StorageError, UsageError
from microlith.export import gguf_write
from microlith.export.gguf_requantize import SmallType, requantized
from microlith.export.gguf_write import FileType, write_gguf
from microlith.inference.llama_cpp import LlamaFile
from tests.export.trained_small import trained
from tests.tiny_models import FAMILIES

EXTRA = {"microlith.task": "lamps", "microlith.seed": 3, "microlith.share": 0.25, "general.url": "none"}


@pytest.fixture(scope="module", params=["own", *FAMILIES])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "own":
        return trained().folder
    return FAMILIES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(trained().folder, tmp_path_factory.mktemp("source") / "m.gguf", name="m").path


@pytest.mark.parametrize("file_type", ["q8_0", "q4_0"])
@pytest.mark.parametrize("first", ["f32", "f16"])
def test_it_equals_direct_writing_byte_for_byte(
    folder: Path, first: FileType, file_type: SmallType, tmp_path: Path
) -> None:
    write_gguf(folder, tmp_path / "a.gguf", name="tiny", file_type=first, extra=EXTRA)
    rounded = write_gguf(folder, tmp_path / "direct.gguf", name="tiny", file_type=file_type, extra=EXTRA)
    facts = requantized(tmp_path / "a.gguf", tmp_path / "b.gguf", file_type=file_type)
    assert facts.values == rounded.values
    if (
        first == "f32" or folder == trained().folder
    ):  # tiny bases have float32 weights, which float16 rounds once more
        assert (tmp_path / "b.gguf").read_bytes() == (tmp_path / "direct.gguf").read_bytes()
    assert LlamaFile.open(tmp_path / "b.gguf", n_ctx=16).logits([1, 2, 3]).shape[0] == 3


def test_a_quantized_file_is_refused(source: Path, tmp_path: Path) -> None:
    small = requantized(source, tmp_path / "small.gguf", file_type="q8_0").path
    with pytest.raises(UsageError, match="quantized already"):
        requantized(small, tmp_path / "smaller.gguf", file_type="q4_0")
    assert not (tmp_path / "smaller.gguf").exists()


def test_a_damaged_file_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(ArtifactError):
        requantized(tmp_path / "m.gguf", tmp_path / "small.gguf", file_type="q8_0")
    assert not (tmp_path / "small.gguf").exists()


def test_a_full_disk_leaves_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gguf_write.GGUFWriter, "write_kv_data_to_file", full)
    with pytest.raises(StorageError, match="No space left"):
        requantized(source, tmp_path / "small.gguf", file_type="q8_0")
    assert list(tmp_path.iterdir()) == []
