"""Write a trained encoder as files, and prove that they answer as the network does.

The fastest precision that keeps its promise is taken: int8 arithmetic throughout, then with the matrices that suffer most
in float, then int8 weights with float arithmetic, which on weights of the int8 grid computes what the network computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import onnx

from microlith.data.example import Example
from microlith.errors import ParityError, Problem, StorageError
from microlith.export.graph import PARTS, Part, Precision, build_graph
from microlith.export.parity import ParityReport, Thoughts, compare_answers, runtime_answers, trained_answers
from microlith.training.encoder import TrainedEncoder

FLOAT: dict[Part, Precision] = dict.fromkeys(PARTS, "float")
LADDER: dict[str, dict[Part, Precision]] = {
    "int8": dict.fromkeys(PARTS, "int8"),
    "int8, narrow matrices in float": {**dict.fromkeys(PARTS, "int8"), "narrow": "stored"},
    "int8 weights, float arithmetic": dict.fromkeys(PARTS, "stored"),
}
"""Precisions from the fastest to the most faithful."""
MODEL, FLOAT_MODEL = "model.onnx", "model.float.onnx"


def export_encoder(
    trained: TrainedEncoder,
    examples: Sequence[Example],
    folder: Path,
    *,
    allowance: float = 0.005,
    confidence_bound: float = 0.05,
) -> ParityReport:
    """Write the files that `EncoderModel.load` reads, and prove them on `examples`.

    Args:
        trained: The trained encoder.
        examples: Validation rows; all are answered by the network and through the real runtime.
        folder: Existing, empty folder.
        allowance: Share of answers that int8 may change, 0-1.
        confidence_bound: Mean absolute change of a decision's probability that is allowed, 0-1.

    Raises:
        ParityError: if no precision keeps within the bounds; it names the rows.
        StorageError: if the disk refuses.
    """
    try:
        _write_side_files(trained, folder)
        reference = trained_answers(trained, examples)
        exact = _answers(trained, FLOAT, folder / FLOAT_MODEL, examples)
        tried: list[ParityReport] = []
        for name, precision in LADDER.items():
            quick = _answers(trained, precision, folder / MODEL, examples)
            report = compare_answers(
                examples, reference, exact, quick,
                precision=name, allowance=allowance, confidence_bound=confidence_bound,
            )  # fmt: skip
            tried.append(report)
            if report.passed:
                break
    except OSError as error:
        raise StorageError(
            f"the model cannot be written: {error}", place=str(folder), mend="free some disk"
        ) from error
    (folder / FLOAT_MODEL).unlink(missing_ok=True)
    best = replace(tried[-1], tried=tuple(one.summary for one in tried))
    if not best.passed:
        rows = [Problem(what=row.what, place=row.source) for row in best.rows[:20]]
        raise ParityError(
            f"the exported model answers otherwise than the trained one: {best.summary}", problems=rows
        )
    (folder / "parity.json").write_text(
        json.dumps(best.to_json(), indent=2, ensure_ascii=False), encoding="utf-8"
    )
    return best


def _answers(
    trained: TrainedEncoder, precision: Mapping[Part, Precision], path: Path, examples: Sequence[Example]
) -> Thoughts:
    onnx.save(build_graph(trained.net, precision), path)
    return runtime_answers(path.parent, path.name, examples)


def _write_side_files(trained: TrainedEncoder, folder: Path) -> None:
    trained.tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "grounding.json").write_text(json.dumps(asdict(trained.spec), indent=2), encoding="utf-8")
    schema = json.dumps(trained.plan.schema, indent=2, ensure_ascii=False)
    (folder / "schema.json").write_text(schema, encoding="utf-8")
