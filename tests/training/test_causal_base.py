"""Finding a language model, and what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from microlith.errors import MissingBase, TrainingError
from microlith.training import causal_base
from microlith.training.causal_base import CausalBase, open_base
from microlith.training.causal_settings import CausalSettings
from tests.tiny_base import make_tiny_base
from tests.tiny_models import make_llama, make_smollm

pytest.importorskip("transformers")


def opened(folder: Path | str) -> CausalBase:
    return open_base(CausalSettings(base=str(folder)))


def edit(folder: Path, name: str, **changes: Any) -> None:
    held = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**held, **changes}))


def test_a_local_folder_is_opened_without_loading_weights(tmp_path: Path) -> None:
    base = opened(make_smollm(tmp_path / "mine"))
    assert (base.name, base.origin, base.preset) == ("mine", "folder", None)
    assert base.licence.startswith("unknown")
    assert base.context == 512
    assert base.tokenizer.pad_token == "<|im_end|>"


def test_weights_are_counted_as_the_model_has_them(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = opened(make_smollm(tmp_path))
    assert base.parameters == AutoModelForCausalLM.from_pretrained(tmp_path).num_parameters()


def test_old_weights_are_counted_too(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    wanted = opened(make_smollm(tmp_path)).parameters
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    assert opened(tmp_path).parameters == wanted


def test_a_folder_named_like_a_known_model_has_its_licence(tmp_path: Path) -> None:
    base = opened(make_smollm(tmp_path / "SmolLM2-135M-Instruct"))
    assert base.preset is not None
    assert base.licence == "Apache-2.0"


def test_a_tokenizer_without_the_preset_s_end_of_turn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no '<end_of_turn>'"):
        opened(make_smollm(tmp_path / "gemma-3-1b-it"))


def test_a_template_with_another_end_than_the_preset_s_is_refused(tmp_path: Path) -> None:
    folder = make_llama(tmp_path / "Llama-3.2-1B-Instruct")
    template = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    edit(folder, "tokenizer_config.json", chat_template=template.replace("<|eot_id|>", "<|eom_id|>"))
    with pytest.raises(TrainingError, match=r"ends an answer with '<\|eom_id\|>', expected '<\|eot_id\|>'"):
        opened(folder)


def without_template(folder: Path) -> Path:
    held = json.loads((folder / "tokenizer_config.json").read_text())
    held.pop("chat_template")
    (folder / "tokenizer_config.json").write_text(json.dumps(held))
    return folder


def test_a_base_without_a_template_gets_chatml_where_its_tokens_exist(tmp_path: Path) -> None:
    base = opened(without_template(make_smollm(tmp_path)))
    assert causal_base.prompt_of(base, "").after_text == "<|im_end|>\n<|im_start|>assistant\n"


def test_a_base_without_a_template_and_without_chatml_s_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no chat template.*lacks <\|im_start\|>.*chat_template\.jinja"):
        opened(without_template(make_llama(tmp_path)))


def test_an_encoder_is_no_causal_model(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no causal language model: model_type 'bert'"):
        opened(make_tiny_base(tmp_path, ["a b c"]))


@pytest.mark.parametrize("classes", [["BertLMHeadModel"], ["BertForMaskedLM"]])
def test_bert_with_a_language_head_is_no_causal_model(tmp_path: Path, classes: list[str]) -> None:
    edit(make_tiny_base(tmp_path, ["a b c"]), "config.json", architectures=classes)
    with pytest.raises(TrainingError, match="no causal language model"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("config.json", "no config.json"), ("tokenizer.json", "no tokenizer.json"),
        ("model.safetensors", "no weights"),
    ],
)  # fmt: skip
def test_a_missing_file_is_named_with_the_ways_to_get_it(tmp_path: Path, name: str, said: str) -> None:
    (make_smollm(tmp_path) / name).unlink()
    with pytest.raises(MissingBase, match=f"{said}.*--set base=FOLDER"):
        opened(tmp_path)


def test_a_missing_part_of_the_weights_is_named(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model.safetensors"}}
    (make_smollm(tmp_path) / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MissingBase, match=r"lacks model-1\.safetensors"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", "{", "config.json cannot be read"), ("tokenizer.json", "{", "tokenizer cannot be read"),
        ("model.safetensors", "not weights at all", "weights cannot be read"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    (make_smollm(tmp_path) / name).write_text(content)
    with pytest.raises(MissingBase, match=said):
        opened(tmp_path)


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    import huggingface_hub

    def fetch(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)


def answer(status: int) -> Any:
    """What the hub's client keeps of a refusal."""
    return SimpleNamespace(
        status_code=status, headers={}, request=SimpleNamespace(headers={}, url="", method="GET")
    )


def test_a_gated_model_says_how_to_get_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    for error in (GatedRepoError("gated", response=answer(403)), HfHubHTTPError("no", response=answer(401))):
        refuse(monkeypatch, error)
        with pytest.raises(MissingBase, match=r"Llama-3.2-Community.*hf auth login"):
            opened("meta-llama/Llama-3.2-1B-Instruct")


def test_an_absent_model_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    refuse(monkeypatch, RepositoryNotFoundError("none", response=answer(404)))
    with pytest.raises(MissingBase, match="has no model 'someone/nothing'"):
        opened("someone/nothing")


def test_offline_names_the_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingBase, match=r"\(1\).*\(2\) go online.*\(5\) take the recipe scratch"):
        opened("someone/nothing")


def test_a_name_that_is_neither_folder_nor_hub_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingBase, match="neither a folder nor a hub name"):
        opened(str(tmp_path / "not" / "here"))
