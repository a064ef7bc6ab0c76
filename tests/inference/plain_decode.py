"""Decoding as plainly as it can be written, all combinations of options: what the fast version must equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from microlith.inference.decode import Decided, Decoded, log_softmax
from microlith.inference.decode_step import FLOOR, OVERLAP_MEND, TRIES
from microlith.inference.grounding import Grounding, GroundingSpec
from microlith.inference.lattice import best_slices
from microlith.inference.layout import GroupLayout, Layout
from microlith.inference.typed import typed
from microlith.task.plan import Group, Json, Plan, Slot, Span, Variant

Array = npt.NDArray[np.float64]


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

    def steps(self) -> list[dict[str, Json]] | None:
        fixed = self.heads.min_steps or (1 if not self.group.path else 0)
        scores = log_softmax(self.logits["count"]) if self.heads.counts > 1 else np.zeros(1)
        first = self.heads.min_steps if self.heads.counts > 1 else fixed
        for place in np.argsort(-scores, kind="stable"):
            count = first + int(place)
            ways = [_Step(self, index, alone=count == 1).best() for index in range(count)]
            found = [way for way in ways if way is not None]
            copying = [step for step, items in found if any(item.candidates for item in items)]
            twice = any(one == other for n, one in enumerate(copying) for other in copying[:n])
            if len(found) < count or twice:
                continue
            if self.heads.counts > 1:
                margin = _margin(scores) if place == scores.argmax() else 0.0
                self.decoded.decisions.append(
                    Decided(
                        group=self.group.path, step=0, key="#count", value=count,
                        log_probability=float(scores[place]), margin=margin,
                    )
                )  # fmt: skip
            for _, items in found:
                self.decoded.decisions.extend(items)
            return [step for step, _ in found]
        return None


class _Step:
    """Decodes one step."""

    def __init__(self, owner: _Group, index: int, *, alone: bool) -> None:
        self.owner, self.index, self.alone = owner, index, alone
        heads, logits = owner.heads, owner.logits
        self.choice: dict[str, Array] = {
            head.key: log_softmax(logits["choice"][index, head.columns]) for head in heads.choices
        }
        self.options = {head.key: head.options for head in heads.choices}
        self.spans: dict[str, tuple[Array, npt.NDArray[np.intp]]] = {}

    def best(self) -> tuple[dict[str, Json], list[Decided]] | None:
        """The most probable way to fill this step, or None when no variant can be filled."""
        best: tuple[float, dict[str, Json], list[Decided]] | None = None
        for variant in self.owner.group.variants:
            if variant.role == "out-of-scope" and not self.alone:
                continue
            tags = self._tags(variant)
            if best is not None and sum(item.log_probability for item in tags[0]) < best[0]:
                continue
            for tagged in tags:
                way = self._fill(variant, tagged)
                if way is not None and (best is None or way[0] > best[0]):
                    best = way
        return best and best[1:]

    def _tags(self, variant: Variant) -> list[list[Decided]]:
        """The variant's discriminators as stated, and (where the answer may ask back) as not stated."""
        stated = [self._choice(key, value) for key, value in variant.tags.items()]
        ways = [stated]
        inner = [key for key in variant.tags if None in self.options[key]]
        if self.owner.clarifies and inner:
            ways.append([self._choice(item.key, None) if item.key in inner else item for item in stated])
        return ways

    def _fill(
        self, variant: Variant, tags: list[Decided]
    ) -> tuple[float, dict[str, Json], list[Decided]] | None:
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
        return sum(item.log_probability for item in decisions), step, decisions

    def _decided(self, key: str, value: Json, log_probability: float, **more: object) -> Decided:
        return Decided(
            group=self.owner.group.path, step=self.index, key=key, value=value,
            log_probability=max(log_probability, FLOOR), **more,  # type: ignore[arg-type]
        )  # fmt: skip

    def _choice(self, key: str, value: Json) -> Decided:
        scores = self.choice[key]
        position = next(
            i for i, option in enumerate(self.options[key]) if option == value and type(option) is type(value)
        )
        others = np.delete(scores, position)
        margin = float(scores[position] - others.max()) if len(others) else 0.0
        return self._decided(key, value, float(scores[position]), margin=max(margin, 0.0))

    def _best_choice(self, key: str, *, may_be_absent: bool) -> Decided:
        options = self.options[key]
        allowed = [i for i, option in enumerate(options) if option is not None or may_be_absent]
        position = max(allowed, key=lambda i: self.choice[key][i])
        return self._choice(key, options[position])

    def _labels(self, slot: Slot) -> Decided:
        head = next(head for head in self.owner.heads.labels if head.key == slot.key)
        logits = self.owner.logits["choice"][self.index, head.columns].astype(np.float64)
        order = np.argsort(-logits, kind="stable")
        positive = int((logits > 0).sum())
        count = min(max(positive, slot.min_items), slot.max_items or len(order))
        chosen = np.zeros(len(logits), dtype=bool)
        chosen[order[:count]] = True
        score = -np.logaddexp(0.0, np.where(chosen, -logits, logits)).sum()
        return self._decided(
            slot.key, [o for o, c in zip(head.options, chosen, strict=True) if c], float(score)
        )

    def _span_scores(self, key: str) -> tuple[Array, npt.NDArray[np.intp]]:
        """Log-probabilities of the allowed candidates then "absent", and the candidates they belong to."""
        if key not in self.spans:
            column = self.owner.heads.spans.index(key)
            allowed = np.flatnonzero(self.owner.grounding.allowed[:, self.owner.columns[key]])
            logits = self.owner.logits["span"][self.index, allowed, column]
            absent = self.owner.logits["absent"][self.index, column]
            self.spans[key] = (log_softmax(np.append(logits, absent)), allowed)
        return self.spans[key]

    def _assign(self, variant: Variant, keys: Sequence[str]) -> list[Decided] | None:
        """The best joint filling of single spans."""
        options = [
            self._ways(key, may_be_absent=key in variant.optional or self.owner.clarifies) for key in keys
        ]
        if not all(options):
            return None
        if len(keys) <= OVERLAP_MEND:
            ways = sorted(product(*options), key=lambda way: -sum(item.log_probability for item in way))
            chosen = next((way for way in ways if not self._clash(way)), None)
            return list(chosen) if chosen is not None else None
        taken: list[Decided] = []
        for ways_of_key in options:
            free = next((item for item in ways_of_key if not self._clash((*taken, item))), None)
            if free is None:
                return None
            taken.append(free)
        return taken

    def _ways(self, key: str, *, may_be_absent: bool) -> list[Decided]:
        scores, candidates = self._span_scores(key)
        grounding = self.owner.grounding
        merged: dict[str, tuple[float, int]] = {}
        order = np.argsort(-scores[:-1], kind="stable")[: 3 * TRIES]
        for position in order:
            candidate = int(candidates[position])
            text = grounding.text(candidate)
            score, first = merged.get(text, (-np.inf, candidate))
            merged[text] = (float(np.logaddexp(score, scores[position])), first)
        slot = self.owner.group.slots[key]
        ranked = sorted(merged.items(), key=lambda item: -item[1][0])[:TRIES]
        top = [*sorted([*(score for _, (score, _) in ranked), float(scores[-1])], reverse=True), FLOOR]
        ways = [
            self._decided(key, value, score, candidates=(candidate,), margin=max(score - top[1], 0.0))
            for text, (score, candidate) in ranked
            if (value := typed(slot, text)) is not None
        ]
        if may_be_absent:
            ways.append(
                self._decided(key, None, float(scores[-1]), margin=max(float(scores[-1]) - top[1], 0.0))
            )
        return ways

    def _clash(self, way: Sequence[Decided]) -> bool:
        """Does one slice serve two slots although its text stands only once?"""
        grounding = self.owner.grounding
        spans = [grounding.span(item.candidates[0]) for item in way if item.candidates]
        for index, (start, end) in enumerate(spans):
            for other_start, other_end in spans[index + 1 :]:
                if start < other_end and other_start < end:
                    text = grounding.request[start:end]
                    same = text == grounding.request[other_start:other_end]
                    if not same or grounding.request.count(text) < 2:
                        return True
        return False

    def _lists(self, variant: Variant) -> list[Decided]:
        heads, slots = self.owner.heads, self.owner.group.slots
        keys = [key for key in heads.lists if key in variant.slots]
        if not keys:
            return []
        allowed = np.stack([self.owner.grounding.allowed[:, self.owner.columns[key]] for key in keys], 1)
        columns = [heads.lists.index(key) for key in keys]
        scores = np.where(allowed, self.owner.logits["list"][self.index][: len(allowed), columns], -1e4)
        pieces = len(self.owner.grounding.shown)
        chosen, absent = best_slices(
            scores, self.owner.grounding.candidates, pieces,
            [slots[key].max_items or 1 for key in keys], [slots[key].min_items if key in variant.required else 0 for key in keys],
        )  # fmt: skip
        decisions = []
        for column, key in enumerate(keys):
            mine = [item for item in chosen if item[1] == column]
            values = [typed(slots[key], self.owner.grounding.text(item[0])) for item in mine]
            score = sum(item[2] for item in mine) if mine else float(absent[column])
            decisions.append(
                self._decided(key, values, score, candidates=tuple(item[0] for item in mine), margin=-score)
            )
        return decisions


def _margin(scores: Array) -> float:
    top = np.sort(scores)[::-1]
    return float(top[0] - top[1]) if len(top) > 1 else 0.0


def _format(slot: Slot) -> str:
    assert isinstance(slot.decision, Span)
    return slot.decision.format
