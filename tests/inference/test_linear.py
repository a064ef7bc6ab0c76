from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microlith.data.example import Example
from microlith.errors import ArtifactError, DataError, StorageError, TrainingError
from microlith.inference import linear_fit
from microlith.inference.calibration import Calibrator, LogisticCalibrator
from microlith.inference.linear import ANSWER_FEATURES, LinearModel, fit_linear
from microlith.inference.linear_descent import minimise
from microlith.inference.linear_store import FACTS_FILE, WEIGHTS_FILE
from microlith.inference.linear_text import fit_vocabulary, shape
from microlith.task.compile import compile_plan
from tests.inference.toys import Toy, toy


def exact(model: LinearModel, rows: tuple[Example, ...]) -> float:
    predictions = model.predict([row.input for row in rows])
    hits = [one.output == row.output for one, row in zip(predictions, rows, strict=True)]
    return hits.count(True) / len(rows)


@pytest.mark.parametrize(("name", "least"), [("gate", 0.95), ("music", 0.95), ("orders", 0.8), ("mood", 1.0)])
def test_it_learns(name: str, least: float, gate_model: LinearModel) -> None:
    made = toy(name)
    model = gate_model if name == "gate" else fit_linear(made.plan, made.examples)
    assert exact(model, made.examples) >= least


def test_values_never_seen_are_copied(gate_model: LinearModel) -> None:
    request = "point zz9.example.org at 192.168.7.77, then make a login for wanda with password q!Q_1"
    (found,) = gate_model.predict([request])
    assert found.output == {
        "action": "sequence",
        "steps": [
            {"action": "point", "host": "zz9.example.org", "ip": "192.168.7.77"},
            {"action": "login", "user": "wanda", "password": "q!Q_1"},
        ],
    }
    spans = {field.path: field.span for field in found.fields if field.span is not None}
    assert {path: request[slice(*where)] for path, where in spans.items()} == {
        "steps[0].host": "zz9.example.org", "steps[0].ip": "192.168.7.77",
        "steps[1].user": "wanda", "steps[1].password": "q!Q_1",
    }  # fmt: skip


def test_a_missing_value_is_asked_for(gate_model: LinearModel) -> None:
    (found,) = gate_model.predict(["open the port please"])
    assert found.output == {"action": "clarify", "intent": "open", "missing": ["port"]}


def test_no_slice_serves_two_slots(gate_model: LinearModel) -> None:
    for request in (
        "make a login for eve with password",
        "login eve",
        "point a.lan at a.lan",
        "password bob",
    ):
        (found,) = gate_model.predict([request])
        by_step: dict[str, list[tuple[int, int]]] = {}
        for field in found.fields:
            if field.span is not None:
                by_step.setdefault(field.path.rpartition(".")[0], []).append(field.span)
        for spans in by_step.values():
            assert len(set(spans)) == len(spans)


def test_an_empty_request_is_refused(gate_model: LinearModel) -> None:
    assert [one.refusal for one in gate_model.predict(["", " \n"])] == ["the request is empty"] * 2


def test_equal_seeds_give_equal_models(gate: Toy, tmp_path: Path) -> None:
    rows = gate.examples[:30]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        fit_linear(gate.plan, rows, 3).save(tmp_path / folder)
    for name in (FACTS_FILE, WEIGHTS_FILE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_one_class_only(gate: Toy) -> None:
    rows = [Example(input=f"hello {n}", output={"action": "unsupported"}, source=f"r:{n}") for n in range(5)]
    (found,) = fit_linear(gate.plan, rows).predict(["anything"])
    assert found.output == {"action": "unsupported"}


def test_weights_of_rows_count() -> None:
    plan = toy("mood").plan
    rows = [
        Example(input="so so", output={"mood": "glad"}, source="r:1", weight=5.0),
        *(Example(input="so so", output={"mood": "sad"}, source=f"r:{n}") for n in range(2, 5)),
    ]
    assert fit_linear(plan, rows).predict(["so so"])[0].output == {"mood": "glad"}
    assert fit_linear(plan, [replace(row, weight=1.0) for row in rows]).predict(["so so"])[0].output == {
        "mood": "sad"
    }


def test_no_rows_are_an_error(gate: Toy) -> None:
    with pytest.raises(TrainingError, match="no rows"):
        fit_linear(gate.plan, [])


def test_required_text_is_an_error() -> None:
    schema = {"type": "object", "properties": {"why": {"type": "string"}}, "required": ["why"]}
    with pytest.raises(TrainingError, match="cannot write why"):
        fit_linear(compile_plan(schema), [Example(input="a", output={"why": "b"}, source="r:1")])


def test_a_row_that_does_not_fit_is_named(gate: Toy) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:7: the answer does not fit the schema"):
        fit_linear(gate.plan, [Example(input="a", output={"action": "dance"}, source="rows.jsonl:7")])


def test_a_value_that_is_no_slice_does_not_stop_the_rest(gate: Toy) -> None:
    odd = Example(
        input="the usual host", output={"action": "point", "host": "a.lan", "ip": "10.0.0.1"}, source="r:1"
    )
    model = fit_linear(gate.plan, [*gate.examples, odd])
    assert exact(model, gate.examples) >= 0.9


def test_many_rows_are_sampled_and_originals_come_first() -> None:
    rows = [
        Example(input=f"{n}", output={}, source=f"r:{n}", parents=("r:0",) if n % 2 else ()) for n in range(6)
    ]
    chosen = linear_fit._chosen(rows, 4, random.Random(0))
    assert [row.source for row in chosen if not row.parents] == ["r:0", "r:2", "r:4"]
    assert len(chosen) == 4


def test_calibration_changes_confidence_and_no_answer(gate: Toy, gate_model: LinearModel) -> None:
    size = len(ANSWER_FEATURES)
    flat = Calibrator(
        temperatures={"choice": 5.0},
        answer=LogisticCalibrator(
            names=ANSWER_FEATURES, mean=(0.0,) * size, scale=(1.0,) * size, weights=(0.0,) * size, bias=0.0
        ),
    )
    requests = [row.input for row in gate.examples[:10]]
    before, after = gate_model.predict(requests), gate_model.calibrated(flat).predict(requests)
    assert [one.output for one in before] == [one.output for one in after]
    assert max(one.confidence for one in after) == 0.5
    assert all(one.confidence <= min(field.confidence for field in one.fields) for one in after)
    assert after[0].fields[0].confidence < before[0].fields[0].confidence


def test_thinking_gives_what_a_calibration_is_fitted_on(gate_model: LinearModel) -> None:
    thought = gate_model.think("open port 22")
    assert thought.output == {"action": "open", "port": 22}
    assert len(thought.features) == len(ANSWER_FEATURES)
    assert {item.key for item in thought.decoded.decisions} >= {"action", "#count"}


# ----------------------------------------------------------------------------------------------- storing


@pytest.fixture
def saved(gate_model: LinearModel, tmp_path: Path) -> Path:
    gate_model.save(tmp_path)
    return tmp_path


def test_a_saved_model_answers_the_same(saved: Path, gate: Toy, gate_model: LinearModel) -> None:
    loaded = LinearModel.load(saved, name="gate@1")
    requests = [row.input for row in gate.examples[:30]]
    for one, other in zip(gate_model.predict(requests), loaded.predict(requests), strict=True):
        assert replace(one, latency_ms=0.0, model="gate@1") == replace(other, latency_ms=0.0)


def test_nothing_in_a_saved_model_is_executed(saved: Path) -> None:
    with np.load(saved / WEIGHTS_FILE, allow_pickle=False) as archive:
        assert {archive[name].dtype for name in archive.files} == {np.dtype(np.float16)}
    assert json.loads((saved / FACTS_FILE).read_text(encoding="ascii"))["format"] == 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="ascii")), **changes}), encoding="ascii")


