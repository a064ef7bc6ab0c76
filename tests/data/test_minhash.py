from __future__ import annotations

from random import Random

import numpy as np
import pytest
from datasketch import MinHash

from microlith.data import minhash as own
from microlith.data.minhash import HASHES, jaccard, minhash, near_pairs, shingles

WORDS = """add remove the user group share port host mail zone to from of ops sales bob ann nas web print now please"""
CHOICES = WORDS.split()


def sentences(count: int, seed: int = 0) -> list[str]:
    rng = Random(seed)
    return [" ".join(rng.choice(CHOICES) for _ in range(rng.randrange(3, 14))) for _ in range(count)]


def shingle_set(text: str) -> set[str]:
    padded = f" {text} ".ljust(own.SHINGLE)
    return {padded[at : at + own.SHINGLE] for at in range(len(padded) - own.SHINGLE + 1)}


def true_index(one: str, two: str) -> float:
    first, second = shingle_set(one), shingle_set(two)
    return len(first & second) / len(first | second)


def pairs_of(left: np.ndarray, right: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(left.tolist(), right.tolist(), strict=True))


@pytest.mark.parametrize("texts", [["", "a", "ab", "abc"], ["über 😀", "x" * 500], sentences(50)])
def test_shingles_are_counted_as_sets_are(texts: list[str]) -> None:
    hashes, starts, owners = shingles(texts)
    for index, text in enumerate(texts):
        assert len(set(hashes[owners == index].tolist())) == len(shingle_set(text))
        assert owners[starts[index]] == index


def test_the_jaccard_index_is_exact() -> None:
    texts = sentences(60)
    left, right = np.repeat(np.arange(60), 60), np.tile(np.arange(60), 60)
    expected = [true_index(texts[a], texts[b]) for a, b in zip(left, right, strict=True)]
    assert np.allclose(jaccard(texts, left, right), expected)


def test_estimates_are_as_good_as_those_of_datasketch() -> None:
    texts = sentences(120)
    signatures = minhash(texts)
    reference = [MinHash(num_perm=HASHES) for _ in texts]
    for known, text in zip(reference, texts, strict=True):
        known.update_batch([shingle.encode() for shingle in shingle_set(text)])
    pairs = [(a, b) for a in range(0, 120, 3) for b in range(a + 1, 120)]
    true = np.array([true_index(texts[a], texts[b]) for a, b in pairs])
    ours = np.array([(signatures[a] == signatures[b]).mean() for a, b in pairs])
    theirs = np.array([reference[a].jaccard(reference[b]) for a, b in pairs])
    assert np.sqrt(((ours - true) ** 2).mean()) < 1.2 * np.sqrt(((theirs - true) ** 2).mean())


def test_near_pairs_are_true_and_connect_what_belongs_together() -> None:
    rng, texts = Random(1), sentences(150)
    for _ in range(150):
        text = rng.choice(texts)
        at = rng.randrange(len(text))
        texts.append(text[:at] + rng.choice("xyz ") + text[at:])
    found = pairs_of(*near_pairs(texts, threshold=0.8))
    assert all(true_index(texts[a], texts[b]) >= 0.8 for a, b in found)
    parent = list(range(len(texts)))

    def root(node: int) -> int:
        while parent[node] != node:
            node = parent[node]
        return node

    for a, b in found:
        parent[root(a)] = root(b)
    true = [
        (a, b)
        for a in range(len(texts))
        for b in range(a + 1, len(texts))
        if true_index(texts[a], texts[b]) >= 0.8
    ]
    missed = [pair for pair in true if root(pair[0]) != root(pair[1])]
    assert len(true) > 60
    assert len(missed) <= len(true) // 100


def test_only_rows_of_one_block_are_compared() -> None:
    texts = ["add bob to the ops group please"] * 4
    found = pairs_of(*near_pairs(texts, threshold=0.9, blocks=np.array([0, 1, 0, 1])))
    assert found == {(0, 2), (1, 3)}


def test_rows_known_to_belong_together_are_not_compared() -> None:
    texts = ["add bob to the ops group please"] * 3
    assert pairs_of(*near_pairs(texts, threshold=0.9, labels=np.array([0, 0, 1]))) <= {(0, 2), (1, 2)}


def test_a_row_in_focus_meets_its_whole_bucket() -> None:
    texts = [f"add bob{number} to the operators group of the branch office please" for number in range(60)]
    focused = pairs_of(*near_pairs(texts, threshold=0.8, focus=np.array([37])))
    assert {other for pair in focused if 37 in pair for other in pair} == set(range(60))


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(200)
    whole, pairs = minhash(texts), pairs_of(*near_pairs(texts, threshold=0.5))
    monkeypatch.setattr(own, "CHUNK", 7)
    assert np.array_equal(minhash(texts), whole)
    assert pairs_of(*near_pairs(texts, threshold=0.5)) == pairs


def test_nothing_is_near_in_nothing() -> None:
    assert pairs_of(*near_pairs([], threshold=0.8)) == set()
    assert pairs_of(*near_pairs(["a"], threshold=0.8)) == set()
