"""The generative backend: loading, refusing, calibrating."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from microlith.errors import ArtifactError
from microlith.inference.calibration import Calibrator
from microlith.inference.generative import ANSWER_FEATURES, GenerativeModel
from microlith.inference.stored import READABLE
from microlith.task.compile import compile_plan
from microlith.task.validate import Validator
from tests.inference.test_spelling import FIGURES, SCHEMAS, many, of
from tests.inference.tiny_gguf import artifact
from tests.inference.toys import Toy, toy
from tests.inference.walking import ODD_REQUESTS

WORDS = of(mood={"enum": ["glad", "sad"]}, why={"type": "string", "minLength": 2, "maxLength": 12})


@pytest.fixture(scope="module")
def mood() -> Toy:
    return toy("mood")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mood: Toy) -> Path:
    return artifact(mood.plan, tmp_path_factory.mktemp("artifact") / "mood")


@pytest.fixture(scope="module")
def model(folder: Path) -> GenerativeModel:
    return GenerativeModel.load(folder, name="tiny")


def fitted() -> Calibrator:
    """A calibration that believes half of everything."""
    plain = Calibrator().to_json()
    return Calibrator.from_json({**plain, **halved(plain)})


def halved(plain: dict[str, Any]) -> dict[str, Any]:
    return {"temperature": 2.0} if "temperature" in plain else {}


def test_every_family_answers(tmp_path: Path, mood: Toy) -> None:
    for name in ("qwen3", "gemma3", "mistral", "phi3"):
        loaded = GenerativeModel.load(artifact(mood.plan, tmp_path / name, name=name))
        (found,) = loaded.predict(["what a great day"])
        assert found.output is not None, found.refusal
        assert found.output["mood"] in ("glad", "sad", "none")
        assert 0.0 < found.confidence <= 1.0


@pytest.mark.parametrize("name", ["task-plan", "task-risk", "infra"])
def test_a_model_of_a_pack_answers(tmp_path: Path, name: str) -> None:
    loaded = GenerativeModel.load(artifact(compile_plan(SCHEMAS[name]), tmp_path, context_tokens=4096))
    request = f"open port 22 on a.lan\n{FIGURES}"
    (found,) = loaded.predict([request])
    assert found.output is not None, found.refusal
    assert Validator(SCHEMAS[name]).problems(found.output) == []
    assert all(0.0 <= field.confidence <= 1.0 for field in found.fields)


@pytest.mark.parametrize("odd", ODD_REQUESTS)
def test_odd_requests_are_answered_or_refused(model: GenerativeModel, odd: str) -> None:
    (found,) = model.predict([ODD_REQUESTS[odd]])
    assert (found.output is None) == bool(found.refusal)


@pytest.mark.parametrize("request_text", ["", " ", "\n\t "])
def test_an_empty_request_is_refused(model: GenerativeModel, request_text: str) -> None:
    (found,) = model.predict([request_text])
    assert found.refusal == "the request is empty"


def test_a_refusal_says_why(tmp_path: Path, mood: Toy) -> None:
    small = GenerativeModel.load(artifact(mood.plan, tmp_path / "a", context_tokens=40))
    (found,) = small.predict(["so " * 100])
    assert found.refusal is not None
    assert "the request has" in found.refusal
    assert "tokens, the model reads 36" in found.refusal
    risk = GenerativeModel.load(artifact(compile_plan(SCHEMAS["task-risk"]), tmp_path / "b"))
    (found,) = risk.predict(["no figures at all"])
    assert found.refusal is not None
    assert "neither a delay nor the times" in found.refusal


def test_only_the_beginning_of_a_request_is_read(tmp_path: Path, mood: Toy) -> None:
    wide = GenerativeModel.load(artifact(mood.plan, tmp_path, context_tokens=16_384))
    long = "so great " * 5000
    one, other = wide.think_all([long, long[:READABLE]])
    assert one.output == other.output
    assert one.features == other.features


def test_features_are_finite_and_named(model: GenerativeModel) -> None:
    thought = model.think("what a great day")
    assert len(thought.features) == len(ANSWER_FEATURES)
    assert all(math.isfinite(one) for one in thought.features)
    assert thought.why == ""


def test_answers_with_words_have_a_confidence(tmp_path: Path) -> None:
    plan = compile_plan(WORDS)
    loaded = GenerativeModel.load(artifact(plan, tmp_path))
    (found,) = loaded.predict(["a day"])
    assert found.output is not None
    assert Validator(WORDS).problems(found.output) == []
    assert 0.0 < found.confidence <= 1.0
    assert {field.path for field in found.fields} == {"mood", "why"}


def test_fields_in_lists_and_objects_have_a_confidence(tmp_path: Path) -> None:
    schema = of(a=many(of(x={"enum": ["p", "q"]}, y=many({"enum": ["r", "s"]}, 1))), b={"type": "boolean"})
    loaded = GenerativeModel.load(artifact(compile_plan(schema), tmp_path))
    for request in ("one", "two", "three"):
        (found,) = loaded.predict([request])
        assert found.output is not None
        assert Validator(schema).problems(found.output) == []
        assert all(0.0 < field.confidence <= 1.0 for field in found.fields)


def test_a_calibration_is_kept_beside_the_model(folder: Path, model: GenerativeModel) -> None:
    calibrated = model.calibrated(fitted())
    assert calibrated.name == "tiny"
    try:
        calibrated.save_calibration(folder)
        again = GenerativeModel.load(folder, name="tiny")
    finally:
        (folder / "calibration.json").unlink()
    (one,), (other,) = calibrated.predict(["so great"]), again.predict(["so great"])
    assert one.output == other.output
    assert one.confidence == pytest.approx(other.confidence)


def test_what_is_said_unguided_is_text_of_at_most_so_many_tokens(model: GenerativeModel) -> None:
    assert isinstance(model.free("hello", 5), str)
    assert model.predict(["hello"])[0].output == model.predict(["hello"])[0].output


@pytest.mark.parametrize(
    "name", ["model.gguf", "tokenizer.json", "prompt.json", "schema.json", "grounding.json"]
)
@pytest.mark.parametrize("damage", ["absent", "text", "other json"])
def test_a_damaged_folder_is_refused(tmp_path: Path, mood: Toy, name: str, damage: str) -> None:
    broken = artifact(mood.plan, tmp_path / "model") / name
    if damage == "absent":
        broken.unlink()
    else:
        broken.write_text("{" if damage == "text" else '{"x": 1}')
    with pytest.raises(ArtifactError):
        GenerativeModel.load(tmp_path / "model")


@pytest.mark.parametrize("stored", ["null", "[]", '{"prompt": {}}', '{"prompt": 3, "context_tokens": 9}'])
def test_a_damaged_prompt_is_refused(tmp_path: Path, mood: Toy, stored: str) -> None:
    made = artifact(mood.plan, tmp_path / "model")
    (made / "prompt.json").write_text(stored)
    with pytest.raises(ArtifactError):
        GenerativeModel.load(made)


@pytest.mark.parametrize("context", ["null", '"many"', "0", "-3", "1e9"])
def test_a_context_that_cannot_be_is_refused(tmp_path: Path, mood: Toy, context: str) -> None:
    made = artifact(mood.plan, tmp_path / "model")
    stored = json.loads((made / "prompt.json").read_text())
    (made / "prompt.json").write_text(json.dumps(stored).replace("1024", context))
    with pytest.raises(ArtifactError):
        GenerativeModel.load(made)
