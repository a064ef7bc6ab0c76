"""Write a trained encoder as files, and prove that they answer as the network does.

The recipe ends by training with the very integers that the file holds and the runtime multiplies, so that parity is a
matter of equal sums and not of luck (docs/decisions/006-integers-while-training.md).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import onnx

from microlith.data.example import Example
from microlith.errors import StorageError
from microlith.export.changes import refuse_unless_proven
from microlith.export.graph import build_graph
from microlith.export.parity import ParityReport, Thoughts, compare_answers, runtime_answers, trained_answers
from microlith.inference.stored import TOKENIZER, write_plan
from microlith.training.encoder import TrainedEncoder
from microlith.training.rounding import unrounded

MODEL, FLOAT_MODEL = "model.onnx", "model.float.onnx"


def export_encoder(
    trained: TrainedEncoder,
    examples: Sequence[Example],
    folder: Path,
    *,
    more: Sequence[Example] = (),
    allowance: float = 0.005,
    confidence_bound: float = 0.05,
) -> ParityReport:
    """Write the files that `EncoderModel.load` reads, and prove them on `examples`.

    Args:
        trained: The trained encoder.
        examples: Validation rows; all are answered by the network and through the real runtime.
        folder: Existing, empty folder.
        more: Rows that are asked too where `examples` show a few changed answers too many: on some hundred rows, a share below
            the allowance goes above it by chance now and then. All rows together then count.
        allowance: Share of answers that the int8 file may change, 0-1; the float export may change none.
        confidence_bound: Mean absolute change of a decision's probability that is allowed, 0-1.

    Raises:
        ParityError: if they do not keep within the bounds; it names the rows.
        StorageError: if the disk refuses.
    """
    try:
        _write_side_files(trained, folder)
        bounds = {"allowance": allowance, "confidence_bound": confidence_bound}
        report = _proof(trained, examples, folder, **bounds)
        if more and report.differs_often:
            report = _proof(trained, [*examples, *more], folder, **bounds)
        proof = json.dumps(report.to_json(), indent=2, ensure_ascii=False)
        (folder / "parity.json").write_text(proof, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"the model cannot be written: {error}", place=str(folder), mend="free some disk"
        ) from error
    (folder / FLOAT_MODEL).unlink(missing_ok=True)
    refuse_unless_proven(report)
    return report


def _proof(
    trained: TrainedEncoder,
    examples: Sequence[Example],
    folder: Path,
    *,
    allowance: float,
    confidence_bound: float,
) -> ParityReport:
    reference = trained_answers(trained, examples)
    exact = _answers(trained, folder / FLOAT_MODEL, examples, integers=False)
    whole = _answers(trained, folder / MODEL, examples, integers=True)
    with unrounded(trained.net.encoder):
        free = trained_answers(trained, examples)
    return compare_answers(
        examples, reference, whole, free, exact, allowance=allowance, confidence_bound=confidence_bound
    )


def _answers(trained: TrainedEncoder, path: Path, examples: Sequence[Example], *, integers: bool) -> Thoughts:
    onnx.save(build_graph(trained.net, integers=integers), path)
    return runtime_answers(path.parent, path.name, examples)


def _write_side_files(trained: TrainedEncoder, folder: Path) -> None:
    trained.tokenizer.save(str(folder / TOKENIZER))
    write_plan(trained.plan, trained.spec, folder)
