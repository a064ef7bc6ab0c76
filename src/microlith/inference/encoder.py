"""The encoder backend: an exported specialist, answered by onnxruntime. Needs neither torch nor transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from microlith.errors import ArtifactError
from microlith.inference.calibration import Calibrator
from microlith.inference.decode import FLOOR, Decided, Decoded, decode
from microlith.inference.fields import AnswerCheck, decision_facts
from microlith.inference.grounding import Grounding, GroundingSpec
from microlith.inference.layout import layout_of
from microlith.inference.protocol import Prediction
from microlith.inference.reader import Read, collate, read_requests
from microlith.task.compile import compile_plan
from microlith.task.plan import Json, Plan
from microlith.task.reading import write

BATCH_ROWS = 32
"""Most requests in one run of the network."""
READABLE = 20_000
"""Characters of a request that are handed to the tokenizer; far more than the pieces that are read."""
CALIBRATION = "calibration.json"
ANSWER_FEATURES = (
    "log probability", "lowest", "margin", "decisions", "steps", "incomplete", "out of scope", "log pieces", "unknown",
)  # fmt: skip
"""What the confidence of a whole answer is fitted on: sum and minimum of the decisions' log-probabilities, the smallest
lead over a second-best option, how many decisions and steps, whether the answer asks back or declines, the logarithm
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
        *, calibrator: Calibrator | None = None, name: str = "encoder", clock: Callable[[], float] = perf_counter,
    ) -> None:  # fmt: skip
        """A model from its loaded parts; `EncoderModel.load` reads them from a folder. `clock` gives seconds."""
        self.plan, self._spec, self._tokenizer, self._session = plan, spec, tokenizer, session
        self._calibrator = calibrator or Calibrator()
        self._name, self._clock = name, clock
        self._layout = layout_of(plan)
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
            threads: Processor threads of one run, at least 1.
            file: Name of the network's file.

        Raises:
            ArtifactError: if a file is missing or damaged.
        """
        try:
            plan = compile_plan(json.loads((folder / "schema.json").read_text(encoding="utf-8")))
            raw = json.loads((folder / "grounding.json").read_text(encoding="utf-8"))
            spec = GroundingSpec(**{**raw, "formats": tuple(raw["formats"]), "atoms": tuple(raw["atoms"])})
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            session = _session(folder / file, threads)
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
        return cls(plan, spec, tokenizer, session, calibrator=calibrator, name=name)

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
        order = sorted(filled, key=lambda index: len(requests[index]))
        for begin in range(0, len(order), BATCH_ROWS):
            part, start = order[begin : begin + BATCH_ROWS], self._clock()
            made = [self._prediction(requests[index], thought) for index, thought in
                    zip(part, self._think([requests[index] for index in part]), strict=True)]  # fmt: skip
            share = 1000.0 * (self._clock() - start) / len(part)
            for index, prediction in zip(part, made, strict=True):
                predictions[index] = replace(prediction, latency_ms=share)
        return [one for one in predictions if one is not None]

    def think_all(self, requests: Sequence[str]) -> list[Thought]:
        """The most probable answer to every request, with the decisions that it follows from."""
        thoughts: dict[int, Thought] = {}
        order = sorted(range(len(requests)), key=lambda index: len(requests[index]))
        for begin in range(0, len(order), BATCH_ROWS):
            part = order[begin : begin + BATCH_ROWS]
            thoughts.update(zip(part, self._think([requests[index] for index in part]), strict=True))
        return [thoughts[index] for index in range(len(requests))]

    def calibrated(self, calibrator: Calibrator) -> EncoderModel:
        """The same model with another calibration."""
        return EncoderModel(
            self.plan, self._spec, self._tokenizer, self._session,
            calibrator=calibrator, name=self._name, clock=self._clock,
        )  # fmt: skip

    def save_calibration(self, folder: Path) -> None:
        """Write the calibration beside the network."""
        text = json.dumps(self._calibrator.to_json(), indent=2)
        (folder / CALIBRATION).write_text(text, encoding="utf-8")

    def _think(self, requests: Sequence[str]) -> Iterator[Thought]:
        readable = [request[:READABLE].encode("utf-8", "replace").decode("utf-8") for request in requests]
        reads = read_requests(readable, self._tokenizer, self._spec)
        arrays = self._session.run(self._outputs, collate(reads).arrays())
        for row, (request, one) in enumerate(zip(requests, reads, strict=True)):
            logits = {name: values[row] for name, values in zip(self._outputs, arrays, strict=True)}
            decoded = decode(self.plan, self._layout, self._spec, one.grounding, logits)
            output = None if decoded.reading is None else write(self.plan, decoded.reading, request)
            yield Thought(
                output=output,
                decoded=decoded,
                grounding=one.grounding,
                features=self._features(one, decoded, output),
            )

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
            sum(item.log_probability for item in items),
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
        fitted = self._calibrator.answer
        sure = np.exp(thought.features[0]) if fitted is None else fitted.predict([thought.features])[0]
        return self._check.prediction(
            request, thought.output, confidence=float(sure), confidences=confidences, spans=spans
        )

    def _sure(self, item: Decided) -> float:
        kind = self._kinds.get((item.group, item.key), "count")
        return float(np.log(max(self._calibrator.field_confidence(kind, item.log_probability)[0], 1e-300)))


def _session(path: Path, threads: int) -> Any:
    if not path.is_file():
        raise ArtifactError(f"{path.name} is missing", place=str(path.parent), mend="train it again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    # Weights stored as int8 are unpacked once while loading; without this they would be multiplied in lower precision.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
