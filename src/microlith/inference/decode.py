"""From an encoder's logits to the most probable valid reading, with a probability per decision.

For one step every variant is scored as the product of its discriminators, its choices and the best joint
assignment of candidate slices to its spans, where no two slots share a slice unless the request holds the text twice.
No two steps copy the same values: such a step was read twice, and the next most probable number of steps is taken.
The most probable (variant, assignment) wins. A required span whose most probable value is "absent" makes the step
incomplete: the answer then asks for it, if the schema lets it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from microlith.inference.decode_step import Asked, Option, Step, StepTables
from microlith.inference.grounding import Grounding, GroundingSpec
from microlith.inference.layout import GroupLayout, Layout
from microlith.task.plan import Group, Json, Plan, Reading

Array = npt.NDArray[np.float64]
Logits = Mapping[str, npt.NDArray[np.float32]]


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


def decode(plan: Plan, layout: Layout, spec: GroundingSpec, grounding: Grounding, logits: Logits) -> Decoded:
    """Decode one request; for many, make a `Decoder` once."""
    return Decoder(plan, layout, spec).decode(grounding, logits)


class Decoder:
    """Decodes requests of one plan. Safe to share between threads."""

    def __init__(self, plan: Plan, layout: Layout, spec: GroundingSpec) -> None:
        """Work out what is the same for every request.

        Args:
            plan: The task's plan.
            layout: Its heads.
            spec: How requests are grounded.
        """
        self._groups = [
            _GroupDecoder(number, plan, group, heads, spec)
            for number, (group, heads) in enumerate(zip(plan.groups, layout.groups, strict=True))
        ]

    def decode(self, grounding: Grounding, logits: Logits) -> Decoded:
        """Decode one request.

        Args:
            grounding: The request.
            logits: Arrays of this request without the batch axis, keyed `GROUP.HEAD`.
        """
        reading: Reading = {}
        decisions: list[Decided] = []
        for group in self._groups:
            steps = group.steps(grounding, logits, decisions)
            if steps is None:
                return Decoded(reading=None)
            reading[group.path] = steps
        return Decoded(reading=reading, decisions=decisions)


def log_softmax(logits: npt.NDArray[np.float32] | Array, axis: int = -1) -> Array:
    """Log-probabilities along `axis`, in double precision."""
    shifted = logits.astype(np.float64) - logits.max(axis=axis, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return result


class _GroupDecoder:
    """Decodes the steps of one group."""

    def __init__(
        self, number: int, plan: Plan, group: Group, heads: GroupLayout, spec: GroundingSpec
    ) -> None:
        self.path, self.heads, self.prefix = group.path, heads, f"{number}."
        self.fixed = heads.min_steps or (0 if group.path else 1)
        clarifies = plan.clarify is not None and not group.path
        self.tables = StepTables(group, heads, spec, clarifies=clarifies)

    def steps(
        self, grounding: Grounding, logits: Logits, decisions: list[Decided]
    ) -> list[dict[str, Json]] | None:
        """The steps under the most probable count that can be filled without reading a step twice.

        Appends the decisions that led there; None where there is no such count.
        """
        mine = {
            name.removeprefix(self.prefix): value
            for name, value in logits.items()
            if name.startswith(self.prefix)
        }
        asked = Asked(grounding, mine)
        for count in self._counts(mine):
            taken = self._differing(count.value, asked)
            if taken is None:
                continue
            if self.heads.counts > 1:
                decisions.append(self._decided(0, count))
            decisions.extend(
                self._decided(index, item) for index, items in enumerate(taken) for item in items
            )
            return [_values(items) for items in taken]
        return None

    def _differing(self, count: int, asked: Asked) -> list[list[Option]] | None:
        """The best ways to fill `count` steps; None where one cannot be filled, or copies the same as another."""
        taken: list[list[Option]] = []
        for index in range(count):
            items = Step(self.tables, asked, index, alone=count == 1).best()
            if items is None:
                return None
            copies = any(item.candidates for item in items)
            if copies and any(_values(items) == _values(other) for other in taken):
                return None
            taken.append(items)
        return taken

    def _counts(self, logits: Logits) -> list[Option]:
        """Numbers of steps, the most probable first."""
        if self.heads.counts <= 1:
            return [Option("#count", self.fixed, 0.0)]
        scores = log_softmax(logits["count"])
        order = np.argsort(-scores, kind="stable").tolist()
        lead = float(scores[order[0]] - scores[order[1]])
        return [
            Option("#count", self.heads.min_steps + place, float(scores[place]), margin=0.0 if rank else lead)
            for rank, place in enumerate(order)
        ]

    def _decided(self, step: int, option: Option) -> Decided:
        return Decided(
            group=self.path, step=step, key=option.key, value=option.value, margin=option.margin,
            log_probability=option.log_probability, candidates=option.candidates,
        )  # fmt: skip


def _values(items: Sequence[Option]) -> dict[str, Json]:
    return {item.key: item.value for item in items}
