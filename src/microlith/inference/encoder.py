"""The encoder backend: an exported specialist, answered by onnxruntime. Needs neither torch nor transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from microlith.errors import ArtifactError
from microlith.inference.calibration import Calibrator, log_odds_of
from microlith.inference.decode import Decided, Decoded, Decoder
from microlith.inference.decode_step import FLOOR
from microlith.inference.fields import AnswerCheck, decision_facts
from microlith.inference.grounding import Grounding, GroundingSpec
from microlith.inference.layout import layout_of
from microlith.inference.protocol import Prediction
from microlith.inference.reader import Read, collate, read_requests
from microlith.task.compile import compile_plan
from microlith.task.plan import Json, Plan
from microlith.task.reading import write

Result = TypeVar("Result")
BATCH_ROWS = 32
"""Most requests in one run of the network."""
READABLE = 20_000
"""Characters of a request that are handed to the tokenizer; far more than the pieces that are read."""
CALIBRATION = "calibration.json"
ANSWER_FEATURES = (
    "log odds", "lowest", "margin", "decisions", "steps", "incomplete", "out of scope", "log pieces", "unknown",
)  # fmt: skip
"""What the confidence of a whole answer is fitted on: log-odds of the product of its decisions' probabilities, the smallest
of their log-probabilities, the smallest lead over a second-best option, how many decisions and steps, whether the answer asks back or declines, the logarithm
of the number of pieces, and the share of tokens that the encoder does not know."""


@dataclass(frozen=True, kw_only=True)
class Thought:
    """One answer before it is checked: what `evaluation.calibrate` is fitted on."""

    output: Json
    """None where no valid answer exists."""
    decoded: Decoded
    grounding: Grounding
    features: tuple[float, ...]
    """Values of `ANSWER_FEATURES`."""


class EncoderModel:
    """Answers requests with an exported encoder. Safe to share between threads."""

    def __init__(
        self, plan: Plan, spec: GroundingSpec, tokenizer: Tokenizer, session: onnxruntime.InferenceSession,
        *, calibrator: Calibrator | None = None, name: str = "encoder", threads: int = 1,
        clock: Callable[[], float] = perf_counter,
    ) -> None:  # fmt: skip
        """A model from its loaded parts; `EncoderModel.load` reads them from a folder. `clock` gives seconds."""
        self.plan, self._spec, self._tokenizer, self._session = plan, spec, tokenizer, session
        self._calibrator = calibrator or Calibrator()
        self._name, self._clock, self._threads = name, clock, threads
        self._decoder = Decoder(plan, layout_of(plan), spec)
        self._outputs = [output.name for output in session.get_outputs()]
        self._check = AnswerCheck(plan, name)
        self._unknown = tokenizer.token_to_id("[UNK]")
        self._kinds = {
            (group.path, key): slot.kind for group in plan.groups for key, slot in group.slots.items()
        }

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
        try:
            plan = compile_plan(json.loads((folder / "schema.json").read_text(encoding="utf-8")))
            raw = json.loads((folder / "grounding.json").read_text(encoding="utf-8"))
            spec = GroundingSpec(**{**raw, "formats": tuple(raw["formats"]), "atoms": tuple(raw["atoms"])})
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            session = _session(folder / file)
            fitted = folder / CALIBRATION
            calibrator = (
                Calibrator.from_json(json.loads(fitted.read_text(encoding="utf-8")))
                if fitted.is_file()
                else None
            )
        except ArtifactError:
            raise
        except Exception as error:  # onnxruntime and tokenizers raise bare exceptions for any damage
            reason = f"{type(error).__name__}: {error}"[:300]
            raise ArtifactError(
                f"the model cannot be loaded: {reason}",
                place=str(folder),
                mend="train it again, or choose another version",
            ) from error
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
        text = json.dumps(self._calibrator.to_json(), indent=2)
        (folder / CALIBRATION).write_text(text, encoding="utf-8")

    def _timed(self, requests: list[str]) -> list[Prediction]:
        """Answers to one batch, each with its share of the time."""
        start = self._clock()
        made = [
            self._prediction(request, thought)
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
            features = self._features(one, decoded, output)
            thoughts.append(
                Thought(output=output, decoded=decoded, grounding=one.grounding, features=features)
            )
        return thoughts

    def _features(self, one: Read, decoded: Decoded, output: Json) -> tuple[float, ...]:
        items = decoded.decisions
        clarify, outside = self.plan.clarify, self.plan.root.slots
        tags = {item.key: item.value for item in items if item.key in self.plan.root.discriminators}
        declined = any(
            value is not None and value == getattr(outside[key].decision, "out_of_scope", None)
            for key, value in tags.items()
        )
        asks = (
            clarify is not None and isinstance(output, dict) and output.get(clarify.tag[0]) == clarify.tag[1]
        )
        return (
            log_odds_of(sum(item.log_probability for item in items)),
            min((item.log_probability for item in items), default=FLOOR),
            min((item.margin for item in items), default=0.0),
            float(len(items)),
            float(max((item.step for item in items), default=0) + 1),
            float(asks),
            float(declined),
            float(np.log1p(len(one.grounding.shown))),
            float(np.mean(one.ids == self._unknown)) if self._unknown is not None else 0.0,
        )

    def _prediction(self, request: str, thought: Thought) -> Prediction:
        if thought.output is None:
            return self._check.refusal("no valid answer can be made of this request")
        decisions = [replace(item, log_probability=self._sure(item)) for item in thought.decoded.decisions]
        decoded = Decoded(reading=thought.decoded.reading, decisions=decisions)
        confidences, spans = decision_facts(self.plan, decoded, thought.grounding, thought.output)
        sure = self._calibrator.answer_confidence(
            thought.features, [item.log_probability for item in decisions]
        )
        return self._check.prediction(
            request, thought.output, confidence=sure, confidences=confidences, spans=spans
        )

    def _sure(self, item: Decided) -> float:
        kind = self._kinds.get((item.group, item.key), "count")
        return self._calibrator.decision_log_confidence(kind, item.log_probability)


def _session(path: Path) -> Any:
    if not path.is_file():
        raise ArtifactError(f"{path.name} is missing", place=str(path.parent), mend="train it again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
