from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tomllib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from microlith.errors import StorageError, UsageError
from microlith.registry import list_runs, resume_run, start_run
from microlith.registry.runs import OpenRun, to_toml
from tests.registry.conftest import WHEN


def fill(run: OpenRun) -> OpenRun:
    run.write_config({"seed": 7})
    run.write_json("dataset.json", {"hash": "abc"})
    run.write_json("metrics.json", {"exact": 0.9})
    run.log("begun")
    run.log("done\n")
    return run


def test_a_finished_run_has_its_files_under_its_name(tmp_path: Path) -> None:
    run = fill(start_run("mood", "encoder-small", started=WHEN, root=tmp_path)).finish()
    assert run.folder == tmp_path / "runs" / "mood" / "20250131T142233Z-encoder-small"
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "config.toml",
        "dataset.json",
        "log",
        "metrics.json",
    ]
    assert (run.folder / "log").read_text(encoding="utf-8") == "begun\ndone\n"
    assert json.loads((run.folder / "metrics.json").read_text(encoding="utf-8")) == {"exact": 0.9}
    assert list_runs("mood", root=tmp_path) == (run,)


def test_an_open_run_is_not_seen(tmp_path: Path) -> None:
    fill(start_run("mood", "encoder", started=WHEN, root=tmp_path))
    assert list_runs(root=tmp_path) == ()


def test_a_run_without_all_its_files_is_not_finished(tmp_path: Path) -> None:
    run = start_run("mood", "encoder", started=WHEN, root=tmp_path)
    run.log("begun")
    with pytest.raises(UsageError, match=r"config.toml, dataset.json, metrics.json"):
        run.finish()


def test_two_runs_of_one_second(tmp_path: Path) -> None:
    names = [fill(start_run("mood", "encoder", started=WHEN, root=tmp_path)).finish().name for _ in range(2)]
    assert names == ["20250131T142233Z-encoder", "20250131T142233Z-encoder-2"]


def test_the_time_is_utc(tmp_path: Path) -> None:
    there = WHEN.astimezone(timezone(timedelta(hours=9)))
    assert start_run("mood", "x", started=there, root=tmp_path).name == "20250131T142233Z-x"
    with pytest.raises(UsageError, match="no time zone"):
        start_run("mood", "x", started=datetime(2025, 1, 1), root=tmp_path)


@pytest.mark.parametrize(("task", "slug"), [("../x", "y"), ("x", "../y"), ("x", "a b"), ("x", "")])
def test_names_stay_in_their_folder(tmp_path: Path, task: str, slug: str) -> None:
    with pytest.raises(UsageError):
        start_run(task, slug, started=WHEN, root=tmp_path)


def killed(root: Path, slug: str, second: int) -> None:
    """A process that begins a run, writes a checkpoint and is killed."""
    script = (
        "import os, sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from microlith.registry import start_run\n"
        "run = start_run('mood', sys.argv[2], started=datetime(2025, 1, 1, 0, 0, int(sys.argv[3]), tzinfo=UTC), root=Path(sys.argv[1]))\n"
        "(run.folder / 'checkpoint').write_text(sys.argv[3]); os._exit(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(root), slug, str(second)], env=environment, check=False
    )
    assert done.returncode == 9


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    killed(tmp_path, "encoder", 5)
    run = resume_run("mood", "encoder", root=tmp_path)
    assert run is not None
    assert (run.folder / "checkpoint").read_text(encoding="utf-8") == "5"
    assert resume_run("mood", "encoder", root=tmp_path) is None  # this process has it already
    assert fill(run).finish().name == "20250101T000005Z-encoder"
    assert resume_run("mood", "encoder", root=tmp_path) is None


def test_only_runs_of_the_same_slug_go_on(tmp_path: Path) -> None:
    killed(tmp_path, "encoder", 1)
    assert resume_run("mood", "linear", root=tmp_path) is None
    assert resume_run("other", "encoder", root=tmp_path) is None


def test_a_new_start_clears_killed_runs_of_its_slug_away(tmp_path: Path) -> None:
    killed(tmp_path, "encoder", 1)
    killed(tmp_path, "linear", 2)
    start_run("mood", "encoder", started=WHEN, root=tmp_path)
    assert resume_run("mood", "encoder", root=tmp_path) is None
    assert resume_run("mood", "linear", root=tmp_path) is not None


def test_a_run_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    run = start_run("mood", "encoder", started=WHEN, root=tmp_path)
    start_run("mood", "encoder", started=WHEN, root=tmp_path)
    assert resume_run("mood", "encoder", root=tmp_path) is None
    assert run.folder.is_dir()


def test_a_discarded_run_is_gone(tmp_path: Path) -> None:
    run = fill(start_run("mood", "encoder", started=WHEN, root=tmp_path))
    run.discard()
    assert not run.folder.exists()


@pytest.mark.parametrize(
    "write",
    [
        lambda run: run.write_config({"a": 1}),
        lambda run: run.write_json("x.json", 1),
        lambda run: run.finish(),
    ],
)
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any) -> None:
    run = fill(start_run("mood", "encoder", started=WHEN, root=tmp_path))

    def full(handle: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        write(run)
    monkeypatch.undo()
    assert run.finish().folder.is_dir()  # nothing that was there before is lost


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_only_json_is_written_as_json(tmp_path: Path, value: Any) -> None:
    run = start_run("mood", "encoder", started=WHEN, root=tmp_path)
    with pytest.raises(UsageError, match=r"x.json cannot be written"):
        run.write_json("x.json", value)


def test_config_is_toml() -> None:
    values = {
        "task": 'a "quoted" \\ name\n\x7f é', "seed": 7, "rate": 2e-4, "on": True, "none": None, "sizes": [1, 2], "empty": [],
        "recipe": {"name": "encoder", "steps": 900, "left.out": None, "dotted.key": 1.0}, "where": Path("a/b"),
    }  # fmt: skip
    read = tomllib.loads(to_toml(values))
    assert read["recipe"] == {"name": "encoder", "steps": 900, "dotted.key": 1.0}
    assert "none" not in read
    assert read["task"] == values["task"]
    assert (read["rate"], read["sizes"], read["where"], read["on"]) == (2e-4, [1, 2], "a/b", True)


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        to_toml({"x": object()})
