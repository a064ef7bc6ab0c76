"""Models of every family as GGUF, held against transformers and tokenizers through llama.cpp itself."""

from __future__ import annotations

import ctypes
import errno
import json
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import quantize

from microlith.errors import ArtifactError, StorageError, UsageError
from microlith.export import gguf_write
from microlith.export.gguf_tensors import Planned
from microlith.export.gguf_write import FileType, kind_of, write_gguf
from microlith.inference.gguf_file import read_gguf
from microlith.inference.llama_cpp import LlamaFile
from tests.odd_texts import ODD_TEXTS
from tests.tiny_models import FAMILIES, VARIANTS, make_gemma3, make_llama, make_phi3, make_qwen3

pytest.importorskip("xllamacpp")
TEXT = "Turn the lights in the kitchen off, then list files in /var/log: 12 of them. {'a': \"b\"} 🙂\n\n x"


@dataclass(frozen=True)
class Made:
    """A model, its file and what transformers computes."""

    family: str
    folder: Path
    file: Path
    ids: list[int]
    logits: np.ndarray


@pytest.fixture(scope="module", params=[*FAMILIES, *VARIANTS])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    folder = {**FAMILIES, **VARIANTS}[request.param](tmp_path_factory.mktemp("model") / request.param)
    file = write_gguf(folder, folder / "model.gguf", name=f"tiny {request.param}").path
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT).ids
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].numpy()
    return Made(request.param, folder, file, ids, logits)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def copied(llama: Path, tmp_path: Path) -> Path:
    """A Llama folder that a test may spoil."""
    return Path(shutil.copytree(llama, tmp_path / "model"))


def _change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), encoding="utf-8")


def test_logits_of_the_file_are_those_of_the_base(made: Made) -> None:
    found = LlamaFile.open(made.file, n_ctx=256).logits(made.ids)
    assert np.abs(found - made.logits).max() < 0.03 * made.logits.std()
    assert (found.argmax(1) == made.logits.argmax(1)).all()


def test_llama_cpp_reads_texts_as_the_tokenizer_does(made: Made) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(made.folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    file = LlamaFile.open(made.file, vocab_only=True)
    composed = tokenizer.normalizer is not None and "NFC" in str(json.loads(tokenizer.to_str())["normalizer"])
    for text in ODD_TEXTS:
        given = unicodedata.normalize("NFC", text) if composed else text
        assert file.tokenize(given) == tokenizer.encode(text, add_special_tokens=False).ids, text


def test_what_frames_a_text_is_written_too(made: Made) -> None:
    from tokenizers import Tokenizer

    file, tokenizer = (
        LlamaFile.open(made.file, vocab_only=True),
        Tokenizer.from_file(str(made.folder / "tokenizer.json")),
    )
    assert file.tokenize("deploy", add_special=True) == tokenizer.encode("deploy").ids


def test_every_stop_of_the_folder_ends_an_answer(made: Made) -> None:
    given = json.loads((made.folder / "generation_config.json").read_text("utf-8"))["eos_token_id"]
    file = LlamaFile.open(made.file, vocab_only=True)
    assert all(file.is_end(token) for token in (given if isinstance(given, list) else [given]))


def test_the_folders_chat_template_stands_in_the_file(made: Made) -> None:
    given = json.loads((made.folder / "tokenizer_config.json").read_text("utf-8"))["chat_template"]
    assert LlamaFile.open(made.file, vocab_only=True).metadata("tokenizer.chat_template") == given


@pytest.mark.parametrize(("file_type", "least"), [("f32", 0.9999), ("q8_0", 0.998), ("q4_0", 0.9)])
def test_other_number_formats_stay_close(
    made: Made, tmp_path: Path, file_type: FileType, least: float
) -> None:
    facts = write_gguf(made.folder, tmp_path / "m.gguf", name="m", file_type=file_type)
    found = LlamaFile.open(facts.path, n_ctx=256).logits(made.ids)
    assert np.corrcoef(found.ravel(), made.logits.ravel())[0, 1] > least
    assert (facts.size_bytes < made.file.stat().st_size) == file_type.startswith("q")


@pytest.mark.parametrize("kind", [GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_0])
def test_quantized_rows_are_the_very_bytes_that_ggml_makes(kind: GGMLQuantizationType) -> None:
    import xllamacpp.xllamacpp

    rows = np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32)
    rows[0], rows[1, 7] = 0.0, 1e-30
    mine = quantize(rows, kind)
    theirs = np.zeros_like(mine)
    call = ctypes.CDLL(xllamacpp.xllamacpp.__file__).ggml_quantize_chunk
    call.restype, pointer = ctypes.c_size_t, ctypes.c_void_p
    call.argtypes = [ctypes.c_int, pointer, pointer, *[ctypes.c_int64] * 3, pointer]
    call(int(kind), rows.ctypes.data, theirs.ctypes.data, 0, *rows.shape, None)
    assert (mine == theirs).all()


