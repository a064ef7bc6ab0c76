"""From an encoder's logits to the most probable valid reading, with a probability per decision.

For one step every variant is scored as the product of its discriminators, its choices and the best joint
assignment of candidate slices to its spans, where no two slots share a slice unless the request holds the text twice.
The most probable (variant, assignment) wins. A required span whose most probable value is "absent" makes the step
incomplete: the answer then asks for it, if the schema lets it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from microlith.inference.grounding import Grounding, GroundingSpec
from microlith.inference.lattice import best_slices
from microlith.inference.layout import GroupLayout, Layout
from microlith.task.plan import Group, Json, Plan, Reading, Slot, Span, Variant

Array = npt.NDArray[np.float64]
TRIES = 4
"""Best candidates of a span that take part in the joint choice."""
OVERLAP_MEND = 6
"""Slots of one variant up to which the joint choice is exhaustive; beyond it is greedy."""
FLOOR = -30.0


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One decision as it was taken."""

    group: tuple[str, ...]
    step: int
    key: str
    """Slot key; `#count` for the number of steps."""
    value: Json
    log_probability: float
    """Natural logarithm of the model's raw probability."""
    candidates: tuple[int, ...] = ()
    """Candidate of each copied value, in the order of the values."""
    margin: float = 0.0
    """Log-probability ahead of the second-best option, at least 0."""


@dataclass(kw_only=True)
class Decoded:
    """The best reading of one request and its decisions; `reading` is None where no valid answer exists."""

    reading: Reading | None
    decisions: list[Decided] = field(default_factory=list)


def decode(
    plan: Plan,
    layout: Layout,
    spec: GroundingSpec,
    grounding: Grounding,
    logits: Mapping[str, npt.NDArray[np.float32]],
) -> Decoded:
    """Decode one request.

    Args:
        plan: The task's plan.
        layout: Its heads.
        spec: How the request was grounded.
        grounding: The request.
        logits: Arrays of this request without the batch axis, keyed `GROUP.HEAD`.
    """
    decoded = Decoded(reading={})
    for number, (group, heads) in enumerate(zip(plan.groups, layout.groups, strict=True)):
        mine = {
            name.partition(".")[2]: value for name, value in logits.items() if name.startswith(f"{number}.")
        }
        steps = _Group(plan, group, heads, spec, grounding, mine, decoded).steps()
        if steps is None:
            return Decoded(reading=None)
        assert decoded.reading is not None
        decoded.reading[group.path] = steps
    return decoded


