"""The linear model: TF-IDF and logistic regression for choices and counts, weighted features for slices.

It fills the same heads as the encoder and is decoded by the same code, so it differs in nothing but what it reads. It is
trained in seconds (`fit_linear`), needs only numpy to answer, and is the baseline that a bigger model has to beat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from microlith.data.example import Example
from microlith.errors import MicrolithError, MissingExtra
from microlith.inference.calibration import Calibrator, log_odds_of
from microlith.inference.confidence import DecisionConfidence, Thought
from microlith.inference.decode import Decoded, Decoder
from microlith.inference.fields import AnswerCheck, answer_each
from microlith.inference.grounding import Grounding, GroundingSpec, ground
from microlith.inference.layout import Layout, layout_of
from microlith.inference.linear_slices import SliceReader, number, scores
from microlith.inference.linear_text import TextVocabulary
from microlith.inference.protocol import Prediction
from microlith.task.plan import Json, Plan
from microlith.task.reading import write

Weights = npt.NDArray[np.float32]
Logits = dict[str, npt.NDArray[np.float32]]

ANSWER_FEATURES = ("log odds", "lowest", "margin", "decisions")
"""What the confidence of a whole answer is fitted on: log-odds of the product of its decisions' probabilities, the smallest of
their log-probabilities, the smallest lead over the second-best option, the number of decisions."""


@dataclass(frozen=True, kw_only=True)
class GroupWeights:
    """What was learnt for one group."""

    choice: Weights
    """(text features + 1, steps * choice columns); the last row is the bias."""
    count: Weights
    """(text features + 1, counts)."""
    slices: Weights
    """(slice features, spans + lists)."""


@dataclass(frozen=True, kw_only=True)
class LinearWeights:
    """Everything that was learnt."""

    spec: GroundingSpec
    text: TextVocabulary
    slices: Mapping[str, int]
    """Slice feature -> row of `GroupWeights.slices`."""
    groups: tuple[GroupWeights, ...]
    """One a group of the plan."""
    calibrator: Calibrator = field(default_factory=Calibrator)


class LinearModel:
    """Answers requests by weighted features."""

    def __init__(
        self,
        plan: Plan,
        weights: LinearWeights,
        *,
        name: str = "linear",
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """A model of `plan` with learnt `weights`; `clock` gives seconds."""
        self.plan, self.weights = plan, weights
        self._name, self._clock = name, clock
        self._layout: Layout = layout_of(plan)
        self._decoder = Decoder(plan, self._layout, weights.spec)
        self._check = AnswerCheck(plan, name)
        self._sure = DecisionConfidence(plan, weights.calibrator)

    @property
    def name(self) -> str:
        """Name shown beside every prediction."""
        return self._name

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        """Answer `requests`; see `Model.predict`. An empty request is refused."""
        return answer_each(requests, self._answer, clock=self._clock)

    def think(self, request: str) -> Thought:
        """The most probable answer, with the decisions that it follows from."""
        grounding = ground(request, self.weights.spec)
        decoded = self._decoder.decode(grounding, self._logits(grounding))
        return Thought(
            output=_written(self.plan, decoded, request),
            decoded=decoded,
            grounding=grounding,
            features=_features(decoded),
        )

    def calibrated(self, calibrator: Calibrator) -> LinearModel:
        """The same model with another calibration."""
        return LinearModel(
            self.plan, replace(self.weights, calibrator=calibrator), name=self._name, clock=self._clock
        )

    def save(self, folder: Path) -> None:
        """Write the model into an existing folder: see `linear_store`."""
        from microlith.inference.linear_store import save

        save(self, folder)

    @classmethod
    def load(cls, folder: Path, *, name: str = "linear") -> LinearModel:
        """Read what `save` wrote.

        Raises:
            ArtifactError: if a file is missing, damaged or does not fit the others.
        """
        from microlith.inference.linear_store import load

        return load(folder, name=name)

    def _answer(self, request: str) -> Prediction:
        if not request.strip():
            return self._check.refusal("the request is empty")
        return self._sure.prediction(request, self.think(request), self._check)

    def _logits(self, grounding: Grounding) -> Logits:
        """The heads of every group, as `decode` takes them."""
        columns, values = self.weights.text.vector(grounding.request)
        reader = SliceReader(grounding)
        features = number(reader, self.weights.slices)
        logits: Logits = {}
        for index, (heads, weights) in enumerate(zip(self._layout.groups, self.weights.groups, strict=True)):
            choice = _linear(weights.choice, columns, values)
            logits[f"{index}.choice"] = choice.reshape(heads.steps, heads.choice_width)
            logits[f"{index}.count"] = count = _linear(weights.count, columns, values)
            steps = heads.min_steps + int(count.argmax()) if heads.counts > 1 else heads.steps
            base = scores(features, grounding.candidates, weights.slices)
            placed = np.stack(
                [base + self._placed(reader, weights.slices, step, steps) for step in range(heads.steps)]
            )
            absent = np.asarray(weights.slices[list(features.absent)].sum(axis=0), dtype=np.float32)
            spans = len(heads.spans)
            logits[f"{index}.span"], logits[f"{index}.list"] = placed[:, :, :spans], placed[:, :, spans:]
            logits[f"{index}.absent"] = np.tile(absent[:spans], (heads.steps, 1))
        return logits

    def _placed(self, reader: SliceReader, weights: Weights, step: int, steps: int) -> Weights | float:
        """(candidates, slots) scores of each candidate's place; 0 where there is one step."""
        if steps < 2 or step >= steps:
            return 0.0
        rows = [
            [
                self.weights.slices[name]
                for name in reader.place(candidate, step, steps)
                if name in self.weights.slices
            ]
            for candidate in range(len(reader.grounding.candidates))
        ]
        return np.stack([weights[row].sum(axis=0) for row in rows]) if rows else 0.0


def fit_linear(
    plan: Plan, examples: Sequence[Example], seed: int = 0, *, name: str = "linear"
) -> LinearModel:
    """Train a linear model; needs scipy.

    Args:
        plan: The task's plan.
        examples: Rows to train on, at least one.
        seed: Fixes which negative slices are sampled.
        name: The model's name.

    Raises:
        TrainingError: if there are no rows, or the plan requires text or numbers that no slice gives.
        DataError: if an answer does not fit the schema.
        MissingExtra: if scipy is not installed.
    """
    try:
        import scipy.sparse  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            "training the linear model needs scipy", mend="pip install 'microlith[train]'"
        ) from error
    from microlith.inference.linear_fit import fit

    return LinearModel(plan, fit(plan, examples, seed), name=name)


def _linear(weights: Weights, columns: npt.NDArray[np.int32], values: npt.NDArray[np.float32]) -> Weights:
    product: Weights = values @ weights[columns] + weights[-1]
    return product


def _written(plan: Plan, decoded: Decoded, request: str) -> dict[str, Json] | None:
    """The answer that follows from the decisions; None where none does, e.g. because a computed value is refused."""
    if decoded.reading is None:
        return None
    try:
        return write(plan, decoded.reading, request)
    except MicrolithError:
        return None


def _features(decoded: Decoded) -> tuple[float, ...]:
    taken = [item.log_probability for item in decoded.decisions] or [0.0]
    margin = min((item.margin for item in decoded.decisions), default=0.0)
    return log_odds_of(sum(taken)), float(min(taken)), float(margin), float(len(taken))
