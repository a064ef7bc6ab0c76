"""The decisions of one answer, noted while they are taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from microlith.inference.asks import Option, Place, Walked, Write
from microlith.inference.decode import Decided, Decoded
from microlith.task.plan import Json

Logits = npt.NDArray[np.float32]
LEAD = 30.0
"""Greatest lead of an option over the others, which the only one has."""


@dataclass(kw_only=True)
class Guided:
    """One answer as a model gave it."""

    output: Json
    """None where no valid answer exists."""
    decoded: Decoded
    log_probability: float = 0.0
    """Natural logarithm of the probability of all that was picked, texts left out."""
    allowed: float = 0.0
    """Least logarithm of the probability that the model gave to what was allowed, over all that was asked; near 0 where
    the model wanted nothing else."""
    wording: float = 0.0
    """Mean logarithm of the probability of the tokens of texts; 0 where there are none."""
    tokens: int = 0
    """Tokens that were read, the prompt included."""
    why: str = ""
    """Why there is no answer; empty where there is one."""


@dataclass(kw_only=True)
class Taken:
    """What one ask came to."""

    log_probability: float = 0.0
    margin: float = math.inf
    allowed: float = 0.0
    tokens: int = 0

    def add(
        self, logits: Logits, tokens: Sequence[int] | npt.NDArray[np.int64], chosen: Sequence[int]
    ) -> None:
        """Count one choice: `chosen` of `tokens`."""
        places = np.asarray(tokens)
        others = places[~np.isin(places, chosen)]
        inside = log_sum(logits[places])
        mine = log_sum(logits[list(chosen)])
        self.log_probability += min(mine - inside, 0.0)
        self.allowed = min(self.allowed, inside - log_sum(logits))
        if len(others):
            self.margin = min(self.margin, max(mine - log_sum(logits[others]), 0.0))

    def wrote(self, logits: Logits, scores: Logits, token: int) -> None:
        """Count one token of a text; `scores` are the logits of those that might stand there, minus infinity for the others."""
        best, mine = float(scores.max()), float(scores[token])
        weights = np.exp(scores - best)
        inside = best + math.log(float(weights.sum(dtype=np.float64)))
        weights[token] = 0.0
        others = float(weights.sum(dtype=np.float64))
        self.log_probability += min(mine - inside, 0.0)
        self.allowed = min(self.allowed, inside - log_sum(logits))
        if others > 0.0:
            self.margin = min(self.margin, max(mine - best - math.log(others), 0.0))
        self.tokens += 1


@dataclass(kw_only=True)
class Notes:
    """The decisions of one answer, as they are taken."""

    decisions: list[Decided] = field(default_factory=list)
    total: float = 0.0
    allowed: float = 0.0
    wording: float = 0.0
    words: int = 0
    carried: float = 0.0
    """What naming the next member cost, which counts with its value."""
    counts: dict[tuple[tuple[str, ...], int, str], Decided] = field(default_factory=dict)
    """How many items there are, so far."""

    def picked(self, place: Place, option: Option, taken: Taken) -> None:
        """An option was taken."""
        self.total += taken.log_probability
        self.allowed = min(self.allowed, taken.allowed)
        key = option.key or place.key
        if place.kind == "presence":
            for absent, value in option.value.items():
                self._decide(place, absent, value, taken)
            self.carried = 0.0 if option.value else taken.log_probability
        elif place.kind == "count" or key == "#count":
            self._count(place, key, option.value, taken)
        elif key == "#asks":
            self.carried += taken.log_probability
        elif option.value is not None:
            self._decide(
                place, key, option.value, taken, (option.candidate,) if option.candidate >= 0 else ()
            )

    def written(self, ask: Write, value: Json, taken: Taken) -> None:
        """A text or a number was written."""
        self.allowed = min(self.allowed, taken.allowed)
        if ask.number is None:
            self.wording += taken.log_probability
            self.words += taken.tokens
            taken.log_probability /= max(taken.tokens, 1)
        else:
            self.total += taken.log_probability
        self._decide(ask.place, ask.place.key, value, taken)

    def _decide(
        self, place: Place, key: str, value: Json, taken: Taken, candidates: tuple[int, ...] = ()
    ) -> None:
        sure = taken.log_probability
        if place.kind != "presence":
            sure, self.carried = sure + self.carried, 0.0
        margin = min(taken.margin, LEAD)
        self.decisions.append(
            Decided(
                group=place.group, step=place.step, key=key, value=value, log_probability=min(sure, 0.0),
                candidates=candidates, margin=margin,
            )
        )  # fmt: skip

    def _count(self, place: Place, key: str, count: Json, taken: Taken) -> None:
        """Another item, or the end: one decision of how many there are, whose probability is the product."""
        step = 0 if key == "#count" else place.step
        known = self.counts.get((place.group, step, key))
        before = known.log_probability if known is not None else 0.0
        margin = min(known.margin if known is not None else math.inf, taken.margin)
        self.counts[place.group, step, key] = Decided(
            group=place.group, step=step, key=key, value=count, log_probability=before + taken.log_probability,
            margin=min(margin, LEAD),
        )  # fmt: skip

    def guided(self, walked: Walked | None, tokens: int) -> Guided:
        """The answer with its decisions."""
        if walked is None:
            return Guided(output=None, decoded=Decoded(reading=None), tokens=tokens)
        return Guided(
            output=walked.output, decoded=Decoded(reading=walked.reading, decisions=self._together(walked.reading)),
            log_probability=self.total, allowed=self.allowed, wording=self.wording / max(self.words, 1), tokens=tokens,
        )  # fmt: skip

    def _together(self, reading: Mapping[tuple[str, ...], Sequence[Mapping[str, Json]]]) -> list[Decided]:
        """The decisions, those on the values of one list as one, with that on how many there are."""
        found: dict[tuple[tuple[str, ...], int, str], Decided] = {}
        for one in self.decisions:
            where = (one.group, one.step, one.key)
            whole = _value_at(reading, where)
            if not isinstance(whole, list):
                found[where] = one
                continue
            other = found.get(where) or self.counts.get(where)
            found[where] = replace(
                one, value=whole, margin=min(one.margin, other.margin) if other else one.margin,
                log_probability=one.log_probability + (other.log_probability if other else 0.0),
                candidates=((*other.candidates, *one.candidates) if other else one.candidates),
            )  # fmt: skip
        return [*(one for one in self.counts.values() if one.key == "#count"), *found.values()]


def _value_at(
    reading: Mapping[tuple[str, ...], Sequence[Mapping[str, Json]]], where: tuple[tuple[str, ...], int, str]
) -> Json:
    steps = reading.get(where[0], ())
    return steps[where[1]].get(where[2]) if where[1] < len(steps) else None


def log_sum(values: Logits) -> float:
    """The logarithm of the sum of exponentials."""
    peak = values.max()
    return float(peak) + math.log(float(np.exp(values - peak).sum(dtype=np.float64)))
