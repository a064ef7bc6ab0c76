"""The small net computes what transformers' Llama computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from microlith.training.scratch_net import EPSILON, ROPE_BASE, ScratchNet

SHAPE: dict[str, Any] = {"vocabulary": 61, "width": 32, "layers": 2, "heads": 4, "inner": 48, "context": 24}


def net(**changes: Any) -> ScratchNet:
    torch.manual_seed(0)
    made = ScratchNet(**{**SHAPE, "dropout": 0.0, "dtype": torch.float32, **changes})
    with torch.no_grad():
        for one in made.parameters():
            one.add_(0.1 * torch.randn_like(one))
    return made


def llama(of: ScratchNet) -> Any:
    """transformers' model with the same weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, intermediate_size=48,
        max_position_embeddings=24, rms_norm_eps=EPSILON, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    missing, unknown = model.load_state_dict(of.llama_weights(), strict=False)
    assert (missing, unknown) == (["lm_head.weight"], [])
    model.tie_weights()
    return model


@pytest.fixture
def asked() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, and every place of every row."""
    ids = torch.randint(0, 61, (3, 20), generator=torch.Generator().manual_seed(1))
    rows = torch.arange(3).repeat_interleave(20)
    return ids, rows, torch.arange(20).repeat(3)


def test_logits_are_those_of_transformers(asked: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    mine = net()
    with torch.no_grad():
        expected = llama(mine)(asked[0]).logits
        torch.testing.assert_close(mine(*asked).view(3, 20, 61), expected, rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_transformers(asked: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    mine = net()
    theirs = llama(mine)
    targets = torch.randint(0, 61, (60,), generator=torch.Generator().manual_seed(2))
    F.cross_entropy(mine(*asked), targets).backward()
    F.cross_entropy(theirs(asked[0]).logits.flatten(0, 1), targets).backward()
    with torch.no_grad():  # the gradients in place of the weights, under transformers' names
        for one in mine.parameters():
            assert one.grad is not None
            one.copy_(one.grad)
    expected = dict(theirs.named_parameters())
    for name, grad in mine.llama_weights().items():
        assert expected[name].grad is not None
        torch.testing.assert_close(grad, expected[name].grad, rtol=1e-3, atol=1e-5, msg=name)


def test_gradients_are_right_by_differences_too() -> None:
    """In bf16 nothing can be told by differences, so own derivatives are held to them in float64."""
    from microlith.training.scratch_net import _gated, _turned

    both = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(_gated, (both,))
    values = torch.randn(1, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    turn = net(width=8, heads=2)
    cos, sin = turn.cos[:3].double(), turn.sin[:3].double()
    assert torch.autograd.gradcheck(lambda one: _turned(one, cos, sin), (values,))


def test_padding_changes_nothing_before_it(asked: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    mine, (ids, rows, places) = net(), asked
    longer = torch.cat([ids, torch.full((3, 4), 7)], 1)
    with torch.no_grad():
        torch.testing.assert_close(mine(longer, rows, places), mine(*asked), rtol=1e-5, atol=1e-5)


def test_dropout_is_of_training_alone(asked: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    plain, mine = net(), net(dropout=0.5)
    with torch.no_grad():
        assert not torch.equal(mine.train()(*asked), mine(*asked))
        assert torch.equal(mine.eval()(*asked), plain(*asked))


def test_dropout_keeps_the_mean() -> None:
    from microlith.training.scratch_net import _dropped

    torch.manual_seed(0)
    found = _dropped(torch.ones(400, 2, 50), net(dropout=0.3).train())
    assert found.mean() == pytest.approx(1.0, abs=0.02)
    assert torch.equal(found[:, 0], found[:, 1]), "a dimension is dropped for a whole row"


def test_bf16_stays_near(asked: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    with torch.no_grad():
        plain, small = net()(*asked), net(dtype=torch.bfloat16)(*asked)
    assert small.dtype == torch.float32
    assert (plain - small).abs().max() < 0.1 * plain.std()


def test_every_weight_is_moved_by_one_optimiser() -> None:
    mine = net()
    moved = [id(one) for one in (*mine.matrices(), *mine.others())]
    assert sorted(moved) == sorted(id(one) for one in mine.parameters())
    assert all(one.dim() == 2 for one in mine.matrices())
    assert any(one is mine.words for one in mine.others())