def swap_weights(path: Path, **changes: Any) -> None:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **(arrays | changes))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / FACTS_FILE).unlink(),
        lambda folder: (folder / WEIGHTS_FILE).unlink(),
        lambda folder: cut(folder / FACTS_FILE),
        lambda folder: cut(folder / WEIGHTS_FILE),
        lambda folder: edit(folder / FACTS_FILE, format=99),
        lambda folder: edit(folder / FACTS_FILE, text=[]),
        lambda folder: edit(folder / FACTS_FILE, schema={"type": "string"}),
        lambda folder: edit(folder / FACTS_FILE, spec={}),
        lambda folder: edit(folder / FACTS_FILE, calibrator=None),
        lambda folder: swap_weights(folder / WEIGHTS_FILE, idf=np.zeros(3)),
        lambda folder: swap_weights(folder / WEIGHTS_FILE, idf=np.array([object()], dtype=object)),
    ],
    ids=range(11),
)
def test_a_damaged_model_is_an_error_that_names_the_file(saved: Path, damage: Any) -> None:
    damage(saved)
    with pytest.raises(ArtifactError, match=r"linear\.(json|npz)|shape"):
        LinearModel.load(saved)


def test_a_folder_that_cannot_be_written(gate_model: LinearModel, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        gate_model.save(tmp_path / "absent")


def test_answering_needs_neither_sklearn_nor_scipy(saved: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from microlith.inference.linear import LinearModel\n"
        "model = LinearModel.load(Path(sys.argv[1])); assert model.predict(['open port 22'])[0].output\n"
        "assert not {'scipy', 'sklearn', 'torch'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(saved)], check=True, env=_environment())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}


# ------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("nas01.lan", "a0.a"),
        ("10.0.0.255", "0.0.0.0"),
        ("C:\\Data", "a:\\a"),
        ("été", "a"),
        ("12345678", "0"),
    ],
)
def test_shapes(token: str, expected: str) -> None:
    assert shape(token) == expected


def test_words_and_letters_have_length_one() -> None:
    vocabulary = fit_vocabulary(["open the door", "close the door"], rarest=1, largest=1000)
    columns, values = vocabulary.vector("open the window")
    assert len(columns) == len(set(columns.tolist())) == len(values)
    assert float(values @ values) == pytest.approx(2.0, abs=1e-5)


def test_unknown_words_give_an_empty_vector() -> None:
    vocabulary = fit_vocabulary(["aaa"], rarest=1, largest=10)
    columns, values = vocabulary.vector("zzz")
    assert (len(columns), len(values)) == (0, 0)


def test_rare_and_too_many_features_are_left_out() -> None:
    vocabulary = fit_vocabulary(["red car", "red bus", "red van"], rarest=3, largest=2)
    assert len(vocabulary.columns) == 2
    assert all("red" in name or " re" in name for name in vocabulary.columns)


def test_descent_finds_the_minimum() -> None:
    target, scale = np.linspace(-3, 3, 50, dtype=np.float32), np.linspace(1, 40, 50, dtype=np.float32)

    def loss(weights: Any) -> tuple[float, Any]:
        away = weights - target
        return float(0.5 * (scale * away * away).sum()), scale * away

    found = minimise(loss, np.zeros(50, dtype=np.float32), steps=200, tolerance=0.0)
    assert np.abs(found - target).max() < 1e-2
