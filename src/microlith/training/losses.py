"""Losses of the heads: every decision is a distribution over what it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from microlith.inference.grounding import Grounding, GroundingSpec
from microlith.inference.layout import GroupLayout
from microlith.task.plan import Plan, Span
from microlith.training.encoder_net import NEGATIVE
from microlith.training.targets import IGNORED, GroupTarget


@dataclass(frozen=True, kw_only=True)
class GroupTensors:
    """Targets of a batch for one group; shapes as the logits they meet."""

    count: Tensor
    """(batch,)"""
    choices: Tensor
    """(batch, steps, choices)"""
    labels: Tensor
    """(batch, steps, label columns)"""
    allowed: Tensor
    """(batch, candidates, slices) may the candidate fill the slot? Padding may not."""
    spans: Tensor
    """(batch, steps, candidates + 1, spans) right ones, the last row for absent."""
    taken: Tensor
    """(batch, steps, spans) is the decision taken?"""
    listed: Tensor
    """(batch, steps, candidates, lists) listed slices."""
    listing: Tensor
    """(batch, steps) are the lists decided?"""
    pieces: Tensor
    """(batch, candidates, 2) first and last piece."""
    lengths: Tensor
    """(batch,) number of pieces."""


def stack_targets(
    plan: Plan, number: int, heads: GroupLayout, spec: GroundingSpec,
    rows: Sequence[tuple[Grounding, GroupTarget]], width: int,
) -> GroupTensors:  # fmt: skip
    """Stack the targets of a batch; `width` is the batch's number of candidates."""
    slots = plan.groups[number].slots
    columns = [spec.formats.index(_format(slots[key].decision)) for key in heads.spans + heads.lists]
    batch, steps = len(rows), heads.steps
    allowed = np.zeros((batch, width, len(columns)), dtype=np.bool_)
    spans = np.zeros((batch, steps, width + 1, len(heads.spans)), dtype=np.bool_)
    taken = np.zeros((batch, steps, len(heads.spans)), dtype=np.bool_)
    listed = np.zeros((batch, steps, width, len(heads.lists)), dtype=np.bool_)
    listing = np.zeros((batch, steps), dtype=np.bool_)
    pieces = np.zeros((batch, width, 2), dtype=np.int64)
    for row, (grounding, target) in enumerate(rows):
        count = len(grounding.candidates)
        allowed[row, :count] = grounding.allowed[:, columns]
        pieces[row, :count] = grounding.candidates
        for step in range(steps):
            for column, found in enumerate(target.spans[step]):
                if found is not None:
                    taken[row, step, column] = True
                    spans[row, step, list(found) or [width], column] = True
            chosen = target.lists[step] if target.lists else None
            if chosen is not None:
                listing[row, step] = True
                for candidate, column in chosen:
                    listed[row, step, candidate, column] = True
    return GroupTensors(
        count=torch.tensor([target.count for _, target in rows]),
        choices=torch.from_numpy(np.stack([target.choices for _, target in rows])),
        labels=torch.from_numpy(np.stack([target.labels for _, target in rows])),
        allowed=torch.from_numpy(allowed),
        spans=torch.from_numpy(spans),
        taken=torch.from_numpy(taken),
        listed=torch.from_numpy(listed),
        listing=torch.from_numpy(listing),
        pieces=torch.from_numpy(pieces),
        lengths=torch.tensor([len(grounding.shown) for grounding, _ in rows]),
    )


def group_loss(out: dict[str, Tensor], target: GroupTensors, heads: GroupLayout, smoothing: float) -> Tensor:
    """(batch,) sum of the negative log likelihoods of a row's decisions in one group."""
    total = torch.zeros(len(target.count))
    if "count" in out:
        total = total + nn.functional.cross_entropy(
            out["count"], target.count, reduction="none", ignore_index=IGNORED, label_smoothing=smoothing
        )
    for position, head in enumerate(heads.choices):
        logits = out["choice"][..., head.columns]
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), target.choices[..., position].flatten(),
            reduction="none", ignore_index=IGNORED, label_smoothing=smoothing,
        )  # fmt: skip
        total = total + loss.view(logits.shape[:2]).sum(1)
    if heads.labels:
        logits = out["choice"][..., heads.labels[0].start :]
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits, target.labels.clamp(min=0), reduction="none"
        )
        total = total + (loss * (target.labels >= 0)).sum((1, 2))
    if heads.spans:
        total = total + _span_loss(out["span"], out["absent"], target)
    if heads.lists:
        total = total + _list_loss(out["list"], target, len(heads.spans))
    return total


def _span_loss(span: Tensor, absent: Tensor, target: GroupTensors) -> Tensor:
    """Softmax over the allowed candidates and "absent"; all right candidates share the credit."""
    logits = span.masked_fill(~target.allowed[:, None, :, : span.shape[-1]], NEGATIVE)
    logits = torch.cat([logits, absent.unsqueeze(2)], 2)
    right = logits.masked_fill(~target.spans, 2 * NEGATIVE).logsumexp(2)
    return ((logits.logsumexp(2) - right) * target.taken).sum((1, 2))


def _list_loss(scores: Tensor, target: GroupTensors, offset: int) -> Tensor:
    """Zero-order semi-Markov likelihood: the listed slices against all sets of slices that do not overlap.

    Sarawagi and Cohen, "Semi-Markov conditional random fields", 2004, without transition scores.
    """
    scores = scores.masked_fill(~target.allowed[:, None, :, offset:], NEGATIVE)
    gold = (scores * target.listed).sum((2, 3))
    slices = scores.logsumexp(-1)
    batch, steps, count = slices.shape
    first, last = target.pieces[..., 0], target.pieces[..., 1]
    longest = int((last - first).max()) + 1
    pieces = int(target.lengths.max())
    lattice = slices.new_full((batch, steps, pieces * longest), NEGATIVE)
    place = (last * longest + (last - first))[:, None, :].expand(batch, steps, count)
    real = target.allowed[..., offset:].any(-1)[:, None, :].expand(batch, steps, count)
    lattice = lattice.index_put(_where(real, place), slices[real]).view(batch, steps, pieces, longest)
    paths = [slices.new_zeros(batch, steps)]
    for piece in range(pieces):
        span = min(longest, piece + 1)
        before = torch.stack(paths[piece - span + 1 : piece + 1][::-1], -1)
        ways = torch.cat([paths[piece].unsqueeze(-1), before + lattice[:, :, piece, :span]], -1)
        paths.append(ways.logsumexp(-1))
    ends = torch.stack(paths, -1).gather(2, target.lengths[:, None, None].expand(batch, steps, 1)).squeeze(2)
    return ((ends - gold) * target.listing).sum(1)


def _where(real: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, step, candidate = real.nonzero(as_tuple=True)
    return batch, step, place[batch, step, candidate]


def _format(decision: object) -> str:
    assert isinstance(decision, Span)
    return decision.format
