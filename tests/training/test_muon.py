"""Muon: orthogonal pushes that lower a loss."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from microlith.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48), (1, 8), (8, 1)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_singular_values_come_near_one(shape: tuple[int, int], scale: float) -> None:
    found = orthogonal(scale * torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    values = torch.linalg.svdvals(found)
    assert found.shape == shape
    assert values.min() > 0.3
    assert values.max() < 1.4


def test_the_directions_are_those_of_the_matrix() -> None:
    matrix = torch.randn(12, 20, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ orthogonal(matrix) @ right.T
    assert (turned - torch.diag(turned.diag())).abs().max() < 0.01


def test_nothing_pushes_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(4, 6)), torch.zeros(4, 6))


def _losses(*, decay: float = 0.0) -> tuple[list[float], torch.Tensor]:
    torch.manual_seed(0)
    target, weight = torch.randn(12, 8), torch.zeros(12, 8, requires_grad=True)
    muon = Muon([weight], rate=0.1, weight_decay=decay, dtype=torch.float32)
    losses = []
    for _ in range(40):
        muon.zero_grad(set_to_none=True)
        loss = (weight - target).square().mean()
        loss.backward()
        muon.step()
        losses.append(float(loss.detach()))
    return losses, weight


def test_steps_lower_a_loss() -> None:
    losses, _ = _losses()
    assert losses[-1] < 0.2 * losses[0]
    assert losses[1] < losses[0]


def test_weights_decay() -> None:
    assert _losses(decay=0.9)[1].norm() < _losses()[1].norm()


def test_a_weight_without_gradient_stays() -> None:
    weight = torch.ones(3, 3, requires_grad=True)
    Muon([weight], rate=0.1, dtype=torch.float32).step()
    assert torch.equal(weight, torch.ones(3, 3))


def test_a_state_that_was_kept_goes_on_alike() -> None:
    def step(muon: Muon, weight: torch.Tensor) -> None:
        weight.grad = torch.arange(6.0).view(2, 3) - weight.detach()
        muon.step()

    weight = torch.zeros(2, 3, requires_grad=True)
    muon = Muon([weight], rate=0.1, dtype=torch.float32)
    step(muon, weight)
    other = weight.detach().clone().requires_grad_(True)
    again = Muon([other], rate=0.1, dtype=torch.float32)
    again.load_state_dict(deepcopy(muon.state_dict()))
    step(muon, weight)
    step(again, other)
    assert torch.equal(weight, other)
