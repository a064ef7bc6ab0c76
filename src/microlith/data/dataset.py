"""From a task's files to the rows that are trained on, validated on and tested on.

`build_dataset` is a generator of events whose return value is the `Dataset`; `finished` runs it for callers that
do not show progress. The order of its stages is what keeps scores honest: rows kin to a test row are fenced off
first, then the rest is split family by family, and only then is the training side enlarged.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence, Set
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar

from microlith.data.augment import Augmentation, augmented, has_values
from microlith.data.conflicts import find_conflicts
from microlith.data.dedupe import NEAR_DUPLICATE, deduplicate
from microlith.data.example import Example
from microlith.data.kin import wording
from microlith.data.load import Loaded, load_examples, load_test, load_validation
from microlith.data.split import Fenced, Split, split
from microlith.data.split import fence as fenced_off
from microlith.errors import DataError, UsageError
from microlith.events import Event, Progress, StageDone, StageStarted, Warned
from microlith.task.plan import Json, Plan

if TYPE_CHECKING:
    from microlith.task.taskfile import Task

Part = Literal["train", "validation", "test"]
Result = TypeVar("Result")

FENCES = ("wording", "text")
VALIDATION_ROWS = 600
"""Validation rows that are enough: a share of 90 % is known to within 2.5 points, and proving an export stays short."""
STEP_ROWS = 5_000
"""Made rows between two progress events."""


@dataclass(frozen=True, kw_only=True)
class LineageRow:
    """Where one row came from."""

    part: Part
    key: str
    """Content hash of the row."""
    source: str
    parents: tuple[str, ...]
    made_by: str | None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Rows in three parts, no family of rows on two sides."""

    train: tuple[Example, ...]
    """Written rows first, then those made of them."""
    validation: tuple[Example, ...]
    """Written rows that nothing is trained on; to calibrate and to stop by."""
    test: tuple[Example, ...] = ()
    """The frozen rows of the task; only the final score reads them."""
    notes: tuple[str, ...] = ()
    """What the reader should know about how it was made."""
    facts: dict[str, Json] = field(default_factory=dict)
    """How it was made: seed, shares, rows read, removed and fenced off."""

    @cached_property
    def content_hash(self) -> str:
        """Hash (hex, 32 digits) of all rows with their parts and weights; row order and machine do not matter."""
        digest = hashlib.blake2b(digest_size=16)
        for line in sorted(
            f"{part} {row.key} {row.weight!r}" for part, rows in self._parts() for row in rows
        ):
            digest.update(line.encode() + b"\n")
        return digest.hexdigest()

    @property
    def sizes(self) -> dict[str, int]:
        """Rows per part."""
        return {part: len(rows) for part, rows in self._parts()}

    def lineage(self) -> Iterator[LineageRow]:
        """Where every row came from, in the order of the parts."""
        for part, rows in self._parts():
            for row in rows:
                yield LineageRow(
                    part=part, key=row.key, source=row.source, parents=row.parents, made_by=row.made_by
                )

    def _parts(self) -> tuple[tuple[Part, tuple[Example, ...]], ...]:
        return ("train", self.train), ("validation", self.validation), ("test", self.test)


