"""Score models of a task on the same rows, with paired tests and a gate."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microlith.data.example import Example
from microlith.errors import ArtifactError, DataError, UsageError
from microlith.evaluation.compare import Comparison, Spread
from microlith.evaluation.result import Evaluation, Texts
from microlith.events import Event, StageDone, StageStarted, Warned
from microlith.inference.cores import usable_cores
from microlith.registry.models import KINDS, RULES, Opened, open_model
from microlith.task.taskfile import Task

if TYPE_CHECKING:
    from microlith.registry import Card

SPREAD_OVER = ("exact", "ece", "confidence_wrong", "coverage_at_2")
"""Metrics whose spread over seeds is reported."""
SPREAD_OF_TEXTS = ("rouge_l", "agreement", "distinct", "repetition")
"""The same for tasks whose answers hold text."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Evaluations of several models on the same rows; the first is the candidate."""

    evaluations: tuple[Evaluation, ...]
    comparison: Comparison | None
    """Paired tests of the candidate against the others; None when it stands alone."""
    spreads: tuple[Spread, ...] = ()
    """Over the seeds of the candidate's recipe; empty unless asked for."""
    rows: str = ""
    """Which rows they were scored on."""
    curves: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Run -> events of its training."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """How the candidate was made, for the report."""

    def to_json(self) -> dict[str, Any]:
        """Everything but the curves as a JSON object."""
        from microlith.evaluation.result import plain

        return {
            "rows": self.rows,
            "evaluations": [one.to_json() for one in self.evaluations],
            "comparison": self.comparison.to_json() if self.comparison is not None else None,
            "spreads": [plain(one) for one in self.spreads],
            "facts": dict(self.facts),
        }

    def report(self) -> str:
        """One self-contained HTML page."""
        from microlith.evaluation.report import render_report

        return str(
            render_report(
                self.evaluations,
                comparison=self.comparison,
                curves=self.curves,
                spreads=self.spreads,
                facts=self.facts,
            )
        )


def evaluate(
    task: Task,
    models: Sequence[str | None] = (None,),
    *,
    test: Path | None = None,
    seeds: bool = False,
    root: Path | None = None,
) -> Generator[Event, None, Evaluated]:
    """Score models, the candidate first.

    Args:
        task: The task.
        models: What `open_model` takes; None is the newest artifact.
        test: Rows to score on; None for the task's frozen test set.
        seeds: Also score every artifact that differs from the candidate in its seed only, and report the spread.
        root: Home of the artifacts.

    Raises:
        DataError: if there are no rows, or bad ones.
        ArtifactError: if a model cannot be opened.
    """
    rows = rows_to_score(task, test)
    if test is not None:
        yield from _seen_in_training(task, rows)
    opened = [open_model(str(task.folder), model, root=root, threads=usable_cores()) for model in models]
    evaluations = []
    for one in opened:
        evaluations.append((yield from score(one, rows, task)))
    candidate = opened[0].artifact.card if opened[0].artifact is not None else None
    spreads = (yield from _spreads(candidate, evaluations[0], rows, task, root)) if seeds else ()
    return Evaluated(
        evaluations=tuple(evaluations), comparison=compared(evaluations), spreads=spreads,
        rows=str(test or task.test_file), curves=curves_of(candidate, root), facts=_facts(candidate),
    )  # fmt: skip


def available(task: Task, *, root: Path | None = None) -> tuple[str, ...]:
    """Models of a task that can be asked: the newest artifact's kind first, then the other kinds and the rules.

    Raises:
        ArtifactError: if nothing was trained yet.
    """
    from microlith.registry import list_artifacts, resolve

    resolve(task.name, root=root)
    kinds = [one.card.kind for one in list_artifacts(task.name, root=root) if one.card is not None]
    found = list(dict.fromkeys([*kinds[:1], *(kind for kind in KINDS if kind in kinds)]))
    return tuple([*found, RULES] if task.rules is not None else found)


def spread_over(task: Task) -> tuple[str, ...]:
    """Metrics of a task whose spread over seeds is reported."""
    return SPREAD_OF_TEXTS if task.plan.writes_text else SPREAD_OVER


def rows_to_score(task: Task, test: Path | None = None) -> tuple[Example, ...]:
    """The rows to score on.

    Raises:
        DataError: if there are none, or bad ones.
    """
    from microlith.data.load import load_files, load_test

    rows = (load_files(task, [test]) if test is not None else load_test(task)).checked()
    if not rows:
        raise DataError(
            f"the task {task.name} has no test rows",
            place=str(task.folder),
            mend="name some with --test FILE, or in task.toml: test",
        )
    return rows


def score(opened: Opened, rows: Sequence[Example], task: Task) -> Generator[Event, None, Evaluation]:
    """Score one model."""
    from microlith.evaluation.scores import evaluate as measure

    begun = time.monotonic()
    yield StageStarted(stage="evaluate", detail=f"{opened.model.name} on {len(rows):,} rows")
    found = measure(opened.model, rows, task, artifact_bytes=opened.size_bytes)
    yield StageDone(stage="evaluate", detail=headline(found), seconds=time.monotonic() - begun)
    return found


def headline(one: Evaluation) -> str:
    """The one line that says how good a model is: of one that writes texts, how like the right ones they are."""
    if one.texts is not None:
        return f"{one.model} {_texts_headline(one.texts)} of {one.n:,}{_took(one)}"
    interval = (
        f" ({one.exact.low:.1%} to {one.exact.high:.1%})"
        if one.exact.low is not None and one.exact.high is not None
        else ""
    )
    return f"{one.model} exact {one.exact.value or 0.0:.1%}{interval} of {one.n:,}{_took(one)}"


def _texts_headline(texts: Texts) -> str:
    mean = texts.rouge_l
    return f"ROUGE-L {mean.value or 0.0:.3f} ({mean.low or 0.0:.3f} to {mean.high or 0.0:.3f})"


def _took(one: Evaluation) -> str:
    return f", {one.speed.latency.p50_ms:.1f} ms" if one.speed.latency is not None else ""


def compared(evaluations: Sequence[Evaluation]) -> Comparison | None:
    """Paired tests of the first against the others; None when it stands alone."""
    from microlith.evaluation.compare import compare

    return compare(evaluations[0], *evaluations[1:]) if len(evaluations) > 1 else None


def curves_of(card: Card | None, root: Path | None) -> dict[str, list[dict[str, Any]]]:
    """Events of the run that made an artifact; empty where the run is gone."""
    from microlith.registry import list_runs

    name = card.settings.get("run") if card is not None else None
    for run in list_runs(card.task, root=root) if card is not None and name else ():
        if run.name == name:
            try:
                return {
                    run.name: json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))["events"]
                }
            except (OSError, ValueError, KeyError):
                return {}
    return {}


def _facts(card: Card | None) -> dict[str, str]:
    if card is None:
        return {}
    sizes = ", ".join(f"{count:,} {part}" for part, count in card.data.splits.items())
    base = f"{card.base.name} ({card.base.licence})" if card.base is not None else "none"
    return {
        "artifact": f"{card.name}, {card.kind}, made {card.created}", "base": base, "data": f"{card.data.hash}: {sizes}",
        "seed": str(card.seed), "run": str(card.settings.get("run", "")),
    }  # fmt: skip


def _seen_in_training(task: Task, rows: Sequence[Example]) -> Iterator[Event]:
    """A warning where rows that are scored on stand in the files that are trained on."""
    from microlith.data.formats import read_rows
    from microlith.data.kin import normalise

    known = {normalise(example.input) for path in task.train_files for example in read_rows(path).examples}
    seen = [row.source for row in rows if normalise(row.input) in known]
    if seen:
        yield Warned(
            what=f"{len(seen)} of {len(rows)} rows stand in the training files too, so the score flatters: {', '.join(seen[:3])}, ...",
            facts={"rows": seen},
        )


def _spreads(
    card: Card | None, candidate: Evaluation, rows: Sequence[Example], task: Task, root: Path | None
) -> Generator[Event, None, tuple[Spread, ...]]:
    """The spread over all artifacts that share the candidate's data and settings, one a seed."""
    from microlith.evaluation.compare import spread
    from microlith.registry import list_artifacts

    if card is None:
        raise UsageError("rules have no seeds", mend="name a trained model with --model")
    inputs = card.settings.get("inputs")
    kin = {
        one.card.seed: one.version
        for one in reversed(list_artifacts(task.name, root=root))
        if one.card is not None and one.card.kind == card.kind and one.card.settings.get("inputs") == inputs
    }
    if len(kin) < 2:
        raise ArtifactError(
            f"only one seed of {card.name}'s recipe was trained",
            mend=f"microlith train {task.name} --seeds 3 trains more",
        )
    evaluations = [candidate]
    for seed, version in kin.items():
        if seed != card.seed:
            opened = open_model(str(task.folder), str(version), root=root, threads=usable_cores())
            evaluations.append((yield from score(opened, rows, task)))
    return spread(evaluations, spread_over(task))
