"""The most probable way to fill one step: which variant, which choices, which slices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microlith.inference.grounding import Grounding, GroundingSpec
from microlith.inference.lattice import best_slices
from microlith.inference.layout import GroupLayout
from microlith.inference.typed import typed
from microlith.task.plan import Group, Json, Slot, Span, Variant

TRIES = 4
"""Best candidates of a span that take part in the joint choice."""
OVERLAP_MEND = 6
"""Slots of one variant up to which the joint choice is exhaustive; beyond it is greedy."""
FLOOR = -30.0
"""Least log-probability of a decision."""


class Option(NamedTuple):
    """One way to take one decision."""

    key: str
    value: Json
    log_probability: float
    candidates: tuple[int, ...] = ()
    margin: float = 0.0


class Asked:
    """One request and the logits of one group."""

    def __init__(self, grounding: Grounding, logits: Mapping[str, npt.NDArray[np.float32]]) -> None:
        self.grounding, self.logits = grounding, logits
        self._allowed: dict[int, npt.NDArray[np.intp]] = {}

    @cached_property
    def ranges(self) -> list[tuple[int, int]]:
        """Half-open character range of every candidate."""
        grounding, pairs = self.grounding, self.grounding.candidates
        starts, ends = grounding.starts[pairs[:, 0]], grounding.ends[pairs[:, 1]]
        return list(zip(starts.tolist(), ends.tolist(), strict=True))

    def text(self, candidate: int) -> str:
        """The slice of a candidate."""
        start, end = self.ranges[candidate]
        return self.grounding.request[start:end]

    def allowed(self, column: int) -> npt.NDArray[np.intp]:
        """Candidates that satisfy a format."""
        if column not in self._allowed:
            self._allowed[column] = np.flatnonzero(self.grounding.allowed[:, column])
        return self._allowed[column]


class _VariantTables:
    """What of a variant is the same for every request."""

    def __init__(self, variant: Variant, group: Group, tags: list[list[tuple[str, int]]]) -> None:
        self.variant, self.tags = variant, tags
        """`tags`: ways to take the discriminators, each as (key, position); the first states them all."""
        slots = [(key, group.slots[key]) for key in variant.slots]
        one = [(key, slot.kind) for key, slot in slots if slot.max_items is None]
        self.choices = [(key, key in variant.optional) for key, kind in one if kind == "choice"]
        self.spans = [(key, key in variant.optional) for key, kind in one if kind == "span"]
        self.labels = [slot for _, slot in slots if slot.max_items is not None and slot.kind == "choice"]


class StepTables:
    """What of a group's steps is the same for every request."""

    def __init__(self, group: Group, heads: GroupLayout, spec: GroundingSpec, *, clarifies: bool) -> None:
        self.group, self.heads, self.clarifies = group, heads, clarifies
        self.formats = {
            key: spec.formats.index(_format(group.slots[key])) for key in heads.spans + heads.lists
        }
        self.columns = {key: column for column, key in enumerate(heads.spans)}
        self.options = {head.key: head.options for head in heads.choices}
        self.stated = {
            key: [place for place, option in enumerate(options) if option is not None]
            for key, options in self.options.items()
        }
        self.variants = [_VariantTables(one, group, self._tags(one)) for one in group.variants]

    def _tags(self, variant: Variant) -> list[list[tuple[str, int]]]:
        """The variant's discriminators as stated, and (where the answer may ask back) as not stated."""
        stated = [(key, self._place(key, value)) for key, value in variant.tags.items()]
        inner = [key for key in variant.tags if None in self.options[key]]
        if not (self.clarifies and inner):
            return [stated]
        return [
            stated,
            [(key, self._place(key, None) if key in inner else place) for key, place in stated],
        ]

    def _place(self, key: str, value: Json) -> int:
        return next(
            place
            for place, option in enumerate(self.options[key])
            if option == value and type(option) is type(value)
        )


