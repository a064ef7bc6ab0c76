"""The proof of a GGUF file: what passes, what fails, and what it names."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("xllamacpp")

from microlith.data.example import Example
from microlith.errors import ParityError
from microlith.export.generative import refuse_unless_proven
from microlith.export.generative_proof import (
    ALLOWANCES,
    Allowance,
    Asked,
    GenerativeProof,
    _decisions,
    _Tally,
    _tied,
    prove,
)
from microlith.export.gguf_write import FileType, write_gguf
from microlith.inference.decode import Decided, Decoded
from microlith.inference.llama_cpp import LlamaFile
from microlith.inference.notes import Guided
from microlith.task.compile import compile_plan
from microlith.training.torch_file import TorchFile
from tests.export.trained_small import PLAN, ROWS, SPEC, trained
from tests.workflow.conftest import TEXT_SCHEMA

LONG = Example(input="lamp " * 300, output={"lamp": "on", "name": "lamp"}, source="rows.jsonl:900")


def proof_of(
    folder: Path, rows: list[Example] = ROWS, *, file_type: FileType = "f16", allowed: str = ""
) -> GenerativeProof:
    """The model of `trained` against the file made of `folder`."""
    made = trained()
    file = write_gguf(folder, folder / f"{file_type}.gguf", name="m", file_type=file_type).path
    asked = Asked(plan=PLAN, spec=SPEC, prompt=made.prompt, tokenizer=made.folder / "tokenizer.json")
    room = made.context_tokens
    return prove(
        asked, rows, TorchFile(made.folder, n_ctx=room), LlamaFile.open(file, n_ctx=room), ALLOWANCES[allowed or file_type]
    )  # fmt: skip


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """A copy of the model that a test may spoil."""
    return Path(shutil.copytree(trained().folder, tmp_path / "model"))


def facts(**changes: Any) -> GenerativeProof:
    plain: dict[str, Any] = {
        "rows_total": 100, "changed": 0, "tied": 0, "texts_changed": 0, "tokens_total": 1000, "tokens_changed": 0, "tokenized_otherwise": 0,
        "largest_gap": 0.0, "spread": 1.0, "confidence_shift": 0.0, "exact_trained": 90, "exact_exported": 90,
        "allowance": Allowance(answers=0.02, tokens=0.01), "notes": (), "rows": (),
    }  # fmt: skip
    return GenerativeProof(**{**plain, **changes})


@pytest.mark.parametrize("file_type", ["f32", "f16", "q8_0"])
def test_a_faithful_file_passes(file_type: FileType, spoilt: Path) -> None:
    found = proof_of(spoilt, file_type=file_type)
    assert found.passed, found.summary
    assert (found.rows_total, found.tokenized_otherwise, found.rows) == (len(ROWS), 0, ())
    assert found.tokens_total > 5 * len(ROWS)
    assert found.exact_trained == found.exact_exported > 0
    assert found.largest_gap < 0.2 * found.spread
    refuse_unless_proven(found)
    json.dumps(found.to_json())


def test_other_weights_are_refused_by_the_rows_that_change(spoilt: Path) -> None:
    weights = load_file(spoilt / "model.safetensors")
    torch.manual_seed(0)
    changed = {
        name: one + one.std() * torch.randn_like(one) if one.dim() > 1 else one
        for name, one in weights.items()
    }
    save_file(changed, spoilt / "model.safetensors", metadata={"format": "pt"})
    found = proof_of(spoilt)
    assert not found.passed
    assert found.changed + found.tied > 1
    assert found.tokens_changed > 1
    with pytest.raises(ParityError, match="answers changed") as caught:
        refuse_unless_proven(found)
    assert caught.value.problems[0].place == found.rows[0].source
    assert found.rows[0].source.startswith("train.jsonl:")
    assert "trained" in found.rows[0].what


def test_another_tokenizer_is_refused_by_the_rows_that_it_reads_otherwise(spoilt: Path) -> None:
    path = spoilt / "tokenizer.json"
    told = json.loads(path.read_text("utf-8"))
    assert told["model"]["merges"], "the tokenizer has learnt something"
    told["model"]["merges"] = told["model"]["merges"][:3]
    path.write_text(json.dumps(told), encoding="utf-8")
    found = proof_of(spoilt)
    assert found.tokenized_otherwise == len(ROWS)
    assert not found.passed
    with pytest.raises(ParityError, match="requests have other tokens") as caught:
        refuse_unless_proven(found)
    assert "llama.cpp reads other tokens" in str(caught.value)
    assert "train.jsonl:1" in str(caught.value)


def test_a_row_that_neither_can_read_changes_nothing() -> None:
    found = proof_of(trained().folder, [*ROWS, LONG, replace(LONG, input="", source="rows.jsonl:901")])
    assert found.passed, found.summary
    assert found.rows_total == len(ROWS) + 2


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, True),
        ({"changed": 2}, True),
        ({"changed": 3}, False),
        ({"changed": 1, "rows_total": 5}, True),  # few rows cannot show a small share
        ({"changed": 2, "rows_total": 5}, False),
        ({"tokens_changed": 10}, True),
        ({"tokens_changed": 11}, False),
        ({"tokens_changed": 1, "tokens_total": 5}, True),
        ({"tokenized_otherwise": 1}, False),
        ({"tied": 50}, True),  # which of two equals is the greater is rounding
        ({"texts_changed": 50}, True),  # words are judged token by token
        ({"exact_exported": 0}, True),
    ],
)
def test_the_allowance_counts(changes: dict[str, int], passed: bool) -> None:
    found = facts(**changes)
    assert found.passed is passed
    assert found.to_json()["passed"] is passed


def test_smaller_formats_may_change_more() -> None:
    order = [ALLOWANCES[name] for name in ("f32", "f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0")]
    assert [one.answers for one in order] == sorted(one.answers for one in order)
    assert [one.tokens for one in order] == sorted(one.tokens for one in order)


def test_words_are_no_decisions() -> None:
    plan = compile_plan(TEXT_SCHEMA)
    one = {"late": "low", "mood": "calm", "reasons": ["a b c"]}
    assert _decisions(plan, one) == _decisions(plan, {**one, "reasons": ["d", "e"]})
    assert _decisions(plan, one) != _decisions(plan, {**one, "mood": "firm"})
    assert _decisions(plan, None) is None


class _Scores:
    """Stands for a model with given scores."""

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows = np.array(rows, dtype=np.float32)

    def forget(self, begin: int) -> None:
        """Nothing is held."""

    def read(self, ids: Any, begin: int, *, wanted: Any = None) -> Any:
        return self.rows


@pytest.mark.parametrize(
    ("scores", "changed"),
    [
        ([2.0, 1.0, 0.0], 0),
        ([1.0, 2.0, 0.0], 0),  # the trained model finds both as probable
        ([0.0, 1.0, 2.0], 1),
    ],
)
def test_a_token_that_is_as_probable_is_no_other(scores: list[float], changed: int) -> None:
    tally = _Tally()
    trained: Any = _Scores([[2.0, 1.99, 0.0], [5.0, 1.0, 1.0]])
    file: Any = _Scores([scores, [5.0, 1.0, 1.0]])
    assert tally.compare([1, 2, 3], 2, trained, file) == changed
    assert (tally.tokens, tally.changed) == (2, changed)


@pytest.mark.parametrize(("margins", "tied"), [([], False), ([3.0, 0.019], True), ([3.0, 0.02], False)])
def test_a_decision_without_a_lead_is_tied(margins: list[float], tied: bool) -> None:
    decisions = [
        Decided(group=(), step=0, key="a", value=1, log_probability=-0.7, margin=margin) for margin in margins
    ]
    assert _tied(Guided(output={}, decoded=Decoded(reading={}, decisions=decisions))) is tied
