"""The dial of the scratch recipe and its single values."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from microlith.errors import UsageError
from microlith.training.scratch_net import ScratchNet
from microlith.training.scratch_settings import SIZES, scratch_settings_of


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_within_bounds_and_counts_its_weights(size: str) -> None:
    settings = scratch_settings_of(size)
    assert settings.size == size
    with torch.device("meta"):
        net = ScratchNet(
            vocabulary=settings.vocabulary, width=settings.width, layers=settings.layers, heads=settings.heads,
            inner=settings.inner, context=32, dropout=0.0, dtype=torch.float32,
        )  # fmt: skip
    assert settings.parameters == sum(one.numel() for one in net.parameters())


def test_larger_sizes_are_larger() -> None:
    counts = [scratch_settings_of(size).parameters for size in SIZES]
    assert counts == sorted(counts)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"width": "30"}, "width=30 cannot be shared by 4 heads"),
        ({"heads": "0"}, "heads=0 is outside"),
        ({"layers": "0"}, "layers=0 is outside"),
        ({"vocabulary": "299"}, "vocabulary=299 is outside 300"),
        ({"context_tokens": "9000"}, "context_tokens=9000 is outside"),
        ({"matrix_rate": "nan"}, "matrix_rate=nan is outside"),
        ({"checkpoint_every_s": "nan"}, "checkpoint_every_s=nan is outside"),
        ({"checkpoint_every_s": "-1"}, "checkpoint_every_s=-1.0 is outside"),
        ({"precision": "fp8"}, "precision='fp8' is unknown"),
        ({"file_type": "q9"}, "file_type='q9' is unknown"),
        ({"depth": "3"}, "the scratch recipe has no setting 'depth'"),
        ({"seed": "x"}, "seed='x' is not a int"),
    ],
)
def test_what_cannot_be_is_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        scratch_settings_of("standard", changes)
    assert told in str(caught.value)


def test_an_unknown_size_is_named() -> None:
    with pytest.raises(UsageError, match="--size 'huge' is unknown"):
        scratch_settings_of("huge")
