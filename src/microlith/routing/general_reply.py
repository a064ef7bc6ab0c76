"""From what a general model says to a prediction: strict JSON, computed values, the schema, and nothing invented."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from microlith.data.strict_json import NotStrictJson, loads, raw_loads
from microlith.errors import MicrolithError
from microlith.inference.fields import AnswerCheck
from microlith.inference.protocol import Prediction
from microlith.routing.route import Asked
from microlith.routing.stages import with_turns
from microlith.task.plan import Json, Plan
from microlith.task.reading import read, write
from microlith.task.taskfile import Task

_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
"""What models that think aloud write before they answer."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a general model said."""

    text: str
    confidence: float
    """How sure it is, 0-1."""
    end: str = "stop"
    """Why it stopped: "stop", "length" where it was cut off, or what else the endpoint says."""
    tokens_in: int = 0
    tokens_out: int = 0


class ReplyCheck:
    """Turns the replies of one general model into predictions."""

    def __init__(self, task: Task, model: str) -> None:
        """Hold replies to `task`; `model` is the name shown in every prediction."""
        self._plan, self._validator = task.plan, task.validator
        self._check = AnswerCheck(task.plan, model, validator=task.validator)
        slots = [slot for group in task.plan.groups for slot in group.slots.values()]
        self._hides = any(slot.secret for slot in slots)
        self._computes = any(slot.kind == "computed" for slot in slots)

    def prediction(self, asked: Asked, reply: Reply) -> Prediction:
        """The answer, or a refusal that says what is wrong with it; a refusal's text begins with "the answer".

        Copied values must stand in the request or in an earlier one of the conversation. Of a task with secrets no text of
        the reply is told, since a model may put a secret anywhere.
        """
        if reply.end not in ("stop", "eos", ""):
            cut = "is cut off" if reply.end == "length" else "was stopped"
            return self.refusal(f"the answer {cut} after {reply.tokens_out} tokens ({reply.end[:40]})")
        try:
            output = parsed(reply.text)
        except NotStrictJson as error:
            return self.refusal(f"the answer {error.what}")
        if self._computes:
            try:
                output = filled(self._plan, output, with_turns(asked))
            except (MicrolithError, ArithmeticError, LookupError, TypeError, ValueError) as error:
                # A task's own functions run here, on whatever the model wrote.
                why = error.what if isinstance(error, MicrolithError) else type(error).__name__
                return self.refusal(f"the answer's computed values cannot be computed: {why}")
        return self._held(asked, output, reply.confidence)

    def refusal(self, why: str) -> Prediction:
        """A prediction without an answer."""
        return self._check.refusal(why)

    def _held(self, asked: Asked, output: Json, confidence: float) -> Prediction:
        if self._hides and not self._validator.is_valid(output):
            keywords = ", ".join(sorted(self._validator.broken_keywords(output)))
            place = self._validator.problems(output)[0].place
            return self.refusal(f"the answer does not fit the schema at {place} ({keywords})")
        # The request stands first here, so that a value of both is found in it, and its ranges are those of the request.
        text = "\n".join([asked.request, *(turn.request for turn in asked.turns)])
        made = self._check.prediction(text, output, confidence=confidence)
        if made.refusal is not None and not made.refusal.startswith("the answer"):
            why = made.refusal
            if self._hides:
                why = f"{why.split(': ', 1)[0]}: its value does not stand in the request"
            return self.refusal(f"the answer is not grounded: {why}")
        size = len(asked.request)
        fields = tuple(
            replace(one, span=None) if one.span is not None and one.span[1] > size else one
            for one in made.fields
        )
        return replace(made, fields=fields)


def parsed(text: str) -> Json:
    """The one JSON object of a reply; a Markdown fence or words around it do no harm.

    Raises:
        NotStrictJson: if there is none, more than one, or anything that is not strict JSON. No text of the reply is told.
    """
    thought = _THOUGHT.match(text)
    said = text[thought.end() :].strip() if thought else text.strip()
    if not said:
        raise NotStrictJson("is empty")
    try:
        whole = loads(said)
    except NotStrictJson:
        return _embedded(said)
    if not isinstance(whole, dict):
        raise NotStrictJson("is JSON but no object")
    return whole


def _embedded(said: str) -> Json:
    start = said.find("{")
    if start < 0:
        raise NotStrictJson(f"holds no JSON object in {len(said)} characters")
    try:
        found, end = raw_loads(said, start)
    except NotStrictJson as error:
        place = "" if error.position is None else f", which shows at character {error.position}"
        raise NotStrictJson(f"is no strict JSON{place}") from None
    around = said[:start] + said[end:]
    if "{" in around or "}" in around or said[:start].rstrip().endswith("["):
        raise NotStrictJson("holds more than one JSON object, or something around it")
    return found


def filled(plan: Plan, output: Json, request: str) -> Json:
    """An answer with its computed values computed, whatever the model wrote there; else it stays as it is.

    Raises:
        MicrolithError: if a value cannot be computed, or the answer lacks what it needs.
        Exception: whatever a task's own function raises.
    """
    try:
        reading = read(plan, output)
    except (MicrolithError, AttributeError, LookupError, TypeError, ValueError):
        return output  # not the shape of an answer: the schema names the fault better
    written = write(plan, reading, request)
    for group in plan.groups:
        for slot in group.slots.values():
            if slot.kind == "computed":
                _graft(output, written, (*group.path, *slot.path))
                if plan.sequence is not None and not group.path:
                    _graft(output, written, (plan.sequence.steps, *slot.path))
    return output


def _graft(into: Json, source: Json, path: tuple[str, ...]) -> None:
    """Take the value at `path` over, in every item of the lists on the way."""
    if isinstance(into, list) and isinstance(source, list):
        for one, other in zip(into, source, strict=False):
            _graft(one, other, path)
    elif isinstance(into, dict) and isinstance(source, Mapping) and path[0] in source:
        if len(path) == 1:
            into[path[0]] = source[path[0]]
        else:
            _graft(into.setdefault(path[0], {}), source[path[0]], path[1:])
