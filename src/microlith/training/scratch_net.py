"""A Llama (Touvron et al. 2023) of a few million parameters, written for speed on processor cores.

It computes what `transformers.LlamaForCausalLM` does. What is different is how: products in bf16 where the processor has
them, attention in float32 (which is faster there), fewer and larger products, own derivatives for what lies between them,
and scores only where an answer's token is asked for.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-5
ROPE_BASE = 10_000.0


class ScratchNet(nn.Module):
    """The network; products are computed in `dtype`."""

    cos: Tensor
    sin: Tensor

    def __init__(
        self, *, vocabulary: int, width: int, layers: int, heads: int, inner: int, context: int, dropout: float, dtype: torch.dtype
    ) -> None:  # fmt: skip
        """Weights by chance: normal, standard deviation 0.02, of what adds to the stream smaller by depth."""
        super().__init__()
        self.heads, self.head_width, self.dtype, self.dropout = heads, width // heads, dtype, dropout
        self.words = nn.Parameter(torch.randn(vocabulary, width) * 0.02)
        self.stack = nn.ModuleList([_Block(width, inner, layers) for _ in range(layers)])
        self.gain = nn.Parameter(torch.ones(width))
        rates = 1.0 / ROPE_BASE ** (torch.arange(0, self.head_width, 2) / self.head_width)
        angles = torch.outer(torch.arange(context), rates).repeat(1, 2)
        signs = torch.ones(self.head_width).where(torch.arange(self.head_width) >= self.head_width // 2, -1.0)
        self.register_buffer("cos", angles.cos()[:, None], persistent=False)
        self.register_buffer("sin", (angles.sin() * signs)[:, None], persistent=False)

    def forward(self, ids: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        """Scores of the token after some places.

        Args:
            ids: (batch, tokens) token ids, padded at the end with any.
            rows: (asked,) row of each place that is asked for.
            places: (asked,) the places.

        Returns:
            (asked, vocabulary) logits, float32.
        """
        words = self.words.to(self.dtype)
        state = F.embedding(ids, words)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        *first, last = self.blocks
        for block in first:
            state = block.through(state, block.seen(state, cos, sin, self), self)
        seen = last.seen(state, cos, sin, self)  # nobody reads the rest of the last layer
        flat = rows * ids.shape[1] + places
        state, seen = (one.flatten(0, 1).index_select(0, flat) for one in (state, seen))
        asked = last.through(state, seen, self, of=rows)
        return F.linear(_norm(asked, self.gain), words).float()

    @property
    def blocks(self) -> list[_Block]:
        """The layers, the first first."""
        return [cast(_Block, block) for block in self.stack]

    def matrices(self) -> list[nn.Parameter]:
        """The weights that Muon moves, each a matrix or a stack of such."""
        return [one for block in self.blocks for one in block.parameters() if one.dim() > 1]

    def others(self) -> list[nn.Parameter]:
        """Embeddings and gains."""
        known = {id(one) for one in self.matrices()}
        return [one for one in self.parameters() if id(one) not in known]

    def llama_weights(self) -> dict[str, Tensor]:
        """The weights under the names of `transformers.LlamaForCausalLM`; embeddings and scores are tied."""
        width = self.words.shape[1]
        found: dict[str, Tensor] = {"model.embed_tokens.weight": self.words, "model.norm.weight": self.gain}
        for number, block in enumerate(self.blocks):
            name = f"model.layers.{number}."
            stacked = block.query_key_value
            query, key, value = stacked[:width], stacked[width : 2 * width], stacked[2 * width :]
            gate, up = block.gate_up.chunk(2)
            found |= {
                f"{name}self_attn.q_proj.weight": query, f"{name}self_attn.k_proj.weight": key,
                f"{name}self_attn.v_proj.weight": value, f"{name}self_attn.o_proj.weight": block.out,
                f"{name}mlp.gate_proj.weight": gate, f"{name}mlp.up_proj.weight": up, f"{name}mlp.down_proj.weight": block.down,
                f"{name}input_layernorm.weight": block.gain, f"{name}post_attention_layernorm.weight": block.inner_gain,
            }  # fmt: skip
        return {name: value.detach().clone() for name, value in found.items()}


class _Block(nn.Module):
    """Attention, then a gated feed-forward block, each adding to the stream."""

    def __init__(self, width: int, inner: int, layers: int) -> None:
        super().__init__()
        small = 0.02 / (2 * layers) ** 0.5
        self.query_key_value = nn.Parameter(torch.randn(3 * width, width) * 0.02)
        self.out = nn.Parameter(torch.randn(width, width) * small)
        self.gate_up = nn.Parameter(torch.randn(2 * inner, width) * 0.02)
        self.down = nn.Parameter(torch.randn(width, inner) * small)
        self.gain = nn.Parameter(torch.ones(width))
        self.inner_gain = nn.Parameter(torch.ones(width))

    def seen(self, state: Tensor, cos: Tensor, sin: Tensor, net: ScratchNet) -> Tensor:
        """(batch, tokens, width) what attention brings to each token."""
        rows, tokens, width = state.shape
        mixed = F.linear(_norm(state, self.gain), self.query_key_value.to(net.dtype)).float()
        query, key, value = mixed.view(rows, tokens, 3, net.heads, net.head_width).unbind(2)
        query, key = (_turned(one, cos, sin).transpose(1, 2) for one in (query, key))
        seen = F.scaled_dot_product_attention(query, key, value.transpose(1, 2), is_causal=True)
        return seen.transpose(1, 2).reshape(rows, tokens, width).to(net.dtype)

    def through(self, state: Tensor, seen: Tensor, net: ScratchNet, of: Tensor | None = None) -> Tensor:
        """The stream after this layer; `of` is the row of each token where `state` holds some tokens only."""
        state = state + _dropped(F.linear(seen, self.out.to(net.dtype)), net, of)
        gated = _gated(F.linear(_norm(state, self.inner_gain), self.gate_up.to(net.dtype)))
        return state + _dropped(F.linear(gated, self.down.to(net.dtype)), net, of)


def _dropped(values: Tensor, net: ScratchNet, of: Tensor | None = None) -> Tensor:
    """Dropout of whole dimensions of a row (Gal and Ghahramani 2016): a chance for each token would cost a tenth of a step."""
    if not (net.training and net.dropout):
        return values
    rows = values.shape[0] if of is None else int(of.max()) + 1
    kept = ((torch.rand(rows, values.shape[-1]) >= net.dropout) / (1 - net.dropout)).to(values.dtype)
    return values * (kept[:, None] if of is None else kept[of])


def _norm(values: Tensor, gain: Tensor) -> Tensor:
    """Root-mean-square normalisation (Zhang and Sennrich 2019), computed in float32, given in the dtype of `values`."""
    found: Tensor = _Norm.apply(values, gain)  # type: ignore[no-untyped-call]
    return found


def _gated(both: Tensor) -> Tensor:
    """silu(gate) * up of (..., gate and up)."""
    found: Tensor = _Gate.apply(both)  # type: ignore[no-untyped-call]
    return found


def _turned(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021); the halves of a head turn together, as in transformers."""
    found: Tensor = _Turn.apply(values, cos, sin)  # type: ignore[no-untyped-call]
    return found


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, gain: Tensor) -> Tensor:
        wide = values.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPSILON)
        normal = wide.mul_(scale) if wide is not values else wide * scale
        ctx.save_for_backward(normal.to(values.dtype), scale, gain)
        return (normal * gain).to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        normal, scale, gain = ctx.saved_tensors
        wide, grad = normal.float(), grads[0].float()
        for_gain = (grad * wide).flatten(0, -2).sum(0)
        grad = grad * gain
        grad = scale * (grad - wide * (grad * wide).mean(-1, keepdim=True))
        return grad.to(normal.dtype), for_gain


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return F.silu(gate) * up

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        half = gate.shape[-1]
        sigmoid = torch.sigmoid(gate)
        smooth = gate * sigmoid
        found = torch.empty_like(both)
        torch.mul(grads[0], smooth, out=found[..., half:])
        torch.mul(grads[0] * up, torch.addcmul(sigmoid, smooth, 1 - sigmoid), out=found[..., :half])
        return found


class _Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return values * cos + values.roll(values.shape[-1] // 2, -1) * sin

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        grad = grads[0]
        return grad * cos + (grad * sin).roll(grad.shape[-1] // 2, -1), None, None
