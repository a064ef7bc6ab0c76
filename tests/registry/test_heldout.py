"""Held-out outcomes in an artifact's folder: written, read, damaged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from microlith.errors import ArtifactError
from microlith.registry import draft, open_artifact
from microlith.registry.heldout import HELDOUT, Outcome, read_heldout, write_heldout
from tests.registry.conftest import FACTS, SCHEMA

FOUND = (Outcome(confidence=0.9812345678901234, right=True), Outcome(confidence=0.0, right=False))


@pytest.mark.parametrize("outcomes", [FOUND, ()])
def test_what_is_written_is_read(outcomes: tuple[Outcome, ...], tmp_path: Path) -> None:
    write_heldout(tmp_path, outcomes)
    assert read_heldout(tmp_path) == outcomes


def test_an_artifact_that_was_made_without_has_none(tmp_path: Path) -> None:
    assert read_heldout(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Expecting value"),
        ('{"rows": 1, "outcomes": [[0.5, tr', "Expecting value"),
        ("[]", "list indices"),
        ("{}", "outcomes"),
        ('{"outcomes": []}', "rows"),
        ('{"rows": 3, "outcomes": [[0.5, true]]}', "3 rows are named, 1 are there"),
        ('{"rows": 1, "outcomes": [[1.5, true]]}', "1.5 is no confidence"),
        ('{"rows": 1, "outcomes": [[NaN, true]]}', "nan is no confidence"),
        ('{"rows": 1, "outcomes": [[true, true]]}', "True is no confidence"),
        ('{"rows": 1, "outcomes": [[0.5, 1]]}', "1 does not say"),
        ('{"rows": 1, "outcomes": [[0.5]]}', "missing"),
        ('{"rows": 1, "outcomes": [0.5]}', "must be an iterable"),
        ('{"rows": 1, "outcomes": null}', "not iterable"),
    ],
)
def test_a_damaged_file_is_named_with_its_mend(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / HELDOUT).write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match="train again") as caught:
        read_heldout(tmp_path)
    assert told in str(caught.value)
    assert HELDOUT in str(caught.value)


def test_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    (tmp_path / HELDOUT).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtifactError):
        read_heldout(tmp_path)


def test_the_outcomes_are_covered_by_the_artifacts_hashes(tmp_path: Path) -> None:
    with draft("mood", SCHEMA, root=tmp_path) as made:
        write_heldout(made.folder, FOUND)
        artifact = made.publish(FACTS, created=datetime(2025, 1, 31, tzinfo=UTC))
    assert read_heldout(open_artifact("mood", root=tmp_path).folder) == FOUND
    write_heldout(artifact.folder, FOUND[:1])
    with pytest.raises(ArtifactError, match="damaged"):
        open_artifact("mood", root=tmp_path)
