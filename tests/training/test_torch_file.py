"""The trained model in torch, asked as llama.cpp is."""

from __future__ import annotations

import numpy as np
import pytest

from microlith.errors import UsageError
from microlith.training.torch_file import TorchFile
from tests.tiny_models import FAMILIES

IDS = [5, 300, 42, 17, 260, 99, 8, 123, 77, 301] * 5
"""More tokens than the sliding window of the tiny Gemma."""


@pytest.fixture(scope="module", params=FAMILIES)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TorchFile:
    return TorchFile(FAMILIES[request.param](tmp_path_factory.mktemp(request.param)), n_ctx=64)


def test_reading_in_parts_is_reading_the_whole(file: TorchFile) -> None:
    file.forget(0)
    whole = file.read(IDS, 0, wanted=range(len(IDS)))
    assert whole.shape == (len(IDS), file.vocabulary_size)
    file.forget(0)
    parts = [file.read(IDS[:20], 0), file.read(IDS[20:21], 20), file.read(IDS[21:], 21)]
    for place, part in zip((19, 20, 49), parts, strict=True):
        np.testing.assert_allclose(part[0], whole[place], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kept", [49, 45, 20, 1, 0])
def test_what_is_forgotten_does_not_count(file: TorchFile, kept: int) -> None:
    other = [7, 9, 11]
    file.forget(0)
    expected = file.read([*IDS[:kept], *other], 0)
    file.forget(0)
    file.read(IDS, 0)
    file.forget(kept)
    np.testing.assert_allclose(file.read(other, kept), expected, rtol=1e-3, atol=1e-3)


def test_more_than_the_context_is_refused(file: TorchFile) -> None:
    file.forget(0)
    with pytest.raises(UsageError, match="0 \\+ 65 tokens do not fit into 64"):
        file.read([1] * 65, 0)
    with pytest.raises(UsageError, match="do not fit"):
        file.read([], 0)
