"""Near-duplicates among many short texts: MinHash with banding, vectorised.

`datasketch` does the same one text at a time, about 100 microseconds each plus a Python dictionary entry per band;
for a million rows that is minutes and gigabytes. Here the texts of a chunk are one array of code points, the hashes
of all their shingles come from a few array operations, and the bands are matched by sorting. `datasketch` stays the
reference that the tests compare with.

Method: Broder, "On the resemblance and containment of documents" (1997); banding: Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", section 3.4. Candidates of the bands are confirmed by their exact Jaccard index, so a
pair that is reported is a near-duplicate for certain; a pair may be missed (at an index of 0.8 one in 5,000).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE = 4
"""Characters per shingle."""
HASHES = 64
"""Hash functions per signature."""
BANDS = 16
"""Bands of `HASHES / BANDS` hashes each; rows that agree in one whole band become a candidate pair."""
CHUNK = 20_000
"""Texts that are worked on at once; bounds the memory to some tens of megabytes."""
NEIGHBOURS = 3
"""With how many followers in its bucket a row is compared, besides the bucket's first row."""
SLACK = 0.15
"""How far below the threshold an estimate may lie for the pair still to be measured exactly."""

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_SEEDS = np.random.Generator(np.random.PCG64(20240607)).integers(1, 2**63, size=(2, HASHES), dtype=np.uint64)
_FACTORS, _TERMS = _SEEDS[0] | np.uint64(1), _SEEDS[1]


def near_pairs(
    texts: Sequence[str],
    *,
    threshold: float,
    blocks: Ints | None = None,
    labels: Ints | None = None,
    focus: Ints | None = None,
) -> tuple[Ints, Ints]:
    """Pairs of texts whose sets of shingles have a Jaccard index of at least `threshold`.

    Not every pair of a cluster is returned, but enough of them to connect it.

    Args:
        texts: Normalised texts.
        threshold: 0.5-1.
        blocks: Only texts with equal numbers are compared; None for all with all.
        labels: Texts with equal numbers are known to belong together and are not compared; None for none.
        focus: Indices of texts that are compared with every candidate, however crowded its bucket.

    Returns:
        Two arrays of indices of equal length, the smaller index first.
    """
    signatures = minhash(texts)
    kept: list[Hashes] = []
    for keys in _bands(signatures, blocks):
        left, right = _candidates(keys, focus)
        if labels is not None:
            apart = labels[left] != labels[right]
            left, right = left[apart], right[apart]
        codes = np.unique(
            (np.minimum(left, right).astype(np.uint64) << np.uint64(32))
            | np.maximum(left, right).astype(np.uint64)
        )
        kept.append(_likely(codes, signatures, threshold - SLACK))
    codes = np.unique(np.concatenate(kept)) if kept else np.empty(0, dtype=np.uint64)
    left, right = _unpacked(codes)
    near = jaccard(texts, left, right) >= threshold
    return left[near], right[near]


def minhash(texts: Sequence[str]) -> NDArray[np.uint32]:
    """MinHash signatures, shape (texts, HASHES); the share of equal columns estimates the Jaccard index."""
    signatures = np.empty((len(texts), HASHES), dtype=np.uint32)
    for start in range(0, len(texts), CHUNK):
        hashes, starts, _ = shingles(texts[start : start + CHUNK])
        for number in range(HASHES):
            mixed = ((hashes * _FACTORS[number] + _TERMS[number]) >> np.uint64(32)).astype(np.uint32)
            signatures[start : start + CHUNK, number] = np.minimum.reduceat(mixed, starts)
    return signatures


def shingles(texts: Sequence[str]) -> tuple[Hashes, Ints, Ints]:
    """32-bit hashes of all shingles of `texts`.

    Returns:
        The hashes one text after another, the position of each text's first one, and for each hash its text.
    """
    padded = [f" {text} ".ljust(SHINGLE) for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(
        np.uint64
    )
    lengths = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    counts = lengths - SHINGLE + 1
    begins = np.concatenate(([0], np.cumsum(lengths)[:-1])) if len(padded) else np.empty(0, dtype=np.int64)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1])) if len(padded) else np.empty(0, dtype=np.int64)
    owners = np.repeat(np.arange(len(padded)), counts)
    places = np.arange(len(owners)) - starts[owners] + begins[owners]
    mixed = np.zeros(len(places), dtype=np.uint64)
    for offset in range(SHINGLE):
        mixed = mixed * np.uint64(0x100000001B3) + codes[places + offset]
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return mixed >> np.uint64(32), starts, owners


