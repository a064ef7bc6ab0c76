"""The encoder recipe on a tiny base: it learns, it resumes, it repeats itself, it refuses what it cannot learn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from microlith.data.example import Example
from microlith.errors import MissingBase, StorageError, TrainingError, UsageError
from microlith.events import Event, Step, Validation, Warned
from microlith.task.compile import compile_plan
from microlith.training.base import find_base
from microlith.training.encoder import CHECKPOINT, TrainedEncoder, answer, train_encoder
from microlith.training.rounding import rounded_layers
from microlith.training.settings import EncoderSettings, settings_of
from tests.tiny_base import make_tiny_base

SCHEMA = {
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "action": {"const": "add"},
                "name": {"type": "string", "x-source": "input", "x-format": "word"},
            },
            "required": ["action", "name"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"action": {"const": "stop"}},
            "required": ["action"],
            "additionalProperties": False,
        },
    ]
}
NAMES = ("bob", "eve", "ann", "joe", "kim", "lea")


def rows() -> list[Example]:
    made = [
        Example(
            input=f"please {verb} {name}", output={"action": "add", "name": name}, source=f"a:{verb}:{name}"
        )
        for verb in ("add", "create", "make")
        for name in NAMES
    ]
    made += [
        Example(input=f"{verb} it now", output={"action": "stop"}, source=f"s:{verb}")
        for verb in ("stop", "halt", "end")
    ]
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("base"), [row.input for row in rows()] * 3)


def settings(base: Path, **changes: Any) -> EncoderSettings:
    values = {
        "base": str(base), "least_rows": 600, "passes": 1, "batch_size": 8, "encoder_rate": 3e-3, "heads_rate": 1e-2,
        "threads": 1, "validations": 1, **changes,
    }  # fmt: skip
    return settings_of("standard", values)


def run(
    given: EncoderSettings, folder: Path, train: list[Example] | None = None
) -> tuple[list[Event], TrainedEncoder]:
    events: list[Event] = []
    work = train_encoder(compile_plan(SCHEMA), train if train is not None else rows(), rows(), given, folder)
    while True:
        try:
            events.append(next(work))
        except StopIteration as stop:
            return events, stop.value


def weights(trained: TrainedEncoder) -> Iterator[bytes]:
    for value in trained.net.state_dict().values():
        yield value.numpy().tobytes()


def test_it_learns_its_rows_and_tells_its_progress(base: Path, tmp_path: Path) -> None:
    events, trained = run(settings(base), tmp_path)
    assert answer(trained, [row.input for row in rows()]) == [row.output for row in rows()]
    steps = [event for event in events if isinstance(event, Step)]
    assert steps[-1].step == steps[-1].steps == 75
    assert steps[-1].loss < steps[0].loss
    assert [event for event in events if isinstance(event, Validation)][-1].exact == 1.0


def test_equal_seeds_give_equal_weights_and_other_seeds_do_not(base: Path, tmp_path: Path) -> None:
    given = settings(base, least_rows=64)
    first = list(weights(run(given, tmp_path)[1]))
    assert list(weights(run(given, tmp_path)[1])) == first
    assert list(weights(run(settings(base, least_rows=64, seed=1), tmp_path)[1])) != first


def test_bf16_learns_and_rounds_too(base: Path, tmp_path: Path) -> None:
    _, trained = run(settings(base, precision="bf16"), tmp_path)
    assert answer(trained, [row.input for row in rows()]) == [row.output for row in rows()]
    assert all(layer.rounds for layer in rounded_layers(trained.net.encoder))


@pytest.mark.parametrize("killed_after", [12, 14, 15, 18])  # of 20 steps, of which the last 5 round
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    base: Path, tmp_path: Path, killed_after: int
) -> None:
    given = settings(base, least_rows=160, checkpoint_every_s=0.0, dropout=0.2, rounded_share=0.25)
    whole = list(weights(run(given, tmp_path / "_")[1])) if (tmp_path / "_").mkdir() is None else []
    broken = tmp_path / "broken"
    broken.mkdir()
    work = train_encoder(compile_plan(SCHEMA), rows(), rows(), given, broken)
    while not isinstance(event := next(work), Step) or event.step < killed_after:
        pass
    work.close()
    assert (broken / CHECKPOINT).is_file()
    events, trained = run(given, broken)
    assert any(isinstance(event, Warned) and "going on" in event.what for event in events)
    assert list(weights(trained)) == whole


def test_a_damaged_checkpoint_only_costs_time(base: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    _, trained = run(settings(base, least_rows=16), tmp_path)
    assert trained.settings.least_rows == 16


def test_a_checkpoint_that_cannot_be_written_is_a_storage_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="checkpoint"):
        run(settings(base, checkpoint_every_s=0.0), tmp_path / "absent")


def test_a_row_whose_value_no_slice_spells_is_named(base: Path, tmp_path: Path) -> None:
    odd = Example(input="please add somebody", output={"action": "add", "name": "zoe"}, source="rows.jsonl:7")
    events, _ = run(settings(base, least_rows=16), tmp_path, [*rows(), odd])
    warned = [event for event in events if isinstance(event, Warned)]
    assert warned[0].facts["rows"] == ["rows.jsonl:7"]


def test_no_rows_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not one row"):
        run(settings(base), tmp_path, [])


def test_one_class_only_is_refused(base: Path, tmp_path: Path) -> None:
    plan = compile_plan(
        {"type": "object", "properties": {"kind": {"enum": ["a", "b"]}}, "required": ["kind"]}
    )
    one = [Example(input=f"text {n}", output={"kind": "a"}, source=f"f:{n}") for n in range(4)]
    with pytest.raises(TrainingError, match="same answer"):
        next(train_encoder(plan, one, [], settings(base), tmp_path))


def test_free_text_is_refused_with_the_way_out(base: Path, tmp_path: Path) -> None:
    plan = compile_plan({"type": "object", "properties": {"why": {"type": "string"}}, "required": ["why"]})
    with pytest.raises(TrainingError, match="why") as caught:
        next(train_encoder(plan, rows(), [], settings(base), tmp_path))
    assert "generative" in str(caught.value)


def test_a_missing_base_names_the_three_ways() -> None:
    with pytest.raises(MissingBase) as caught:
        find_base("no-such/encoder")
    assert all(mark in str(caught.value) for mark in ("(1)", "(2)", "(3)"))


def test_a_base_folder_without_weights_is_named(base: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingBase, match=r"tokenizer\.json, model\.safetensors"):
        find_base(str(tmp_path))


@pytest.mark.parametrize(
    ("size", "overrides", "match"),
    [
        ("huge", {}, "huge"),
        ("standard", {"colour": "red"}, "no setting 'colour'"),
        ("standard", {"passes": "many"}, "not a float"),
        ("standard", {"max_tokens": 4}, "outside 8 to 512"),
        ("standard", {"precision": "int3"}, "int3"),
    ],
)
def test_settings_that_cannot_work_are_refused(size: str, overrides: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        settings_of(size, overrides)
