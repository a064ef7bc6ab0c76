"""Training of the linear model's arrays of slices: a zero-order semi-Markov model.

A request is covered by slices that do not overlap, each in one list, and by pieces in none. The weights make the labelled
cover likely among all covers (Sarawagi and Cohen 2004, "Semi-Markov conditional random fields"), which is what
`microlith.inference.lattice` chooses from when it answers. All requests are summed over at once, piece by piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from microlith.inference.linear_descent import Floats, minimise

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

_NEVER = np.float32(-1e4)


@dataclass(frozen=True, kw_only=True)
class Covers:
    """Labelled requests with all their candidates, requests one after the other."""

    request: Ints
    """(candidates,) which request each belongs to, not falling."""
    first: Ints
    """(candidates,) first piece in its request."""
    last: Ints
    """(candidates,) last piece in its request, inclusive."""
    begins: Any
    """(pieces, features) sparse 0/1: what a slice that begins at a piece has."""
    ends: Any
    """(pieces, features) sparse 0/1: what a slice that ends at a piece has."""
    owns: Any
    """(candidates, features) sparse 0/1: what the slice itself has."""
    begin_row: Ints
    """(candidates,) row of `begins`."""
    end_row: Ints
    """(candidates,) row of `ends`."""
    allowed: npt.NDArray[np.bool_]
    """(candidates, lists): may the list hold the slice?"""
    right: tuple[Ints, Ints]
    """Candidates and lists of the labelled slices."""
    weight: Doubles
    """(requests,) weight of each request."""


def fit_lists(blocks: Sequence[Covers], *, penalty: float, steps: int) -> Floats:
    """(features, lists) weights of each list against "in no list".

    Args:
        blocks: Labelled requests, in as many parts as keep the memory small; at least one.
        penalty: penalty / 2 * |w|^2 is added to the summed loss.
        steps: Most iterations.
    """
    losses = [_Loss(covers) for covers in blocks]
    features, lists = blocks[0].owns.shape[1], blocks[0].allowed.shape[1]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights = parameters.reshape(features, lists)
        value = 0.5 * penalty * float(parameters @ parameters)
        gradient = np.float32(penalty) * weights
        for block in losses:
            more, slope = block(weights)
            value += more
            gradient += slope
        return value, gradient.ravel()

    return minimise(loss, np.zeros(features * lists, dtype=np.float32), steps=steps).reshape(features, lists)


class _Loss:
    """Negative log-likelihood of the labelled covers, and its gradient."""

    def __init__(self, covers: Covers) -> None:
        from scipy.sparse import csr_matrix

        self.covers = covers
        count = len(covers.request)
        here, ones = np.arange(count), np.ones(count, dtype=np.float32)
        self.to_begin = csr_matrix((ones, (covers.begin_row, here)), shape=(covers.begins.shape[0], count))
        self.to_end = csr_matrix((ones, (covers.end_row, here)), shape=(covers.ends.shape[0], count))
        self.back = [matrix.T.tocsr() for matrix in (covers.begins, covers.ends, covers.owns)]
        self.length = int(covers.last.max(initial=-1)) + 1
        self.ending = _by_piece(covers.last, covers.request, self.length)
        self.starting = _by_piece(covers.first, covers.request, self.length)

    def __call__(self, weights: Floats) -> tuple[float, Floats]:
        covers = self.covers
        scores = covers.owns @ weights
        scores += (covers.begins @ weights)[covers.begin_row]
        scores += (covers.ends @ weights)[covers.end_row]
        scores[~covers.allowed] = _NEVER
        top = scores.max(axis=1)
        shares = np.exp(scores - top[:, None])
        summed = shares.sum(axis=1)
        likely, normal = self._marginals((top + np.log(summed)).astype(np.float64))
        weight = covers.weight[covers.request]
        value = float(covers.weight @ normal) - float((scores[covers.right] * weight[covers.right[0]]).sum())
        slope = shares * (likely * weight / summed)[:, None].astype(np.float32)
        slope[covers.right] -= weight[covers.right[0]].astype(np.float32)
        gradient: Floats = self.back[0] @ (self.to_begin @ slope) + self.back[1] @ (self.to_end @ slope)
        gradient += self.back[2] @ slope
        return value, gradient

    def _marginals(self, total: Doubles) -> tuple[Doubles, Doubles]:
        """Probability of each candidate, and the log-sum over all covers of each request."""
        covers, requests = self.covers, len(self.covers.weight)
        forward, backward = np.zeros((requests, self.length + 1)), np.zeros((requests, self.length + 1))
        for piece in range(self.length):
            forward[:, piece + 1] = forward[:, piece]
            for chosen, starts, rows in self.ending[piece]:
                ways = forward[covers.request[chosen], covers.first[chosen]] + total[chosen]
                forward[rows, piece + 1] = _log_sum(ways, starts, forward[rows, piece])
        for piece in range(self.length - 1, -1, -1):
            backward[:, piece] = backward[:, piece + 1]
            for chosen, starts, rows in self.starting[piece]:
                ways = backward[covers.request[chosen], covers.last[chosen] + 1] + total[chosen]
                backward[rows, piece] = _log_sum(ways, starts, backward[rows, piece + 1])
        normal = forward[:, -1]
        before, after = forward[covers.request, covers.first], backward[covers.request, covers.last + 1]
        return np.exp(np.minimum(before + total + after - normal[covers.request], 0.0)), normal


def _by_piece(piece_of: Ints, request: Ints, length: int) -> list[list[tuple[Ints, Ints, Ints]]]:
    """Per piece: its candidates ordered by request, where each request begins among them, and the requests."""
    order = np.lexsort((request, piece_of))
    found: list[list[tuple[Ints, Ints, Ints]]] = []
    for piece in range(length):
        low, high = np.searchsorted(piece_of[order], [piece, piece + 1])
        chosen = order[low:high]
        rows, starts = np.unique(request[chosen], return_index=True)
        found.append([(chosen, starts, rows)] if len(chosen) else [])
    return found


def _log_sum(ways: Doubles, starts: Ints, other: Doubles) -> Doubles:
    """Log-sum of each segment of `ways` and one other way."""
    top = np.maximum(np.maximum.reduceat(ways, starts), other)
    lengths = np.diff(np.append(starts, len(ways)))
    summed: Doubles = np.add.reduceat(np.exp(ways - np.repeat(top, lengths)), starts) + np.exp(other - top)
    return top + np.log(summed)
