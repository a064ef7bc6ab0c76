"""What a server is told that it cannot do is said before it listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from microlith.errors import UsageError
from microlith.serving.settings import ServeSettings
from microlith.serving.start import run
from tests.serving.small import register, task_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    register(task_folder(tmp_path, "mood", route=("specialist", "general")), tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_named(home: Path, taken: int) -> None:
    with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1 port {taken}: Address already in use"):
        run(ServeSettings(root=home, port=taken))


@pytest.mark.parametrize("port", [-1, 65_536, 10**9])
def test_a_port_that_cannot_be_is_refused(home: Path, port: int) -> None:
    with pytest.raises(UsageError, match="there is no such port"):
        run(ServeSettings(root=home, port=port))


def test_a_general_model_without_its_name_is_not_passed_over(home: Path) -> None:
    with pytest.raises(UsageError, match="an address and no name"):
        run(ServeSettings(root=home, port=0, general_url="http://127.0.0.1:9/v1"))
