"""The encoder with heads grown from a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from microlith.inference.grounding import FEATURES
from microlith.inference.layout import GroupLayout, Layout

PLACES = ("first", "last", "inside", "before", "after")
"""Tokens that speak for a slice: its first, its last, the mean of its own, the one before it and the one after it."""
LOOKS = 48
"""Hidden units that a slice's features (quotes around it, digits in it, ...) meet in before they are weighed for each slot."""
NEGATIVE = -1e4
"""Logit of what may not be chosen; finite, so that float16 and empty rows stay defined."""


class GroupHeads(nn.Module):
    """Heads of one group over the encoder's token states.

    Every step has its own low-rank view of the token states, so that step two may look for another verb and
    another value than step one; the heads themselves are shared by all steps.
    """

    def __init__(self, layout: GroupLayout, width: int, dropout: float, rank: int = 128) -> None:
        super().__init__()
        self.layout = layout
        self.steps = layout.steps
        self.pools = len(layout.choices) + len(layout.labels) + len(layout.spans) + (layout.counts > 1)
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Parameter(torch.randn(self.steps, width, rank) * width**-0.5)
        self.up = nn.Parameter(torch.zeros(self.steps, rank, width))
        self.query = nn.Parameter(torch.zeros(max(self.pools, 1), width))
        self.choice = nn.Linear(width, max(layout.choice_width, 1))
        self.count = nn.Linear(width, max(layout.counts, 1))
        self.absent = nn.Parameter(torch.zeros(max(len(layout.spans), 1), width))
        self.absent_bias = nn.Parameter(torch.zeros(max(len(layout.spans), 1)))
        slices = len(layout.spans) + len(layout.lists)
        self.border = nn.Linear(width, len(PLACES) * max(slices, 1))
        self.see = nn.Linear(len(FEATURES), LOOKS)
        self.look = nn.Linear(LOOKS, max(slices, 1), bias=False)
        for module in (self.choice, self.count, self.border):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        nn.init.zeros_(self.look.weight)

    def forward(
        self, states: Tensor, mask: Tensor, candidates: Tensor, features: Tensor
    ) -> dict[str, Tensor]:
        """Score every decision.

        Args:
            states: (batch, tokens, width) of the encoder.
            mask: (batch, tokens) of 0 and 1.
            candidates: (batch, candidates, 2) first and last token, inclusive.
            features: (batch, candidates, len(FEATURES)).

        Returns:
            `count` (batch, counts), `choice` (batch, steps, columns), `absent` (batch, steps, spans),
            `span` (batch, steps, candidates, spans), `list` (batch, steps, candidates, lists); logits.
        """
        layout, states = self.layout, self.dropout(states)
        views = states.unsqueeze(1)
        if self.steps > 1:
            hidden = nn.functional.gelu(torch.einsum("btw,swr->sbtr", states, self.down))
            views = views + torch.einsum("sbtr,srw->bstw", hidden, self.up)
        weights = self.query @ views.transpose(-1, -2) + (1.0 - mask[:, None, None, :]) * NEGATIVE
        pooled = weights.softmax(-1) @ views
        out: dict[str, Tensor] = {}
        heads = layout.choices + layout.labels
        if heads:
            parts = [
                pooled[:, :, row] @ self.choice.weight[head.columns].T + self.choice.bias[head.columns]
                for row, head in enumerate(heads)
            ]
            out["choice"] = torch.cat(parts, -1)
        if layout.counts > 1:
            out["count"] = self.count(pooled[:, 0, self.pools - 1])
        if layout.spans or layout.lists:
            scores = self._slices(views, mask, candidates, features)
            if layout.spans:
                own = pooled[:, :, len(heads) : len(heads) + len(layout.spans)]
                out["absent"] = (own * self.absent).sum(-1) + self.absent_bias
                out["span"] = scores[..., : len(layout.spans)]
            if layout.lists:
                out["list"] = scores[..., len(layout.spans) :]
        return out

    def _slices(self, views: Tensor, mask: Tensor, candidates: Tensor, features: Tensor) -> Tensor:
        """(batch, steps, candidates, slices): what the tokens of `PLACES` say, and how the slice looks."""
        marks = self.border(views) * mask[:, None, :, None]
        first, last, inside, before, after = marks.chunk(len(PLACES), -1)
        before = torch.cat([before[:, :, :1], before[:, :, :-1]], 2)
        after = torch.cat([after[:, :, 1:], after[:, :, -1:]], 2)
        begin, end = candidates[..., 0], candidates[..., 1]
        sums = torch.cat([torch.zeros_like(inside[:, :, :1]), inside.cumsum(2)], 2)
        length = (end - begin + 1).to(marks.dtype)[:, None, :, None]
        mean = (_rows(sums, end + 1) - _rows(sums, begin)) / length
        look = self.look(nn.functional.gelu(self.see(features))).unsqueeze(1)
        total: Tensor = _rows(first + before, begin) + _rows(last + after, end) + mean + look
        return total


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Gather (batch, steps, tokens, n) at (batch, m) -> (batch, steps, m, n)."""
    shape = (values.shape[0], values.shape[1], index.shape[1], values.shape[3])
    return values.gather(2, index[:, None, :, None].expand(shape))


class EncoderNet(nn.Module):
    """A pretrained encoder and one `GroupHeads` a group."""

    def __init__(self, encoder: Any, layout: Layout, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.groups = nn.ModuleList(GroupHeads(group, width, dropout) for group in layout.groups)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, candidates: Tensor, features: Tensor
    ) -> dict[str, Tensor]:
        """All logits, keyed `GROUP.HEAD`; arguments as in `GroupHeads.forward`, ids (batch, tokens)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.to(states.dtype)
        out: dict[str, Tensor] = {}
        for number, heads in enumerate(self.groups):
            for name, value in heads(states, mask, candidates, features).items():
                out[f"{number}.{name}"] = value
        return out


def parameter_groups(net: EncoderNet, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameters with their learning rates: `encoder` (decayed by layer), `heads`; embeddings stay frozen.

    Args:
        net: The network.
        rates: `encoder`, `heads` (per step), `layer_decay` (factor a layer downwards), `weight_decay`.
    """
    depth = net.encoder.config.num_hidden_layers
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in net.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = rates["heads"]
        if name.startswith("encoder."):
            layer = next((int(part) for part in name.split(".") if part.isdigit()), 0)
            rate = rates["encoder"] * rates["layer_decay"] ** (depth - 1 - layer)
        decay = rates["weight_decay"] if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": items, "lr": rate, "weight_decay": decay} for (rate, decay), items in groups.items()]
