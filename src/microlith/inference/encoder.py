"""The encoder backend: an exported specialist, answered by onnxruntime. Needs neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import exp, log
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from microlith.errors import ArtifactError
from microlith.inference.calibration import Calibrator
from microlith.inference.confidence import ANSWER_FACTS, DecisionConfidence, Thought, answer_facts
from microlith.inference.decode import Decoded, Decoder, Logits
from microlith.inference.fields import AnswerCheck
from microlith.inference.grounding import FEATURES, GroundingSpec
from microlith.inference.layout import layout_of
from microlith.inference.protocol import Prediction
from microlith.inference.reader import Read, collate, read_requests
from microlith.inference.stored import (
    READABLE,
    TOKENIZER,
    loading,
    read_calibration,
    read_plan,
    write_calibration,
)
from microlith.task.plan import Json, Plan
from microlith.task.reading import write

Result = TypeVar("Result")
BATCH_ROWS = 8
"""Most requests in one run of the network."""
ANSWER_FEATURES = (*ANSWER_FACTS, "log pieces", "unknown", "peak", "entropy")
"""What the confidence of a whole answer is fitted on: the facts that every backend knows, the logarithm of the number of
pieces, the share of tokens that the encoder does not know, and the greatest logit and the entropy of the outermost choice."""


class EncoderModel:
    """Answers requests with an exported encoder. Safe to share between threads."""

    def __init__(
        self, plan: Plan, spec: GroundingSpec, tokenizer: Tokenizer, session: onnxruntime.InferenceSession,
        *, calibrator: Calibrator | None = None, name: str = "encoder", threads: int = 1,
        clock: Callable[[], float] = perf_counter,
    ) -> None:  # fmt: skip
        """A model from its loaded parts; `EncoderModel.load` reads them from a folder. `clock` gives seconds."""
        self.plan, self._spec, self._tokenizer, self._session = plan, spec, tokenizer, session
        self._sure = DecisionConfidence(plan, calibrator or Calibrator())
        self._name, self._clock, self._threads = name, clock, threads
        layout = layout_of(plan)
        self._decoder = Decoder(plan, layout, spec)
        root = layout.groups[0].choices
        self._first = root[0].columns if root else None
        self._outputs = [output.name for output in session.get_outputs()]
        self._check = AnswerCheck(plan, name)
        self._unknown = tokenizer.token_to_id("[UNK]")

    @classmethod
    def load(
        cls, folder: Path, *, name: str = "encoder", threads: int = 1, file: str = "model.onnx"
    ) -> EncoderModel:
        """Load an exported model.

        Args:
            folder: Holds the network, `tokenizer.json`, `schema.json`, `grounding.json` and, once fitted, `calibration.json`.
            name: Shown beside every prediction.
            threads: Batches that are worked on at a time, at least 1; each takes one processor core.
            file: Name of the network's file.

        Raises:
            ArtifactError: if a file is missing or damaged.
        """
        with loading(folder):
            plan, spec = read_plan(folder)
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            session = _session(folder / file)
            _check_inputs(session, folder)
            calibrator = read_calibration(folder)
        return cls(plan, spec, tokenizer, session, calibrator=calibrator, name=name, threads=threads)

    @property
    def name(self) -> str:
        """Name shown beside every prediction."""
        return self._name

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        """Answer `requests`; see `Model.predict`. An empty request is refused."""
        predictions: list[Prediction | None] = [None] * len(requests)
        filled = [index for index, request in enumerate(requests) if request.strip()]
        for index in set(range(len(requests))).difference(filled):
            predictions[index] = self._check.refusal("the request is empty")
        for part, made in self._in_parts(self._timed, requests, filled):
            for index, prediction in zip(part, made, strict=True):
                predictions[index] = prediction
        return [one for one in predictions if one is not None]

    def think_all(self, requests: Sequence[str]) -> list[Thought]:
        """The most probable answer to every request, with the decisions that it follows from."""
        thoughts: dict[int, Thought] = {}
        for part, made in self._in_parts(self._think, requests, range(len(requests))):
            thoughts.update(zip(part, made, strict=True))
        return [thoughts[index] for index in range(len(requests))]

    def _in_parts(
        self, work: Callable[[list[str]], list[Result]], requests: Sequence[str], indices: Iterable[int]
    ) -> list[tuple[list[int], list[Result]]]:
        """Do the requests at `indices` in batches of like length, several at a time where the model has threads for it."""
        order = sorted(indices, key=lambda index: len(requests[index]))
        parts = [order[begin : begin + BATCH_ROWS] for begin in range(0, len(order), BATCH_ROWS)]
        batches = [[requests[index] for index in part] for part in parts]
        if self._threads == 1 or len(parts) < 2:
            return [(part, work(batch)) for part, batch in zip(parts, batches, strict=True)]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(zip(parts, pool.map(work, batches), strict=True))

    def calibrated(self, calibrator: Calibrator) -> EncoderModel:
        """The same model with another calibration."""
        return EncoderModel(
            self.plan, self._spec, self._tokenizer, self._session,
            calibrator=calibrator, name=self._name, threads=self._threads, clock=self._clock,
        )  # fmt: skip

    def save_calibration(self, folder: Path) -> None:
        """Write the calibration beside the network."""
        write_calibration(self._sure.calibrator, folder)

    def _timed(self, requests: list[str]) -> list[Prediction]:
        """Answers to one batch, each with its share of the time."""
        start = self._clock()
        made = [
            self._sure.prediction(request, thought, self._check)
            for request, thought in zip(requests, self._think(requests), strict=True)
        ]
        share = 1000.0 * (self._clock() - start) / len(requests)
        return [replace(prediction, latency_ms=share) for prediction in made]

    def _think(self, requests: Sequence[str]) -> list[Thought]:
        readable = [request[:READABLE].encode("utf-8", "replace").decode("utf-8") for request in requests]
        reads = read_requests(readable, self._tokenizer, self._spec)
        arrays = self._session.run(self._outputs, collate(reads).arrays())
        thoughts = []
        for row, (request, one) in enumerate(zip(requests, reads, strict=True)):
            logits = {name: values[row] for name, values in zip(self._outputs, arrays, strict=True)}
            decoded = self._decoder.decode(one.grounding, logits)
            output = None if decoded.reading is None else write(self.plan, decoded.reading, request)
            features = self._features(one, decoded, output) + self._outermost(logits)
            thoughts.append(
                Thought(output=output, decoded=decoded, grounding=one.grounding, features=features)
            )
        return thoughts

    def _features(self, one: Read, decoded: Decoded, output: Json) -> tuple[float, ...]:
        total = sum(item.log_probability for item in decoded.decisions)
        return (
            *answer_facts(self.plan, decoded.decisions, output, total),
            float(np.log1p(len(one.grounding.shown))),
            float(np.mean(one.ids == self._unknown)) if self._unknown is not None else 0.0,
        )

    def _outermost(self, logits: Logits) -> tuple[float, float]:
        """Greatest logit and entropy of the root's first choice: low and high where a request is like none that was learnt."""
        if self._first is None:
            return 0.0, 0.0
        scores = logits["0.choice"][0, self._first].tolist()
        peak = max(scores)
        weights = [exp(one - peak) for one in scores]
        total = sum(weights)
        return peak, log(total) - sum(
            weight * (one - peak) for weight, one in zip(weights, scores, strict=True)
        ) / total


def _check_inputs(session: Any, folder: Path) -> None:
    """A network that was made for other features cannot be asked."""
    shape = next(one.shape for one in session.get_inputs() if one.name == "features")
    if shape[-1] != len(FEATURES):
        raise ArtifactError(
            f"the model reads {shape[-1]} features of a slice, this version of microlith gives {len(FEATURES)}",
            place=str(folder),
            mend="train it again",
        )


def _session(path: Path) -> Any:
    if not path.is_file():
        raise ArtifactError(f"{path.name} is missing", place=str(path.parent), mend="train it again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
