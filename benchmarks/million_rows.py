"""Make, clean and split a million rows, and print what it costs.

    python benchmarks/million_rows.py [--rows 1000000] [--task infra] [--workers 2]

The promise: ten minutes and 4 GB on two cores. The written rows of a task are refilled by slot resampling until
there are enough; the result is de-duplicated (exact and near) and split by families, as `build_dataset` does it.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import time
from collections.abc import Callable
from itertools import islice
from typing import TypeVar

from microlith.data.augment import Augmentation, augmented
from microlith.data.dedupe import deduplicate
from microlith.data.example import Example
from microlith.data.load import load_examples
from microlith.data.split import split
from microlith.task import Task, load_task

PROMISE_ROWS, PROMISE_S, PROMISE_GB = 1_000_000, 600.0, 4.0

Result = TypeVar("Result")


def peak_gb() -> float:
    """Largest memory so far of this process and of its largest child, together, in gigabytes."""
    own, child = (
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return (own + child) / 1024**2


def timed(name: str, rows: int, work: Callable[[], Result], total: dict[str, float]) -> Result:
    """Run one stage and print its line."""
    started, cpu = time.perf_counter(), os.times()
    result = work()
    seconds, after = time.perf_counter() - started, os.times()
    used = sum(after[:4]) - sum(cpu[:4])
    total["wall"] += seconds
    total["cpu"] += used
    print(
        f"{name:<12}{seconds:>9.1f} s wall{used:>9.1f} s cpu{rows / seconds:>12,.0f} rows/s{peak_gb():>8.2f} GB peak"
    )
    return result


def made(task: Task, rows: int, workers: int) -> list[Example]:
    """About `rows` rows made of the task's own."""
    written = load_examples(task).checked()
    how = Augmentation(refill=math.ceil(1.05 * rows / len(written)), compose_share=0.0, noise_share=0.2)
    return list(islice(augmented(written, task.plan, how, seed=0, workers=workers), rows))


def main() -> None:
    """Run the three stages and compare with the promise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=PROMISE_ROWS)
    parser.add_argument("--task", default="infra")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    task, total = load_task(given.task), {"wall": 0.0, "cpu": 0.0}
    rows = timed("generate", given.rows, lambda: made(task, given.rows, given.workers), total)
    unique = timed("deduplicate", len(rows), lambda: deduplicate(rows), total)
    parts = timed("split", len(unique.kept), lambda: split(unique.kept, 0.1, 0, plan=task.plan), total)
    print(
        f"{len(rows):,} made, {len(unique.removed):,} duplicates, {len(parts.train):,} + {len(parts.validation):,} split"
    )
    scale = PROMISE_ROWS / len(rows)
    print(
        f"total {total['wall']:.0f} s wall, {total['cpu']:.0f} s cpu, {peak_gb():.2f} GB;"
        f" at {PROMISE_ROWS:,} rows about {total['wall'] * scale:.0f} s of {PROMISE_S:.0f} s allowed"
        f" and at most {peak_gb() * scale:.1f} GB of {PROMISE_GB:.0f} GB"
    )


if __name__ == "__main__":
    main()
