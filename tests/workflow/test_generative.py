"""Language models through the whole workflow: trained, proven, registered, asked, scored, exported; and what cannot work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("xllamacpp")

from microlith.cli.boundary import run as command
from microlith.errors import ArtifactError, ParityError, StorageError, UsageError
from microlith.events import Event, StageDone, Step, Warned
from microlith.inference.generative import GenerativeModel
from microlith.registry import list_artifacts
from microlith.registry.heldout import read_heldout
from microlith.registry.models import load_model, open_model
from microlith.task import load_task
from microlith.task.taskfile import Task
from microlith.workflow.export import export
from microlith.workflow.order import Order
from microlith.workflow.train import Trained, train
from tests.tiny_models import make_llama, make_mistral, make_smollm
from tests.workflow.conftest import write_task, write_text_task
from tests.workflow.test_train import REQUESTS, run

SCRATCH: dict[str, Any] = {
    "layers": 1, "width": 32, "heads": 2, "inner": 64, "vocabulary": 340, "passes": 1, "least_rows": 50, "context_tokens": 256,
    "batch_tokens": 512, "threads": 1, "validations": 1, "refill": 1, "validation_share": 0.2, "precision": "float32",
}  # fmt: skip
TUNED: dict[str, Any] = {
    "batch_size": 8, "accumulation": 1, "passes": 1, "max_tokens": 160, "threads": 1, "precision": "float32", "rank": 4,
    "refill": 1, "validation_share": 0.2, "rate": 1e-3, "gradient_checkpointing": False, "validations": 1,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_core() -> Generator[None]:
    """Two threads of llama.cpp wait for each other where another process has a core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("microlith.workflow.train.usable_cores", lambda: 1)
        patch.setattr("microlith.workflow.evaluate.usable_cores", lambda: 1, raising=False)
        patch.setattr("microlith.evaluation.constraint.FREE_ROWS", 2)
        yield


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks and a tiny pretrained model; what is trained goes to `home`."""
    folder = tmp_path_factory.mktemp("shop")
    write_task(folder / "people")
    write_text_task(folder / "delay")
    make_smollm(folder / "smollm")
    return folder


def order_of(shop: Path, recipe: str, **changes: Any) -> Order:
    values = SCRATCH if recipe == "scratch" else {**TUNED, "base": str(shop / "smollm")}
    return Order(recipe=recipe, overrides={**values, **changes})


Made = dict[str, tuple[list[Event], Trained]]


@pytest.fixture(scope="module")
def made(shop: Path) -> Made:
    """Every recipe, trained once."""
    people, delay = load_task(shop / "people"), load_task(shop / "delay")
    return {
        "scratch": run(train(people, order_of(shop, "scratch"), root=shop / "home")),
        "lora": run(train(people, order_of(shop, "lora"), root=shop / "home-lora")),
        "full": run(train(people, order_of(shop, "full"), root=shop / "home-full")),
        "texts": run(train(delay, order_of(shop, "scratch"), root=shop / "home")),
    }


def home(shop: Path, name: str) -> Path:
    return shop / {"lora": "home-lora", "full": "home-full"}.get(name, "home")


def task_of(shop: Path, name: str) -> Task:
    return load_task(shop / ("delay" if name == "texts" else "people"))


def exported(shop: Path, folder: Path, name: str = "scratch", **changes: Any) -> tuple[list[Event], Any]:
    return run(export(task_of(shop, name), folder, root=home(shop, name), **changes))


ALL = ("scratch", "lora", "full", "texts")


@pytest.mark.parametrize("name", ALL)
def test_a_training_tells_its_stages(name: str, made: Made) -> None:
    stages = [event.stage for event in made[name][0] if isinstance(event, StageDone)]
    based = ["base"] if name in ("lora", "full") else []
    scored = ["evaluate"] * (2 if name == "texts" else 3)
    assert stages == ["data", "baselines", *based, "train", "prove", "calibrate", *scored]
    assert any(isinstance(event, Step) for event in made[name][0])


@pytest.mark.parametrize("name", ALL)
def test_the_card_says_what_it_was_made_of(name: str, made: Made) -> None:
    card = made[name][1].artifact.card
    assert card.kind == "generative"
    assert card.parity is not None
    assert card.parity.rows > 0
    assert card.settings["recipe"] == ("scratch" if name == "texts" else name)
    assert {"torch", "xllamacpp", "gguf"} <= set(card.libraries)
    assert (card.base.name if card.base else None) == ("smollm" if name in ("lora", "full") else None)
    assert ("adapter.gguf" in card.files) is (name == "lora")
    json.dumps(made[name][1].to_json())


@pytest.mark.parametrize("name", ALL)
def test_the_registered_model_answers_anything_validly(name: str, made: Made, shop: Path) -> None:
    task = task_of(shop, name)
    opened = open_model(str(task.folder), root=home(shop, name))
    assert opened.kind == "generative"
    requests: Sequence[Any] = REQUESTS
    if name == "texts":
        assert opened.render is not None
        row = {"metrics": {"predicted_delay_hours": 3.0}, "job": "wall", "who": "Zelda Quick"}
        requests = [opened.render(row), *REQUESTS]
    for request, one in zip(requests, opened.model.predict(requests), strict=True):
        assert one.output is None or task.validator.is_valid(one.output)
        assert 0.0 <= one.confidence <= 1.0
        for field in one.fields:
            assert field.span is None or request[slice(*field.span)] == str(field.value)


@pytest.mark.parametrize("name", ALL)
def test_what_was_answered_to_validation_rows_is_kept(name: str, made: Made, shop: Path) -> None:
    task = task_of(shop, name)
    for one in list_artifacts(task.name, root=home(shop, name)):
        assert one.card is not None
        outcomes = read_heldout(one.folder)
        assert outcomes is not None, one.card.kind
        assert 0 < len(outcomes) <= one.card.data.splits["validation"]


def test_a_computed_value_is_never_guessed_and_a_private_one_never_read(made: Made, shop: Path) -> None:
    opened = open_model(str(shop / "delay"), "generative", root=shop / "home")
    assert opened.render is not None
    for delay, late in ((0.0, "low"), (1.0, "medium"), (9.0, "high")):
        text = opened.render(
            {"metrics": {"predicted_delay_hours": delay}, "job": "wall", "who": "Zelda Quick"}
        )
        assert "Zelda" not in text
        (found,) = opened.model.predict([text])
        assert found.output["late"] == late
    for name in ("generative", "nearest"):
        folder = open_model(str(shop / "delay"), name, root=shop / "home").artifact
        assert folder is not None
        for path in folder.folder.iterdir():
            assert b"Zelda" not in path.read_bytes(), path.name


def test_the_nearest_example_is_registered_beside(made: Made, shop: Path) -> None:
    kinds = {one.card.kind for one in list_artifacts("delay", root=shop / "home") if one.card}
    assert kinds == {"generative", "nearest"}
    opened = open_model(str(shop / "delay"), "nearest", root=shop / "home")
    assert opened.artifact is not None
    lines = (opened.artifact.folder / "examples.jsonl").read_text("utf-8").splitlines()
    row = json.loads(lines[7])
    (found,) = opened.model.predict([row["input"]])
    assert (found.output, found.confidence) == (row["output"], 1.0)
    assert [one.model for one in made["texts"][1].evaluations] == ["generative", "nearest"]
    assert "ROUGE-L" in made["texts"][1].why


@pytest.mark.parametrize("name", ALL)
def test_nothing_changed_nothing_trained(name: str, made: Made, shop: Path) -> None:
    recipe = "scratch" if name == "texts" else name
    events, again = run(train(task_of(shop, name), order_of(shop, recipe), root=home(shop, name)))
    assert again.reused
    assert [event.reused for event in events if isinstance(event, StageDone)] == [True]
    assert again.artifact.card == made[name][1].artifact.card


def test_equal_seeds_give_an_equal_artifact(made: Made, shop: Path, tmp_path: Path) -> None:
    again = run(train(task_of(shop, "scratch"), order_of(shop, "scratch"), root=tmp_path))[1]
    first, second = made["scratch"][1].artifact.folder, again.artifact.folder
    for name in ("model.gguf", "tokenizer.json", "Modelfile", "calibration.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_killed_training_goes_on(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = order_of(shop, "scratch", checkpoint_every_s=0.0, least_rows=200)
    work = train(task_of(shop, "scratch"), given, root=tmp_path)
    while not (isinstance(event := next(work), Step) and event.step >= 3):
        pass
    work.close()
    monkeypatch.setattr("microlith.registry.runs.is_left_behind", lambda part, now: True)
    events, found = run(train(task_of(shop, "scratch"), given, root=tmp_path))
    assert any(isinstance(event, Warned) and "going on from step" in event.what for event in events)
    assert found.artifact.card.kind == "generative"


def test_a_time_limit_shortens_the_training(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microlith.workflow.budget.SHARE", 1e-4)
    given = Order(recipe="scratch", minutes=0.5, overrides={**SCRATCH, "least_rows": 3000})
    events, found = run(train(task_of(shop, "scratch"), given, root=tmp_path))
    assert any(isinstance(event, Warned) and "minutes do for" in event.what for event in events)
    assert found.artifact.card.kind == "generative"


# ------------------------------------------------------------------------------------------------ scoring


def test_evaluate_prints_words_and_the_cost_of_the_constraint(
    made: Made,
    shop: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MICROLITH_HOME", str(shop / "home"))
    page = tmp_path / "page.html"
    assert command(["evaluate", str(shop / "delay"), "--report", str(page)]) == 0
    shown = capsys.readouterr().out
    assert "ROUGE-L" in shown
    assert "onstrain" in shown
    assert "ROUGE-L" in page.read_text("utf-8")


def test_ask_answers_a_structured_request(
    made: Made, shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROLITH_HOME", str(shop / "home"))
    row = json.dumps({"metrics": {"predicted_delay_hours": 4.0}, "job": "roof", "who": "Zelda Quick"})
    assert command(["ask", str(shop / "delay"), row, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["output"]["late"] == "high"
    assert "Zelda" not in json.dumps([shown["output"], shown["fields"]])


# ------------------------------------------------------------------------------------------------- export


def test_a_smaller_file_is_proven_and_works_by_itself(made: Made, shop: Path, tmp_path: Path) -> None:
    events, found = exported(shop, tmp_path / "small", file_type="q8_0")
    assert [event.stage for event in events if isinstance(event, StageDone)] == ["prove", "export"]
    assert (found.file_type, found.proof.passed) == ("q8_0", True)
    folder = made["scratch"][1].artifact.folder
    assert (tmp_path / "small" / "model.gguf").stat().st_size < (folder / "model.gguf").stat().st_size
    assert (tmp_path / "small" / "Modelfile").read_bytes() == (folder / "Modelfile").read_bytes()
    assert found.size_bytes == sum(path.stat().st_size for path in (tmp_path / "small").iterdir())
    (one,) = GenerativeModel.load(tmp_path / "small").predict(["please enrol tom now"])
    assert task_of(shop, "scratch").validator.is_valid(one.output)
    json.dumps(found.to_json())


@pytest.mark.parametrize("file_type", [None, "f16", "F16"])
def test_the_artifacts_own_files_are_copied(
    file_type: str | None, made: Made, shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    _, found = exported(shop, tmp_path / "there", file_type=file_type)
    assert found.proof is None
    folder = made["scratch"][1].artifact.folder
    assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "there").iterdir()}
    assert (tmp_path / "there" / "model.gguf").read_bytes() == (folder / "model.gguf").read_bytes()


def test_the_working_directory_may_be_the_folder(
    made: Made, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    exported(shop, Path("."))
    assert (tmp_path / "here" / "model.gguf").is_file()


def test_the_adapter_makes_the_base_the_merged_model(made: Made, shop: Path, tmp_path: Path) -> None:
    from microlith.export.gguf_write import write_gguf
    from microlith.inference.llama_cpp import LlamaFile

    exported(shop, tmp_path / "adapter", "lora", adapter_of="./base.gguf")
    text = (tmp_path / "adapter" / "Modelfile").read_text("utf-8")
    assert text.startswith("FROM ./base.gguf\nADAPTER ./adapter.gguf\n")
    assert not (tmp_path / "adapter" / "model.gguf").exists()
    base = write_gguf(shop / "smollm", tmp_path / "adapter" / "base.gguf", name="base").path
    ids = [5, 300, 42, 17, 260, 99, 8, 123]
    merged = LlamaFile.open(made["lora"][1].artifact.folder / "model.gguf").logits(ids)
    file = LlamaFile.open(base)
    plain = file.logits(ids)
    file.apply(tmp_path / "adapter" / "adapter.gguf")
    applied = file.logits(ids)
    assert np.abs(applied - merged).max() < 0.05 * merged.std()
    assert np.abs(plain - merged).max() > 3 * np.abs(applied - merged).max()
    whole = load_model(str(shop / "people"), "generative", root=shop / "home-lora")
    apart = GenerativeModel.load(
        tmp_path / "adapter", file="base.gguf", adapter=tmp_path / "adapter" / "adapter.gguf"
    )
    asked = ["please enrol tom now", "abort it", "invite zoe"]
    assert [one.output for one in apart.predict(asked)] == [one.output for one in whole.predict(asked)]


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"file_type": "q9"}, UsageError, "--type 'q9' is unknown"),
        ({"model": "linear", "file_type": "q8_0"}, UsageError, "no language model but linear"),
        ({"model": "linear", "adapter_of": "x"}, UsageError, "no language model but linear"),
        ({"adapter_of": "x"}, ArtifactError, "has no adapter"),
        ({"adapter_of": "x", "file_type": "q8_0"}, UsageError, "an adapter has no number format"),
        ({"model": "rules"}, UsageError, "rules are a file already"),
        ({"model": "encoder"}, ArtifactError, "no encoder model of people"),
    ],
)
def test_what_cannot_be_exported_says_so_and_writes_nothing(
    changes: dict[str, Any], kind: type[Exception], told: str, made: Made, shop: Path, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=told):
        exported(shop, tmp_path / "out", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_stored_format_is_not_made_larger(made: Made, shop: Path, tmp_path: Path) -> None:
    order = order_of(shop, "scratch", file_type="q8_0")
    run(train(task_of(shop, "scratch"), order, root=tmp_path / "home"))
    for wanted, told in (("f16", "stored otherwise"), ("q4_0", "quantized already")):
        with pytest.raises(UsageError, match=told):
            run(export(task_of(shop, "scratch"), tmp_path / "out", file_type=wanted, root=tmp_path / "home"))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(made: Made, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UsageError, match="holds something already"):
            exported(shop, place)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_that_changes_too_much_is_refused_and_leaves_nothing(
    made: Made, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from microlith.export.generative_proof import ALLOWANCES, Allowance

    monkeypatch.setitem(ALLOWANCES, "q4_0", Allowance(answers=-1.0, tokens=0.0))
    monkeypatch.setattr(
        "microlith.export.generative_proof.GenerativeProof.passed", property(lambda one: False)
    )
    with pytest.raises(ParityError, match="answers otherwise"):
        exported(shop, tmp_path / "out", file_type="q4_0")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_folder(
    made: Made, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microlith.workflow.export.shutil.copyfile", _full)
    with pytest.raises(StorageError, match="No space left"):
        exported(shop, tmp_path / "out", file_type="q8_0")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_type_next(
    made: Made,
    shop: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MICROLITH_HOME", str(shop / "home"))
    assert command(["export", str(shop / "people"), "-o", str(tmp_path / "out"), "--type", "q8_0"]) == 0
    shown = capsys.readouterr().out
    assert "as q8_0" in shown
    assert "ollama create people -f Modelfile" in shown


# --------------------------------------------------------------------------------------------- what fails


def _full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "place", ["microlith.export.generative.shutil.copyfile", "microlith.inference.generative.GenerativeModel.save_calibration"]
)  # fmt: skip
def test_a_full_disk_registers_nothing(
    place: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, _full)
    with pytest.raises(StorageError, match=r"[Nn]o space|full"):
        run(train(task_of(shop, "scratch"), order_of(shop, "scratch"), root=tmp_path))
    assert list_artifacts("people", root=tmp_path) == ()
    assert not list((tmp_path / "artifacts").rglob("*.gguf"))


def test_a_file_that_answers_otherwise_is_not_registered(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "microlith.export.generative_proof.GenerativeProof.passed", property(lambda one: False)
    )
    with pytest.raises(ParityError, match="answers otherwise than the trained one"):
        run(train(task_of(shop, "scratch"), order_of(shop, "scratch"), root=tmp_path))
    assert list_artifacts("people", root=tmp_path) == ()


def test_an_encoder_cannot_write(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reasons"):
        run(train(task_of(shop, "texts"), Order(recipe="encoder"), root=tmp_path))


def _encoder(folder: Path) -> Path:
    from tests.tiny_base import make_tiny_base

    return make_tiny_base(folder, ["add bob now", "stop it"])


def _without_weights(folder: Path) -> Path:
    make_llama(folder)
    (folder / "model.safetensors").unlink()
    return folder


def _without_chat(folder: Path) -> Path:
    make_mistral(folder)
    path = folder / "tokenizer_config.json"
    told = {
        name: value for name, value in json.loads(path.read_text("utf-8")).items() if name != "chat_template"
    }
    path.write_text(json.dumps(told), encoding="utf-8")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    return folder


def _nothing(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_encoder, "no causal language model"),
        (_without_weights, "has no weights (model.safetensors)"),
        (_without_chat, "has no chat template"),
        (_nothing, "has no config.json"),
    ],
)
def test_a_base_that_cannot_be_tuned_is_named_with_its_mend(
    make: Any, told: str, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("MICROLITH_HOME", str(tmp_path / "home"))
    base = make(tmp_path / "base")
    assert command(["train", str(shop / "people"), "--recipe", "lora", "--set", f"base={base}"]) == 5
    shown = capsys.readouterr().err
    assert told in shown
    assert "mend" in shown
    assert "Traceback" not in shown
    assert shown.count("error:") == 1
    assert list_artifacts("people", root=tmp_path / "home") == ()


def test_qlora_without_a_gpu_says_what_it_would_take(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.setenv("MICROLITH_HOME", str(tmp_path / "home"))
    values = [f"{name}={value}" for name, value in {**TUNED, "base": shop / "smollm"}.items()]
    settings = [part for value in values for part in ("--set", value)]
    assert command(["train", str(shop / "people"), "--recipe", "qlora", *settings]) == 5
    shown = capsys.readouterr().err
    assert "CUDA" in shown
    assert "GB" in shown or "MB" in shown
    assert "lora" in shown
    shutil.rmtree(tmp_path / "home")
