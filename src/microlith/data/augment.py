"""More rows for the training side: resampled, composed, noisy. Every row points to those it was made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from random import Random

from microlith.data.compose import composed, is_step
from microlith.data.example import Example
from microlith.data.noise import add_noise, noisy
from microlith.data.resample import Pool, child_of, resampled
from microlith.data.spans import Layout, layout
from microlith.errors import UsageError
from microlith.task.plan import Plan, Span

CHUNK = 32
"""Written rows that one worker process refills at a time."""
ATTEMPTS = 4
"""How often a composed or noisy row is tried before it is left out."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much is made of each written row."""

    refill: int = 4
    """Copies of each row, its values resampled; rows without values are repeated, so that classes keep their
    shares. 0 for none. Tasks that copy no values get no copies, only noise."""
    compose_share: float = 0.06
    """Composed rows for each row of the result of `refill`, 0-1; only where the plan has a sequence."""
    noise_share: float = 0.05
    """Share of made rows that get noise, 0-1; for tasks that copy no values: noisy rows for each written row."""

    def __post_init__(self) -> None:
        if self.refill < 0 or not 0 <= self.compose_share <= 1 or not 0 <= self.noise_share <= 1:
            raise UsageError(f"{self} is out of range", mend="refill is 0 or more, the shares are 0 to 1")


def augmented(
    examples: Sequence[Example], plan: Plan, how: Augmentation, *, seed: int, workers: int = 1
) -> Iterator[Example]:
    """Rows made of `examples`, which are not among them.

    Each row draws from its own random source, so the result of one depends neither on the others, nor on their
    order, nor on the number of workers.

    Args:
        examples: Rows of the training side, and of no other.
        plan: The task's plan.
        how: How much of what.
        seed: Equal seeds give equal rows.
        workers: Processes that resample; 1 for none beside this one.

    Raises:
        DataError: if the plan has no variant for an answer.
    """
    if has_values(plan):
        pool = Pool.of(examples, plan)
        yield from _refilled_all(examples, plan, pool, how, seed=seed, workers=workers)
        yield from composed_rows(examples, plan, pool, how, seed=seed)
    else:
        for example in examples:
            rng = source_of_chance(seed, "noise", example)
            if rng.random() < how.noise_share and (made := _noisy(example, plan, rng)) is not None:
                yield made


def _refilled_all(
    examples: Sequence[Example], plan: Plan, pool: Pool, how: Augmentation, *, seed: int, workers: int
) -> Iterator[Example]:
    if workers <= 1:
        for example in examples:
            yield from refilled(example, plan, pool, how, seed=seed)
        return
    chunks = [examples[at : at + CHUNK] for at in range(0, len(examples), CHUNK)]
    with ProcessPoolExecutor(workers) as processes:
        for rows in processes.map(
            _refilled_chunk, chunks, repeat(plan), repeat(pool), repeat(how), repeat(seed)
        ):
            yield from rows


def _refilled_chunk(
    examples: Sequence[Example], plan: Plan, pool: Pool, how: Augmentation, seed: int
) -> list[Example]:
    return [row for example in examples for row in refilled(example, plan, pool, how, seed=seed)]


def has_values(plan: Plan) -> bool:
    """True when some value of an answer is copied from the request."""
    return any(isinstance(slot.decision, Span) for group in plan.groups for slot in group.slots.values())


def refilled(example: Example, plan: Plan, pool: Pool, how: Augmentation, *, seed: int) -> Iterator[Example]:
    """Copies of one row: with other values where it has any, a share of them with noise."""
    rng = source_of_chance(seed, "refill", example)
    parts = layout(example, plan)
    seen, movable = {example.input}, any(one.movable for one in parts.values)
    for _ in range(how.refill):
        made = _fresh(parts, pool, rng, seen) if movable else _repeated(parts)
        if made is not None and rng.random() < how.noise_share:
            made = noisy(made, plan, rng) or made
        if made is not None:
            seen.add(made.example.input)
            yield made.example


def _fresh(parts: Layout, pool: Pool, rng: Random, seen: set[str]) -> Layout | None:
    """A resampled row that was not made before; None where a few draws gave none."""
    for _ in range(ATTEMPTS):
        made = resampled(parts, pool, rng)
        if made is None or made.example.input not in seen:
            return made
    return None


def composed_rows(
    examples: Sequence[Example], plan: Plan, pool: Pool, how: Augmentation, *, seed: int
) -> Iterator[Example]:
    """Rows of several steps, each step a resampled one-step row."""
    steps = sorted(
        (example for example in examples if is_step(example, plan)), key=lambda example: example.key
    )
    if plan.sequence is None or len(steps) < 2:
        return
    rng, parts = Random(f"{seed}:compose"), [layout(step, plan) for step in steps]
    counts = range(max(2, plan.sequence.min_count), min(plan.sequence.max_count, len(steps), 4) + 1)
    for _ in range(int(how.compose_share * len(examples) * (how.refill + 1)) if counts else 0):
        made = _composed(parts, counts, plan, pool, rng)
        if made is not None:
            yield (add_noise(made, plan, rng) or made) if rng.random() < how.noise_share else made


def _composed(steps: Sequence[Layout], counts: range, plan: Plan, pool: Pool, rng: Random) -> Example | None:
    for _ in range(ATTEMPTS):
        count = rng.choices(counts, weights=[0.5**place for place in range(len(counts))])[0]
        parts = [resampled(step, pool, rng) or step for step in rng.sample(steps, count)]
        made = composed(parts, plan, rng)
        if made is not None:
            return made
    return None


def _noisy(example: Example, plan: Plan, rng: Random) -> Example | None:
    return next((made for _ in range(ATTEMPTS) if (made := add_noise(example, plan, rng)) is not None), None)


def _repeated(parts: Layout) -> Layout:
    return replace(parts, example=child_of(parts.example, parts.example, made_by="repeat"))


def source_of_chance(seed: int, use: str, example: Example) -> Random:
    """A random source for one row and one use of it; the same on every machine."""
    return Random(f"{seed}:{use}:{example.key}")
