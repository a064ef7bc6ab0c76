"""Is one model better than another on the same examples, or was it luck?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from microlith.errors import DataError, UsageError
from microlith.evaluation.gate import METRICS
from microlith.evaluation.intervals import Difference, bootstrap, paired_difference, scipy
from microlith.evaluation.result import Evaluation, Outcome, plain
from microlith.evaluation.wording import p_text, points

SIGNIFICANT = 0.05
"""A p-value below this counts as a difference."""


@dataclass(frozen=True, kw_only=True)
class TextPair:
    """Two models on the same examples, by the ROUGE-L of their texts."""

    candidate: float
    """Mean ROUGE-L of the candidate, 0-1."""
    reference: float
    difference: Difference
    """Candidate minus reference, with the 95 % interval of `text_preference`."""

    @property
    def better(self) -> bool:
        """True when the candidate's texts are nearer to the right ones and the interval says that it is not luck."""
        return self.difference.low > 0

    @property
    def worse(self) -> bool:
        """True when the candidate's texts are farther and the interval says that it is not luck."""
        return self.difference.high < 0


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models on the same examples, by whole-answer exactness and, where answers hold text, by its ROUGE-L."""

    candidate: str
    reference: str
    n: int
    only_candidate: int
    """b: examples that only the candidate has right."""
    only_reference: int
    """c: examples that only the reference has right."""
    both: int
    neither: int
    difference: float
    """Exactness of the candidate minus that of the reference, -1 to 1."""
    low: float
    """Lower end of the difference's 95 % interval (Newcombe 1998, method 10)."""
    high: float
    p_value: float
    """Two-sided exact McNemar test; 1 when the models never differ."""
    verdict: str
    """The finding in one sentence; where answers hold text, by `texts`, since no two good answers need be equal."""
    texts: TextPair | None = None
    """None where the plan writes no text."""

    @property
    def better(self) -> bool:
        """True when the candidate is better and the test says that it is not luck."""
        return self.difference > 0 and self.p_value < SIGNIFICANT

    @property
    def worse(self) -> bool:
        """True when the candidate is worse and the test says that it is not luck."""
        return self.difference < 0 and self.p_value < SIGNIFICANT


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A candidate against each of its references."""

    task: str
    candidate: str
    pairs: tuple[Pair, ...]

    def to_json(self) -> dict[str, Any]:
        """The comparison as a JSON object."""
        return dict(plain(self))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One metric over several seeds."""

    metric: str
    n: int
    """Evaluations in which the metric was scored."""
    mean: float
    sd: float | None
    """Sample standard deviation; None for fewer than two."""
    low: float
    """The smallest."""
    high: float
    """The largest."""


