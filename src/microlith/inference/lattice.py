"""The best set of slices that do not overlap, and how probable each is (zero-order semi-Markov model)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Chosen = tuple[int, int, float]
"""Candidate, column, log-probability of the slice in this column."""


def best_slices(
    scores: npt.NDArray[np.float32] | Array,
    candidates: npt.NDArray[np.int32],
    pieces: int,
    most: Sequence[int],
    least: Sequence[int] = (),
) -> tuple[list[Chosen], Array]:
    """Choose slices for arrays of spans.

    Args:
        scores: (candidates, columns) logits against "in no list"; -1e4 where the slot may not take the slice.
        candidates: (candidates, 2) first and last piece, inclusive.
        pieces: Pieces of the request.
        most: Most slices of each column.
        least: Fewest slices of each column, none where it is left out; kept as far as free slices go.

    Returns:
        The chosen slices in text order, and for every column the log-probability that it holds no slice.
    """
    columns = scores.shape[1]
    if not len(scores):
        return [], np.zeros(columns)
    values = scores.astype(np.float64)
    slice_scores = np.logaddexp.reduce(values, axis=1)
    forward, back = _forward(slice_scores, values.max(axis=1), candidates, pieces)
    backward = _backward(slice_scores, candidates, pieces)
    total = forward[pieces]
    first, last = candidates[:, 0], candidates[:, 1]
    marginal = forward[first][:, None] + values + backward[last + 1][:, None] - total
    path: list[Chosen] = []
    position = pieces
    while position > 0:
        candidate = back[position]
        if candidate < 0:
            position -= 1
            continue
        column = int(values[candidate].argmax())
        path.append((candidate, column, float(min(marginal[candidate, column], 0.0))))
        position = int(first[candidate])
    present = np.exp(np.minimum(marginal, 0.0)).sum(axis=0)
    absent: Array = np.log(np.clip(1.0 - present, 1e-12, 1.0))
    chosen = _at_most(path[::-1], most)
    for column, fewest in enumerate(least):
        _fill_up(
            chosen,
            column,
            fewest,
            np.where(values[:, column] > -1e3, marginal[:, column], -np.inf),
            candidates,
        )
    return sorted(chosen, key=lambda item: int(first[item[0]])), absent


def _forward(
    summed: Array, highest: Array, candidates: npt.NDArray[np.int32], pieces: int
) -> tuple[Array, list[int]]:
    """Log-sums of all ways to cover the first n pieces, and the slice that ends the best of them (-1 for none)."""
    forward, best, back = np.zeros(pieces + 1), np.zeros(pieces + 1), [-1] * (pieces + 1)
    ending: list[list[int]] = [[] for _ in range(pieces)]
    for index, (_, last) in enumerate(candidates.tolist()):
        if highest[index] > -1e3:
            ending[last].append(index)
    first = candidates[:, 0]
    for piece in range(pieces):
        ways = ending[piece]
        forward[piece + 1], best[piece + 1] = forward[piece], best[piece]
        if ways:
            forward[piece + 1] = np.logaddexp.reduce(
                np.append(forward[first[ways]] + summed[ways], forward[piece])
            )
            reached = best[first[ways]] + highest[ways]
            top = int(reached.argmax())
            if reached[top] > best[piece]:
                best[piece + 1], back[piece + 1] = reached[top], ways[top]
    return forward, back


def _backward(summed: Array, candidates: npt.NDArray[np.int32], pieces: int) -> Array:
    backward = np.zeros(pieces + 1)
    starting: list[list[int]] = [[] for _ in range(pieces)]
    for index, (first, _) in enumerate(candidates.tolist()):
        if summed[index] > -1e3:
            starting[first].append(index)
    last = candidates[:, 1]
    for piece in range(pieces - 1, -1, -1):
        ways = starting[piece]
        backward[piece] = backward[piece + 1]
        if ways:
            backward[piece] = np.logaddexp.reduce(
                np.append(backward[last[ways] + 1] + summed[ways], backward[piece + 1])
            )
    return backward


def _at_most(path: list[Chosen], most: Sequence[int]) -> list[Chosen]:
    """Keep the most probable slices of every column that holds too many."""
    kept: list[Chosen] = []
    for column, limit in enumerate(most):
        mine = sorted((item for item in path if item[1] == column), key=lambda item: -item[2])
        kept.extend(mine[:limit])
    return [item for item in path if item in kept]


def _fill_up(
    chosen: list[Chosen], column: int, fewest: int, marginal: Array, candidates: npt.NDArray[np.int32]
) -> None:
    """Add the most probable free slices to a column that holds too few."""
    short = fewest - sum(item[1] == column for item in chosen)
    for candidate in np.argsort(-marginal, kind="stable").tolist():
        if short <= 0 or marginal[candidate] == -np.inf:
            return
        first, last = candidates[candidate]
        if all(last < candidates[one][0] or candidates[one][1] < first for one, _, _ in chosen):
            chosen.append((candidate, column, float(min(marginal[candidate], 0.0))))
            short -= 1
