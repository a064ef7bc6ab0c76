"""Training of the linear model's single slices: a conditional logit over the candidates of a request."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from microlith.data.example import Example
from microlith.inference.grounding import Grounding, GroundingSpec
from microlith.inference.layout import GroupLayout, layout_of
from microlith.inference.linear_descent import Floats, Loss, minimise
from microlith.inference.linear_fit_lists import Covers, fit_lists
from microlith.inference.linear_slices import SliceReader
from microlith.task.plan import Group, Json, Plan, Reading, Slot, Span
from microlith.task.reading import copied_values

LARGEST = 120_000
"""Most slice features."""
NEGATIVES = 30
"""Wrong slices of a row that are looked at for single slots; their weight makes up for the others."""
ALL = 1_000_000
"""For lists every slice is looked at, since a cover is judged against all others."""
MOST_CANDIDATES = 400
"""A row with more candidates teaches nothing about lists."""
BLOCK = 1000
"""Rows of lists that are summed over at once: enough to be fast, few enough to stay in the cache."""
PENALTY = 0.3
"""PENALTY / 2 * |w|^2 is added to the summed loss."""
STEPS = 50
"""Most iterations of one fit."""
UBIQUITOUS = 0.97
"""A feature that more than this share of slices has tells nothing."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A labelled request, grounded."""

    example: Example
    reading: Reading
    grounding: Grounding


@dataclass(frozen=True, kw_only=True)
class _Decision:
    """One slot of one step of one row."""

    row: int
    step: int
    steps: int
    right: frozenset[int]
    """Candidates; empty where the slot is absent."""


@dataclass(frozen=True, kw_only=True)
class _ListStep:
    """The lists of one step of one row."""

    row: int
    step: int
    steps: int
    taken: Mapping[str, Json]


