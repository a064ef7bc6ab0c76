"""Slot resampling: the same sentence around other values.

In a labelled row the copied values are known, so each can be replaced by another of its kind, in the request and
in the answer alike. Fifty written rows become thousands without any other model, and a specialist learns from
them where a value stands instead of which values there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from microlith.data.example import Example
from microlith.data.slot_values import satisfies
from microlith.data.spans import Layout, Value, bindings, layout
from microlith.data.values import likeness, value
from microlith.task.plan import Plan

ATTEMPTS = 8
"""How often new values are drawn before a row is given up."""
KEEP_SHARE = 0.1
"""How often a value stays as it is, 0-1."""
POOL_SHARE = 0.5
"""How often a value comes from another row instead of a generator, 0-1."""
POOL_ONLY = frozenset({"text"})
"""Formats whose generated values mean nothing; they come from other rows wherever there are any."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Values that other rows gave to the same slots. Secrets are never pooled."""

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Slot key -> distinct values as text, sorted."""

    @classmethod
    def of(cls, examples: Iterable[Example], plan: Plan) -> Pool:
        """Gather the values of `examples`.

        Raises:
            DataError: if the plan has no variant for an answer.
        """
        found: dict[str, set[str]] = {}
        for example in examples:
            for binding in bindings(plan, example.output):
                if not binding.slot.secret:
                    found.setdefault(binding.slot.key, set()).add(binding.text)
        return cls(texts={key: tuple(sorted(texts)) for key, texts in found.items()})


def resample(example: Example, plan: Plan, pool: Pool, rng: Random) -> Example | None:
    """`example` with other values of the same kinds.

    Args:
        example: A labelled row; it is not changed.
        plan: The task's plan.
        pool: Values of other rows of the training side.
        rng: Source of all chance.

    Returns:
        The new row, its source and parents pointing to `example`; None where the row has no value that can be
        replaced, or no draw kept its values apart.

    Raises:
        DataError: if the plan has no variant for the answer.
    """
    made = resampled(layout(example, plan), pool, rng)
    return None if made is None else made.example


def resampled(parts: Layout, pool: Pool, rng: Random) -> Layout | None:
    """`resample` for a row that is already taken apart; quicker where one row is refilled many times."""
    movable = [index for index, one in enumerate(parts.values) if one.movable]
    for _ in range(ATTEMPTS if movable else 0):
        texts = {
            index: draw(parts.values[index], pool, rng) for index in movable if rng.random() >= KEEP_SHARE
        }
        made = parts.rebuilt({index: text for index, text in texts.items() if text is not None})
        if made is not None and made.example.input != parts.example.input:
            return replace(made, example=child_of(parts.example, made.example, made_by="resample"))
    return None


def child_of(parent: Example, made: Example, *, made_by: str) -> Example:
    """`made` with the lineage of a row made of `parent`: the written rows stay its parents."""
    return replace(made, parents=parent.parents or (parent.source,), made_by=made_by, verified=False)


def draw(old: Value, pool: Pool, rng: Random) -> str | None:
    """Another text for `old` that all its slots take; None where a few draws found none."""
    for _ in range(ATTEMPTS):
        text = _from_pool(old, pool, rng) or value(_narrowest(old), rng, like=old.text)
        if text != old.text and all(satisfies(span, text) for span in old.spans):
            return text
    return None


def _from_pool(old: Value, pool: Pool, rng: Random) -> str | None:
    slot = old.bindings[0].slot
    texts = () if any(binding.slot.secret for binding in old.bindings) else pool.texts.get(slot.key, ())
    if len(texts) < 2 or (old.spans[0].format not in POOL_ONLY and rng.random() >= POOL_SHARE):
        return None
    return max((rng.choice(texts) for _ in range(2)), key=lambda text: likeness(text, old.text))


def _narrowest(old: Value) -> str:
    """The format that says most, where one value fills slots of several formats."""
    return min((span.format for span in old.spans), key=lambda name: (name in _WIDE, name))


_WIDE = frozenset({"text", "word", "name", "host", "ip", "ip-or-cidr"})