class Step:
    """Decodes one step. What several variants share is worked out once."""

    def __init__(self, tables: StepTables, asked: Asked, index: int, *, alone: bool) -> None:
        self.tables, self.asked, self.index, self.alone = tables, asked, index, alone
        row = asked.logits["choice"][index].tolist() if tables.heads.choices else []
        self.choice = {head.key: _log_softmax(row[head.start : head.stop]) for head in tables.heads.choices}
        self.taken: dict[tuple[str, int], Option] = {}
        self.spans: dict[str, tuple[list[Option], Option]] = {}
        self.labels: dict[str, Option] = {}

    def best(self) -> list[Option] | None:
        """The most probable way to fill this step, or None when no variant can be filled."""
        ways = [
            (sum(max(self.choice[key][place], FLOOR) for key, place in tags), variant, tags)
            for variant in self.tables.variants
            if self.alone or variant.variant.role != "out-of-scope"
            for tags in variant.tags
        ]
        best: tuple[float, list[Option]] | None = None
        for most, variant, tags in sorted(ways, key=lambda way: -way[0]):
            if best is not None and most < best[0]:
                break  # no way that is left can win
            way = self._fill(variant, [self._chosen(key, place) for key, place in tags])
            if way is not None and (best is None or way[0] > best[0]):
                best = way
        return best and best[1]

    def _fill(self, tables: _VariantTables, tags: list[Option]) -> tuple[float, list[Option]] | None:
        decisions = list(tags)
        for key, may_be_absent in tables.choices:
            decisions.append(self._best_choice(key, may_be_absent=may_be_absent))
        for slot in tables.labels:
            decisions.append(self._labels(slot))
        filled = self._assign(tables.spans)
        if filled is None:
            return None
        decisions.extend(filled)
        if self.tables.heads.lists:
            decisions.extend(self._lists(tables.variant))
        step = {item.key: item.value for item in decisions}
        incomplete = any(step.get(key) is None for key in tables.variant.required if key in step)
        unstated = any(step[key] is None for key in tables.variant.tags)
        if (incomplete and not self.tables.clarifies) or (unstated and not incomplete):
            return None
        return sum(item.log_probability for item in decisions), decisions

    def _chosen(self, key: str, place: int) -> Option:
        if (key, place) not in self.taken:
            scores = self.choice[key]
            others = (*scores[:place], *scores[place + 1 :])
            lead = scores[place] - max(others) if others else 0.0
            value = self.tables.options[key][place]
            self.taken[key, place] = Option(key, value, max(scores[place], FLOOR), margin=max(lead, 0.0))
        return self.taken[key, place]

    def _best_choice(self, key: str, *, may_be_absent: bool) -> Option:
        scores = self.choice[key]
        places = range(len(scores)) if may_be_absent else self.tables.stated[key]
        return self._chosen(key, max(places, key=scores.__getitem__))

    def _labels(self, slot: Slot) -> Option:
        if slot.key not in self.labels:
            head = next(head for head in self.tables.heads.labels if head.key == slot.key)
            logits = self.asked.logits["choice"][self.index, head.columns].astype(np.float64)
            order = np.argsort(-logits, kind="stable")
            positive = int((logits > 0).sum())
            count = min(max(positive, slot.min_items), slot.max_items or len(order))
            chosen = np.zeros(len(logits), dtype=bool)
            chosen[order[:count]] = True
            score = float(-np.logaddexp(0.0, np.where(chosen, -logits, logits)).sum())
            values = [option for option, taken in zip(head.options, chosen, strict=True) if taken]
            self.labels[slot.key] = Option(slot.key, values, max(score, FLOOR))
        return self.labels[slot.key]

    # ------------------------------------------------------------------------------------- single slices

    def _assign(self, spans: Sequence[tuple[str, bool]]) -> list[Option] | None:
        """The best joint filling of single spans, given as (key, may it be absent?)."""
        options = [
            self._ways(key, may_be_absent=optional or self.tables.clarifies) for key, optional in spans
        ]
        if not all(options):
            return None
        if len(spans) <= OVERLAP_MEND:
            return self._best_together(options)
        taken: list[Option] = []
        for ways in options:
            free = next((item for item in ways if not self._clashes(item, taken)), None)
            if free is None:
                return None
            taken.append(free)
        return taken

    def _best_together(self, options: Sequence[list[Option]]) -> list[Option] | None:
        """The most probable choice of one option each without a clash; of equals the one of the earliest options."""
        top = [max(ways, key=lambda item: item.log_probability) for ways in options]
        if not any(self._clashes(item, top[:place]) for place, item in enumerate(top)):
            return top
        bounds = [0.0] * (len(options) + 1)
        for place in range(len(options) - 1, -1, -1):
            bounds[place] = bounds[place + 1] + top[place].log_probability
        best: list[Option] | None = None
        best_score = -math.inf

        def extend(taken: list[Option], score: float) -> None:
            nonlocal best, best_score
            if len(taken) == len(options):
                if score > best_score:
                    best, best_score = list(taken), score
                return
            for item in options[len(taken)]:
                reached = score + item.log_probability
                hopeless = reached + bounds[len(taken) + 1] < best_score - 1e-9
                if not hopeless and not self._clashes(item, taken):
                    extend([*taken, item], reached)

        extend([], 0.0)
        return best

    def _ways(self, key: str, *, may_be_absent: bool) -> list[Option]:
        """Options of a single span, the most probable texts first, "absent" last."""
        if key not in self.spans:
            self.spans[key] = self._ranked(key)
        stated, absent = self.spans[key]
        return [*stated, absent] if may_be_absent else stated

    def _ranked(self, key: str) -> tuple[list[Option], Option]:
        """The most probable texts of a span, and "absent"."""
        asked, slot, column = self.asked, self.tables.group.slots[key], self.tables.columns[key]
        allowed = asked.allowed(self.tables.formats[key])
        own = asked.logits["span"][self.index, allowed, column].astype(np.float64)
        absent = float(asked.logits["absent"][self.index, column])
        peak = max(float(own.max()), absent) if len(own) else absent
        total = peak + math.log(float(np.exp(own - peak).sum()) + math.exp(absent - peak))
        order = np.argsort(-own, kind="stable")[: 3 * TRIES]
        merged: dict[str, tuple[float, int]] = {}
        for candidate, logit in zip(allowed[order].tolist(), own[order].tolist(), strict=True):
            text, score = asked.text(candidate), logit - total
            known = merged.get(text)
            merged[text] = (score, candidate) if known is None else (_log_add(known[0], score), known[1])
        ranked = sorted(merged.items(), key=lambda item: -item[1][0])[:TRIES]
        absent -= total
        second = sorted([*(score for _, (score, _) in ranked), absent])[-2] if ranked else FLOOR
        stated = [
            Option(key, value, max(score, FLOOR), (candidate,), max(score - second, 0.0))
            for text, (score, candidate) in ranked
            if (value := typed(slot, text)) is not None
        ]
        return stated, Option(key, None, max(absent, FLOOR), (), max(absent - second, 0.0))

    def _clashes(self, item: Option, taken: Sequence[Option]) -> bool:
        """Would one slice serve two slots although its text stands only once?"""
        if not item.candidates:
            return False
        ranges, request = self.asked.ranges, self.asked.grounding.request
        start, end = ranges[item.candidates[0]]
        for other in taken:
            if not other.candidates:
                continue
            other_start, other_end = ranges[other.candidates[0]]
            if start < other_end and other_start < end:
                text = request[start:end]
                if text != request[other_start:other_end] or request.count(text) < 2:
                    return True
        return False

    # ------------------------------------------------------------------------------------ lists of slices

    def _lists(self, variant: Variant) -> list[Option]:
        tables, asked, slots = self.tables, self.asked, self.tables.group.slots
        keys = [key for key in tables.heads.lists if key in variant.slots]
        if not keys:
            return []
        grounding = asked.grounding
        allowed = np.stack([grounding.allowed[:, tables.formats[key]] for key in keys], 1)
        columns = [tables.heads.lists.index(key) for key in keys]
        scores = np.where(allowed, asked.logits["list"][self.index][: len(allowed), columns], -1e4)
        most = [slots[key].max_items or 1 for key in keys]
        least = [slots[key].min_items * (key in variant.required) for key in keys]
        chosen, absent = best_slices(scores, grounding.candidates, len(grounding.shown), most, least)
        options = []
        for column, key in enumerate(keys):
            mine = [item for item in chosen if item[1] == column]
            values = [typed(slots[key], asked.text(item[0])) for item in mine]
            score = sum(item[2] for item in mine) if mine else float(absent[column])
            candidates = tuple(item[0] for item in mine)
            options.append(Option(key, values, max(score, FLOOR), candidates, -score))
        return options


def _log_softmax(logits: list[float]) -> list[float]:
    """Log-probabilities of a few options."""
    peak = max(logits)
    total = peak + math.log(sum(math.exp(one - peak) for one in logits))
    return [one - total for one in logits]


def _log_add(one: float, other: float) -> float:
    """log(exp(one) + exp(other))."""
    high, low = max(one, other), min(one, other)
    return high + math.log1p(math.exp(low - high))


def _format(slot: Slot) -> str:
    assert isinstance(slot.decision, Span)
    return slot.decision.format
