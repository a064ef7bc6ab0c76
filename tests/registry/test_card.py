from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from microlith.errors import ArtifactError
from microlith.registry import Artifact, Card, Metric
from microlith.registry.card import CARD_FILE, hash_of_files, make_card, read_card
from tests.registry.conftest import FACTS

FILES = {"model.onnx": "a" * 64, "schema.json": "b" * 64}


def card(**changes: Any) -> Card:
    values: dict[str, Any] = {
        "task": "mood", "version": 1, "created": "2025-01-31T14:22:33Z", "schema_hash": "c" * 64, "files": FILES,
    }  # fmt: skip
    facts = changes.pop("facts", FACTS)
    return make_card(facts, **{**values, **changes})


def test_a_card_reads_back_as_it_was_written() -> None:
    assert read_card(card().to_json(), place="here") == card()


def test_the_name_signs_predictions() -> None:
    assert card(task="infra", version=3).name == "infra@3"


def test_equal_files_have_equal_hashes_whenever_and_wherever() -> None:
    one, other = card(), card(version=9, created="2031-12-31T00:00:00Z")
    assert one.artifact_hash == other.artifact_hash
    assert one.card_hash != other.card_hash
    assert card(files={**FILES, "model.onnx": "d" * 64}).artifact_hash != one.artifact_hash


def test_the_order_of_files_does_not_matter() -> None:
    assert hash_of_files(FILES) == hash_of_files(dict(reversed(FILES.items())))


def change(text: str, **changes: Any) -> str:
    return json.dumps({**json.loads(text), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"surprise": 1}, "surprise"),
        ({"version": "1"}, "version"),
        ({"seed": 1.5}, "seed"),
        ({"kind": "oracle"}, "kind"),
        ({"format": 2}, "format"),
        ({"metrics": {"exact": {"value": 0.97, "n": 50, "extra": 1}}}, "extra"),
        ({"metrics": {"exact": {"value": 0.99, "n": 50}}}, "card_hash"),
        ({"seed": 8}, "card_hash"),
        ({"artifact_hash": "f" * 64}, "was changed"),
    ],
)
def test_a_changed_card_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_card(change(card().to_json(), **changes), place="here")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"task": "mood"}', card().to_json().replace("0.97", "NaN")]
)
def test_what_is_no_card_is_an_error(text: str) -> None:
    with pytest.raises(ArtifactError, match="here"):
        read_card(text, place="here")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ArtifactError) as caught:
        read_card(change(card().to_json(), seed="x", kind="y", more=1), place="here")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "C:evil", "a\\b", CARD_FILE])
def test_a_card_names_files_of_its_own_folder_only(name: str) -> None:
    with pytest.raises(ArtifactError, match="outside its folder"):
        card(files={name: "a" * 64})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_is_finite_or_not_scored(value: float) -> None:
    with pytest.raises(ArtifactError, match="cannot be written"):
        card(facts=replace(FACTS, metrics={"exact": Metric(value=value, n=1)}))
    assert (
        card(facts=replace(FACTS, metrics={"exact": Metric(value=None, n=0)})).metrics["exact"].value is None
    )


def test_a_registered_card_says_everything(artifact: Artifact) -> None:
    written = artifact.card
    assert (written.task, written.version, written.created) == ("mood", 1, "2025-01-31T14:22:33Z")
    assert (written.base, written.data, written.metrics, written.parity) == (
        FACTS.base,
        FACTS.data,
        FACTS.metrics,
        FACTS.parity,
    )
    assert set(written.files) == {"model.onnx", "tokenizer/vocab.txt", "schema.json"}
