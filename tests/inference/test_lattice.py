"""The best slices of a list, against every set of slices there is."""

from __future__ import annotations

from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import pytest

from microlith.inference.lattice import best_slices

FORBIDDEN = -1e4
Array = np.ndarray[Any, np.dtype[np.float64]]


def slices(pieces: int, longest: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    pairs = [(first, last) for first in range(pieces) for last in range(first, min(first + longest, pieces))]
    return np.asarray(pairs, dtype=np.int32).reshape(-1, 2)


def all_ways(
    scores: Array, pairs: np.ndarray[Any, np.dtype[np.int32]]
) -> list[tuple[tuple[tuple[int, int], ...], float]]:
    """Every set of slices that do not overlap, each in one column, with its score."""
    ways: list[tuple[tuple[tuple[int, int], ...], float]] = []
    for size in range(len(pairs) + 1):
        for chosen in combinations(range(len(pairs)), size):
            ranges = sorted((int(pairs[i][0]), int(pairs[i][1])) for i in chosen)
            if any(before[1] >= after[0] for before, after in pairwise(ranges)):
                continue
            for columns in product(range(scores.shape[1]), repeat=size):
                way = tuple(zip(chosen, columns, strict=True))
                ways.append((way, float(sum(scores[i, c] for i, c in way))))
    return ways


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("pieces", "longest", "columns"), [(1, 1, 1), (3, 2, 2), (4, 2, 1), (3, 3, 2)])
def test_equals_the_search_over_all_sets(pieces: int, longest: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = slices(pieces, longest)
    scores = rng.normal(size=(len(pairs), columns)) * 2
    scores[rng.random(scores.shape) < 0.2] = FORBIDDEN
    ways = all_ways(scores, pairs)
    total = np.logaddexp.reduce([score for _, score in ways])
    best = max(ways, key=lambda way: way[1])[0]
    chosen, absent = best_slices(scores, pairs, pieces, [len(pairs)] * columns)
    assert {(candidate, column) for candidate, column, _ in chosen} == set(best)
    for candidate, column, log_probability in chosen:
        holding = [score for way, score in ways if (candidate, column) in way]
        assert log_probability == pytest.approx(np.logaddexp.reduce(holding) - total, abs=1e-6)
    assert absent.shape == (columns,)
    assert (absent <= 0).all()


def test_slices_come_in_text_order() -> None:
    pairs = slices(4, 1)
    chosen, _ = best_slices(np.asarray([[3.0], [-3.0], [2.0], [4.0]]), pairs, 4, [4])
    assert [candidate for candidate, _, _ in chosen] == [0, 2, 3]


def test_a_full_column_keeps_the_most_probable() -> None:
    pairs = slices(4, 1)
    chosen, _ = best_slices(np.asarray([[3.0], [1.0], [2.0], [4.0]]), pairs, 4, [2])
    assert [candidate for candidate, _, _ in chosen] == [0, 3]


def test_a_column_that_holds_too_few_takes_the_most_probable_free_slices() -> None:
    scores = np.array([[-1.0, 5.0], [-2.0, FORBIDDEN], [-3.0, FORBIDDEN]])
    chosen, _ = best_slices(scores, slices(3, 1), 3, [2, 1], [2, 0])
    assert [(candidate, column) for candidate, column, _ in chosen] == [(0, 1), (1, 0), (2, 0)]


@pytest.mark.parametrize("scores", [np.zeros((0, 2)), np.full((3, 2), FORBIDDEN)])
def test_nothing_allowed_gives_nothing(scores: Array) -> None:
    chosen, absent = best_slices(scores, slices(3, 1)[: len(scores)], 3, [1, 1])
    assert chosen == []
    assert np.exp(absent) == pytest.approx([1.0, 1.0])
