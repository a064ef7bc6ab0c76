"""A server of the dialects for every module that asks it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.dialect_desk import DialectDesk, dialects


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[DialectDesk, str]]:
    """The desk, and the address of the server over it."""
    with dialects() as started:
        yield started


@pytest.fixture
def desk(running: tuple[DialectDesk, str]) -> DialectDesk:
    """The desk of this module's server, as new."""
    running[0].reset()
    return running[0]
