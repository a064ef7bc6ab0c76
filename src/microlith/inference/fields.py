"""From an answer to a prediction: is it valid, is every copied value really in the request, and where?

Every backend hands its answer to an `AnswerCheck`. What does not validate, or holds a value that the request does not,
becomes a refusal and never reaches a caller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter

from microlith.errors import DataError, MicrolithError
from microlith.inference.decode import Decoded
from microlith.inference.grounding import Grounding
from microlith.inference.protocol import FieldPrediction, Prediction
from microlith.task.plan import Group, Json, Plan, Slot
from microlith.task.reading import read
from microlith.task.validate import Validator

Range = tuple[int, int]
"""Half-open character range of a request."""

MAX_PLACES = 10_000
"""Places of one value that are looked at; a value that stands more often is taken at one of these."""

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(?:\d{1,18}(?:[.,]\d{1,9})?|[.,]\d{1,9})")
_BEFORE = frozenset("\"'`«‹“”„‘’([{<=:,;>")
_AFTER = frozenset("\"'`»›“”‘’)]}>.,;:!?")


class AnswerCheck:
    """Turns the answers of one model into predictions."""

    def __init__(self, plan: Plan, model: str, *, validator: Validator | None = None) -> None:
        """Check answers against `plan`.

        Args:
            plan: The task's plan.
            model: Name shown in every prediction.
            validator: The compiled schema, where the caller has it already; None compiles it.
        """
        self.plan, self.model = plan, model
        self._validator = validator or Validator(plan.schema)

    def prediction(
        self,
        request: str,
        output: Json,
        *,
        confidence: float,
        confidences: Mapping[str, float] | None = None,
        spans: Mapping[str, Range] | None = None,
    ) -> Prediction:
        """A prediction of `output`, or a refusal where it is not valid or not grounded in `request`.

        Args:
            request: The request that was answered.
            output: The model's answer.
            confidence: How sure the model is of the whole answer; held to 0-1.
            confidences: Per field path; None or an absent path takes `confidence`.
            spans: Per field path where a copied value stands; None or an absent path is looked up.
        """
        try:
            problems = self._validator.problems(output)
            if problems:
                return self.refusal(f"the answer does not fit the schema: {problems[0]}")
            sure = _share(confidence)
            fields = fields_of(self.plan, output, request, confidences=confidences, default=sure, spans=spans)
        except (MicrolithError, RecursionError, TypeError, ValueError, OverflowError) as error:
            return self.refusal(str(error))
        return Prediction(
            output=output, confidence=sure, fields=fields, model=self.model, latency_ms=0.0, refusal=None
        )

    def refusal(self, why: str) -> Prediction:
        """A prediction without an answer."""
        return Prediction(
            output=None, confidence=0.0, fields=(), model=self.model, latency_ms=0.0, refusal=why
        )


def answer_each(
    requests: Sequence[str], answer: Callable[[str], Prediction], *, clock: Callable[[], float] = perf_counter
) -> list[Prediction]:
    """Answer `requests` one after the other, each with its own time; `clock` gives seconds."""
    predictions = []
    for request in requests:
        start = clock()
        prediction = answer(request)
        predictions.append(replace(prediction, latency_ms=1000.0 * (clock() - start)))
    return predictions


def fields_of(
    plan: Plan,
    output: Json,
    request: str,
    *,
    confidences: Mapping[str, float] | None = None,
    default: float = 1.0,
    spans: Mapping[str, Range] | None = None,
) -> tuple[FieldPrediction, ...]:
    """Every value of a valid answer, with its confidence and where it stands in the request.

    Args:
        plan: The task's plan.
        output: An answer that validates against the plan's schema.
        request: The request that was answered.
        confidences: Field path -> confidence; an absent path takes `default`.
        default: Confidence, 0-1, of fields that have none of their own.
        spans: Field path -> range; the range of an absent path is looked up: the first free place where the value
            is a whole word, else whole pieces of the request.

    Raises:
        DataError: if a copied value does not stand in the request, or not at the range given for it.
    """
    copied = _copied(plan, output)
    taken: dict[str, list[Range]] = {}
    fields = []
    for path, value in _leaves(output):
        span = None
        if path in copied:
            slot, owner = copied[path]
            used = taken.setdefault(owner, [])
            span = _range(path, value, slot, request, (spans or {}).get(path), used)
            used.append(span)
        sure = (confidences or {}).get(path, default)
        fields.append(FieldPrediction(path=path, value=value, confidence=_share(sure), span=span))
    return tuple(fields)


def locate(value: Json, request: str, taken: Sequence[Range] = ()) -> Range | None:
    """Where `value` stands in `request`: a free whole word before a free run of whole pieces before a taken place.

    A number is found by its digits. None where the value does not stand in the request as whole pieces.
    """
    best: tuple[tuple[bool, bool], Range] | None = None
    for count, (start, end) in enumerate(_places(value, request)):
        if count >= MAX_PLACES:
            break
        is_taken = any(start < other_end and other_start < end for other_start, other_end in taken)
        rank = (is_taken, not _is_word(request, start, end))
        if best is None or rank < best[0]:
            best = (rank, (start, end))
        if rank == (False, False):
            break
    return best[1] if best else None


def spells(text: str, value: Json) -> bool:
    """True when the slice `text` stands for `value`: the same characters, or digits of the same number."""
    if isinstance(value, str):
        return text == value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if _INTEGER.fullmatch(text):
        return int(text) == value
    return bool(_NUMBER.fullmatch(text)) and float(text.replace(",", ".")) == value


def decision_facts(
    plan: Plan, decoded: Decoded, grounding: Grounding, output: Mapping[str, Json]
) -> tuple[dict[str, float], dict[str, Range]]:
    """Confidence and range per field path of an answer that was decoded: what `AnswerCheck.prediction` asks for.

    Args:
        plan: The task's plan.
        decoded: The decisions as they were taken.
        grounding: The request they were taken on.
        output: The answer that was written from them.
    """
    confidences: dict[str, float] = {}
    spans: dict[str, Range] = {}
    groups = {group.path: group for group in plan.groups}
    steps = plan.sequence.steps if plan.sequence and plan.sequence.steps in output else None
    clarifies = plan.clarify is not None and output.get(plan.clarify.tag[0]) == plan.clarify.tag[1]
    for decided in decoded.decisions:
        slot = groups[decided.group].slots.get(decided.key)
        if slot is None or decided.value is None:
            continue
        path = _join(_prefix(decided.group, decided.step, steps), slot.path)
        if clarifies and plan.clarify and decided.key == plan.root.discriminators[0]:
            path = plan.clarify.intent
        many = slot.max_items is not None
        places = [f"{path}[{index}]" for index in range(len(decided.value))] if many else [path]
        confidences.update(dict.fromkeys(places, min(math.exp(decided.log_probability), 1.0)))
        spans.update(zip(places, map(grounding.span, decided.candidates), strict=False))
    return confidences, spans


def _share(value: float) -> float:
    """`value` held to 0-1; what is no number is no confidence."""
    return 0.0 if math.isnan(value) else min(max(float(value), 0.0), 1.0)


# --------------------------------------------------------------------------------------------- paths


def _prefix(group: tuple[str, ...], step: int, steps: str | None) -> str:
    if group:
        return f"{'.'.join(group)}[{step}]"
    return f"{steps}[{step}]" if steps is not None else ""


def _join(prefix: str, path: Sequence[str]) -> str:
    return ".".join([prefix, *path] if prefix else path)


def _leaves(node: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield from _leaves(child, f"{path}.{name}" if path else str(name))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _leaves(child, f"{path}[{index}]")
    else:
        yield path, node


def _copied(plan: Plan, output: Json) -> dict[str, tuple[Slot, str]]:
    """Path of every copied value -> its slot and the path of the object that holds it."""
    found: dict[str, tuple[Slot, str]] = {}
    for prefix, group, step in _objects(plan, output):
        for key, value in step.items():
            slot = group.slots[key]
            if slot.kind != "span" or value is None:
                continue
            path = _join(prefix, slot.path)
            many = slot.max_items is not None
            for place in [f"{path}[{index}]" for index in range(len(value))] if many else [path]:
                found.setdefault(place, (slot, prefix))
    return found


def _objects(plan: Plan, output: Json) -> Iterator[tuple[str, Group, Mapping[str, Json]]]:
    """Every object of an answer: its path, its group and its values by slot key."""
    root, clarify = plan.root, plan.clarify
    if clarify is not None and output.get(clarify.tag[0]) == clarify.tag[1]:
        yield (
            "",
            root,
            {key: output.get(slot.path[0]) for key, slot in root.slots.items() if slot.kind == "span"},
        )
        return
    steps = (
        plan.sequence.steps
        if plan.sequence and output.get(plan.sequence.tag[0]) == plan.sequence.tag[1]
        else None
    )
    for path, readings in read(plan, output).items():
        group = next(group for group in plan.groups if group.path == path)
        for index, step in enumerate(readings):
            yield _prefix(path, index, steps), group, step


# -------------------------------------------------------------------------------------------- places


def _range(
    path: str, value: Json, slot: Slot, request: str, given: Range | None, taken: Sequence[Range]
) -> Range:
    if (
        given is not None
        and 0 <= given[0] < given[1] <= len(request)
        and spells(request[slice(*given)], value)
    ):
        return given
    found = locate(value, request, taken) if given is None else None
    if found is None:
        shown = "the secret value" if slot.secret else repr(value)[:80]
        where = "" if given is None else f" at {given[0]}-{given[1]}"
        raise DataError(f"{path}: {shown} does not stand in the request{where}")
    return found


def _places(value: Json, request: str) -> Iterator[Range]:
    if isinstance(value, str):
        start = request.find(value) if value else -1
        while start >= 0:
            if _is_border(request, start) and _is_border(request, start + len(value)):
                yield start, start + len(value)
            start = request.find(value, start + 1)
        return
    for match in (_INTEGER if isinstance(value, int) else _NUMBER).finditer(request):
        if (
            _is_border(request, match.start())
            and _is_border(request, match.end())
            and spells(match.group(), value)
        ):
            yield match.span()


def _is_border(request: str, place: int) -> bool:
    """True between two pieces: not inside a run of letters and digits, but between digits and what is none (`16 GB`)."""
    if place in (0, len(request)):
        return True
    before, after = request[place - 1], request[place]
    return not (before.isalnum() and after.isalnum()) or (before.isdecimal() and not after.isdecimal())


def _is_word(request: str, start: int, end: int) -> bool:
    size = len(request)
    opens = start == 0 or request[start - 1].isspace() or request[start - 1] in _BEFORE
    closes = end == size or request[end].isspace()
    if not closes and request[end] in _AFTER:
        closes = end + 1 == size or not request[end + 1].isalnum()
    return opens and closes
