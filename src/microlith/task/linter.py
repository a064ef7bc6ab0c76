"""Keyword by keyword: enforced while decoding, checked afterwards, or refused with the reason and the place.

There is no silent third state: every keyword that stands in a schema has a finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from microlith.errors import Problem, SchemaError
from microlith.task.compile import compile_plan
from microlith.task.formats import FORMATS
from microlith.task.jsontext import pointer_of
from microlith.task.keywords import ANNOTATIONS, DECODING, IDENTIFIERS, REASONS, Kind, malformed
from microlith.task.plan import Plan
from microlith.task.refusals import Refusals, brief
from microlith.task.schema import DEFINITIONS, References, Schema, SchemaDocument, children, is_object
from microlith.task.shapes import Place, faults, kind_of
from microlith.task.standard import STANDARD

Status = Literal["decoding", "after", "rejected"]
_WEAKER: dict[Status, int] = {"decoding": 0, "after": 1, "rejected": 2}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one keyword of a schema comes to."""

    pointer: str
    """JSON pointer of the keyword; of its schema where the keyword is missing."""
    line: int
    keyword: str
    status: Status
    """"decoding": no decoded answer breaks it; "after": asserted on the finished answer; "rejected": not supported."""
    reason: str
    about: Literal["keyword", "plan"] = "keyword"
    """Of a rejection: "keyword" if the keyword itself is not supported, "plan" if only no plan follows from it here."""


def lint(document: SchemaDocument) -> tuple[Finding, ...]:
    """Judge every keyword of a schema, in the order of its lines. Never raises for what the schema says."""
    return _linted(document).findings()


def _linted(document: SchemaDocument) -> _Linter:
    linter = _Linter(document)
    linter.run()
    if not linter.rejected:
        linter.check_plan()
    return linter


def rejections(document: SchemaDocument, findings: Sequence[Finding]) -> list[Problem]:
    """The rejected findings as problems with file and line; empty when the schema is accepted."""
    return [
        Problem(
            what=f"{finding.keyword}: {finding.reason}",
            place=f"{document.name}:{finding.line} (#{finding.pointer})",
        )
        for finding in findings
        if finding.status == "rejected"
    ]


def plan_of(document: SchemaDocument) -> Plan:
    """The plan of a schema that the linter accepts.

    Raises:
        SchemaError: with every rejection, each with file, line and pointer.
    """
    linter = _linted(document)
    if linter.plan is None:
        problems = rejections(document, linter.findings())
        raise SchemaError(f"{document.name} cannot become a decision plan", problems=problems)
    return linter.plan