def log_softmax(logits: npt.NDArray[np.float32] | Array, axis: int = -1) -> Array:
    """Log-probabilities along `axis`, in double precision."""
    shifted = logits.astype(np.float64) - logits.max(axis=axis, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return result


class _Option(NamedTuple):
    """One way to take one decision; the taken ones become `Decided`."""

    key: str
    value: Json
    log_probability: float
    candidates: tuple[int, ...] = ()
    margin: float = 0.0


class _Group:
    """Decodes the steps of one group."""

    def __init__(
        self, plan: Plan, group: Group, heads: GroupLayout, spec: GroundingSpec, grounding: Grounding,
        logits: Mapping[str, npt.NDArray[np.float32]], decoded: Decoded,
    ) -> None:  # fmt: skip
        self.plan, self.group, self.heads, self.spec = plan, group, heads, spec
        self.grounding, self.logits, self.decoded = grounding, logits, decoded
        self.clarifies = plan.clarify is not None and not group.path
        self.columns = {
            key: spec.formats.index(_format(group.slots[key])) for key in heads.spans + heads.lists
        }
        self.places = {
            head.key: {(type(option), option): place for place, option in enumerate(head.options)}
            for head in heads.choices
        }
        pairs = grounding.candidates
        self.ranges: list[tuple[int, int]] = list(
            zip(grounding.starts[pairs[:, 0]].tolist(), grounding.ends[pairs[:, 1]].tolist(), strict=True)
        )

    def text(self, candidate: int) -> str:
        """The slice of a candidate."""
        start, end = self.ranges[candidate]
        return self.grounding.request[start:end]

    def steps(self) -> list[dict[str, Json]] | None:
        count = self._count()
        steps: list[dict[str, Json]] = []
        for index in range(count):
            taken = _Step(self, index, alone=count == 1).best()
            if taken is None:
                return None
            steps.append({option.key: option.value for option in taken})
            self.decoded.decisions.extend(self._decided(index, option) for option in taken)
        return steps

    def _decided(self, step: int, option: _Option) -> Decided:
        return Decided(
            group=self.group.path, step=step, key=option.key, value=option.value, margin=option.margin,
            log_probability=option.log_probability, candidates=option.candidates,
        )  # fmt: skip

    def _count(self) -> int:
        if self.heads.counts <= 1:
            return self.heads.min_steps or (1 if not self.group.path else 0)
        scores = log_softmax(self.logits["count"])
        best = int(scores.argmax())
        count = self.heads.min_steps + best
        self.decoded.decisions.append(
            self._decided(0, _Option("#count", count, float(scores[best]), margin=_margin(scores)))
        )
        return count


class _Step:
    """Decodes one step. What several variants share is worked out once."""

    def __init__(self, owner: _Group, index: int, *, alone: bool) -> None:
        self.owner, self.index, self.alone = owner, index, alone
        heads, logits = owner.heads, owner.logits
        self.choice: dict[str, list[float]] = {
            head.key: log_softmax(logits["choice"][index, head.columns]).tolist() for head in heads.choices
        }
        self.options = {head.key: head.options for head in heads.choices}
        self.known: dict[tuple[str, bool], list[_Option]] = {}
        self.leads = {key: _lead(scores) for key, scores in self.choice.items()}
        self.labels: dict[str, _Option] = {}

    def best(self) -> list[_Option] | None:
        """The most probable way to fill this step, or None when no variant can be filled."""
        best: tuple[float, list[_Option]] | None = None
        for variant in self.owner.group.variants:
            if variant.role == "out-of-scope" and not self.alone:
                continue
            tags = self._tags(variant)
            if best is not None and sum(item.log_probability for item in tags[0]) < best[0]:
                continue
            for tagged in tags:
                if best is not None and sum(item.log_probability for item in tagged) < best[0]:
                    continue  # no way to fill it can win
                way = self._fill(variant, tagged)
                if way is not None and (best is None or way[0] > best[0]):
                    best = way
        return best and best[1]

    def _tags(self, variant: Variant) -> list[list[_Option]]:
        """The variant's discriminators as stated, and (where the answer may ask back) as not stated."""
        stated = [self._choice(key, value) for key, value in variant.tags.items()]
        ways = [stated]
        inner = [key for key in variant.tags if None in self.options[key]]
        if self.owner.clarifies and inner:
            ways.append([self._choice(item.key, None) if item.key in inner else item for item in stated])
        return ways

    def _fill(self, variant: Variant, tags: list[_Option]) -> tuple[float, list[_Option]] | None:
        group, decisions = self.owner.group, list(tags)
        singles: list[str] = []
        for key in variant.slots:
            slot = group.slots[key]
            if slot.kind == "choice" and slot.max_items is None:
                decisions.append(self._best_choice(key, may_be_absent=key in variant.optional))
            elif slot.kind == "choice":
                decisions.append(self._labels(slot))
            elif slot.kind == "span" and slot.max_items is None:
                singles.append(key)
        filled = self._assign(variant, singles)
        if filled is None:
            return None
        decisions.extend(filled)
        if self.owner.heads.lists:
            decisions.extend(self._lists(variant))
        step = {item.key: item.value for item in decisions}
        incomplete = any(step.get(key) is None for key in variant.required if key in step)
        unstated = any(step[key] is None for key in variant.tags)
        if (incomplete and not self.owner.clarifies) or (unstated and not incomplete):
            return None
        return sum(item.log_probability for item in decisions), decisions

    def _choice(self, key: str, value: Json) -> _Option:
        return self._chosen(key, self.owner.places[key][type(value), value])

    def _chosen(self, key: str, position: int) -> _Option:
        scores, (top, lead) = self.choice[key], self.leads[key]
        return _Option(
            key,
            self.options[key][position],
            max(scores[position], FLOOR),
            margin=lead if position == top else 0.0,
        )

    def _best_choice(self, key: str, *, may_be_absent: bool) -> _Option:
        options = self.options[key]
        allowed = [i for i, option in enumerate(options) if option is not None or may_be_absent]
        return self._chosen(key, max(allowed, key=self.choice[key].__getitem__))

    def _labels(self, slot: Slot) -> _Option:
        if slot.key not in self.labels:
            head = next(head for head in self.owner.heads.labels if head.key == slot.key)
            logits = self.owner.logits["choice"][self.index, head.columns].astype(np.float64)
            order = np.argsort(-logits, kind="stable")
            positive = int((logits > 0).sum())
            count = min(max(positive, slot.min_items), slot.max_items or len(order))
            chosen = np.zeros(len(logits), dtype=bool)
            chosen[order[:count]] = True
            score = float(-np.logaddexp(0.0, np.where(chosen, -logits, logits)).sum())
            values = [option for option, taken in zip(head.options, chosen, strict=True) if taken]
            self.labels[slot.key] = _Option(slot.key, values, max(score, FLOOR))
        return self.labels[slot.key]

    def _assign(self, variant: Variant, keys: Sequence[str]) -> list[_Option] | None:
        """The best joint filling of single spans."""
        options = [
            self._ways(key, may_be_absent=key in variant.optional or self.owner.clarifies) for key in keys
        ]
        if not all(options):
            return None
        if len(keys) <= OVERLAP_MEND:
            return self._best_together(options)
        taken: list[_Option] = []
        for ways_of_key in options:
            free = next((item for item in ways_of_key if not self._clashes(item, taken)), None)
            if free is None:
                return None
            taken.append(free)
        return taken

    def _best_together(self, options: Sequence[list[_Option]]) -> list[_Option] | None:
        """The most probable choice of one option each without a clash; of equals the one of the earliest options."""
        top = [max(ways, key=lambda item: item.log_probability) for ways in options]
        if not any(self._clashes(item, top[:place]) for place, item in enumerate(top)):
            return top
        bounds = [0.0] * (len(options) + 1)
        for place in range(len(options) - 1, -1, -1):
            bounds[place] = bounds[place + 1] + top[place].log_probability
        best: list[_Option] | None = None
        best_score = -math.inf

        def extend(taken: list[_Option], score: float) -> None:
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

    def _ways(self, key: str, *, may_be_absent: bool) -> list[_Option]:
        """Options of a single span, the most probable texts first, "absent" last."""
        if (key, may_be_absent) not in self.known:
            self.known[key, may_be_absent] = self._ranked_ways(key, may_be_absent=may_be_absent)
        return self.known[key, may_be_absent]

    def _ranked_ways(self, key: str, *, may_be_absent: bool) -> list[_Option]:
        owner, slot = self.owner, self.owner.group.slots[key]
        column = owner.heads.spans.index(key)
        allowed = np.flatnonzero(owner.grounding.allowed[:, owner.columns[key]])
        own = owner.logits["span"][self.index, allowed, column]
        scores = log_softmax(np.append(own, owner.logits["absent"][self.index, column]))
        order = np.argsort(-scores[:-1], kind="stable")[: 3 * TRIES]
        merged: dict[str, tuple[float, int]] = {}
        for candidate, score in zip(allowed[order].tolist(), scores[order].tolist(), strict=True):
            text = owner.text(candidate)
            known = merged.get(text)
            merged[text] = (score, candidate) if known is None else (_log_add(known[0], score), known[1])
        ranked = sorted(merged.items(), key=lambda item: -item[1][0])[:TRIES]
        absent = float(scores[-1])
        second = sorted([*(score for _, (score, _) in ranked), absent])[-2] if ranked else FLOOR
        ways = [
            _Option(key, value, max(score, FLOOR), (candidate,), max(score - second, 0.0))
            for text, (score, candidate) in ranked
            if (value := typed(slot, text)) is not None
        ]
        if may_be_absent:
            ways.append(_Option(key, None, max(absent, FLOOR), (), max(absent - second, 0.0)))
        return ways

    def _clashes(self, item: _Option, taken: Sequence[_Option]) -> bool:
        """Would one slice serve two slots although its text stands only once?"""
        if not item.candidates:
            return False
        start, end = self.owner.ranges[item.candidates[0]]
        request = self.owner.grounding.request
        for other in taken:
            if not other.candidates:
                continue
            other_start, other_end = self.owner.ranges[other.candidates[0]]
            if start < other_end and other_start < end:
                text = request[start:end]
                if text != request[other_start:other_end] or request.count(text) < 2:
                    return True
        return False

    def _lists(self, variant: Variant) -> list[_Option]:
        owner, slots = self.owner, self.owner.group.slots
        keys = [key for key in owner.heads.lists if key in variant.slots]
        if not keys:
            return []
        allowed = np.stack([owner.grounding.allowed[:, owner.columns[key]] for key in keys], 1)
        columns = [owner.heads.lists.index(key) for key in keys]
        scores = np.where(allowed, owner.logits["list"][self.index][: len(allowed), columns], -1e4)
        pieces = len(owner.grounding.shown)
        chosen, absent = best_slices(
            scores, owner.grounding.candidates, pieces, [slots[key].max_items or 1 for key in keys]
        )
        options = []
        for column, key in enumerate(keys):
            mine = [item for item in chosen if item[1] == column]
            values = [typed(slots[key], owner.text(item[0])) for item in mine]
            score = sum(item[2] for item in mine) if mine else float(absent[column])
            candidates = tuple(item[0] for item in mine)
            options.append(_Option(key, values, max(score, FLOOR), candidates, -score))
        return options


def _lead(scores: list[float]) -> tuple[int, float]:
    """The most probable option, and by how much it leads."""
    top = max(range(len(scores)), key=scores.__getitem__)
    return top, scores[top] - max((*scores[:top], *scores[top + 1 :]), default=scores[top])


def _log_add(one: float, other: float) -> float:
    """log(exp(one) + exp(other))."""
    high, low = max(one, other), min(one, other)
    return high + math.log1p(math.exp(low - high))


def typed(slot: Slot, text: str) -> Json:
    """The slice as the JSON value the slot takes: digits become a number where both fit; None if it may not be."""
    decision = slot.decision
    assert isinstance(decision, Span)
    if "integer" in decision.types and text.lstrip("+-").isdecimal():
        return _bounded(int(text), decision.constraints)
    if "number" in decision.types:
        try:
            return _bounded(float(text.replace(",", ".")), decision.constraints)
        except ValueError:
            pass
    if "string" not in decision.types:
        return None
    longest = decision.constraints.get("maxLength", len(text))
    return text if decision.constraints.get("minLength", 0) <= len(text) <= longest else None


def _bounded(value: float, constraints: Mapping[str, Json]) -> Json:
    low, high = constraints.get("minimum", value), constraints.get("maximum", value)
    return value if low <= value <= high else None


def _margin(scores: Array) -> float:
    top = np.sort(scores)[::-1]
    return float(top[0] - top[1]) if len(top) > 1 else 0.0


def _format(slot: Slot) -> str:
    assert isinstance(slot.decision, Span)
    return slot.decision.format
