"""The main job whole, with a tiny base: data, training, calibration, export, proof, scores, card; then again, and after damage."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from microlith.errors import ArtifactError, DataError, MissingBase, ParityError, UnknownTask, UsageError
from microlith.events import Event, StageDone, Step, Warned
from microlith.registry import list_artifacts, list_runs, open_artifact
from microlith.registry.heldout import HELDOUT, read_heldout
from microlith.registry.models import load_model, open_model
from microlith.task import load_task
from microlith.task.taskfile import Task
from microlith.workflow.evaluate import available, evaluate
from microlith.workflow.order import Order
from microlith.workflow.preference import preference
from microlith.workflow.specialists import Made
from microlith.workflow.train import Trained, train, train_seeds
from tests.tiny_base import make_tiny_base
from tests.workflow.conftest import write_task

REQUESTS = ("please enrol tom now", "abort it", "", "x" * 3000, "пожалуйста 👋\u0007")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task and a tiny base."""
    folder = tmp_path_factory.mktemp("shop")
    rows = (write_task(folder / "people") / "data" / "train.jsonl").read_text().splitlines()
    make_tiny_base(folder / "base", [json.loads(row)["input"] for row in rows] * 3)
    return folder


@pytest.fixture(scope="module")
def task(shop: Path) -> Task:
    return load_task(shop / "people")


def order(shop: Path, **changes: Any) -> Order:
    overrides = {
        "base": str(shop / "base"), "least_rows": 320, "passes": 1, "batch_size": 16, "encoder_rate": 3e-3, "heads_rate": 1e-2,
        "threads": 1, "validations": 1, "refill": 2, "validation_share": 0.2,
    }  # fmt: skip
    return Order(**{"overrides": overrides, **changes})


def run(work: Generator[Event, None, Any]) -> tuple[list[Event], Any]:
    events: list[Event] = []
    while True:
        try:
            events.append(next(work))
        except StopIteration as stop:
            return events, stop.value


@pytest.fixture(scope="module")
def made(shop: Path, task: Task) -> tuple[list[Event], Trained]:
    return run(train(task, order(shop), root=shop / "home"))


def test_a_training_tells_its_stages(made: tuple[list[Event], Trained]) -> None:
    stages = [event.stage for event in made[0] if isinstance(event, StageDone)]
    assert stages == ["data", "baselines", "train", "prove", "calibrate", "evaluate", "evaluate", "evaluate"]
    assert any(isinstance(event, Step) for event in made[0])


def test_the_card_says_what_it_was_made_of(made: tuple[list[Event], Trained], task: Task) -> None:
    card = made[1].artifact.card
    assert card.base is not None
    assert card.base.name == "base"
    assert card.data.splits["test"] == 3
    assert card.metrics["exact"].n == 3
    assert card.parity is not None
    assert card.parity.different == 0
    assert {"microlith", "torch", "onnxruntime"} <= set(card.libraries)
    assert card.settings["batch_size"] == 16
    assert card.settings["preferred"] is True


def test_encoder_linear_and_rules_are_scored_on_the_same_rows(made: tuple[list[Event], Trained]) -> None:
    assert {one.model for one in made[1].evaluations} == {"encoder", "linear", "rules"}
    assert {one.n for one in made[1].evaluations} == {3}
    assert made[1].comparison is not None
    assert {one.speed.rss_bytes for one in made[1].evaluations} == {None}, "this process has just trained"
    json.dumps(made[1].to_json())


def test_both_models_are_registered_the_preferred_one_as_the_newest(
    made: tuple[list[Event], Trained], shop: Path, task: Task
) -> None:
    found = list_artifacts("people", root=shop / "home")
    assert {one.card.kind for one in found if one.card} == {"encoder", "linear"}
    assert found[0].version == made[1].artifact.card.version
    assert available(task, root=shop / "home")[0] == made[1].artifact.card.kind


def test_the_run_is_kept_without_its_checkpoint(made: tuple[list[Event], Trained], shop: Path) -> None:
    (kept,) = list_runs("people", root=shop / "home")
    names = {path.name for path in kept.folder.iterdir()}
    assert {"config.toml", "dataset.json", "metrics.json", "log"} <= names
    assert not any("checkpoint" in name for name in names)
    assert kept.name == made[1].artifact.card.settings["run"]
    assert any("loss" in event for event in json.loads((kept.folder / "metrics.json").read_text())["events"])


