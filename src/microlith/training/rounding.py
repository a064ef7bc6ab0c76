"""Rounding while training: the encoder's linear layers compute as the runtime will, on 8-bit integers.

In the last part of a training every linear layer of the encoder rounds its input to the integers 0-255 and its weights to
-63 to 63, and gradients pass the rounding as if it were not there (Jacob et al., "Quantization and training of neural
networks for efficient integer-arithmetic-only inference", 2018). The ranges are fixed before that part, from training
rows, so that an answer never depends on the other requests of its batch. Channels with wide ranges hand a part of them to
the weights (Xiao et al., "SmoothQuant", 2022).

Products of such integers, summed over a row, stay exact in float32, so that the network in torch and the int8 file in
onnxruntime compute the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 255
"""Largest integer of an input."""
WEIGHT_LEVELS = 63
"""Largest magnitude of a weight: 7 bits, so that sums of two products fit the 16 bits that processors without VNNI add in."""
SHARED = 0.8
"""Power of a channel's range that its weights take over, 0-1: 0 rounds all channels of an input alike, 1 each by itself."""
SMALLEST = 1e-5
"""Least range of a channel, and least step, so that nothing is divided by 0."""


class RoundedLinear(nn.Module):
    """A linear layer that can compute on integers."""

    gain: Tensor
    zero: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.register_buffer("gain", torch.ones(linear.in_features))
        self.register_buffer("zero", torch.zeros(()))
        self.rounds = False
        """Does the layer compute on integers?"""

    def forward(self, values: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        if not self.rounds:
            return nn.functional.linear(values, self.weight, self.bias)
        product: Tensor = _WholeProduct.apply(  # type: ignore[no-untyped-call]
            values, self.weight, self.bias, self.gain, self.zero, *self.weight_grid()
        )
        return product

    @torch.no_grad()
    def weight_grid(self) -> tuple[Tensor, Tensor]:
        """(outputs, inputs) integers of -`WEIGHT_LEVELS` to `WEIGHT_LEVELS`, as floats, and (outputs,) scales > 0."""
        folded = self.weight / self.gain
        low, high = folded.aminmax(dim=1)
        scales = torch.maximum(high, -low).clamp(min=1e-12) / WEIGHT_LEVELS
        return folded.div_(scales[:, None]).round_(), scales


class _WholeProduct(torch.autograd.Function):
    """round(values * gain) @ integers.T * scales + bias, with the gradients of the unrounded product.

    Sums of the integers are exact in float32 and in int32 alike. Where training runs in bf16 the second is quicker, and
    the gradients, which need no exactness, are products in bf16.
    """

    @staticmethod
    def forward(
        context: Any, values: Tensor, weight: Tensor, bias: Tensor, gain: Tensor, zero: Tensor,
        integers: Tensor, scales: Tensor,
    ) -> Tensor:  # fmt: skip
        context.quick = torch.is_autocast_enabled("cpu")
        with torch.autocast("cpu", enabled=False):
            free = (values * gain).round_()
            steps = free.clamp(-zero, LEVELS - zero)
            context.save_for_backward(steps, free == steps, gain, integers, scales)
            summed = (
                _int_sums(steps, zero, integers) if context.quick else nn.functional.linear(steps, integers)
            )
            return summed * scales + bias

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        steps, inside, gain, integers, scales = context.saved_tensors
        kind = torch.bfloat16 if context.quick else torch.float32
        flat = gradient.flatten(0, -2).float()
        to_values = (
            ((flat * scales).to(kind) @ integers.to(kind)).float().view_as(steps).mul_(gain).mul_(inside)
        )
        to_weight = (flat.T.to(kind) @ steps.flatten(0, -2).to(kind)).float().div_(gain)
        return to_values, to_weight, flat.sum(0), None, None, None, None


def _int_sums(steps: Tensor, zero: Tensor, integers: Tensor) -> Tensor:
    """steps @ integers.T by 8-bit products and 32-bit sums: `steps` are moved to -128..127, and the move is taken back."""
    moved = zero - 128.0
    whole = (steps + moved).flatten(0, -2).to(torch.int8)
    sums = torch._int_mm(whole, integers.to(torch.int8).t())
    back = moved.int() * integers.sum(1).int()
    return (sums - back).float().view(*steps.shape[:-1], -1)


def rounded_layers(encoder: nn.Module) -> list[RoundedLinear]:
    """All layers that round, in order."""
    return [module for module in encoder.modules() if isinstance(module, RoundedLinear)]


def prepare_rounding(encoder: Any) -> None:
    """Put a `RoundedLinear` in the place of every linear layer of a BERT-shaped encoder; they do not round yet."""
    for parent in list(encoder.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, RoundedLinear(child))


def start_rounding(encoder: Any) -> None:
    """From now on all linear layers compute on integers; their ranges must be known."""
    for layer in rounded_layers(encoder):
        layer.rounds = True


@contextmanager
def unrounded(encoder: Any) -> Iterator[None]:
    """Within, no layer rounds."""
    layers = [layer for layer in rounded_layers(encoder) if layer.rounds]
    for layer in layers:
        layer.rounds = False
    try:
        yield
    finally:
        for layer in layers:
            layer.rounds = True


@contextmanager
def ranges_found(encoder: Any) -> Iterator[None]:
    """Within, the encoder reads training rows; after it, the ranges of all its linear layers are fixed."""
    groups = _layers_by_input(encoder)
    found = [_Range() for _ in groups]
    hooks = [group[0].register_forward_pre_hook(one.see) for group, one in zip(groups, found, strict=True)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    for group, one in zip(groups, found, strict=True):
        one.fix(group)


def _layers_by_input(encoder: Any) -> list[list[RoundedLinear]]:
    """Layers that read the same values, which are rounded once for all of them."""
    groups = []
    for layer in encoder.encoder.layer:
        own = layer.attention.self
        groups += [[own.query, own.key, own.value], [layer.attention.output.dense]]
        groups += [[layer.intermediate.dense], [layer.output.dense]]
    return groups


class _Range:
    """Least and greatest value of every channel."""

    def __init__(self) -> None:
        self.low: Tensor | None = None
        self.high: Tensor | None = None

    def see(self, _: nn.Module, inputs: Sequence[Tensor]) -> None:
        rows = inputs[0].detach().float().flatten(0, -2)
        low, high = rows.amin(0), rows.amax(0)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)

    @torch.no_grad()
    def fix(self, layers: Sequence[RoundedLinear]) -> None:
        assert self.low is not None, "the encoder read no row"
        assert self.high is not None
        reach = torch.maximum(self.high, -self.low).clamp(min=SMALLEST)
        weights = torch.stack([layer.weight.abs().amax(0) for layer in layers]).amax(0).clamp(min=SMALLEST)
        smooth = reach**SHARED / weights ** (1 - SHARED)
        low, high = (self.low / smooth).amin().clamp(max=0), (self.high / smooth).amax().clamp(min=0)
        step = ((high - low) / LEVELS).clamp(min=SMALLEST)
        for layer in layers:
            layer.gain.copy_(1.0 / (smooth * step))
            layer.zero.copy_(torch.round(-low / step))