class SliceLearner:
    """Learns which slices fill which slots."""

    def __init__(
        self, plan: Plan, spec: GroundingSpec, rows: Sequence[Row], rng: random.Random, *, rarest: int
    ) -> None:
        """Look at the candidates of `rows` and number their features.

        Args:
            plan: The task's plan.
            spec: How the rows were grounded.
            rows: The labelled rows.
            rng: Chooses the wrong slices that are looked at.
            rarest: A feature must be in so many rows.
        """
        self.plan, self.spec = plan, spec
        self.rows = rows if spec.formats else []
        self.readers = [SliceReader(row.grounding) for row in self.rows]
        lists = any(heads.lists for heads in layout_of(plan).groups)
        self.sampled, self.odds = self._sample(rng, ALL if lists else NEGATIVES)
        self._texts = [
            [row.grounding.text(c) for c in chosen]
            for row, chosen in zip(self.rows, self.sampled, strict=True)
        ]
        self._borders: list[tuple[list[list[int]], ...]] = []
        """Per row: per piece the columns of slices that begin there, and of slices that end there."""
        self._own: list[list[list[int]]] = []
        """Per row and sampled candidate: columns of the slice itself."""
        self.columns = self._vocabulary(rarest)

    def weights(self, group: Group, heads: GroupLayout) -> Floats:
        """(slice features, spans + lists) of one group."""
        made = np.zeros((len(self.columns), len(heads.spans) + len(heads.lists)), dtype=np.float32)
        for column, key in enumerate(heads.spans):
            slot = group.slots[key]
            decisions = list(self._decisions(group, slot))
            if decisions:
                used, found = self._conditional_logit(slot, decisions)
                made[used, column] = found
        blocks = list(self._blocks(group, heads)) if heads.lists else []
        if blocks:
            made[:, len(heads.spans) :] = fit_lists(blocks, penalty=PENALTY, steps=STEPS)
        return made

    # ------------------------------------------------------------------------------------- features

    def _sample(self, rng: random.Random, most: int) -> tuple[list[list[int]], list[float]]:
        """Per row the candidates that are looked at, and the log-weight of the wrong ones."""
        sampled: list[list[int]] = []
        odds: list[float] = []
        for row in self.rows:
            golds = frozenset(copied_values(self.plan, [row.reading]))
            usable = np.flatnonzero(row.grounding.allowed.any(axis=1)).tolist()
            right = {c for c in usable if row.grounding.text(c) in golds}
            wrong = [c for c in usable if c not in right]
            chosen = rng.sample(wrong, most) if len(wrong) > most else wrong
            sampled.append(sorted([*right, *chosen]))
            odds.append(float(np.log(len(wrong) / len(chosen))) if chosen else 0.0)
        return sampled, odds

    def _vocabulary(self, rarest: int) -> dict[str, int]:
        """Feature -> column, of the features that are worth a weight; fills `_borders` and `_own` with columns."""
        ids: dict[str, int] = {}
        in_rows: Counter[int] = Counter()
        in_slices: Counter[int] = Counter()

        def known(names: Iterable[str]) -> list[int]:
            return [ids.setdefault(name, len(ids)) for name in names]

        borders, owns = [], []
        for row, reader in enumerate(self.readers):
            pieces = range(len(reader.words))
            borders.append(
                (
                    [known(reader.begin(piece)) for piece in pieces],
                    [known(reader.end(piece)) for piece in pieces],
                )
            )
            owns.append([known(reader.own(candidate)) for candidate in self.sampled[row]])
            seen = {*known(reader.absent()), *chain.from_iterable(chain(*borders[-1], owns[-1]))}
            for step, steps in _steps(self.rows[row].reading):
                seen.update(
                    known(
                        name
                        for candidate in self.sampled[row]
                        for name in reader.place(candidate, step, steps)
                    )
                )
            in_rows.update(seen)
            in_slices.update(chain.from_iterable(owns[-1]))
        most = UBIQUITOUS * sum(map(len, self.sampled))
        names = [
            name for name, number in ids.items() if in_rows[number] >= rarest and in_slices[number] <= most
        ]
        names = sorted(sorted(names, key=lambda name: (-in_rows[ids[name]], name))[:LARGEST])
        columns = {name: column for column, name in enumerate(names)}
        renumbered = {ids[name]: column for name, column in columns.items()}
        for row in range(len(borders)):
            self._borders.append(tuple(_renumbered(side, renumbered) for side in borders[row]))
            self._own.append(_renumbered(owns[row], renumbered))
            borders[row], owns[row] = ([], []), []
        return columns

    def _known(self, names: Iterable[str]) -> list[int]:
        return [self.columns[name] for name in names if name in self.columns]

    # --------------------------------------------------------------------------------- single slots

    def _decisions(self, group: Group, slot: Slot) -> Iterator[_Decision]:
        for row in range(len(self.rows)):
            steps = self.rows[row].reading.get(group.path, [])
            for step, taken in enumerate(steps):
                if slot.key not in taken:
                    continue
                right = frozenset() if taken[slot.key] is None else self._right(row, slot, taken[slot.key])
                if right or taken[slot.key] is None:
                    yield _Decision(row=row, step=step, steps=len(steps), right=right)

    def _right(self, row: int, slot: Slot, value: Json) -> frozenset[int]:
        form, allowed, text = self._format(slot), self.rows[row].grounding.allowed, str(value)
        pairs = zip(self.sampled[row], self._texts[row], strict=True)
        return frozenset(
            candidate for candidate, spelt in pairs if spelt == text and allowed[candidate, form]
        )

    def _format(self, slot: Slot) -> int:
        assert isinstance(slot.decision, Span)
        return self.spec.formats.index(slot.decision.format)

    def _conditional_logit(
        self, slot: Slot, decisions: Sequence[_Decision]
    ) -> tuple[npt.NDArray[np.int64], Floats]:
        """Weights under which the right slice (or "absent") is the likely one among the slices of its request."""
        form = self._format(slot)
        entries: list[list[int]] = []
        starts: list[int] = []
        offsets: list[float] = []
        right: list[bool] = []
        for decision in decisions:
            starts.append(len(entries))
            grounding = self.rows[decision.row].grounding
            for position, candidate in enumerate(self.sampled[decision.row]):
                if grounding.allowed[candidate, form]:
                    entries.append(self._all_of(decision, position, candidate))
                    right.append(candidate in decision.right)
                    offsets.append(0.0 if right[-1] else self.odds[decision.row])
            entries.append(self._known(self.readers[decision.row].absent()))
            right.append(not decision.right)
            offsets.append(0.0)
        matrix = _indicator(entries, len(self.columns))
        used = np.unique(matrix.indices)
        matrix = matrix[:, used]
        weights = np.array([self.rows[decision.row].example.weight for decision in decisions])
        loss = _segment_loss(matrix, np.array(starts), np.array(offsets), np.array(right), weights)
        return used, minimise(loss, np.zeros(len(used), dtype=np.float32), steps=STEPS)

    def _all_of(self, decision: _Decision, position: int, candidate: int) -> list[int]:
        first, last = self.rows[decision.row].grounding.candidates[candidate].tolist()
        begin, end = self._borders[decision.row]
        place = self.readers[decision.row].place(candidate, decision.step, decision.steps)
        return begin[first] + end[last] + self._own[decision.row][position] + self._known(place)

    # ---------------------------------------------------------------------------------------- lists

    def _blocks(self, group: Group, heads: GroupLayout) -> Iterator[Covers]:
        """The labelled covers of one group's lists, some hundred requests at a time."""
        formats = [self._format(group.slots[key]) for key in heads.lists]
        learnable = (
            (step, chosen)
            for step in self._list_steps(group)
            if (chosen := self._cover(step, heads.lists, formats)) is not None
        )
        while block := list(islice(learnable, BLOCK)):
            yield self._covers(block, heads.lists, formats)

    def _covers(
        self,
        block: Sequence[tuple[_ListStep, list[tuple[int, int]]]],
        keys: Sequence[str],
        formats: Sequence[int],
    ) -> Covers:
        begins: list[list[int]] = []
        ends: list[list[int]] = []
        owns: list[list[int]] = []
        table: list[tuple[int, int, int, int]] = []
        allowed: list[npt.NDArray[np.bool_]] = []
        right: list[tuple[int, int]] = []
        for request, (one, chosen) in enumerate(block):
            reader, begin_row = self.readers[one.row], len(begins)
            right.extend((len(table) + position, column) for position, column in chosen)
            for position, candidate in enumerate(self.sampled[one.row]):
                first, last = reader.grounding.candidates[candidate].tolist()
                table.append((request, first, last, begin_row))
                owns.append(
                    self._own[one.row][position] + self._known(reader.place(candidate, one.step, one.steps))
                )
            mask = reader.grounding.allowed[self.sampled[one.row]][:, formats]
            allowed.append(mask & np.array([key in one.taken for key in keys]))
            begins.extend(self._borders[one.row][0])
            ends.extend(self._borders[one.row][1])
        request_of, first_of, last_of, offset = np.array(table, dtype=np.int64).T
        places = np.array(right, dtype=np.int64).reshape(-1, 2).T
        begin, end, own = (_indicator(rows, len(self.columns)) for rows in (begins, ends, owns))
        return Covers(
            request=request_of, first=first_of, last=last_of, begins=begin, ends=end, owns=own,
            begin_row=offset + first_of, end_row=offset + last_of, allowed=np.concatenate(allowed),
            right=(places[0], places[1]), weight=np.array([self.rows[one.row].example.weight for one, _ in block]),
        )  # fmt: skip

    def _list_steps(self, group: Group) -> Iterator[_ListStep]:
        for row in range(len(self.rows)):
            steps = self.rows[row].reading.get(group.path, [])
            if 0 < len(self.sampled[row]) <= MOST_CANDIDATES:
                for step, taken in enumerate(steps):
                    yield _ListStep(row=row, step=step, steps=len(steps), taken=taken)

    def _cover(
        self, one: _ListStep, keys: Sequence[str], formats: Sequence[int]
    ) -> list[tuple[int, int]] | None:
        """(position among the sampled, list) of every labelled slice; None where they cannot all be placed."""
        wanted = [
            (str(value), column) for column, key in enumerate(keys) for value in one.taken.get(key) or ()
        ]
        used: set[int] = set()
        found = []
        for text, column in sorted(wanted, key=lambda item: -len(item[0])):
            position = self._free_place(one.row, text, formats[column], used)
            if position is None:
                return None
            found.append((position, column))
        return found

    def _free_place(self, row: int, text: str, form: int, used: set[int]) -> int | None:
        """The first sampled candidate that spells `text` on pieces not in `used`, to which it then adds them."""
        grounding = self.rows[row].grounding
        for position, (candidate, spelt) in enumerate(zip(self.sampled[row], self._texts[row], strict=True)):
            if spelt != text or not grounding.allowed[candidate, form]:
                continue
            first, last = grounding.candidates[candidate].tolist()
            if used.isdisjoint(range(first, last + 1)):
                used.update(range(first, last + 1))
                return position
        return None


