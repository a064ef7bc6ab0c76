"""The package as a whole: what importing it costs, what it offers, whether the lock file holds what is declared."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import microlith

ROOT = Path(__file__).parent.parent
HEAVY = (
    "torch",
    "transformers",
    "sklearn",
    "scipy",
    "onnxruntime",
    "numpy",
    "pydantic",
    "jsonschema",
    "rich",
    "openai",
)


def loaded_by(code: str) -> set[str]:
    """Modules of HEAVY that are loaded after running `code` in a new interpreter."""
    probe = f"{code}\nimport sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import microlith") == set()


def test_building_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_by("import microlith.cli.app") == set()


def test_answering_loads_no_training_library() -> None:
    code = "import microlith.registry.models, microlith.workflow.lines, microlith.inference.encoder, microlith.task.taskfile"
    assert loaded_by(code) & {"torch", "transformers", "sklearn", "scipy"} == set()


@pytest.mark.parametrize("name", microlith.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(microlith, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = microlith.nonsense


def declared() -> list[str]:
    """Names of all declared dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    return sorted({re.split(r"[><=!~\[ ]", text)[0].lower() for text in texts})


def pinned() -> dict[str, str]:
    """The lock file: name -> version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, _, version in rows}


@pytest.mark.parametrize("name", declared())
def test_every_declared_dependency_is_pinned(name: str) -> None:
    assert pinned().get(name)


def test_torch_is_pinned_to_the_version_with_a_cpu_build() -> None:
    assert pinned()["torch"] == "2.13.0"


def test_the_guard_would_notice_a_heavy_import() -> None:
    assert loaded_by("import numpy") == {"numpy"}
