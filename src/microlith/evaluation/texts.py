"""How good is the free text of an answer? No two good answers need be equal, so texts are compared word by word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from statistics import fmean
from typing import Any

from microlith.errors import MissingExtra
from microlith.evaluation.cases import Row
from microlith.evaluation.decisions import reading_of, same
from microlith.evaluation.intervals import mean_of, share_of
from microlith.evaluation.result import Texts
from microlith.task.plan import Choice, Group, Json, Plan, Slot, Variant
from microlith.task.reading import variant_of

_WORD = re.compile(r"[^\W_]+")
_RUN = 3
"""Words of a run that counts as repeated."""
Step = Mapping[str, Json]


def texts_of(plan: Plan, answer: Json) -> tuple[str, ...]:
    """All free text of an answer in the order of the schema; nothing for what the plan cannot read."""
    reading = reading_of(plan, answer) or {}
    groups = {group.path: group for group in plan.groups[1:]}
    found: list[str] = []
    for step in reading.get((), ()):
        variant = variant_of(plan.root, step)
        for path in variant.order:
            if path in groups:
                for item in reading[path]:
                    inner = variant_of(groups[path], item)
                    found += _written(groups[path], inner, item, inner.order)
            else:
                found += _written(plan.root, variant, step, [path])
    return tuple(found)


def words_of(text: str) -> list[str]:
    """The words of a text, letters and digits of any script, in lower case."""
    return _WORD.findall(text.casefold())


def rouge_l(reference: Sequence[str], texts: Sequence[str]) -> float:
    """ROUGE-L F-measure, 0-1, of all texts of an answer against all of the right answer (Lin 2004).

    It is the harmonic mean of the shares of words, here and there, that lie on the longest common subsequence. Two
    answers without a word are alike.

    Raises:
        MissingExtra: if rouge-score is not installed.
    """
    wanted, given = "\n".join(reference), "\n".join(texts)
    if not words_of(wanted) and not words_of(given):
        return 1.0
    return float(scorer().score(wanted, given)["rougeL"].fmeasure)


def repetition(texts: Sequence[str]) -> float:
    """Share of an answer's word trigrams that stood before in the same answer, 0-1; 0 for fewer than 3 words."""
    words = words_of("\n".join(texts))
    runs = [tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def distinct(answers: Iterable[Sequence[str]]) -> float | None:
    """Share of different texts among all texts of all answers, 0-1; None where there is none."""
    written = [text for texts in answers for text in texts]
    return len(set(written)) / len(written) if written else None


def agreed(plan: Plan, expected: Json, answer: Json) -> Iterator[bool]:
    """For each computed value and single choice of `expected`: does `answer` hold the same at the same place?"""
    wanted, given = reading_of(plan, expected) or {}, reading_of(plan, answer) or {}
    for group in plan.groups:
        theirs = _levels(plan, group, given.get(group.path, ()), answer)
        for index, levels in enumerate(_levels(plan, group, wanted.get(group.path, ()), expected)):
            found = theirs[index] if index < len(theirs) else {}
            yield from (key in found and same(value, found[key]) for key, value in levels.items())


def score_texts(plan: Plan, rows: Sequence[Row]) -> Texts | None:
    """Score the texts of all answers; None where the plan writes none."""
    if not plan.writes_text:
        return None
    right = [texts_of(plan, row.example.output) for row in rows]
    valid = [texts_of(plan, row.output) for row in rows if row.outcome.valid]
    return Texts(
        n=len(rows),
        rouge_l=mean_of([row.outcome.rouge_l or 0.0 for row in rows]),
        repetition=_mean([repetition(texts) for texts in valid]),
        words=_mean([_count(texts) for texts in valid]),
        distinct=distinct(valid),
        agreement=share_of(
            [
                right_there
                for row in rows
                for right_there in agreed(plan, row.example.output, row.output if row.outcome.valid else None)
            ]
        ),
        reference_repetition=fmean(repetition(texts) for texts in right),
        reference_words=fmean(_count(texts) for texts in right),
        reference_distinct=distinct(right),
    )


@lru_cache(maxsize=1)
def scorer() -> Any:
    """What computes ROUGE-L, loaded on first use.

    Raises:
        MissingExtra: if rouge-score is not installed.
    """
    try:
        module = import_module("rouge_score.rouge_scorer")
    except ImportError as error:
        raise MissingExtra(
            "rouge-score is not installed; scoring answers that hold text needs it",
            mend='run: pip install "microlith[train]"',
        ) from error
    return module.RougeScorer(["rougeL"], tokenizer=_Words())


class _Words:
    """Splits texts for rouge-score, whose own splitting knows no letters but a to z."""

    def tokenize(self, text: str) -> list[str]:
        return words_of(text)


def _written(group: Group, variant: Variant, step: Step, paths: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The free text that a step holds at `paths`, in their order."""
    by_path = {group.slots[key].path: key for key in variant.slots if group.slots[key].kind == "text"}
    for path in paths:
        value = step.get(by_path[path]) if path in by_path else None
        items = value if isinstance(value, list) else [value]
        yield from (item for item in items if isinstance(item, str))


def _levels(plan: Plan, group: Group, steps: Sequence[Step], answer: Json) -> list[dict[str, Json]]:
    """Slot key -> value of the computed values and single choices, step by step; what is absent is left out."""
    found: list[dict[str, Json]] = []
    for step, node in zip(steps, _nodes(plan, group, answer) if steps else (), strict=True):
        variant = variant_of(group, step)
        levels = {key: step.get(key) for key in (*variant.tags, *variant.slots) if _single(group.slots[key])}
        levels |= {key: _at(node, group.slots[key].path) for key in variant.computed}
        found.append({key: value for key, value in levels.items() if value is not None})
    return found


def _single(slot: Slot) -> bool:
    return isinstance(slot.decision, Choice) and slot.max_items is None


def _nodes(plan: Plan, group: Group, answer: Json) -> Sequence[Json]:
    """The objects of an answer that the steps of its reading stand for."""
    if group is not plan.root:
        return list(_at(answer, group.path) or ())
    several = plan.sequence
    if several is not None and answer.get(several.tag[0]) == several.tag[1]:
        return list(answer[several.steps])
    return (answer,)


def _at(node: Json, path: tuple[str, ...]) -> Json:
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _count(texts: Sequence[str]) -> int:
    return sum(len(words_of(text)) for text in texts)


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
