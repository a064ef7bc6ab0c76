"""The generative backend: a language model as a GGUF file, run by llama.cpp in this process, held to the plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from time import perf_counter

from microlith.inference.calibration import Calibrator
from microlith.inference.confidence import ANSWER_FACTS, DecisionConfidence, Thought, answer_facts
from microlith.inference.decode_step import FLOOR
from microlith.inference.fields import AnswerCheck, answer_each
from microlith.inference.grounding import GroundingSpec
from microlith.inference.guided import Guide
from microlith.inference.llama_cpp import LlamaFile
from microlith.inference.notes import Guided
from microlith.inference.prompt import Pieces, Prompt
from microlith.inference.protocol import Prediction
from microlith.inference.spelling import Speller
from microlith.inference.stored import (
    READABLE,
    TOKENIZER,
    loading,
    read_calibration,
    read_plan,
    write_calibration,
)
from microlith.task.plan import Json, Plan

MODEL_FILE, PROMPT_FILE = "model.gguf", "prompt.json"
LONGEST_CONTEXT = 1 << 17
"""Most tokens of a context that are believed; memory for more would be asked for in vain."""
ANSWER_FEATURES = (*ANSWER_FACTS, "allowed", "wording")
"""What the confidence of a whole answer is fitted on: the facts that every backend knows, how much of the model's probability
was on what may follow, and the mean log-probability of the tokens of texts. Where an answer holds texts, its probability is
the mean of its decisions'."""


class GenerativeModel:
    """Answers requests with a language model. Safe to share between threads, which take turns."""

    def __init__(
        self, plan: Plan, spec: GroundingSpec, pieces: Pieces, prompt: Prompt, file: LlamaFile, *,
        calibrator: Calibrator | None = None, name: str = "generative", clock: Callable[[], float] = perf_counter,
    ) -> None:  # fmt: skip
        """A model from its loaded parts; `GenerativeModel.load` reads them from a folder. `clock` gives seconds."""
        self.plan, self.spec, self.prompt = plan, spec, prompt
        self._parts = spec, pieces, prompt, file
        self.context_tokens = file.context_tokens
        self._speller = Speller(plan, spec)
        self._guide = Guide(self._speller, pieces, prompt, file)
        self._sure = DecisionConfidence(plan, calibrator or Calibrator())
        self._check = AnswerCheck(plan, name)
        self._name, self._clock, self._turn = name, clock, Lock()
        self._writes = plan.writes_text

    @classmethod
    def load(
        cls, folder: Path, *, name: str = "generative", threads: int = 1, file: str = MODEL_FILE,
        adapter: Path | None = None,
    ) -> GenerativeModel:  # fmt: skip
        """Load an exported model.

        Args:
            folder: Holds the GGUF file, `tokenizer.json`, `prompt.json`, `schema.json`, `grounding.json` and, once fitted,
                `calibration.json`.
            name: Shown beside every prediction.
            threads: Processor cores that one answer is computed on, at least 1.
            file: Name of the GGUF file.
            adapter: A LoRA adapter as GGUF that is applied on top; None for none.

        Raises:
            ArtifactError: if a file is missing or damaged.
            MissingExtra: if xllamacpp is not installed.
        """
        with loading(folder):
            plan, spec = read_plan(folder)
            pieces = Pieces.of_file(folder / TOKENIZER)
            stored = json.loads((folder / PROMPT_FILE).read_text(encoding="utf-8"))
            prompt = Prompt.from_json(stored["prompt"])
            context_tokens = _believed(stored["context_tokens"])
            calibrator = read_calibration(folder)
        made = LlamaFile.open(folder / file, n_ctx=context_tokens, threads=threads, adapter=adapter)
        return cls(plan, spec, pieces, prompt, made, calibrator=calibrator, name=name)

    @property
    def name(self) -> str:
        """Name shown beside every prediction."""
        return self._name

    def predict(self, requests: Sequence[str]) -> list[Prediction]:
        """Answer `requests`; see `Model.predict`. An empty request is refused."""
        return answer_each(requests, self._answer, clock=self._clock)

    def think_all(self, requests: Sequence[str]) -> list[Thought]:
        """The answer to every request, with the decisions that it follows from."""
        return [self.think(request) for request in requests]

    def think(self, request: str) -> Thought:
        """The answer to one request, with the decisions that it follows from."""
        read = request[:READABLE]
        grounding = self._speller.ground(read)
        with self._turn:
            guided = self._guide.answer(read, grounding)
        return Thought(
            output=guided.output, decoded=guided.decoded, grounding=grounding, features=self._features(guided),
            why=guided.why,
        )  # fmt: skip

    def free(self, request: str, most: int = 512) -> str:
        """What the model says when nothing holds it: at most `most` tokens."""
        with self._turn:
            return self._guide.free(request[:READABLE], most)

    def calibrated(self, calibrator: Calibrator) -> GenerativeModel:
        """The same model with another calibration."""
        return GenerativeModel(
            self.plan, *self._parts, calibrator=calibrator, name=self._name, clock=self._clock
        )

    def save_calibration(self, folder: Path) -> None:
        """Write the calibration beside the model."""
        write_calibration(self._sure.calibrator, folder)

    def _answer(self, request: str) -> Prediction:
        if not request.strip():
            return self._check.refusal("the request is empty")
        return self._sure.prediction(request, self.think(request), self._check)

    def _features(self, guided: Guided) -> tuple[float, ...]:
        items, total = guided.decoded.decisions, guided.log_probability
        if self._writes and items:
            total = sum(item.log_probability for item in items) / len(items)
        facts = answer_facts(self.plan, items, guided.output, total)
        return (*facts, max(guided.allowed, FLOOR), guided.wording)


def _believed(context_tokens: Json) -> int:
    """A context that a model can have.

    Raises:
        ValueError: if it is none.
    """
    if type(context_tokens) is not int or not 0 < context_tokens <= LONGEST_CONTEXT:
        raise ValueError(f"context_tokens is {context_tokens!r}, 1 to {LONGEST_CONTEXT} are expected")
    return context_tokens
