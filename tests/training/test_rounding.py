"""Layers that compute on integers: near the float layer, with its gradients, and exactly whole numbers inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from microlith.training.rounding import (
    LEVELS,
    WEIGHT_LEVELS,
    RoundedLinear,
    prepare_rounding,
    ranges_found,
    rounded_layers,
    start_rounding,
    unrounded,
)
from tests.tiny_base import make_tiny_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("base"), ["add bob to ops", "open port 443"])


def encoder_of(base: Path) -> Any:
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(base, add_pooling_layer=False).eval()
    prepare_rounding(encoder)
    return encoder


def states(encoder: Any, ids: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    return found


def ready(base: Path) -> tuple[Any, torch.Tensor]:
    """An encoder with ranges, and ids it has not seen."""
    encoder, generator = encoder_of(base), torch.Generator().manual_seed(0)
    with torch.no_grad(), ranges_found(encoder):
        states(encoder, torch.randint(5, 30, (64, 9), generator=generator))
    return encoder, torch.randint(5, 30, (8, 9), generator=generator)


def test_every_linear_layer_of_the_encoder_rounds(base: Path) -> None:
    encoder, _ = ready(base)
    assert not [one for one in encoder.modules() if isinstance(one, nn.Linear)]
    assert len(rounded_layers(encoder)) == 6 * encoder.config.num_hidden_layers


def test_rounding_moves_the_states_a_little(base: Path) -> None:
    encoder, ids = ready(base)
    before = states(encoder, ids).detach()
    start_rounding(encoder)
    after = states(encoder, ids).detach()
    with unrounded(encoder):
        again = states(encoder, ids).detach()
    moved = (after - before).abs().mean() / before.abs().mean()
    assert 0 < moved < 0.02
    assert torch.equal(again, before)


def test_a_row_does_not_depend_on_its_batch(base: Path) -> None:
    encoder, ids = ready(base)
    start_rounding(encoder)
    together, alone = states(encoder, ids)[2:3], states(encoder, ids[2:3])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_those_of_the_float_layer(seed: int) -> None:
    torch.manual_seed(seed)
    plain = nn.Linear(24, 16)
    layer = RoundedLinear(nn.Linear(24, 16))
    layer.load_state_dict({**layer.state_dict(), **plain.state_dict()})
    values = torch.randn(5, 7, 24)
    layer.gain.copy_(torch.full((24,), 127 / float(values.abs().max())))
    layer.zero.fill_(127.0)
    layer.rounds = True
    found, wanted = values.clone().requires_grad_(), values.clone().requires_grad_()
    weights = torch.randn(16)
    (layer(found) * weights).sum().backward()
    (plain(wanted) * weights).sum().backward()
    pairs = (
        (found.grad, wanted.grad),
        (layer.weight.grad, plain.weight.grad),
        (layer.bias.grad, plain.bias.grad),
    )
    for mine, theirs in pairs:
        assert mine is not None
        assert theirs is not None
        assert float((mine - theirs).norm() / theirs.norm()) < 0.02


def test_integers_in_bf16_training_are_those_of_the_plain_product() -> None:
    torch.manual_seed(0)
    layer = RoundedLinear(nn.Linear(384, 48))
    layer.gain.fill_(40.0)
    layer.zero.fill_(93.0)
    layer.rounds = True
    values = torch.randn(5, 7, 384)
    found, wanted = values.clone().requires_grad_(), values.clone().requires_grad_()
    plain = layer(wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        quick = layer(found)
    assert torch.equal(quick, plain)
    quick.square().sum().backward()
    plain.square().sum().backward()
    assert found.grad is not None
    assert wanted.grad is not None
    assert float((found.grad - wanted.grad).norm() / wanted.grad.norm()) < 0.01


def test_a_value_out_of_range_is_held_and_gets_no_gradient() -> None:
    layer = RoundedLinear(nn.Linear(1, 1))
    layer.rounds = True
    layer.gain.fill_(10.0)
    layer.zero.fill_(100.0)
    values = torch.tensor([[-50.0], [0.5], [50.0]], requires_grad=True)
    out = layer(values)
    out.sum().backward()
    assert values.grad is not None
    assert values.grad[0] == values.grad[2] == 0
    assert values.grad[1] != 0
    ends = torch.tensor([[-10.0], [(LEVELS - 100) / 10]])
    assert torch.equal(out[[0, 2]], layer(ends))


def test_the_grid_is_whole() -> None:
    layer = RoundedLinear(nn.Linear(24, 16))
    layer.gain.uniform_(0.5, 20.0)
    integers, scales = layer.weight_grid()
    assert torch.equal(integers, integers.round())
    assert float(integers.abs().max()) == WEIGHT_LEVELS
    assert torch.allclose(
        integers * scales[:, None] * layer.gain, layer.weight, atol=float((scales.max() * 20) / 2)
    )
