"""LoRA adapters as GGUF change llama.cpp's answers as peft changes transformers'."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microlith.errors import ArtifactError, UsageError
from microlith.export.gguf_adapter import write_adapter
from microlith.export.gguf_write import write_gguf
from microlith.inference.llama_cpp import LlamaFile
from tests.tiny_models import FAMILIES, make_llama

pytest.importorskip("xllamacpp")
IDS = [5, 300, 42, 17, 260, 99, 8, 123, 77, 301]


def _adapter(base: Path, folder: Path, **values: Any) -> np.ndarray:
    """Write an adapter of random weights; returns the logits that it gives with peft."""
    pytest.importorskip("peft")
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = {"r": 4, "lora_alpha": 6, "target_modules": "all-linear", "init_lora_weights": False, **values}
    torch.manual_seed(1)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**settings)).eval()
    model.save_pretrained(folder)
    with torch.no_grad():
        found: np.ndarray = model(torch.tensor([IDS])).logits[0].numpy()
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    _adapter(base, folder)
    return folder


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_the_adapter_gives_pefts_logits(make: Callable[[Path], Path], tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    expected = _adapter(base, tmp_path / "adapter")
    model = write_gguf(base, tmp_path / "m.gguf", name="m").path
    facts = write_adapter(tmp_path / "adapter", base, tmp_path / "a.gguf", name="lights")
    assert (facts.kind, facts.name, facts.values["adapter.lora.alpha"]) == ("adapter", "lights", 6.0)
    found = LlamaFile.open(model, adapter=facts.path).logits(IDS)
    assert np.abs(found - expected).max() < 0.05 * expected.std()
    assert np.abs(LlamaFile.open(model).logits(IDS) - expected).max() > expected.std()


@pytest.mark.parametrize(
    "values",
    [
        {"use_rslora": True},
        {"alpha_pattern": {"q_proj": 20}},
        {"rank_pattern": {"down_proj": 2}, "use_rslora": True},
    ],
    ids=["rslora", "alphas", "ranks"],
)
def test_scales_of_their_own_are_taken_in(base: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    expected = _adapter(base, tmp_path / "adapter", **values)
    model = write_gguf(base, tmp_path / "m.gguf", name="m").path
    path = write_adapter(tmp_path / "adapter", base, tmp_path / "a.gguf", name="a", half_floats=True).path
    found = LlamaFile.open(model, adapter=path).logits(IDS)
    assert np.abs(found - expected).max() < 0.05 * expected.std()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"use_dora": True}, ArtifactError, "use_dora is True"),
        ({"bias": "all"}, ArtifactError, "bias is 'all'"),
        ({"modules_to_save": ["lm_head"]}, ArtifactError, "modules_to_save"),
        ({"peft_type": "IA3"}, UsageError, "'IA3' is no LoRA"),
        ({"lora_alpha": 0}, ArtifactError, "changes nothing"),
    ],
)
def test_what_cannot_be_applied_is_refused(
    adapter: Path, base: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    copied = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    path = copied / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), encoding="utf-8")
    with pytest.raises(error, match=message):
        write_adapter(copied, base, tmp_path / "a.gguf", name="a")


def test_an_output_shared_with_the_embeddings_cannot_be_changed(base: Path, tmp_path: Path) -> None:
    _adapter(base, tmp_path / "adapter", target_modules=["q_proj", "lm_head"])
    with pytest.raises(ArtifactError, match=r"changes lm_head.*merge the adapter"):
        write_adapter(tmp_path / "adapter", base, tmp_path / "a.gguf", name="a")


def test_a_missing_adapter_is_named(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"adapter_config\.json"):
        write_adapter(tmp_path, base, tmp_path / "a.gguf", name="a")