def test_the_card_name_and_licence_stand_in_the_file(llama: Path, tmp_path: Path) -> None:
    extra = {
        "microlith.task": "lights",
        "microlith.rows": 1234567890123,
        "microlith.exact": 0.5,
        "general.license": "mit",
    }
    facts = write_gguf(llama, tmp_path / "m.gguf", name="Lichter ✨", extra=extra)
    assert facts.name == "Lichter ✨"
    assert {key: facts.values[key] for key in extra} == extra
    assert LlamaFile.open(facts.path, vocab_only=True).metadata("microlith.task") == "lights"


def test_a_given_chat_template_and_end_token_replace_and_add(llama: Path, tmp_path: Path) -> None:
    path = write_gguf(llama, tmp_path / "m.gguf", name="m", chat_template="{{ 1 }}\n", end_token=300).path
    file = LlamaFile.open(path, vocab_only=True)
    assert file.metadata("tokenizer.chat_template") == "{{ 1 }}\n"
    assert [file.is_end(token) for token in (300, 301)] == [True, False]


def test_a_folder_in_pieces_gives_the_same_file(llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    pieces = Path(shutil.copytree(llama, tmp_path / "pieces", ignore=shutil.ignore_patterns("*.safetensors")))
    AutoModelForCausalLM.from_pretrained(llama).save_pretrained(pieces, max_shard_size="60KB")
    assert len(list(pieces.glob("*.safetensors"))) > 2
    assert _tensors(write_gguf(pieces, tmp_path / "a.gguf", name="m").path) == _tensors(
        write_gguf(llama, tmp_path / "b.gguf", name="m").path
    )


def test_bfloat16_weights_are_read(llama: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    half = Path(shutil.copytree(llama, tmp_path / "half"))
    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.bfloat16)
    model.save_pretrained(half)
    path = write_gguf(half, tmp_path / "m.gguf", name="m", file_type="f32").path
    stored = _tensors(path)["output_norm.weight"]
    assert stored == model.model.norm.weight.detach().float().numpy().tobytes()


def test_config_of_transformers_4_gives_the_same_file(llama: Path, copied: Path, tmp_path: Path) -> None:
    path = copied / "config.json"
    given = json.loads(path.read_text("utf-8"))
    rope = given.pop("rope_parameters")
    given["rope_theta"] = rope.pop("rope_theta")
    path.write_text(json.dumps({**given, "rope_scaling": rope}), encoding="utf-8")
    old, new = (write_gguf(one, tmp_path / f"{one.name}.gguf", name="m") for one in (copied, llama))
    assert old.path.read_bytes() == new.path.read_bytes()


def test_a_model_that_also_sees_gives_its_text_part(llama: Path, copied: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    config = json.loads((copied / "config.json").read_text("utf-8"))
    outer = {"model_type": "llama", "text_config": config, "tie_word_embeddings": True, "vocab_size": 1}
    (copied / "config.json").write_text(json.dumps(outer), encoding="utf-8")
    weights = load_file(copied / "model.safetensors")
    renamed = {f"language_model.{name}": value for name, value in weights.items()}
    renamed["vision_tower.patch.weight"] = weights["model.norm.weight"].clone()
    save_file(renamed, copied / "model.safetensors")
    seen, plain = (write_gguf(one, tmp_path / f"{one.name}.gguf", name="m").path for one in (copied, llama))
    assert _tensors(seen) == _tensors(plain)


def test_small_blocks_of_rows_give_the_same_file(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_gguf(llama, tmp_path / "a.gguf", name="m", file_type="q4_0").path
    monkeypatch.setattr(gguf_write, "BLOCK_NUMBERS", 300)
    assert (
        write_gguf(llama, tmp_path / "b.gguf", name="m", file_type="q4_0").path.read_bytes()
        == whole.read_bytes()
    )


@pytest.mark.parametrize(
    ("name", "shape", "file_type", "kind"),
    [
        ("blk.0.attn_q.weight", (64, 64), "q8_0", "Q8_0"),
        ("blk.0.attn_q.weight", (64, 64), "q4_0", "Q4_0"),
        ("blk.0.ffn_down.weight", (64, 80), "q8_0", "F16"),
        ("blk.0.ffn_down.weight", (64, 80), "q4_0", "F16"),
        ("token_embd.weight", (500, 64), "q4_0", "Q8_0"),
        ("output.weight", (500, 64), "q4_0", "Q8_0"),
        ("blk.0.attn_norm.weight", (64,), "q4_0", "F32"),
        ("blk.0.attn_q.bias", (64,), "f16", "F32"),
        ("blk.0.attn_q.weight", (64, 64), "f32", "F32"),
    ],
)
def test_each_tensor_gets_a_format_that_fits_it(
    name: str, shape: tuple[int, ...], file_type: FileType, kind: str
) -> None:
    assert kind_of(Planned(name=name, shape=shape), file_type).name == kind


def test_an_unknown_architecture_names_the_known_ones(copied: Path, tmp_path: Path) -> None:
    _change(copied / "config.json", model_type="mamba")
    with pytest.raises(UsageError, match=r"'mamba'.*llama, mistral.*qwen3.*phi3"):
        write_gguf(copied, tmp_path / "m.gguf", name="m")


def test_missing_weights_are_named(copied: Path, tmp_path: Path) -> None:
    _change(copied / "config.json", num_hidden_layers=3)
    with pytest.raises(ArtifactError, match=r"9 weights are missing: model\.layers\.2"):
        write_gguf(copied, tmp_path / "m.gguf", name="m")


def test_weights_without_a_place_are_named(copied: Path, tmp_path: Path) -> None:
    _change(copied / "config.json", num_hidden_layers=1)
    with pytest.raises(ArtifactError, match=r"9 weights have no place in llama: model\.layers\.1"):
        write_gguf(copied, tmp_path / "m.gguf", name="m")


def test_weights_that_are_cut_off_are_refused(copied: Path, tmp_path: Path) -> None:
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="the file holds fewer"):
        write_gguf(copied, tmp_path / "m.gguf", name="m")


@pytest.mark.parametrize(("value", "message"), [(float("nan"), "no number"), (1e6, "beyond float16")])
def test_weights_that_cannot_be_stored_are_refused(
    copied: Path, tmp_path: Path, value: float, message: str
) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][3, 3] = value
    save_file(weights, copied / "model.safetensors")
    with pytest.raises(ArtifactError, match=message):
        write_gguf(copied, tmp_path / "m.gguf", name="m")
    assert not list(tmp_path.glob("m.gguf*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'"),
        ({"hidden_size": "wide"}, "misstates"),
    ],
)
def test_a_config_that_llama_cpp_cannot_compute_is_refused(
    copied: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    _change(copied / "config.json", **changes)
    with pytest.raises(ArtifactError, match=message):
        write_gguf(copied, tmp_path / "m.gguf", name="m")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": " "}, "name is empty"),
        ({"name": "my Phi-3 task"}, "token </s> is missing"),
        ({"file_type": "q4_k_m"}, "f32, f16, q8_0, q4_0"),
        ({"end_token": 10_000}, "outside 0 to 506"),
        ({"extra": {"task": "x"}}, "'task'"),
        ({"extra": {"microlith.rows": 1 << 63}}, "microlith.rows"),
        ({"extra": {"general.base_model.count": -1}}, "base_model"),
        ({"extra": {"general.alignment": 64}}, "alignment"),
    ],
)
def test_values_that_cannot_stand_in_the_file_are_refused(
    llama: Path, tmp_path: Path, values: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        write_gguf(llama, tmp_path / "m.gguf", **{"name": "m", **values})  # type: ignore[arg-type]


def test_another_order_of_windows_than_gemmas_is_refused(tmp_path: Path) -> None:
    folder = make_gemma3(tmp_path / "gemma")
    _change(folder / "config.json", layer_types=["full_attention"] * 6)
    with pytest.raises(ArtifactError, match="layer_types"):
        write_gguf(folder, tmp_path / "m.gguf", name="m")


def test_a_real_phi_may_be_called_phi3(tmp_path: Path) -> None:
    path = write_gguf(make_phi3(tmp_path / "phi"), tmp_path / "m.gguf", name="Phi-3 lights").path
    assert LlamaFile.open(path, vocab_only=True).vocabulary_size == 590


def test_a_full_disk_is_said_before_anything_is_written(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_write.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(StorageError, match="10 are free"):
        write_gguf(llama, tmp_path / "m.gguf", name="m")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_leaves_the_old_file(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Iterator[None]:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "m.gguf"
    target.write_bytes(b"old")
    monkeypatch.setattr(gguf_write, "_write_tensor", refuse)
    with pytest.raises(StorageError, match="No space left"):
        write_gguf(llama, target, name="m")
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
    assert target.read_bytes() == b"old"


def test_what_llama_cpp_does_otherwise_is_said(tmp_path: Path) -> None:
    facts = write_gguf(make_qwen3(tmp_path / "qwen"), tmp_path / "m.gguf", name="m")
    assert len(facts.notes) == 1
    assert "NFC" in facts.notes[0]


def _tensors(path: Path) -> dict[str, bytes]:
    data = path.read_bytes()
    return {one.name: data[one.offset : one.offset + one.size_bytes] for one in read_gguf(path).tensors}
