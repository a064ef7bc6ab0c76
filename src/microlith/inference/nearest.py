"""The nearest example: answers a request as the most similar request that is known was answered.

A baseline for tasks whose answers hold text, which no linear model writes; and their last resort.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from microlith.data.example import Example
from microlith.errors import ArtifactError, MicrolithError, TrainingError
from microlith.inference.fields import AnswerCheck, answer_each
from microlith.inference.protocol import Prediction
from microlith.inference.stored import SCHEMA
from microlith.inference.word_index import WordIndex
from microlith.task.compile import compile_plan
from microlith.task.plan import Json, Plan
from microlith.task.reading import read, write

FILE = "examples.jsonl"


class NearestModel:
    """Answers with a known answer. Safe to share between threads."""

    def __init__(
        self, plan: Plan, requests: Sequence[str], outputs: Sequence[Json], *, name: str = "nearest",
        clock: Callable[[], float] = perf_counter,
    ) -> None:  # fmt: skip
        """Index known requests, at least one; `clock` gives seconds.

        Raises:
            TrainingError: if there is none.
            MissingExtra: if bm25s is not installed.
        """
        if not requests:
            raise TrainingError(
                "there is not one example to be near to", mend="add rows to the task's data folder"
            )
        self.plan, self._requests, self._outputs = plan, list(requests), list(outputs)
        self._name, self._clock = name, clock
        self._check = AnswerCheck(plan, name)
        self._index = WordIndex(self._requests)

    @classmethod
    def of(cls, plan: Plan, examples: Sequence[Example]) -> NearestModel:
        """A model that knows `examples`."""
        return cls(plan, [one.input for one in examples], [one.output for one in examples])

    @classmethod
    def load(cls, folder: Path, *, name: str = "nearest") -> NearestModel:
        """Read what `save` wrote.

        Raises:
            ArtifactError: if a file is missing or damaged.
        """
        try:
            plan = compile_plan(json.loads((folder / SCHEMA).read_text(encoding="utf-8")))
            lines = (folder / FILE).read_text(encoding="utf-8").split("\n")
            rows = [json.loads(line) for line in lines if line]
            return cls(plan, [row["input"] for row in rows], [row["output"] for row in rows], name=name)
        except (OSError, ValueError, KeyError, TypeError, TrainingError) as error:
            raise ArtifactError(
                f"the model cannot be loaded: {error}",
                place=str(folder),
                mend="train it again, or choose another version",
            ) from error

    def save(self, folder: Path) -> None:
        """Write the examples into an existing folder."""
        lines = [
            json.dumps({"input": request, "output": output}) + "\n"
            for request, output in zip(self._requests, self._outputs, strict=True)
        ]
        (folder / FILE).write_text("".join(lines), encoding="utf-8")
        (folder / SCHEMA).write_text(json.dumps(self.plan.schema, ensure_ascii=False), encoding="utf-8")

    @property
    def name(self) -> str:
        """Name shown beside every prediction."""
        return self._name

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        """Answer `requests`; see `Model.predict`. An empty request is refused."""
        return answer_each(requests, self._answer, clock=self._clock)

    def _answer(self, request: str) -> Prediction:
        if not request.strip():
            return self._check.refusal("the request is empty")
        place, likeness = self._nearest(request)
        try:
            output = write(self.plan, read(self.plan, self._outputs[place]), request)
        except MicrolithError as error:
            return self._check.refusal(str(error))
        return self._check.prediction(request, output, confidence=likeness)

    def _nearest(self, request: str) -> tuple[int, float]:
        """Number of the most similar known request, and how like it is: its score beside its score with itself."""
        scores = self._scores(request)
        place = int(scores.argmax())
        own = float(self._scores(self._requests[place])[place])
        return place, min(float(scores[place]) / own, 1.0) if own > 0 else 0.0

    def _scores(self, request: str) -> Any:
        scores = self._index.scores(request)
        return np.zeros(len(self._requests)) if scores is None else scores