def build_dataset(
    task: Task,
    *,
    seed: int = 0,
    refill: int = 4,
    compose_share: float = 0.06,
    noise_share: float = 0.05,
    validation_share: float | None = None,
    near_duplicates: float | None = NEAR_DUPLICATE,
    fence: str = "wording",
    skip_bad: bool = False,
) -> Generator[Event, None, Dataset]:
    """Read a task's rows and make its dataset.

    Args:
        task: The task.
        seed: Equal seeds and files give equal datasets on every machine.
        refill: See `Augmentation`; so are `compose_share` and `noise_share`.
        compose_share: Composed rows for each refilled one, 0-1.
        noise_share: Share of made rows with noise, 0-1.
        validation_share: Share of the written rows for validation, above 0 and below 1, beside the task's own validation
            rows; None for none where the task has such rows, else a tenth, but no more than `VALIDATION_ROWS`.
        near_duplicates: Jaccard index from which equal answers make near-duplicates; None keeps them.
        fence: What a training row may not share with a test or validation row, nor a validation row with a test row: "wording",
            the request with its values masked, or "text", the request as it stands, for published splits whose rows have wordings
            in common.
        skip_bad: True to leave out bad rows with a warning instead of refusing them all.

    Yields:
        Stages, progress and warnings.

    Returns:
        The dataset.

    Raises:
        DataError: if rows are bad, or none are left.
        UsageError: if a share is out of range or the fence unknown.
    """
    if fence not in FENCES:
        raise UsageError(f"fence={fence!r} is unknown", mend=f"choose one of {', '.join(FENCES)}")
    structured = task.input_kind == "json"  # a slip of the finger would make other figures of them
    how = Augmentation(
        refill=refill, compose_share=compose_share, noise_share=0.0 if structured else noise_share
    )
    started = time.monotonic()
    yield StageStarted(stage="data", detail=f"{len(task.train_files)} files")
    loaded = yield from _admitted(load_examples(task), skip_bad=skip_bad)
    given = yield from _admitted(load_validation(task), skip_bad=skip_bad)
    tested = yield from _admitted(load_test(task), skip_bad=skip_bad)
    plan = task.plan
    facts: dict[str, Json] = {
        "seed": seed,
        "fence": fence,
        **asdict(how),
    }
    unique = deduplicate(loaded, near=near_duplicates)
    yield from _conflicts(unique.kept, plan)
    masking = plan if fence == "wording" else None
    given, unfit = fenced_off(deduplicate(given, near=near_duplicates).kept, tested, masking)
    kept, fenced = fenced_off(unique.kept, (*tested, *given), masking)
    facts |= {"read": len(loaded), "duplicates": len(unique.removed), "fenced": len(fenced)}
    if not kept:
        raise DataError(
            "no rows are left to train on", place=str(task.folder), mend="write rows that are not in the test"
        )
    if unfit:
        yield Warned(
            what=f"{len(unfit)} validation rows are kin to test rows and are left out: {_reasons(unfit)}"
        )
    if fenced:
        kin = "test or validation" if given else "test"
        yield Warned(what=f"{len(fenced)} rows are kin to {kin} rows and are left out: {_reasons(fenced)}")
    if validation_share is None:
        validation_share = 0.0 if given else min(0.1, VALIDATION_ROWS / len(kept))
    facts["validation_share"] = validation_share
    parts = (
        split(kept, validation_share, seed, plan=plan) if validation_share or not given else Split(train=kept)
    )
    validation = (*given, *parts.validation)
    for note in parts.notes:
        yield Warned(what=note)
    apart = (*validation, *(tested if fence == "wording" else ()))
    made = yield from _made(
        parts.train, plan, how, seed=seed, is_valid=task.validator.is_valid,
        wordings={wording(row, plan) for row in apart}, texts={row.input for row in tested},
    )  # fmt: skip
    facts["made"] = dict(Counter(row.made_by for row in made))
    dataset = Dataset(
        train=(*parts.train, *made), validation=validation, test=tested, notes=parts.notes, facts=facts
    )
    sizes = ", ".join(f"{count:,} {part}" for part, count in dataset.sizes.items())
    yield StageDone(stage="data", detail=sizes, seconds=time.monotonic() - started)
    return dataset


def finished(
    events: Generator[Event, None, Result], *, on_event: Callable[[Event], None] | None = None
) -> Result:
    """Run a generator of events to its end and return its result.

    Args:
        events: e.g. `build_dataset(task)`.
        on_event: Called with every event; None to ignore them.
    """
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        if on_event is not None:
            on_event(event)


def _admitted(loaded: Loaded, *, skip_bad: bool) -> Generator[Event, None, tuple[Example, ...]]:
    for note in loaded.notes:
        yield Warned(what=note)
    if loaded.bad and skip_bad:
        yield Warned(
            what=f"{len(loaded.bad)} mistakes; their rows are left out",
            facts={"bad": [str(p) for p in loaded.bad]},
        )
        return loaded.examples
    return loaded.checked()


def _reasons(fenced: Sequence[Fenced]) -> str:
    counts = Counter(row.reason for row in fenced)
    return ", ".join(f"{count} for {reason}" for reason, count in counts.items())


def _conflicts(examples: Sequence[Example], plan: Plan) -> Iterator[Event]:
    conflicts = find_conflicts(examples, plan=plan)
    certain = [str(conflict.problem()) for conflict in conflicts if conflict.certain]
    likely = [str(conflict.problem()) for conflict in conflicts if not conflict.certain]
    if certain:
        yield Warned(what=f"{len(certain)} requests have contradicting answers", facts={"conflicts": certain})
    if likely:
        yield Warned(
            what=f"{len(likely)} pairs of nearly equal requests have different answers",
            facts={"suspicious": likely},
        )


def _made(
    train: Sequence[Example],
    plan: Plan,
    how: Augmentation,
    *,
    seed: int,
    is_valid: Callable[[Json], bool],
    wordings: Set[str],
    texts: Set[str],
) -> Generator[Event, None, list[Example]]:
    """Rows made of the training side, none of `texts`; composed and noisy ones fit the schema and have none of `wordings`."""
    made: list[Example] = []
    total = len(train) * how.refill if has_values(plan) else int(len(train) * how.noise_share)
    for row in augmented(train, plan, how, seed=seed):
        if row.input in texts:
            continue
        if row.made_by in ("compose", "noise") and (
            not is_valid(row.output) or wording(row, plan) in wordings
        ):
            continue
        made.append(row)
        if len(made) % STEP_ROWS == 0:
            yield Progress(stage="data", done=len(made), total=max(total, len(made)))
    return made