def _renumbered(rows: Sequence[Sequence[int]], numbers: Mapping[int, int]) -> list[list[int]]:
    return [[numbers[number] for number in row if number in numbers] for row in rows]


def _steps(reading: Reading) -> set[tuple[int, int]]:
    return {(step, len(steps)) for steps in reading.values() for step in range(len(steps))}


def _indicator(rows: Sequence[Sequence[int]], width: int) -> Any:
    """Rows of features as a sparse matrix of 0 and 1 with `width` columns."""
    from scipy.sparse import csr_matrix

    columns = np.fromiter(chain.from_iterable(rows), dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return csr_matrix((np.ones(len(columns), dtype=np.float32), columns, starts), shape=(len(rows), width))


def _segment_loss(matrix: Any, starts: Any, offsets: Any, right: Any, weights: Any) -> Loss:
    """Cross-entropy of a softmax over each segment; several right entries share the credit."""
    lengths = np.diff(np.append(starts, matrix.shape[0]))
    backward = matrix.T.tocsr()

    def spread(values: Any) -> Any:
        return np.repeat(values, lengths)

    def log_sum(logits: Any) -> Any:
        top = np.maximum.reduceat(logits, starts)
        return top + np.log(np.add.reduceat(np.exp(logits - spread(top)), starts))

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logits = (matrix @ parameters).astype(np.float64) + offsets
        wanted = np.where(right, logits, -1e9)
        all_of, right_of = log_sum(logits), log_sum(wanted)
        slope = (np.exp(logits - spread(all_of)) - np.exp(wanted - spread(right_of))) * spread(weights)
        gradient = backward @ slope.astype(np.float32) + np.float32(PENALTY) * parameters
        value = (weights * (all_of - right_of)).sum() + 0.5 * PENALTY * float(parameters @ parameters)
        return float(value), np.asarray(gradient, dtype=np.float32)

    return loss