def test_every_model_keeps_what_it_answered_to_validation_rows(
    made: tuple[list[Event], Trained], shop: Path
) -> None:
    for one in list_artifacts("people", root=shop / "home"):
        assert one.card is not None
        outcomes = read_heldout(one.folder)
        assert outcomes is not None
        assert 0 < len(outcomes) <= one.card.data.splits["validation"]
        assert HELDOUT in one.card.files


def test_nothing_changed_nothing_trained(made: tuple[list[Event], Trained], shop: Path, task: Task) -> None:
    events, again = run(train(task, order(shop), root=shop / "home"))
    assert again.reused
    assert [event.reused for event in events if isinstance(event, StageDone)] == [True]
    assert again.artifact.card == made[1].artifact.card
    assert again.evaluations == made[1].evaluations


@pytest.mark.parametrize("kind", ["encoder", "linear", "rules"])
def test_every_model_answers_anything_validly(
    kind: str, made: tuple[list[Event], Trained], shop: Path, task: Task
) -> None:
    model = load_model(str(task.folder), kind, root=shop / "home")
    for request, one in zip(REQUESTS, model.predict(REQUESTS), strict=True):
        assert one.output is None or task.validator.is_valid(one.output)
        assert 0.0 <= one.confidence <= 1.0
        for field in one.fields:
            assert field.span is None or request[slice(*field.span)] == str(field.value)


def test_models_are_opened_by_kind_version_or_task_name_alone(
    made: tuple[list[Event], Trained], shop: Path, task: Task
) -> None:
    home, version = shop / "home", made[1].artifact.card.version
    newest = f"people@{version}"
    assert open_model(str(task.folder), root=home).model.name == newest
    assert open_model(newest, root=home).model.name == newest
    assert open_model("people", str(version), root=home).model.name == newest
    assert open_model("people", newest, root=home).size_bytes
    with pytest.raises(UsageError, match="two models"):
        open_model(newest, "linear", root=home)
    with pytest.raises(UsageError, match="no rules"):
        open_model("people", "rules", root=home)
    with pytest.raises(UnknownTask):
        open_model("nobody", root=home)
    with pytest.raises(ArtifactError, match="99"):
        open_model("people@99", root=home)


def test_an_evaluation_with_report_and_a_warning_for_rows_that_were_trained_on(
    made: tuple[list[Event], Trained], shop: Path, task: Task
) -> None:
    events, found = run(
        evaluate(task, available(task, root=shop / "home"), test=task.train_files[0], root=shop / "home")
    )
    assert any(isinstance(event, Warned) and "training files" in event.what for event in events)
    page = found.report()
    assert page.startswith("<!doctype html>")
    assert "people" in page
    json.dumps(found.to_json())


def test_a_damaged_artifact_is_refused_and_made_anew(shop: Path, task: Task, tmp_path: Path) -> None:
    plain = order(shop, recipe="linear")
    first = run(train(task, plain, root=tmp_path))[1]
    (next(first.artifact.folder.glob("linear.npz"))).write_bytes(b"broken")
    with pytest.raises(ArtifactError):
        open_artifact("people", root=tmp_path)
    second = run(train(task, plain, root=tmp_path))[1]
    assert not second.reused
    assert second.artifact.card.version == first.artifact.card.version + 1
    assert second.artifact.card.artifact_hash == first.artifact.card.artifact_hash


def test_a_lost_run_only_costs_a_new_score(shop: Path, task: Task, tmp_path: Path) -> None:
    import shutil

    plain = order(shop, recipe="linear")
    run(train(task, plain, root=tmp_path))
    shutil.rmtree(tmp_path / "runs")
    again = run(train(task, plain, root=tmp_path))[1]
    assert again.reused
    assert again.evaluations[0].n == 3


def test_equal_seeds_give_equal_files_and_several_seeds_a_spread(
    shop: Path, task: Task, tmp_path: Path
) -> None:
    plain = order(shop, recipe="linear")
    found = run(train_seeds(task, plain, seeds=2, root=tmp_path / "a"))[1]
    assert found.artifact.card.seed == 0
    assert {one.metric for one in found.spreads} >= {"exact"}
    other = run(train(task, plain, root=tmp_path / "b"))[1]
    assert other.artifact.card.artifact_hash == found.artifact.card.artifact_hash
    _, scored = run(evaluate(task, ["linear"], seeds=True, root=tmp_path / "a"))
    assert scored.spreads[0].n == 2
    with pytest.raises(ArtifactError, match="one seed"):
        run(evaluate(task, ["linear"], seeds=True, root=tmp_path / "b"))


