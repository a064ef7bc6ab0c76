"""Training within a time limit."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from microlith.events import Event, Step, Warned
from microlith.training.settings import EncoderSettings, settings_of
from microlith.workflow.budget import BUDGET_FILE, train_within

GIVEN = settings_of("standard", {"batch_size": 10})


class Trainer:
    """Stands for training at 100 rows a second."""

    def __init__(self, seconds_left: float) -> None:
        self.seconds_left = seconds_left
        self.started: list[EncoderSettings] = []
        self.closed = 0

    def __call__(self, settings: EncoderSettings) -> Generator[Event, None, Any]:
        self.started.append(settings)
        left = self.seconds_left if len(self.started) == 1 else 0.0
        try:
            for number in range(1, 6):
                yield Step(step=number, steps=5, loss=1.0, rows_per_s=100.0, seconds_left=left)
        except GeneratorExit:
            self.closed += 1
            raise
        return f"trained on {settings.least_rows}"


def run(trainer: Trainer, minutes: float | None, folder: Path) -> tuple[list[Event], Any]:
    events: list[Event] = []
    work = train_within(trainer, GIVEN, minutes, folder)
    while True:
        try:
            events.append(next(work))
        except StopIteration as stop:
            return events, stop.value


@pytest.mark.parametrize("minutes", [None, 5.0])
def test_with_time_enough_training_is_left_alone(minutes: float | None, tmp_path: Path) -> None:
    trainer = Trainer(seconds_left=60.0)
    events, found = run(trainer, minutes, tmp_path)
    assert trainer.started == [GIVEN]
    assert len(events) == 5
    assert found == f"trained on {GIVEN.least_rows}"
    assert not (tmp_path / BUDGET_FILE).exists()


def test_with_too_little_time_it_begins_again_with_the_rows_there_is_time_for(tmp_path: Path) -> None:
    trainer = Trainer(seconds_left=600.0)
    events, _ = run(trainer, 1.0, tmp_path)
    assert trainer.closed == 1
    assert trainer.started[1].least_rows == pytest.approx(100 * 0.85 * 60, rel=0.05)
    assert trainer.started[1].passes < 0.01
    assert any(isinstance(event, Warned) and "1 minutes do for" in event.what for event in events)


def test_a_resumed_run_keeps_to_what_was_measured(tmp_path: Path) -> None:
    run(Trainer(seconds_left=600.0), 1.0, tmp_path)
    second = Trainer(seconds_left=600.0)
    run(second, 1.0, tmp_path)
    assert len(second.started) == 1
    assert second.started[0].passes < 0.01


def test_a_damaged_measurement_is_made_again(tmp_path: Path) -> None:
    (tmp_path / BUDGET_FILE).write_text("{")
    trainer = Trainer(seconds_left=600.0)
    run(trainer, 1.0, tmp_path)
    assert len(trainer.started) == 2


def test_a_recipe_that_counts_passes_is_told_how_many(tmp_path: Path) -> None:
    trainer = Trainer(seconds_left=600.0)
    work = train_within(
        trainer, GIVEN, 1.0, tmp_path, showing=lambda given, rows: replace(given, passes=rows / 1000)
    )
    list(work)
    assert trainer.started[1].passes == pytest.approx(0.1 * 0.85 * 60, rel=0.05)
    assert trainer.started[1].least_rows == GIVEN.least_rows


def test_a_whole_step_is_shown_at_least(tmp_path: Path) -> None:
    trainer = Trainer(seconds_left=600.0)
    list(train_within(trainer, GIVEN, 0.0001, tmp_path, least=500))
    assert trainer.started[1].least_rows == 500
