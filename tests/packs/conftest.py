from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from microlith.task.packs import pack_folder


def rows_of(pack: str, pattern: str = "train*.jsonl") -> list[dict[str, Any]]:
    """Labelled rows of a pack."""
    files = sorted((pack_folder(pack) / "data").glob(pattern))
    return [
        json.loads(line)
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]


def rules_module(pack: str) -> ModuleType:
    """A pack's rules.py as a module: its parts are tested too."""
    from importlib.util import module_from_spec, spec_from_file_location

    path: Path = pack_folder(pack) / "rules.py"
    spec = spec_from_file_location(f"rules_of_{pack.replace('-', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cli_intent() -> ModuleType:
    return rules_module("cli-intent")


@pytest.fixture(scope="session")
def reasoning_mode() -> ModuleType:
    return rules_module("reasoning-mode")


@pytest.fixture(scope="session")
def infra() -> ModuleType:
    return rules_module("infra")
