"""The benchmark is a guard: it must be able to fail."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": [1, 2]}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "json_schema.py"
    spec = importlib.util.spec_from_file_location("json_schema_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def case(schema: dict[str, Any], data: Any, label: str) -> dict[str, Any]:
    return {"file": "f.json", "group": "g", "test": "t", "schema": schema, "data": data, "label": label}


def public(folder: Path, *, label: str = "invalid", valid: bool = True) -> Path:
    (folder / "json_schema_test_suite").mkdir()
    (folder / "jsonschemabench").mkdir()
    cases = [
        case({"maxLength": 1}, "ab", label),
        case({"contentEncoding": "base64"}, "?", "invalid"),
        case({"$ref": "http://x.org/y"}, 1, "valid"),
    ]
    for draft in ("draft2020-12", "draft7"):
        path = folder / "json_schema_test_suite" / f"{draft}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in cases))
    schemas = [{"id": "one", "schema": SCHEMA}, {"id": "two", "schema": {"type": "array"}}]
    path = folder / "jsonschemabench" / "Some.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in schemas))
    instances = {"id": "one", "schema": SCHEMA, "tests": [{"data": {"a": 1}, "valid": valid}]}
    with gzip.open(folder / "jsonschemabench" / "maskbench_instances.jsonl.gz", "wt") as lines:
        lines.write(json.dumps(instances) + "\n")
    return folder


def run(benchmark: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["json_schema.py", str(folder), "--limit", "5"])
    code: int = benchmark.main()
    return code


def test_right_verdicts_pass(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(benchmark, public(tmp_path), monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "1 of     2 accepted ( 50.0%)" in shown
    assert "1 cases use supported keywords only: 1 right" in shown
    assert "5 valid" in shown


@pytest.mark.parametrize("wrong", [{"label": "valid"}, {"valid": False}])
def test_a_wrong_verdict_fails(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    assert run(benchmark, public(tmp_path, **wrong), monkeypatch) == 1


def test_a_broken_promise_of_decoding_fails(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "draw_answer", lambda plan, source: {"a": 3})
    assert run(benchmark, public(tmp_path), monkeypatch) == 1