def compare(candidate: Evaluation, *references: Evaluation) -> Comparison:
    """Compare `candidate` with every one of `references`: exact McNemar tests, and paired bootstraps of texts.

    Raises:
        UsageError: if there is no reference.
        DataError: if the evaluations are not of the same examples.
    """
    if not references:
        raise UsageError("a comparison needs at least two evaluations")
    return Comparison(
        task=candidate.task,
        candidate=candidate.model,
        pairs=tuple(_pair(candidate, reference) for reference in references),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact McNemar test (McNemar 1947, with the binomial distribution): the p-value, 0-1.

    Args:
        only_first: Examples that only the first has right.
        only_second: Examples that only the second has right.
    """
    total, fewer = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2.0 * float(scipy("special").bdtr(fewer, total, 0.5))) if total else 1.0


def text_preference(
    candidate: Sequence[float], reference: Sequence[float], seed: int = 0
) -> tuple[float, float, float]:
    """Difference of two mean text scores of the same rows, with its 95 % paired bootstrap interval (Koehn 2004).

    Rows are drawn in pairs, so that what makes a row hard for both models does not blur their difference.

    Args:
        candidate: ROUGE-L, one a row, 0-1.
        reference: The same rows in the same order.
        seed: Draws the samples; the same seed gives the same interval.

    Returns:
        (candidate - reference, low, high), each -1 to 1. Zero outside of the interval: the difference is not luck.

    Raises:
        UsageError: if there is no row, or one side has more rows.
    """
    if len(candidate) != len(reference):
        raise UsageError(f"{len(candidate)} scores cannot be paired with {len(reference)}")
    differences = [one - other for one, other in zip(candidate, reference, strict=True)]
    low, high = bootstrap(differences, seed)
    return fmean(differences), low, high


def spread(
    evaluations: Sequence[Evaluation], metrics: Sequence[str] = ("exact", "ece")
) -> tuple[Spread, ...]:
    """Mean, standard deviation and range of `metrics` over several seeds; an unscored metric is left out.

    Raises:
        UsageError: if there is no evaluation, or a metric is unknown.
    """
    if not evaluations:
        raise UsageError("there is no evaluation to summarise")
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise UsageError(f"unknown metric {unknown[0]!r}; known are: {', '.join(METRICS)}")
    rows = []
    for name in metrics:
        values = [value for one in evaluations if (value := METRICS[name].read(one)) is not None]
        if values:
            rows.append(_spread(name, values))
    return tuple(rows)


def _spread(name: str, values: Sequence[float]) -> Spread:
    return Spread(
        metric=name,
        n=len(values),
        mean=fmean(values),
        sd=stdev(values) if len(values) > 1 else None,
        low=min(values),
        high=max(values),
    )


def _pair(candidate: Evaluation, reference: Evaluation) -> Pair:
    pairs = _aligned(candidate, reference)
    both = sum(one.right and other.right for one, other in pairs)
    first = sum(one.right and not other.right for one, other in pairs)
    second = sum(other.right and not one.right for one, other in pairs)
    neither = len(pairs) - both - first - second
    difference, low, high = paired_difference(both, first, second, neither)
    p_value, texts = mcnemar(first, second), _text_pair(pairs)
    exact = _verdict(candidate.model, reference.model, difference, (low, high), p_value)
    return Pair(
        candidate=candidate.model,
        reference=reference.model,
        n=len(pairs),
        only_candidate=first,
        only_reference=second,
        both=both,
        neither=neither,
        difference=difference,
        low=low,
        high=high,
        p_value=p_value,
        verdict=exact if texts is None else _text_verdict(candidate.model, reference.model, texts),
        texts=texts,
    )


def _text_pair(pairs: Sequence[tuple[Outcome, Outcome]]) -> TextPair | None:
    """The paired text scores; None where a row has none, as in evaluations that are older than these scores."""
    scores = [(one.rouge_l, other.rouge_l) for one, other in pairs]
    first = [one for one, _ in scores if one is not None]
    second = [other for _, other in scores if other is not None]
    if not pairs or len(first) < len(pairs) or len(second) < len(pairs):
        return None
    value, low, high = text_preference(first, second)
    return TextPair(
        candidate=fmean(first),
        reference=fmean(second),
        difference=Difference(value=value, low=low, high=high),
    )


def _aligned(candidate: Evaluation, reference: Evaluation) -> list[tuple[Outcome, Outcome]]:
    """Outcomes of the same example side by side; an example that occurs twice is paired in order."""
    if candidate.task != reference.task:
        raise DataError(
            f"{candidate.model} was scored on task {candidate.task!r} and {reference.model} on {reference.task!r}",
            mend="evaluate both on one task",
        )
    waiting: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in reversed(reference.outcomes):
        waiting[outcome.key].append(outcome)
    pairs = [(one, waiting[one.key].pop()) for one in candidate.outcomes if waiting[one.key]]
    strangers = len(candidate.outcomes) + len(reference.outcomes) - 2 * len(pairs)
    if strangers:
        raise DataError(
            f"{candidate.model} and {reference.model} were not scored on the same examples: {strangers} stand alone",
            mend="evaluate both on the same file",
        )
    return pairs


def _verdict(
    candidate: str, reference: str, difference: float, interval: tuple[float, float], p_value: float
) -> str:
    low, high = (points(end) for end in interval)
    chance = p_text(p_value) if p_value < 0.0001 else f"= {p_text(p_value)}"
    numbers = f"{points(difference)} points (95 % interval {low} to {high}), p {chance}"
    if p_value >= SIGNIFICANT or difference == 0:
        return f"no difference between {candidate} and {reference} is shown: {numbers}"
    word = "better" if difference > 0 else "worse"
    return f"{candidate} is {word} than {reference}: {numbers}"


def _text_verdict(candidate: str, reference: str, texts: TextPair) -> str:
    found = texts.difference
    numbers = (
        f"{points(found.value)} points of ROUGE-L (95 % interval {points(found.low)} to {points(found.high)})"
    )
    if not found.shown:
        return f"no difference between the texts of {candidate} and {reference} is shown: {numbers}"
    word = "nearer to" if found.value > 0 else "farther from"
    return f"the texts of {candidate} are {word} the right ones than those of {reference}: {numbers}"
