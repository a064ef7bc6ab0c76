"""Attention in float32 is the attention that transformers computes, whatever the precision around it."""

from __future__ import annotations

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from microlith.training.attention import float_attention


def parts() -> tuple[list[torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    mask = torch.ones(3, 1, 7, 7, dtype=torch.bool)
    mask[1, :, :, 4:] = False
    return [torch.randn(3, 2, 7, 8) for _ in range(3)], mask


def test_it_is_the_attention_of_transformers() -> None:
    (query, key, value), mask = parts()
    mine, weights = float_attention(None, query, key, value, mask, scaling=0.5)
    theirs, _ = sdpa_attention_forward(torch.nn.Module(), query, key, value, mask, scaling=0.5)
    assert weights is None
    assert torch.equal(mine, theirs)


def test_bf16_around_it_changes_nothing() -> None:
    (query, key, value), mask = parts()
    plain, _ = float_attention(None, query, key, value, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, _ = float_attention(None, query, key, value, mask)
        halved, _ = float_attention(None, query.bfloat16(), key.bfloat16(), value.bfloat16(), mask)
    assert torch.equal(inside, plain)
    assert halved.dtype == torch.float32
    assert torch.allclose(halved, plain, atol=0.05)
