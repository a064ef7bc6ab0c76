"""Rows from template files.

A template file is plain text. Below each answer stand its phrasings, one a line:

    # lists come first; what stands after a dot is what the answer says
    access.read  = read-only | just to look
    access.write = full control | to edit
    team = sales | ops | finance

    -> {"action": "share_grant", "username": "{user}", "share": "{share}", "access": "{access?}"}
    (give|grant) {user} access to {share}[, {access}]
    {user} (needs|wants) the share {share} [({access})] [because the {team} team asked]

A hole of the answer takes the format of its slot, `{name?}` may be left out of the answer where the phrasing leaves
it out, and `{name:format}` makes a value of that format that the answer does not mention. Everything is checked
against the schema when the file is loaded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from microlith.data import phrasing
from microlith.data.example import Example
from microlith.data.phrasing import BadPhrasing, Hole, Phrase
from microlith.data.resample import Pool
from microlith.data.slot_values import as_json, at, copy_json, satisfies
from microlith.data.spans import bindings, layout
from microlith.data.strict_json import NotStrictJson, loads
from microlith.data.values import value
from microlith.errors import DataError, Problem
from microlith.task.formats import FORMATS
from microlith.task.plan import Json, Plan, Slot, Span

if TYPE_CHECKING:
    from microlith.task.validate import Validator

ATTEMPTS = 20
"""How often a phrasing is tried before it is passed over."""
PROOFS = 4
"""Rows made of each phrasing to check it against the schema."""

_LIST = re.compile(r"([A-Za-z_][\w-]*)(?:\.(\S+))?\s*=\s*(.+)")
_ANSWER_HOLE = re.compile(r"\{([A-Za-z_][\w-]*)(\?)?\}")


@dataclass(frozen=True, kw_only=True)
class Template:
    """One phrasing of one answer."""

    line: int
    """Where the phrasing stands, from 1."""
    phrase: Phrase
    answer: Json
    """The answer with holes as texts `{name}` or `{name?}`."""
    slots: Mapping[str, tuple[Slot, ...]]
    """Hole of the answer -> the slots it fills."""
    optional: frozenset[str]
    """Holes that the answer may do without."""


@dataclass(frozen=True, kw_only=True)
class TemplateFile:
    """A template file, read and checked."""

    name: str
    """The file's name without its ending; rows are called `template:NAME:LINE`."""
    templates: tuple[Template, ...]
    lists: Mapping[str, tuple[tuple[str | None, str], ...]]
    """List -> its entries: what the answer says (None for the text itself) and what the request says."""