class _Linter:
    def __init__(self, document: SchemaDocument) -> None:
        self._document = document
        self.plan: Plan | None = None
        self._refusals = Refusals(document)
        self._found: dict[tuple[str, str], Finding] = {}
        self._seen: set[Place] = set()
        self._pointers: dict[tuple[str, ...], str] = {}
        self._references = References(self._well_formed(document.value, ""))

    @property
    def rejected(self) -> bool:
        return any(finding.status == "rejected" for finding in self._found.values())

    def findings(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._found.values(), key=lambda finding: (finding.line, finding.pointer)))

    def run(self) -> None:
        for pointer, problem in self._references.problems.items():
            self._reject(f"{pointer}/$ref", "$ref", f"{problem.what} -> {problem.mend}")
        root = self._references.at("")
        if kind_of(root, inherited=False) not in ("object", "union"):
            self._reject(
                "",
                "type",
                'the answer must be one object: "type": "object" or a "oneOf" of objects',
                plan=True,
            )
        self._visit(Place(pointer="", mode="answer"))
        self._visit_unused()

    def check_plan(self) -> None:
        """What the compiler refuses that no single keyword shows."""
        try:
            self.plan = compile_plan(self._references.at(""))
        except SchemaError as error:
            for problem in error.problems:
                path = tuple(part for part in (problem.place or "").lstrip("#").split("/") if part)
                reason = f"{problem.what} -> {problem.mend}" if problem.mend else problem.what
                self._reject(self._pointers.get(path, ""), "plan", reason, plan=True)

    def _well_formed(self, schema: Schema, pointer: str) -> dict[str, Any]:
        """The schema without keywords whose value has the wrong form; those are rejected here and now."""
        kept: dict[str, Any] = {}
        for keyword, value in schema.items():
            wanted = malformed(keyword, value, self._document.dialect)
            if wanted is None:
                kept[keyword] = value
            else:
                self._reject(
                    pointer + pointer_of((keyword,)), keyword, f"expected {wanted}, found {brief(value)}"
                )
        for keyword, parts, child in list(children(kept)):
            if not isinstance(child, Mapping):
                continue
            inner = self._well_formed(child, pointer + pointer_of(parts))
            if len(parts) == 1:
                kept[keyword] = inner
                continue
            if kept[keyword] is schema[keyword]:
                kept[keyword] = schema[keyword].copy()
            kept[keyword][parts[1]] = inner
        return kept

    # ------------------------------------------------------------------------------------------- the walk

    def _visit(self, place: Place) -> None:
        if replace(place, path=()) in self._seen:
            return
        self._seen.add(replace(place, path=()))
        schema = self._references.raw(place.pointer)
        if place.mode == "answer":
            self._pointers.setdefault(place.path, place.pointer)
        if not isinstance(schema, Mapping):
            if place.mode == "answer":
                self._reject(
                    place.pointer,
                    str(schema).lower(),
                    "says nothing that could be decided; give it a type",
                    plan=True,
                )
            return
        node = self._references.at(place.pointer)
        kind = kind_of(node, inherited=place.inherited) if place.mode == "answer" else "none"
        for keyword in schema:
            self._judge(place, schema, node, kind, keyword)
        if place.mode == "answer" and place.pointer not in self._references.problems:
            for keyword, reason in faults(kind, node, place):
                self._reject(place.pointer, keyword, reason, plan=True)
        target = self._references.target(place.pointer) if isinstance(schema.get("$ref"), str) else None
        if target is not None:
            pointer, as_one = target
            self._visit(replace(place, pointer=pointer) if as_one else Place(pointer=pointer, mode="check"))
        for keyword, parts, _ in children(schema):
            if keyword not in DEFINITIONS:
                self._visit(self._child(place, node, kind, keyword, parts))

    def _child(
        self, place: Place, node: Schema, kind: Kind, keyword: str, parts: tuple[str | int, ...]
    ) -> Place:
        pointer = place.pointer + pointer_of(parts)
        if place.mode != "answer":
            return Place(pointer=pointer, mode=place.mode)
        if keyword == "properties" and kind in ("object", "union"):
            name = str(parts[1])
            optional = place.optional or name not in node.get("required", ())
            within: Any = "objects" if place.within == "objects" else ""
            return Place(
                pointer=pointer, mode="answer", path=(*place.path, name), optional=optional, within=within
            )
        if keyword in ("oneOf", "anyOf") and kind == "union":
            return replace(place, pointer=pointer, inherited=node.get("type") == "object" or place.inherited)
        if keyword == "items" and len(parts) == 1 and kind == "array":
            objects = is_object(node["items"]) or place.within == "objects"
            return Place(
                pointer=pointer,
                mode="answer",
                path=(*place.path, "[]"),
                within="objects" if objects else "array",
            )
        return Place(pointer=pointer, mode="check")

    def _visit_unused(self) -> None:
        seen = {place.pointer for place in self._seen}
        pending: list[tuple[str, Any]] = [("", self._document.value)]
        while pending:
            pointer, schema = pending.pop()
            for keyword, parts, child in children(schema) if isinstance(schema, Mapping) else ():
                inner = pointer + pointer_of(parts)
                pending.append((inner, child))
                if keyword in DEFINITIONS and inner not in seen:
                    self._visit(Place(pointer=inner, mode="unused"))

    # ------------------------------------------------------------------------------------------- keywords

    def _judge(self, place: Place, raw: Schema, node: Schema, kind: Kind, keyword: str) -> None:
        pointer = place.pointer + pointer_of((keyword,))
        refusal = self._refusals.of(place, raw, node, kind, keyword)
        if refusal is not None:
            self._reject(pointer, keyword, refusal)
        elif keyword in ANNOTATIONS or keyword in IDENTIFIERS:
            self._add(pointer, keyword, "after", "an annotation: there is nothing to check")
        elif place.mode == "unused":
            self._add(pointer, keyword, "after", "in a definition that nothing refers to")
        elif place.mode == "answer" and keyword == "$ref":
            self._add(pointer, keyword, "decoding", "read as if written out here")
        elif place.mode == "answer" and _decodes(place, node, kind, keyword):
            self._add(
                pointer,
                keyword,
                "decoding",
                REASONS.get(keyword, "only slices of this format are candidates"),
            )
        else:
            self._add(pointer, keyword, "after", "asserted on the finished answer")

    # ------------------------------------------------------------------------------------------- notes

    def _add(self, pointer: str, keyword: str, status: Status, reason: str, *, plan: bool = False) -> None:
        finding = Finding(
            pointer=pointer,
            line=self._document.line(pointer),
            keyword=keyword,
            status=status,
            reason=reason,
            about="plan" if plan else "keyword",
        )
        known = self._found.get((pointer, keyword))
        if known is None or _WEAKER[known.status] < _WEAKER[status]:
            self._found[(pointer, keyword)] = finding

    def _reject(self, pointer: str, keyword: str, reason: str, *, plan: bool = False) -> None:
        if plan and pointer + pointer_of((keyword,)) in self._document.lines:
            pointer += pointer_of((keyword,))
        self._add(pointer, keyword, "rejected", reason, plan=plan)


def _decodes(place: Place, node: Schema, kind: Kind, keyword: str) -> bool:
    """True when no decoded answer can break the keyword."""
    if keyword == "required" and place.optional:
        return False
    if keyword == "additionalProperties" and "patternProperties" in node:
        return False
    if keyword == "format" and kind == "span":
        return "x-format" not in node and node["format"] in FORMATS and node["format"] not in STANDARD
    return keyword in DECODING[kind]
