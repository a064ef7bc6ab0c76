"""A linear model in a folder: `linear.json` (plan, vocabularies, calibration) and `linear.npz` (weights).

Nothing in these files is executed when they are read: JSON, and numpy arrays without pickled objects.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microlith.errors import ArtifactError, MicrolithError, StorageError
from microlith.inference.calibration import Calibrator
from microlith.inference.grounding import GroundingSpec
from microlith.inference.layout import layout_of
from microlith.inference.linear import GroupWeights, LinearModel, LinearWeights
from microlith.inference.linear_text import TextVocabulary
from microlith.task.compile import compile_plan
from microlith.task.plan import Plan

FACTS_FILE, WEIGHTS_FILE = "linear.json", "linear.npz"
FORMAT = 1
"""Version of these files' form."""

_MEND = "train again: `microlith train TASK --recipe linear`"


def save(model: LinearModel, folder: Path) -> None:
    """Write `model` into an existing folder; equal models give equal bytes.

    Raises:
        StorageError: if the disk refuses.
    """
    weights, plan = model.weights, model.plan
    facts = {
        "format": FORMAT,
        "schema": plan.schema,
        "spec": {
            "formats": weights.spec.formats,
            "atoms": weights.spec.atoms,
            "max_words": weights.spec.max_words,
            "max_pieces": weights.spec.max_pieces,
        },
        "text": _names(weights.text.columns),
        "placed": weights.text.placed,
        "slices": _names(weights.slices),
        "calibrator": weights.calibrator.to_json(),
    }
    arrays: dict[str, npt.NDArray[np.float32]] = {"idf": weights.text.idf}
    for index, group in enumerate(weights.groups):
        arrays |= {
            f"{index}.choice": group.choice,
            f"{index}.count": group.count,
            f"{index}.slices": group.slices,
        }
    try:
        (folder / FACTS_FILE).write_text(json.dumps(facts, ensure_ascii=True), encoding="ascii")
        _write_arrays(folder / WEIGHTS_FILE, arrays)
    except OSError as error:
        raise StorageError(
            f"the model cannot be written: {error.strerror}", place=str(error.filename or folder)
        ) from error


def load(folder: Path, *, name: str = "linear") -> LinearModel:
    """Read what `save` wrote.

    Raises:
        ArtifactError: if a file is missing, damaged or does not fit the others.
    """
    facts, arrays = _facts(folder / FACTS_FILE), _arrays(folder / WEIGHTS_FILE)
    try:
        plan = compile_plan(facts["schema"])
        spec = facts["spec"]
        weights = LinearWeights(
            spec=GroundingSpec(
                formats=tuple(spec["formats"]),
                atoms=tuple(spec["atoms"]),
                max_words=int(spec["max_words"]),
                max_pieces=int(spec["max_pieces"]),
            ),
            text=TextVocabulary(
                columns=_columns(facts["text"]), idf=arrays["idf"], placed=bool(facts["placed"])
            ),
            slices=_columns(facts["slices"]),
            groups=tuple(
                GroupWeights(
                    choice=arrays[f"{index}.choice"],
                    count=arrays[f"{index}.count"],
                    slices=arrays[f"{index}.slices"],
                )
                for index in range(len(plan.groups))
            ),
            calibrator=Calibrator.from_json(facts["calibrator"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, MicrolithError) as error:
        raise ArtifactError(
            f"{FACTS_FILE} is damaged: {error}", place=str(folder / FACTS_FILE), mend=_MEND
        ) from error
    _demand_shapes(plan, weights, folder / WEIGHTS_FILE)
    return LinearModel(plan, weights, name=name)


def _names(columns: Mapping[str, int]) -> list[str]:
    return sorted(columns, key=lambda name: columns[name])


def _columns(names: Sequence[str]) -> dict[str, int]:
    return {str(name): column for column, name in enumerate(names)}


def _write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Like numpy.savez_compressed, but without the time of day in the file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(
                    file, np.ascontiguousarray(arrays[name], dtype=np.float16), allow_pickle=False
                )


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path.name} cannot be read: {error}", place=str(path), mend=_MEND) from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = facts.get("format") if isinstance(facts, dict) else None
        raise ArtifactError(
            f"{path.name} has the form {found!r}, expected {FORMAT}", place=str(path), mend=_MEND
        )
    return facts


def _arrays(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name], dtype=np.float32) for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path.name} cannot be read: {error}", place=str(path), mend=_MEND) from error


def _demand_shapes(plan: Plan, weights: LinearWeights, path: Path) -> None:
    words, slices = len(weights.text.columns), len(weights.slices)
    wanted: list[tuple[str, npt.NDArray[np.float32], tuple[int, ...]]] = [("idf", weights.text.idf, (words,))]
    for index, (heads, group) in enumerate(zip(layout_of(plan).groups, weights.groups, strict=True)):
        wanted += [
            (f"{index}.choice", group.choice, (words + 1, heads.steps * heads.choice_width)),
            (f"{index}.count", group.count, (words + 1, heads.counts)),
            (f"{index}.slices", group.slices, (slices, len(heads.spans) + len(heads.lists))),
        ]
    for name, array, shape in wanted:
        if array.shape != shape:
            raise ArtifactError(
                f"{name} has the shape {array.shape}, expected {shape}", place=str(path), mend=_MEND
            )
        if not np.isfinite(array).all():
            raise ArtifactError(f"{name} holds a value that is not finite", place=str(path), mend=_MEND)