def load_templates(path: Path, plan: Plan, validator: Validator) -> TemplateFile:
    """Read a template file and check every phrasing against the schema.

    Raises:
        DataError: with every mistake and its line, or if the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}", place=str(path), mend="check the name"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8", place=str(path), mend="save it as UTF-8") from error
    reader = _Reader(path=path, plan=plan)
    reader.read(text)
    file = TemplateFile(name=path.stem, templates=tuple(reader.templates), lists=reader.lists)
    reader.problems += [
        problem for template in file.templates for problem in _unfit(file, template, plan, validator, path)
    ]
    if not file.templates and not reader.problems:
        reader.add(1, "the file has no phrasing", "write an answer (-> {...}) and its phrasings below it")
    if reader.problems:
        raise DataError(f"{path} has {len(reader.problems)} mistakes", problems=reader.problems)
    return file


def generate(
    file: TemplateFile, plan: Plan, *, count: int, seed: int = 0, pool: Pool | None = None
) -> Iterator[Example]:
    """Rows made of a template file, no request twice.

    Args:
        file: The templates.
        plan: The task's plan.
        count: How many rows; fewer come where the templates have no more to say.
        seed: Equal seeds give equal rows.
        pool: Values of other rows, used beside made-up ones; None for made-up ones only.
    """
    rng, seen, barren = Random(f"{seed}:{file.name}"), set[str](), 0
    made = 0
    while made < count and barren < ATTEMPTS * len(file.templates):
        row = row_of(file, rng.choice(file.templates), plan, pool or Pool(), rng)
        if row is None or row.input in seen:
            barren += 1
            continue
        made, barren = made + 1, 0
        seen.add(row.input)
        yield row


def row_of(file: TemplateFile, template: Template, plan: Plan, pool: Pool, rng: Random) -> Example | None:
    """One row of one phrasing; None where its values would be taken for each other."""
    pieces = phrasing.expand(template.phrase, rng)
    filled: dict[str, tuple[Json, str]] = {}
    for piece in pieces:
        if isinstance(piece, Hole) and piece.name not in filled:
            entry = _fill(file, template, piece, pool, rng)
            if entry is None:
                return None
            filled[piece.name] = entry
    if not all(name in filled for name in template.slots if name not in template.optional):
        return None
    request = phrasing.joined(
        [piece if isinstance(piece, str) else filled[piece.name][1] for piece in pieces]
    )
    answer = _filled(copy_json(template.answer), {name: said for name, (said, _) in filled.items()})
    row = Example(
        input=request, output=answer, source=f"template:{file.name}:{template.line}", made_by="template"
    )
    uses = Counter(filled[piece.name][1] for piece in pieces if isinstance(piece, Hole))
    return row if all(one.count == uses[one.text] for one in layout(row, plan).values) else None


def _fill(
    file: TemplateFile, template: Template, hole: Hole, pool: Pool, rng: Random
) -> tuple[Json, str] | None:
    """What the answer says and what the request says at a hole."""
    slots = template.slots.get(hole.name, ())
    spans = [slot.decision for slot in slots if isinstance(slot.decision, Span)]
    if hole.name in file.lists:
        key, text = rng.choice(file.lists[hole.name])
        return _said(key if key is not None else text, slots), text
    name = hole.format or (spans[0].format if spans else "text")
    for _ in range(ATTEMPTS):
        known = pool.texts.get(slots[0].key, ()) if slots and not slots[0].secret else ()
        text = rng.choice(known) if known and rng.random() < 0.5 else value(name, rng)
        if all(satisfies(span, text) for span in spans):
            return (as_json(spans[0], text) if spans else text), text
    return None


def _said(text: str, slots: Sequence[Slot]) -> Json:
    """A list's entry as the JSON value its slot takes: an option of a choice, a number, or the text."""
    for slot in slots:
        for option in getattr(slot.decision, "options", ()):
            if text == (option if isinstance(option, str) else str(option).lower()):
                return option
        if isinstance(slot.decision, Span):
            return as_json(slot.decision, text)
    return text


def _filled(answer: Json, said: Mapping[str, Json]) -> Json:
    """The answer with its holes filled; what an absent optional hole would have filled is left out."""
    if isinstance(answer, str):
        match = _ANSWER_HOLE.fullmatch(answer)
        return said[match.group(1)] if match else answer
    if isinstance(answer, list):
        return [_filled(item, said) for item in answer if not _absent(item, said)]
    if isinstance(answer, dict):
        return {key: _filled(item, said) for key, item in answer.items() if not _absent(item, said)}
    return answer


def _absent(item: Json, said: Mapping[str, Json]) -> bool:
    match = _ANSWER_HOLE.fullmatch(item) if isinstance(item, str) else None
    return match is not None and match.group(1) not in said


# ------------------------------------------------------------------------------------------------------- reading


