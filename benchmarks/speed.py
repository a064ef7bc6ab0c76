"""Speed, size and memory of a specialist, beside scikit-learn and a plain token-classification pipeline on the same rows.

    python -m benchmarks.speed [TASK]

The specialist is the newest encoder artifact of TASK (default infra); `microlith train TASK` makes one. Peers run in the same
process on the same requests: scikit-learn's TF-IDF with logistic regression (finds the action only), and transformers'
token-classification pipeline around the same pretrained encoder with an untrained head (tags only). Both do less than the
specialist, so the ratios are conservative.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from microlith.data.load import load_examples, load_test
from microlith.inference.cores import usable_cores
from microlith.registry.models import open_model, size_of
from microlith.task.taskfile import Task, load_task

ROUNDS = 200
"""Single requests that are timed."""
BATCH_ROWS = 1000
"""Requests of the batch that is timed."""

MEMORY_SCRIPT = """
import json, sys
from microlith.inference.encoder import EncoderModel
from pathlib import Path
model = EncoderModel.load(Path(sys.argv[1]))
model.predict(json.loads(sys.stdin.read()))
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(int(status["VmRSS"].split()[0]) / 1024, int(status["VmHWM"].split()[0]) / 1024)
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    what: str
    p50_ms: float
    p99_ms: float
    per_second: float


def timed(
    answer: Callable[[Sequence[str]], object],
    requests: Sequence[str],
    what: str,
    batch: Callable[[Sequence[str]], object] | None = None,
) -> Row:
    """Time single requests with `answer`, and one large batch with `batch` (or `answer`)."""
    singles = [requests[index % len(requests)] for index in range(ROUNDS)]
    answer(singles[:1])
    spent = []
    for request in singles:
        begun = time.perf_counter()
        answer([request])
        spent.append(1000 * (time.perf_counter() - begun))
    many = [requests[index % len(requests)] for index in range(BATCH_ROWS)]
    begun = time.perf_counter()
    (batch or answer)(many)
    rate = len(many) / (time.perf_counter() - begun)
    ordered = sorted(spent)
    return Row(
        what=what,
        p50_ms=statistics.median(spent),
        p99_ms=ordered[int(0.99 * (len(ordered) - 1))],
        per_second=rate,
    )


def specialist(task: Task, requests: Sequence[str]) -> tuple[Row, Path]:
    """The exported encoder on one core, in batches on all cores, and its folder."""
    from microlith.inference.encoder import EncoderModel

    artifact = open_model(task.name, model="encoder").artifact
    assert artifact is not None
    folder = artifact.folder
    one = EncoderModel.load(folder, threads=1)
    all_cores = EncoderModel.load(folder, threads=usable_cores())
    return timed(one.predict, requests, "microlith encoder", all_cores.predict), folder


def scikit_learn(task: Task, requests: Sequence[str]) -> Row:
    """TF-IDF and logistic regression on the root choice only."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    rows = load_examples(task).examples
    key = next(iter(task.plan.root.variants[0].tags), None) or next(iter(task.plan.root.slots))
    name = task.plan.root.slots[key].path[0]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=300))
    model.fit([row.input for row in rows], [str(row.output[name]) for row in rows])
    return timed(lambda texts: model.predict(list(texts)), requests, "scikit-learn, action only")


def token_pipeline(requests: Sequence[str]) -> Row:
    """transformers' token-classification pipeline with the same encoder on one core."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline
    from transformers.utils import logging

    from microlith.training.base import find_base

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    folder = str(find_base().folder)
    model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=41)
    tagger = pipeline("token-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder))

    def in_batches(texts: Sequence[str]) -> object:
        torch.set_num_threads(usable_cores())
        return tagger(list(texts), batch_size=32)

    return timed(lambda texts: tagger(list(texts)), requests, "transformers pipeline, tags only", in_batches)


def memory_mb(folder: Path, requests: Sequence[str]) -> tuple[float, float]:
    """Resident and peak memory in MB of a process that loads the specialist and answers `requests`."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT, str(folder)],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        check=True,
    )
    now, peak = done.stdout.split()
    return float(now), float(peak)


def main(name: str = "infra") -> None:
    """Print the table."""
    task = load_task(name)
    requests = [row.input for row in load_test(task).examples]
    own, folder = specialist(task, requests)
    rows = [own, scikit_learn(task, requests), token_pipeline(requests)]
    print(f"{name}: one request on one core, {BATCH_ROWS} in batches on {usable_cores()} cores")
    print(f"{'':36}{'p50 ms':>9}{'p99 ms':>9}{'per second':>12}{'p50 ratio':>11}")
    for row in rows:
        ratio = row.p50_ms / own.p50_ms
        print(f"{row.what:36}{row.p50_ms:9.2f}{row.p99_ms:9.2f}{row.per_second:12.0f}{ratio:11.2f}")
    size = size_of(folder) / 1e6
    now, peak = memory_mb(folder, requests)
    print(
        f"artifact {size:.1f} MB (target 30); memory of a predicting process {now:.0f} MB, peak {peak:.0f} MB (target 300)"
    )
    print(
        f"targets: p50 3 ms ({'met' if own.p50_ms <= 3 else 'missed'}), 450 per second ({'met' if own.per_second >= 450 else 'missed'})"
    )


if __name__ == "__main__":
    main(*sys.argv[1:2])
