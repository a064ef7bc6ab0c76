"""The list loss against a count by hand of all sets of slices; outliers made of pairs of rows."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from microlith.training.losses import GroupTensors, _list_loss, outlier_loss


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


def test_outliers_are_made_of_two_classes_that_are_in_scope() -> None:
    logits = torch.tensor([[9.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    labels = torch.tensor([0, 0, 1, 2])
    found = outlier_loss(logits, labels, outside=2)
    assert (found > 0).tolist() == [
        False,
        False,
        True,
        False,
    ]  # row 0 meets row 3, which is outside; row 1 meets its like


def test_an_outlier_costs_less_the_more_it_is_declined() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0, 1])
    plain, wary = (
        torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]),
        torch.tensor([[9.0, 0.0, 7.0], [0.0, 9.0, 7.0]]),
    )
    assert outlier_loss(wary, labels, outside=2).sum() < outlier_loss(plain, labels, outside=2).sum()
