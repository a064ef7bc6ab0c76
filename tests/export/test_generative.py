"""A trained language model as the files that answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("xllamacpp")

from microlith.errors import ParityError, StorageError
from microlith.export import generative
from microlith.export.generative import begin_text_of, export_generative
from microlith.inference.generative import GenerativeModel
from microlith.inference.gguf_file import read_gguf
from tests.export.trained_small import PLAN, ROWS, SPEC, trained
from tests.tiny_models import make_llama, make_smollm


def export(folder: Path, **changes: Any) -> Any:
    folder.mkdir(exist_ok=True)
    return export_generative(trained(), PLAN, SPEC, ROWS, folder, name="lamps", **changes)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    export(folder, card={"microlith.task": "lamps", "microlith.seed": 0})
    return folder


def test_the_folder_is_whole(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == {
        "model.gguf", "tokenizer.json", "prompt.json", "grounding.json", "schema.json", "Modelfile", "parity.json",
    }  # fmt: skip
    assert json.loads((written / "parity.json").read_text("utf-8"))["passed"] is True
    facts = read_gguf(written / "model.gguf")
    assert (facts.name, facts.values["microlith.task"]) == ("lamps", "lamps")


def test_the_folder_answers(written: Path) -> None:
    model = GenerativeModel.load(written)
    found = model.predict([row.input for row in ROWS])
    right = sum(one.output == row.output for one, row in zip(found, ROWS, strict=True))
    assert right == json.loads((written / "parity.json").read_text("utf-8"))["exact_exported"]
    assert all(one.output is not None for one in found)


def test_the_modelfile_asks_as_the_model_was_trained(written: Path) -> None:
    text = (written / "Modelfile").read_text("utf-8")
    assert text.startswith("FROM ./model.gguf\n")
    assert "<|request|>{{ .Prompt }}<|answer|>" in text
    assert "PARAMETER num_ctx 128" in text
    assert 'PARAMETER stop """<|end|>"""' in text or "PARAMETER stop" in text


def test_equal_models_give_equal_files(written: Path, tmp_path: Path) -> None:
    export(tmp_path / "again", card={"microlith.task": "lamps", "microlith.seed": 0})
    for path in written.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_file_that_answers_otherwise_is_refused_after_its_proof_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = generative.prove

    def failed(*args: Any, **kwargs: Any) -> Any:
        return replace(plain(*args, **kwargs), changed=9)

    monkeypatch.setattr(generative, "prove", failed)
    with pytest.raises(ParityError, match="9 of 16 answers changed"):
        export(tmp_path)
    assert json.loads((tmp_path / "parity.json").read_text("utf-8"))["passed"] is False


def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generative.shutil, "copyfile", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        export(tmp_path)
    assert caught.value.problems[0].place == str(tmp_path)


def test_the_token_before_every_text(tmp_path: Path) -> None:
    assert begin_text_of(make_llama(tmp_path / "llama")) == "<|begin_of_text|>"
    assert begin_text_of(make_smollm(tmp_path / "smollm")) == ""
    assert begin_text_of(trained().folder) == ""