def test_a_killed_training_goes_on(
    shop: Path, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = order(shop)
    given = Order(overrides={**given.overrides, "checkpoint_every_s": 0.0})
    work = train(task, given, root=tmp_path)
    while not (isinstance(event := next(work), Step) and event.step >= 8):
        pass
    work.close()
    monkeypatch.setattr("microlith.registry.runs.is_left_behind", lambda part, now: True)
    events, found = run(train(task, given, root=tmp_path))
    assert any(isinstance(event, Warned) and "going on from step" in event.what for event in events)
    assert not list((tmp_path / "artifacts" / "people").glob(".part-*"))
    assert found.artifact.card.parity is not None


def test_an_export_that_answers_otherwise_is_not_registered(
    shop: Path, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ParityError("the exported model answers otherwise")

    monkeypatch.setattr("microlith.export.encoder.export_encoder", refused)
    with pytest.raises(ParityError):
        run(train(task, order(shop), root=tmp_path))
    assert list_artifacts("people", root=tmp_path) == ()


def test_a_missing_base_registers_nothing_and_names_the_ways(shop: Path, task: Task, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    given = order(shop)
    given = Order(overrides={**given.overrides, "base": str(tmp_path / "empty")})
    with pytest.raises(MissingBase) as caught:
        run(train(task, given, root=tmp_path / "home"))
    assert "(3)" in str(caught.value)
    assert list_artifacts("people", root=tmp_path / "home") == ()


def test_without_test_rows_the_scores_are_of_validation_rows_and_it_says_so(
    shop: Path, tmp_path: Path
) -> None:
    folder = write_task(tmp_path / "people")
    toml = folder / "task.toml"
    toml.write_text(toml.read_text().replace('test = "data/test.jsonl"\n', ""))
    (folder / "rules.py").unlink()
    events, found = run(train(load_task(folder), order(shop, recipe="linear"), root=tmp_path / "home"))
    assert any(isinstance(event, Warned) and "flatter" in event.what for event in events)
    assert found.artifact.card.metrics["exact"].on == "validation"
    with pytest.raises(DataError, match="no test rows"):
        run(evaluate(load_task(folder), root=tmp_path / "home"))


@pytest.mark.parametrize(
    ("linear", "encoder", "rows", "chooses", "preferred"),
    [
        (0.90, 0.95, 500, True, "encoder"),
        (0.94, 0.95, 500, True, "linear"),  # five rows more may be luck
        (0.95, 0.95, 500, True, "linear"),
        (0.97, 0.95, 500, True, "linear"),
        (0.97, 0.95, 500, False, "encoder"),
        (1.00, 1.00, 9, True, "encoder"),
    ],
)
def test_the_cheaper_model_is_preferred_unless_the_larger_is_better(
    linear: float, encoder: float, rows: int, chooses: bool, preferred: str
) -> None:
    def one(kind: Any, exact: float) -> Any:
        wrong = round(rows * (1 - exact))
        hits = (*[True] * (rows - wrong), *[False] * wrong)
        return Made(
            kind=kind, hits=hits[:: 1 if kind == "linear" else -1], base=None, parity=None, settings={}
        ), None

    order, why = preference([one("linear", linear), one("encoder", encoder)], chooses=chooses)
    assert order[0][0].kind == preferred
    assert why.startswith(f"{preferred} is preferred")


@pytest.mark.parametrize(
    ("larger", "rows", "chooses", "preferred"),
    [
        (0.4, 200, True, "generative"),
        (0.301, 200, True, "nearest"),  # a thousandth more may be luck
        (0.2, 200, True, "nearest"),
        (0.2, 200, False, "generative"),
        (0.2, 50, True, "nearest"),  # without pretraining it knows no more than the rows
        (0.4, 50, True, "generative"),
    ],
)
def test_where_texts_are_written_the_likeness_of_words_decides(
    larger: float, rows: int, chooses: bool, preferred: str
) -> None:
    def one(kind: Any, mean: float, swing: float) -> Any:
        texts = tuple(mean + swing * (-1) ** number for number in range(rows))
        hits = (kind == "nearest",) * rows  # whole answers say nothing of texts
        return Made(kind=kind, hits=hits, base=None, parity=None, settings={}, texts=texts), None

    order, why = preference([one("nearest", 0.3, 0.1), one("generative", larger, -0.1)], chooses=chooses)
    assert order[0][0].kind == preferred
    assert why.startswith(f"{preferred} is preferred")
    assert "ROUGE-L 0.300" in why
    assert "difference" in why
