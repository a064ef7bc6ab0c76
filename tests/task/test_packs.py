from __future__ import annotations

import subprocess
import sys

import pytest

from microlith.errors import UnknownTask
from microlith.task.packs import pack_folder, packs


def test_the_packs_that_ship() -> None:
    assert {"infra", "cli-intent", "reasoning-mode"} <= set(packs())


@pytest.mark.parametrize("pack", packs())
def test_a_pack_is_whole(pack: str) -> None:
    names = {path.name for path in pack_folder(pack).iterdir()}
    assert {"task.toml", "schema.json", "data"} <= names


def test_an_unknown_pack_is_an_error() -> None:
    with pytest.raises(UnknownTask, match="reasoning-mode"):
        pack_folder("reasoning")


def test_reading_a_plan_loads_neither_pydantic_nor_jsonschema() -> None:
    code = (
        "import sys, microlith.task.plan, microlith.task.reading, microlith.task.formats;"
        "print([name for name in ('pydantic', 'jsonschema', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_names_its_parts() -> None:
    import microlith.task

    assert microlith.task.load_task("infra").name == "infra"
    with pytest.raises(AttributeError):
        _ = microlith.task.nothing
