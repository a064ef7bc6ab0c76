"""llama.cpp's own program is called for formats that numpy does not make. A few lines stand in for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from microlith.errors import ArtifactError, MissingExtra, UsageError
from microlith.export.gguf_quantize import quantized
from microlith.export.gguf_write import write_gguf
from tests.tiny_models import make_llama


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_llama(tmp_path_factory.mktemp("model"))
    return write_gguf(folder, folder / "m.gguf", name="m").path


def _program(folder: Path, lines: str) -> Path:
    path = folder / "llama-quantize"
    path.write_text(f"#!{sys.executable}\nimport shutil, sys\n{lines}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_program_is_given_both_files_and_the_format(source: Path, tmp_path: Path) -> None:
    lines = f"assert sys.argv[1] == {str(source)!r} and sys.argv[3:] == ['Q4_K_M']; shutil.copy(sys.argv[1], sys.argv[2])"
    facts = quantized(
        source, tmp_path / "small.gguf", file_format="q4_k_m", program=_program(tmp_path, lines)
    )
    assert facts.path == tmp_path / "small.gguf"
    assert facts.path.read_bytes() == source.read_bytes()


def test_the_program_is_found_on_the_path(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path, "shutil.copy(sys.argv[1], sys.argv[2])")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert quantized(source, tmp_path / "small.gguf").path.is_file()


def test_without_the_program_the_error_says_how_to_get_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MissingExtra, match=r"llama-quantize is not on this machine.*install llama\.cpp.*q8_0"
    ):
        quantized(source, tmp_path / "small.gguf")


def test_a_program_that_fails_is_quoted(source: Path, tmp_path: Path) -> None:
    program = _program(tmp_path, "print('main: failed to quantize'); sys.exit(3)")
    with pytest.raises(ArtifactError, match=r"code 3: main: failed to quantize"):
        quantized(source, tmp_path / "small.gguf", program=program)
    assert not (tmp_path / "small.gguf").exists()


def test_half_a_file_is_not_taken(source: Path, tmp_path: Path) -> None:
    program = _program(tmp_path, "open(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read()[:-50])")
    with pytest.raises(ArtifactError, match="cut off"):
        quantized(source, tmp_path / "small.gguf", program=program)
    assert not list(tmp_path.glob("small.gguf*"))


def test_a_quantized_file_and_an_unknown_format_are_refused(source: Path, tmp_path: Path) -> None:
    small = write_gguf(source.parent, tmp_path / "q8.gguf", name="m", file_type="q8_0").path
    with pytest.raises(UsageError, match="quantized already"):
        quantized(small, tmp_path / "small.gguf")
    with pytest.raises(UsageError, match="Q4_K_M"):
        quantized(source, tmp_path / "small.gguf", file_format="Q9")
