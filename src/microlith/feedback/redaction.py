"""Hide secret values before anything of a request or its answer is kept.

A secret is a value that the schema marks `x-secret`. Where the answer holds one, it is hidden there and at every place where
the same text stands: in the request, in another value, in a label, in a message of a hop. A secret of one letter is hidden in
every word that holds it, since what is kept must never show a secret. Where the answer holds none (a refusal, a request for
something else), the request may still name one; words that look like it are then hidden as a best effort
(`microlith.feedback.cues`).

What the schema itself lists for a place (`const`, `enum`, names of properties) stays: whoever knows the task knows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from weakref import finalize

from microlith.feedback.cues import guessed
from microlith.inference.protocol import FieldPrediction, Prediction
from microlith.task.plan import Choice, Json, Plan

MASK = "[secret]"
"""Stands where a secret stood."""
PART = 4
"""A message also hides parts of a secret that are so many characters long: messages are cut, and a secret in them too."""
MANY = 100
"""With more guesses than this a text is hidden as a whole."""

Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What must not be shown of one request. Itself never kept or shown."""

    certain: frozenset[str] = field(default=frozenset(), repr=False)
    """Values that the answer names as secret, in every spelling."""
    guesses: frozenset[str] = field(default=frozenset(), repr=False)
    """Words that may be secrets; hidden where they stand as whole words."""

    def text(self, text: str) -> str:
        """`text` without the secrets."""
        if len(self.guesses) > MANY:
            return MASK
        if self._whole_words:
            text = self._whole_words.sub(MASK, text)
        return _joined(_cut(text, self._ordered)) if self.certain else text

    def message(self, text: str) -> str:
        """The text of a refusal or an error without the secrets and without the longer parts of them."""
        return MASK.join(_without(self._parts, piece) for piece in self.text(text).split(MASK))

    def labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Labels without the secrets, their names included."""
        return {self.text(name): self.text(value) for name, value in labels.items()}

    @cached_property
    def _ordered(self) -> list[str]:
        """So that a secret inside another leaves no rest of that."""
        return _longest_first(self.certain)

    @cached_property
    def _whole_words(self) -> re.Pattern[str] | None:
        either = "|".join(map(_whole_word, _longest_first(self.guesses)))
        return re.compile(f"(?:{either})++") if either else None

    @cached_property
    def _parts(self) -> frozenset[str]:
        long = (*self.certain, *(guess for guess in self.guesses if not guess.isalpha()))
        return frozenset(one[start : start + PART] for one in long for start in range(len(one) - PART + 1))


@dataclass(frozen=True, kw_only=True)
class Redacted:
    """A request and its answer without their secrets."""

    request: str
    output: Json
    secrets: Secrets = field(repr=False)
    """Clears other texts about the same request of the same secrets."""


def redacted(
    plan: Plan, request: str, output: Json, fields: Iterable[FieldPrediction] = (), *, left: Iterable[Prediction] = ()
) -> Redacted:  # fmt: skip
    """Hide the secrets of one request.

    Args:
        plan: The task's plan; one without secret slots hides nothing.
        request: The request as the models read it.
        output: The answer; None for a refusal.
        fields: The answer's fields: a value may be spelled otherwise in the request ("007" for 7).
        left: What was said and not given. Where the request is refused, its secrets are guesses too; where it is answered they
            are not asked, since the one who was not believed may take anything for a secret.
    """
    places = _places_of(plan)
    if not places.secret:
        return Redacted(request=request, output=output, secrets=Secrets())
    certain = _spelled(_named(places, request, output, fields))
    guesses = frozenset() if certain else frozenset(guessed(request))
    if output is None:
        guesses |= _spelled(text for one in left for text in _named(places, request, one.output, one.fields))
    secrets = Secrets(certain=certain, guesses=guesses)
    return Redacted(
        request=secrets.text(request), output=_masked(places, secrets.text, output, ()), secrets=secrets
    )


class _Places:
    """Where an answer holds secrets, and where it holds what the schema lists."""

    def __init__(self, plan: Plan) -> None:
        slots = [slot for group in plan.groups for slot in group.slots.values()]
        self.secret = frozenset(slot.path for slot in slots if slot.secret)
        self._open = frozenset(slot.path for slot in slots if not isinstance(slot.decision, Choice))
        self._listed = set(_listed(plan))

    def is_secret(self, path: Path) -> bool:
        """Is the value at `path` secret? The path of a slot counts from its object: a step, an item."""
        return any(end in self.secret for end in _ends(path))

    def is_secret_field(self, path: str) -> bool:
        """The same for the path of a field, e.g. `steps[0].password`; names may hold points themselves."""
        dotted = re.sub(r"\[\d+\]", "", path)
        names = [".".join(one) for one in self.secret]
        return any(dotted == name or dotted.endswith(f".{name}") for name in names)

    def is_listed(self, path: Path, value: Json) -> bool:
        """Does the schema list `value` for `path`, where nothing of a request is ever written?"""
        ends = _ends(path)
        return self._open.isdisjoint(ends) and any((end, str(value)) in self._listed for end in ends)


_PLACES: dict[int, _Places] = {}
"""Of the plans that are in use, by identity: a plan holds mappings and has no hash."""


def _places_of(plan: Plan) -> _Places:
    if id(plan) not in _PLACES:
        _PLACES[id(plan)] = _Places(plan)
        finalize(plan, _PLACES.pop, id(plan), None)
    return _PLACES[id(plan)]


def _ends(path: Path) -> list[Path]:
    return [path[start:] for start in range(len(path))]


def _listed(plan: Plan) -> Iterator[tuple[Path, str]]:
    """Every place and a value that the schema lists for it."""
    for group in plan.groups:
        for slot in group.slots.values():
            if isinstance(slot.decision, Choice):
                yield from ((slot.path, str(option)) for option in slot.decision.options)
        for variant in group.variants:
            yield from ((path, str(value)) for path, value in variant.fixed.items())
    for branch in (plan.sequence, plan.clarify):
        if branch is not None:
            yield (branch.tag[0],), str(branch.tag[1])
    if plan.clarify is not None:
        for slot in plan.root.slots.values():
            yield (plan.clarify.missing,), slot.path[-1]
            if slot.key in plan.root.discriminators and isinstance(slot.decision, Choice):
                yield from (((plan.clarify.intent,), str(option)) for option in slot.decision.options)


def _secrets(places: _Places, node: Json, path: Path) -> Iterator[str]:
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _secrets(places, child, (*path, str(name)))
    elif isinstance(node, list):
        for child in node:
            yield from _secrets(places, child, path)
    elif node is not None and not isinstance(node, bool) and places.is_secret(path):
        yield str(node)


def _named(places: _Places, request: str, output: Json, fields: Iterable[FieldPrediction]) -> Iterator[str]:
    """What an answer names as secret."""
    yield from _secrets(places, output, ())
    yield from _slices(places, request, fields)


def _slices(places: _Places, request: str, fields: Iterable[FieldPrediction]) -> Iterator[str]:
    for one in fields:
        if one.span is not None and places.is_secret_field(one.path):
            yield request[slice(*one.span)]


def _spelled(values: Iterable[str]) -> frozenset[str]:
    """Values as they are and with the escapes of JSON and Python, which structured requests and messages show."""
    spellings = (
        spelling
        for value in values
        for spelling in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1])
    )  # fmt: skip
    return frozenset(filter(None, spellings))


def _masked(places: _Places, hide: Callable[[str], str], node: Json, path: Path) -> Json:
    if isinstance(node, dict):
        return {name: _masked(places, hide, child, (*path, str(name))) for name, child in node.items()}
    if isinstance(node, list):
        return [_masked(places, hide, child, path) for child in node]
    if node is not None and places.is_secret(path):
        return MASK
    if node is None or isinstance(node, bool) or places.is_listed(path, node):
        return node
    shown = hide(str(node))
    return node if shown == str(node) else shown


def _cut(text: str, secrets: Iterable[str]) -> list[str]:
    """What stands between the secrets."""
    pieces = [text]
    for secret in secrets:
        pieces = [part for piece in pieces for part in piece.split(secret)]
    return pieces


def _joined(pieces: list[str]) -> str:
    """The pieces with one mask for each run of secrets between them."""
    if len(pieces) < 2:
        return "".join(pieces)
    return MASK.join((pieces[0], *filter(None, pieces[1:-1]), pieces[-1]))


def _longest_first(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: (-len(text), text))


def _whole_word(text: str) -> str:
    before = r"(?<!\w)" if text[0].isalnum() else ""
    after = r"(?!\w)" if text[-1].isalnum() else ""
    return f"{before}{re.escape(text)}{after}"


def _without(parts: frozenset[str], piece: str) -> str:
    """`piece` with every run of characters hidden that `parts` cover."""
    covered = bytearray(len(piece))
    for start in range(len(piece) - PART + 1 if parts else 0):
        if piece[start : start + PART] in parts:
            covered[start : start + PART] = b"\1" * PART
    runs = groupby(zip(piece, covered, strict=True), key=lambda pair: pair[1])
    return "".join(MASK if hidden else "".join(letter for letter, _ in run) for hidden, run in runs)
