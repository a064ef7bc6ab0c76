from __future__ import annotations

from pathlib import Path

import pytest

from microlith.errors import UsageError
from microlith.registry.home import artifacts_of, checked_name, home, runs_of


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Path(".microlith")),
        ({"MICROLITH_HOME": "/data/m"}, Path("/data/m")),
        ({"MICROLITH_HOME": "  "}, Path(".microlith")),
    ],
)
def test_home(environment: dict[str, str], expected: Path) -> None:
    assert home(environment) == expected


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MICROLITH_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("MICROLITH_HOME")
    assert home() == Path(".microlith")


def test_a_tilde_is_the_users_folder() -> None:
    assert home({"MICROLITH_HOME": "~/m"}) == Path.home() / "m"


def test_folders() -> None:
    assert artifacts_of("infra", Path("h")) == Path("h/artifacts/infra")
    assert runs_of("infra", Path("h")) == Path("h/runs/infra")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "x" * 65, "a b", "nul\0", "dot."]
)
def test_names_that_are_no_folders(name: str) -> None:
    with pytest.raises(UsageError, match="folder's name"):
        checked_name(name)
