"""`ask` and `predict`, with a fake model behind them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from microlith.cli.boundary import run
from microlith.inference.protocol import FieldPrediction, Prediction
from microlith.registry import models
from microlith.registry.models import Opened


class Shout:
    """Answers with the request in capitals; refuses the empty one."""

    name = "shout"

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        return [self._one(request) for request in requests]

    def _one(self, request: str) -> Prediction:
        if not request:
            return Prediction(
                output=None,
                confidence=0.0,
                fields=(),
                model="shout",
                latency_ms=0.1,
                refusal="the request is empty",
            )
        field = FieldPrediction(path="text", value=request.upper(), confidence=0.9, span=(0, len(request)))
        return Prediction(
            output={"text": request.upper()}, confidence=0.8, fields=(field,), model="shout", latency_ms=0.1
        )


@pytest.fixture(autouse=True)
def _shout(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(name: str, model: str | None = None, *, threads: int = 1) -> Opened:
        return Opened(model=Shout(), task=name, kind="fake")

    monkeypatch.setattr(models, "open_model", opened)


class Pipe:
    """Standard input and output as bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]

    def isatty(self) -> bool:
        return False


def rows(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_ask_draws_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "infra", "add", "it"]) == 0
    shown = capsys.readouterr().out
    assert '"text": "ADD IT"' in shown
    assert "90.0%" in shown


def test_ask_as_json_gives_the_line_that_predict_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "infra", "hi 👋", "--json"]) == 0
    (row,) = rows(capsys.readouterr().out)
    assert row == {
        "input": "hi 👋", "output": {"text": "HI 👋"}, "confidence": 0.8,
        "fields": {"text": {"value": "HI 👋", "confidence": 0.9, "span": [0, 4]}}, "model": "shout", "latency_ms": 0.1,
    }  # fmt: skip


def test_ask_without_a_request_reads_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Pipe(b"one\n\ntwo"))
    assert run(["ask", "infra", "--json"]) == 0
    assert [row["input"] for row in rows(capsys.readouterr().out)] == ["one", "", "two"]


def test_predict_keeps_order_and_names_bad_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b'{"input": "a"}\nnot json\n\xff\xfe\n{"input": "b"}\n')
    assert run(["predict", "infra", "-i", str(source), "-o", str(target)]) == 4
    found = rows(target.read_text())
    assert [row["output"] for row in found] == [{"text": "A"}, None, None, {"text": "B"}]
    assert [row.get("line") for row in found] == [None, 2, 3, None]
    told = capsys.readouterr().err
    assert f"{source}:2" in told
    assert f"{source}:3" in told


def test_predict_streams_through_pipes(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", Pipe(b"one\ntwo\n"))
    assert run(["predict", "infra", "--text"]) == 0
    assert [row["output"]["text"] for row in rows(capfdbinary.readouterr().out.decode())] == ["ONE", "TWO"]


def test_an_empty_input_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"")
    assert run(["predict", "infra", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").read_bytes() == b""


@pytest.mark.parametrize("name", ["absent.jsonl", "."])
def test_an_input_that_cannot_be_read_is_a_data_error(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", "infra", "-i", str(tmp_path / name)]) == 4
    assert "cannot be read" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "in").write_text('"a"\n')
    assert run(["predict", "infra", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "no" / "out")]) == 9


def test_a_summary_for_programs_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").write_text('"a"\n"b"\n')
    assert run(["predict", "infra", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--json"]) == 0
    assert rows(capsys.readouterr().err) == [{"lines": 2, "bad": 0, "output": str(tmp_path / "out")}]


def test_a_reader_that_goes_away_is_met_in_silence(tmp_path: Path) -> None:
    """`microlith predict ... | head -1` writes no traceback."""
    (tmp_path / "in").write_text('"/help"\n' * 20_000)
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "microlith", "predict", "cli-intent", "--model", "rules", "-i", str(tmp_path / "in")],
        stdout=write, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(write)
    os.read(read, 100)
    os.close(read)
    _, told = process.communicate(timeout=60)
    assert told == ""
    assert process.returncode != 0
