"""The list loss against a count by hand of all sets of slices."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from microlith.training.losses import GroupTensors, _list_loss


def brute(scores: dict[tuple[int, int], list[float]]) -> float:
    """Log of the sum over all sets of slices that do not overlap, each with any column."""
    total = 0.0
    slices = list(scores)
    for size in range(len(slices) + 1):
        for chosen in itertools.combinations(slices, size):
            if any(a[0] <= b[1] and b[0] <= a[1] for a, b in itertools.combinations(chosen, 2)):
                continue
            total += math.prod(sum(math.exp(value) for value in scores[one]) for one in chosen)
    return math.log(total)


@pytest.mark.parametrize("gold", [[], [((0, 0), 1)], [((0, 1), 0), ((2, 2), 1)]])
def test_the_loss_is_the_exact_likelihood(gold: list[tuple[tuple[int, int], int]]) -> None:
    slices = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
    logits = torch.randn(1, 1, len(slices), 2, generator=torch.Generator().manual_seed(3))
    listed = torch.zeros(1, 1, len(slices), 2, dtype=torch.bool)
    for place, column in gold:
        listed[0, 0, slices.index(place), column] = True
    empty = torch.zeros(1, dtype=torch.long)
    target = GroupTensors(
        count=empty, choices=empty, labels=empty, spans=empty, taken=empty,
        allowed=torch.ones(1, len(slices), 2, dtype=torch.bool), listed=listed,
        listing=torch.ones(1, 1, dtype=torch.bool), pieces=torch.tensor([slices]), lengths=torch.tensor([3]),
    )  # fmt: skip
    scores = {place: logits[0, 0, index].tolist() for index, place in enumerate(slices)}
    expected = brute(scores) - sum(scores[place][column] for place, column in gold)
    assert _list_loss(logits, target, 0).item() == pytest.approx(expected, abs=1e-4)
