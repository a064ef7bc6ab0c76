"""What the folder of every exported model holds beside its weights, written and read in one place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from microlith.errors import ArtifactError
from microlith.inference.calibration import Calibrator
from microlith.inference.grounding import GroundingSpec
from microlith.task.compile import compile_plan
from microlith.task.plan import Plan

SCHEMA, GROUNDING, TOKENIZER, CALIBRATION = (
    "schema.json", "grounding.json", "tokenizer.json", "calibration.json",
)  # fmt: skip
"""Names of the files."""
READABLE = 20_000
"""Characters of a request that are read; far more than any model takes in."""


def write_plan(plan: Plan, spec: GroundingSpec, folder: Path) -> None:
    """Write what a model decides and how its requests are grounded."""
    (folder / GROUNDING).write_text(json.dumps(asdict(spec), indent=2), encoding="utf-8")
    schema = json.dumps(plan.schema, indent=2, ensure_ascii=False)
    (folder / SCHEMA).write_text(schema, encoding="utf-8")


def read_plan(folder: Path) -> tuple[Plan, GroundingSpec]:
    """Read what `write_plan` wrote."""
    plan = compile_plan(json.loads((folder / SCHEMA).read_text(encoding="utf-8")))
    raw = json.loads((folder / GROUNDING).read_text(encoding="utf-8"))
    return plan, GroundingSpec(**{**raw, "formats": tuple(raw["formats"]), "atoms": tuple(raw["atoms"])})


def write_calibration(calibrator: Calibrator, folder: Path) -> None:
    """Write a calibration."""
    (folder / CALIBRATION).write_text(json.dumps(calibrator.to_json(), indent=2), encoding="utf-8")


def read_calibration(folder: Path) -> Calibrator | None:
    """Read what `write_calibration` wrote; None before it is fitted."""
    fitted = folder / CALIBRATION
    return Calibrator.from_json(json.loads(fitted.read_text(encoding="utf-8"))) if fitted.is_file() else None


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into one error that names the folder.

    Raises:
        ArtifactError: if anything in the block fails.
    """
    try:
        yield
    except ArtifactError:
        raise
    except Exception as error:  # onnxruntime and tokenizers raise bare exceptions for any damage
        reason = f"{type(error).__name__}: {error}"[:300]
        raise ArtifactError(
            f"the model cannot be loaded: {reason}",
            place=str(folder),
            mend="train it again, or choose another version",
        ) from error
