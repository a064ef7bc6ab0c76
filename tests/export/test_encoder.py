"""The exported file answers as the network does, for every shape of plan; a damaged one is caught."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from microlith.data.example import Example
from microlith.errors import ArtifactError, ParityError
from microlith.export import encoder as export
from microlith.export.encoder import export_encoder
from microlith.export.parity import ParityReport
from microlith.inference.encoder import EncoderModel
from microlith.task.compile import compile_plan
from microlith.task.packs import pack_folder
from microlith.task.validate import Validator
from microlith.training.encoder import TrainedEncoder, train_encoder
from microlith.training.settings import settings_of
from tests.tiny_base import make_tiny_base

TEXTS = [
    "add bob to ops", "point nas.lan at 10.0.0.5", "play the blues by ella", "buy 3 eggs and 2 lemons", "open 443/tcp",
    "why is it slow?", "share 'Team Files' at /srv/team", "mail from a.b@c.example", "",
]  # fmt: skip
WORD = {"type": "string", "x-source": "input", "x-format": "word"}


def of(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def listed(item: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 0, "maxItems": most}


PLANS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "choice": (of({"kind": {"enum": ["a", "b"]}}, ["kind"]), [{"kind": "a"}, {"kind": "b"}]),
    "lists of slices": (
        of({"intent": {"enum": ["play", "other"]}, "slots": of({"artist": listed(WORD, 2), "genre": listed(WORD, 1)}, [])},
           ["intent", "slots"]),
        [{"intent": "other", "slots": {}}, {"intent": "play", "slots": {"artist": ["ella"], "genre": ["blues"]}}],
    ),
    "labels": (
        of({"topics": {**listed({"enum": ["x", "y", "z"]}, 3), "uniqueItems": True}}, ["topics"]),
        [{"topics": []}, {"topics": ["x", "z"]}],
    ),
    "array of objects": (
        of({"items": listed(of({"what": WORD, "unit": {"enum": ["kg", "piece"]}}, ["what"]), 3)}, ["items"]),
        [{"items": []}, {"items": [{"what": "eggs"}, {"what": "lemons", "unit": "piece"}]}],
    ),
    "steps and questions": (
        json.loads((pack_folder("infra") / "schema.json").read_text(encoding="utf-8")),
        [
            {"action": "unsupported"},
            {"action": "group_add_member", "username": "bob", "group": "ops"},
            {"action": "sequence", "steps": [{"action": "user_add", "username": "bob"}, {"action": "user_remove", "username": "add"}]},
        ],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("base"), TEXTS * 3)


def small(
    base: Path, folder: Path, schema: dict[str, Any], answers: list[Any]
) -> tuple[TrainedEncoder, list[Example]]:
    """A network after a few steps, and rows to prove it on; the weights differ enough for answers to differ."""
    texts = {"play": "play the blues by ella", "items": "buy 3 eggs and 2 lemons"}
    learn = [
        Example(input=next((text for word, text in texts.items() if word in str(answer)), "add bob to ops"), output=answer, source=f"r:{n}")
        for n, answer in enumerate(answers)
    ]  # fmt: skip
    overrides = {
        "base": str(base),
        "least_rows": 12,
        "passes": 1,
        "batch_size": 4,
        "threads": 1,
        "validations": 0,
    }
    work = train_encoder(compile_plan(schema), learn, [], settings_of("standard", overrides), folder)
    while True:
        try:
            next(work)
        except StopIteration as stop:
            trained: TrainedEncoder = stop.value
            break
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for heads in trained.net.groups:
            for value in heads.parameters():
                value.add_(0.3 * torch.randn(value.shape, generator=generator))
    rows = [Example(input=text, output=answers[0], source=f"t:{n}") for n, text in enumerate(TEXTS)]
    return trained, rows


@pytest.mark.parametrize("name", PLANS)
def test_the_runtime_answers_as_the_network(base: Path, tmp_path: Path, name: str) -> None:
    run, folder = tmp_path / "run", tmp_path / "artifact"
    run.mkdir()
    folder.mkdir()
    trained, rows = small(base, run, *PLANS[name])
    report = export_encoder(trained, rows, folder)
    assert (report.float_changed, report.passed, report.rows_total) == (0, True, len(rows))
    assert json.loads((folder / "parity.json").read_text())["passed"] is True
    assert not (folder / export.FLOAT_MODEL).exists()


@pytest.mark.parametrize("name", PLANS)
def test_answers_validate_and_copied_values_are_slices(base: Path, tmp_path: Path, name: str) -> None:
    trained, rows = small(base, tmp_path, *PLANS[name])
    export_encoder(trained, rows, tmp_path)
    validator = Validator(PLANS[name][0])
    for prediction in EncoderModel.load(tmp_path).predict(TEXTS * 2):
        if prediction.output is None:
            assert prediction.refusal
            continue
        assert validator.problems(prediction.output) == []
        for field in prediction.fields:
            if field.span is not None:
                assert any(str(field.value) == text[slice(*field.span)] for text in TEXTS)


def test_several_threads_answer_as_one_does_in_order(base: Path, tmp_path: Path) -> None:
    trained, rows = small(base, tmp_path, *PLANS["steps and questions"])
    export_encoder(trained, rows, tmp_path)
    requests = [f"{text} {number}" for number in range(20) for text in TEXTS]
    one, several = (EncoderModel.load(tmp_path, threads=threads).predict(requests) for threads in (1, 3))
    assert [item.output for item in one] == [item.output for item in several]
    assert [item.confidence for item in one] == pytest.approx([item.confidence for item in several], abs=1e-6)


def test_a_request_is_answered_alike_alone_and_in_a_batch(base: Path, tmp_path: Path) -> None:
    trained, rows = small(base, tmp_path, *PLANS["steps and questions"])
    export_encoder(trained, rows, tmp_path)
    model = EncoderModel.load(tmp_path)
    together = model.predict(TEXTS)
    alone = [model.predict([text])[0] for text in TEXTS]
    assert [item.output for item in together] == [item.output for item in alone]


def test_equal_weights_give_equal_bytes(base: Path, tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        trained, rows = small(base, folder, *PLANS["choice"])
        export_encoder(trained, rows, folder)
        found.append((folder / "model.onnx").read_bytes())
    assert found[0] == found[1]


def test_a_sabotaged_export_is_not_accepted(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, rows = small(base, tmp_path, *PLANS["choice"])
    honest: Callable[..., onnx.ModelProto] = export.build_graph

    def sabotaged(*arguments: Any, **named: Any) -> onnx.ModelProto:
        model = honest(*arguments, **named)
        for constant in model.graph.initializer:
            values = numpy_helper.to_array(constant)
            if values.dtype == np.float32 and values.size > 16:
                constant.CopyFrom(numpy_helper.from_array(-values, constant.name))
        return model

    monkeypatch.setattr(export, "build_graph", sabotaged)
    with pytest.raises(ParityError, match="answers otherwise") as caught:
        export_encoder(trained, rows, tmp_path)
    assert "t:" in str(caught.value)


def test_a_few_changes_too_many_are_judged_on_more_rows(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, rows = small(base, tmp_path, *PLANS["choice"])
    asked: list[int] = []
    honest = export._proof

    def two_changes(
        trained: TrainedEncoder, examples: Sequence[Example], *rest: Any, **bounds: Any
    ) -> ParityReport:
        asked.append(len(examples))
        return replace(honest(trained, examples, *rest, **bounds), changed=2)

    monkeypatch.setattr(export, "_proof", two_changes)
    with pytest.raises(ParityError, match="2 of 9 answers changed"):
        export_encoder(trained, rows, tmp_path)
    assert export_encoder(trained, rows, tmp_path, more=rows * 50).rows_total == 459
    assert asked == [9, 9, 459]


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json", "schema.json", "grounding.json"])
@pytest.mark.parametrize("damage", ["absent", "cut"])
def test_a_damaged_artifact_says_so(base: Path, tmp_path: Path, file: str, damage: str) -> None:
    trained, rows = small(base, tmp_path, *PLANS["choice"])
    export_encoder(trained, rows, tmp_path)
    target = tmp_path / file
    if damage == "absent":
        target.unlink()
    else:
        target.write_bytes(target.read_bytes()[: target.stat().st_size // 3])
    with pytest.raises(ArtifactError, match=r"train it again|cannot be loaded"):
        EncoderModel.load(tmp_path)