def jaccard(texts: Sequence[str], left: Ints, right: Ints) -> NDArray[np.float64]:
    """Exact Jaccard indices of the shingle sets of the pairs (`left[i]`, `right[i]`), shape (pairs,)."""
    parts = [
        _jaccard(texts, left[at : at + CHUNK], right[at : at + CHUNK]) for at in range(0, len(left), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _jaccard(texts: Sequence[str], left: Ints, right: Ints) -> NDArray[np.float64]:
    first, first_sizes = _tagged([texts[index] for index in left])
    second, second_sizes = _tagged([texts[index] for index in right])
    common = np.intersect1d(first, second, assume_unique=True)
    shared = np.bincount((common >> np.uint64(32)).astype(np.int64), minlength=len(left))
    return np.asarray(shared / (first_sizes + second_sizes - shared), dtype=np.float64)


def _tagged(texts: Sequence[str]) -> tuple[Hashes, Ints]:
    """Distinct shingles of each text with the text's number in the upper half, and how many each text has."""
    hashes, _, owners = shingles(texts)
    distinct = np.unique((owners.astype(np.uint64) << np.uint64(32)) | hashes)
    return distinct, np.bincount((distinct >> np.uint64(32)).astype(np.int64), minlength=len(texts))


def _bands(signatures: NDArray[np.uint32], blocks: Ints | None) -> Iterator[Hashes]:
    width = HASHES // BANDS
    for band in range(BANDS):
        keys = (
            np.zeros(len(signatures), dtype=np.uint64) if blocks is None else _mix(blocks.astype(np.uint64))
        )
        for column in range(band * width, (band + 1) * width):
            keys = _mix(keys ^ signatures[:, column])
        yield keys


def _mix(keys: Hashes) -> Hashes:
    keys = (keys + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    return keys ^ (keys >> np.uint64(31))


def _candidates(keys: Hashes, focus: Ints | None) -> tuple[Ints, Ints]:
    """Pairs of rows with equal keys: each with its next few and with the first of its bucket."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    fresh = np.concatenate(([True], ranked[1:] != ranked[:-1])) if len(ranked) else np.empty(0, dtype=bool)
    firsts = np.maximum.accumulate(np.where(fresh, np.arange(len(ranked)), 0))
    rest = np.flatnonzero(~fresh)
    left, right = [order[firsts[rest]]], [order[rest]]
    for distance in range(1, NEIGHBOURS + 1):
        same = np.flatnonzero(ranked[distance:] == ranked[:-distance])
        left.append(order[same])
        right.append(order[same + distance])
    for row in () if focus is None else focus:
        begin, end = np.searchsorted(ranked, keys[row], "left"), np.searchsorted(ranked, keys[row], "right")
        others = order[begin:end]
        right.append(others[others != row])
        left.append(np.full(len(right[-1]), row))
    return np.concatenate(left), np.concatenate(right)


def _likely(codes: Hashes, signatures: NDArray[np.uint32], threshold: float) -> Hashes:
    """The pairs whose signatures let the index be at least `threshold`."""
    kept = []
    for at in range(0, len(codes), 4 * CHUNK):
        left, right = _unpacked(codes[at : at + 4 * CHUNK])
        alike = (signatures[left] == signatures[right]).mean(axis=1)
        kept.append(codes[at : at + 4 * CHUNK][alike >= threshold])
    return np.concatenate(kept) if kept else codes


def _unpacked(codes: Hashes) -> tuple[Ints, Ints]:
    return (codes >> np.uint64(32)).astype(np.int64), (codes & np.uint64(0xFFFFFFFF)).astype(np.int64)
