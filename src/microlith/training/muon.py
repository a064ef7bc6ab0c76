"""Muon (Jordan et al. 2024): momentum, made orthogonal by Newton-Schulz steps, for the matrices of a network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration that drives singular values to about 1 (Jordan et al. 2024)."""
STEPS = 5


class Muon(torch.optim.Optimizer):
    """Moves matrices of shape (outputs, inputs)."""

    def __init__(
        self, parameters: Iterable[Tensor], *, rate: float, momentum: float = 0.95, weight_decay: float = 0.0, dtype: torch.dtype
    ) -> None:  # fmt: skip
        """`dtype` is that of the products."""
        super().__init__(parameters, {"lr": rate, "momentum": momentum, "weight_decay": weight_decay})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step; matrices of one shape are made orthogonal together."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for same in shapes.values():
                self._move(same, group)

    def _move(self, same: list[Tensor], group: dict[str, Any]) -> None:
        pushes = []
        for parameter in same:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            assert parameter.grad is not None
            state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
            pushes.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
        scale = max(1.0, same[0].shape[0] / same[0].shape[1]) ** 0.5
        for parameter, push in zip(same, pushes, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(orthogonal(push, self._dtype).to(parameter.dtype), alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """About U V' of the singular value decomposition of (outputs, inputs) `matrix`."""
    tall = matrix.shape[0] > matrix.shape[1]
    found = (matrix.T if tall else matrix).to(dtype)
    found = found / (found.norm() + 1e-7)
    first, second, third = COEFFICIENTS
    for _ in range(STEPS):
        square = found @ found.T
        found = torch.addmm(found, second * square + third * (square @ square), found, beta=first)
    return found.T if tall else found
