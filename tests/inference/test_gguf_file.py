"""GGUF files are looked at before anything loads them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.errors import ArtifactError
from microlith.inference.gguf_file import read_gguf


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_token_list(["a", "b"])
    writer.add_tensor("token_embd.weight", np.ones((2, 32), np.float32))
    writer.add_tensor("output_norm.weight", np.ones(5, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_facts_of_a_whole_file(file: Path) -> None:
    facts = read_gguf(file)
    assert (facts.architecture, facts.kind, facts.name) == ("llama", "model", "tiny")
    assert (facts.context_tokens, facts.vocabulary_size, facts.parameters) == (128, 2, 69)
    assert [(one.name, one.shape, one.kind, one.size_bytes) for one in facts.tensors] == [
        ("token_embd.weight", (2, 32), "F32", 256), ("output_norm.weight", (5,), "F32", 20),
    ]  # fmt: skip


def test_tensors_lie_where_they_are_said_to(file: Path) -> None:
    data = file.read_bytes()
    assert all(
        data[one.offset : one.offset + one.size_bytes] == np.ones(one.shape, np.float32).tobytes()
        for one in read_gguf(file).tensors
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: b"GGML" + data[4:], "no GGUF file"),
        (lambda data: b"", "no GGUF file"),
        (lambda data: data[:4] + b"\x09\0\0\0" + data[8:], "version is 9, expected 2 or 3"),
        (lambda data: data[:40], "head of the GGUF file is damaged"),
        (lambda data: data[:16] + b"\xff" * 8 + data[24:], "head of the GGUF file is damaged"),
        (lambda data: data[:-20], "cut off: it has"),
    ],
)  # fmt: skip
def test_damage_is_named(file: Path, tmp_path: Path, spoil: object, message: str) -> None:
    path = tmp_path / "spoilt.gguf"
    path.write_bytes(spoil(file.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ArtifactError, match=message):
        read_gguf(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"absent\.gguf"):
        read_gguf(tmp_path / "absent.gguf")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_gives_another_error(
    tmp_path_factory: pytest.TempPathFactory, file: Path, data: st.DataObject
) -> None:
    raw = bytearray(file.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.gguf"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with contextlib.suppress(ArtifactError):
        read_gguf(path)