class _Reader:
    """Collects templates and mistakes line by line."""

    def __init__(self, *, path: Path, plan: Plan) -> None:
        self.path = path
        self.plan = plan
        self.templates: list[Template] = []
        self.lists: dict[str, tuple[tuple[str | None, str], ...]] = {}
        self.problems: list[Problem] = []
        self._phrases: list[tuple[int, Phrase]] = []
        self._answer: tuple[int, Json] | None = None

    def add(self, line: int, what: str, mend: str, column: int | None = None) -> None:
        place = f"{self.path}:{line}" + (f":{column}" if column else "")
        self.problems.append(Problem(what=what, place=place, mend=mend))

    def read(self, text: str) -> None:
        for number, line in enumerate(text.splitlines(), 1):
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            listed = _LIST.fullmatch(stripped) if self._answer is None else None
            if stripped.startswith("->"):
                self._finish()
                self._start(number, stripped[2:].strip())
            elif listed:
                self._list(listed)
            elif self._answer is None:
                self.add(number, "a phrasing without an answer", "write its answer above it: -> {...}")
            else:
                self._phrase(number, stripped)
        self._finish()

    def _list(self, match: re.Match[str]) -> None:
        name, key, entries = match.groups()
        texts = tuple((key, entry.strip()) for entry in entries.split("|") if entry.strip())
        self.lists[name] = (*self.lists.get(name, ()), *texts)

    def _start(self, number: int, text: str) -> None:
        try:
            self._answer = (number, loads(text))
        except NotStrictJson as error:
            self._answer = (number, None)
            self.add(
                number, f"the answer is not JSON: {error.what}", 'write -> {"action": "...", ...} on one line'
            )

    def _phrase(self, number: int, text: str) -> None:
        try:
            self._phrases.append((number, phrasing.parse(text)))
        except BadPhrasing as error:
            self.add(number, error.what, "close every bracket, or write a backslash before it", error.column)

    def _finish(self) -> None:
        if self._answer is not None and self._answer[1] is not None:
            self._add_templates(*self._answer)
        self._phrases = []

    def _add_templates(self, number: int, answer: Json) -> None:
        named = {match.group(1): match for match in map(_ANSWER_HOLE.fullmatch, _texts(answer)) if match}
        optional = frozenset(name for name, match in named.items() if match.group(2))
        slots = self._slots(number, answer, set(named))
        if not self._phrases:
            self.add(number, "the answer has no phrasing", "write one or more below it")
        for line, phrase in self._phrases if slots is not None else []:
            if self._matches(line, phrase, set(named), optional):
                self.templates.append(
                    Template(line=line, phrase=phrase, answer=answer, slots=slots or {}, optional=optional)
                )

    def _matches(self, line: int, phrase: Phrase, named: set[str], optional: frozenset[str]) -> bool:
        before = len(self.problems)
        always, ever = phrasing.holes(phrase)
        for name in sorted(named - optional - always):
            part = "can leave out" if name in ever else "never mentions"
            self.add(
                line,
                f"the phrasing {part} {{{name}}}, which the answer needs",
                f"mention it, or write {{{name}?}} in the answer",
            )
        for hole in phrasing.every_hole(phrase):
            if hole.format is not None and hole.format not in FORMATS:
                self.add(
                    line, f"no format is called {hole.format!r}", f"one of: {', '.join(sorted(FORMATS))}"
                )
            if hole.format is None and hole.name not in named and hole.name not in self.lists:
                self.add(
                    line,
                    f"nothing says what {{{hole.name}}} is",
                    f"define a list ({hole.name} = a | b), or write {{{hole.name}:format}}",
                )
        return len(self.problems) == before

    def _slots(self, number: int, answer: Json, named: set[str]) -> dict[str, tuple[Slot, ...]] | None:
        """The slots that each hole fills; None, with a finding, where the answer fits no branch of the schema."""
        first = {
            name: next(key or text for key, text in self.lists[name]) for name in named if name in self.lists
        }
        sample = _filled(copy_json(answer), {name: first.get(name, f"{{{name}}}") for name in named})
        found: dict[str, tuple[Slot, ...]] = dict.fromkeys(named, ())
        try:
            bound = bindings(self.plan, sample)
        except (DataError, AttributeError, TypeError, KeyError) as error:
            what = (
                error.what if isinstance(error, DataError) else "the answer has not the shape of the schema"
            )
            self.add(number, what, "compare it with schema.json")
            return None
        for binding in bound:
            match = _ANSWER_HOLE.fullmatch(str(at(answer, binding.place)))
            if match:
                found[match.group(1)] = (*found[match.group(1)], binding.slot)
        choices = {slot.path[-1]: slot for slot in self.plan.root.slots.values() if slot.kind == "choice"}
        for name in named & set(self.lists):
            keys = [
                key for key, item in answer.items() if isinstance(item, str) and item.strip("{?}") == name
            ]
            found[name] = found[name] or tuple(choices[key] for key in keys if key in choices)
        return found


def _texts(answer: Json) -> Iterator[str]:
    if isinstance(answer, str):
        yield answer
    elif isinstance(answer, dict | list):
        for item in answer.values() if isinstance(answer, dict) else answer:
            yield from _texts(item)


def _unfit(
    file: TemplateFile, template: Template, plan: Plan, validator: Validator, path: Path
) -> list[Problem]:
    """What the schema says against rows of this phrasing."""
    rng, place = Random(0), f"{path}:{template.line}"
    rows = [row for _ in range(PROOFS * ATTEMPTS) if (row := row_of(file, template, plan, Pool(), rng))][
        :PROOFS
    ]
    if not rows:
        return [
            Problem(
                what="no row can be made of this phrasing",
                place=place,
                mend="check the holes and their lists",
            )
        ]
    found = [problem for row in rows for problem in validator.problems(row.output)]
    unique = {problem.what: problem for problem in found}
    return [
        replace(problem, place=place, what=f"{problem.place or 'the answer'}: {problem.what}")
        for problem in unique.values()
    ]
