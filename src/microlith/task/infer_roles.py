"""Branches that stand for several answers, for a question back, or for everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from microlith.task.infer_tags import Property, object_schema
from microlith.task.infer_values import MOST_OPTIONS, Seen
from microlith.task.plan import Json

OUT_OF_SCOPE = frozenset({
    "oos", "ood", "out_of_scope", "out-of-scope", "outofscope", "unsupported", "no_intent", "not_supported", "out_of_domain",
})  # fmt: skip
"""Labels that stand for everything else."""
PERHAPS_OUT_OF_SCOPE = frozenset(
    {"none", "other", "unknown", "fallback", "no_match", "nomatch", "irrelevant"}
)
"""Labels that do so where they are one of several values of the answer's only choice."""


def is_out_of_scope(value: Json, labels: frozenset[str] = OUT_OF_SCOPE) -> bool:
    """True for a label that stands for everything else."""
    return isinstance(value, str) and value.casefold() in labels


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Branches that stand for several answers or for a question back."""

    tag: str
    """The property that tells the branches apart."""
    sequence: Json = None
    """Its value in answers of several steps; None where there are none."""
    steps: str = ""
    """The property that holds the steps."""
    clarify: Json = None
    """Its value in questions back; None where there are none."""
    intent: str = ""
    """The property that holds the wanted action."""
    missing: str = ""
    """The property that names what is missing."""

    def is_sequence(self, answer: Mapping[str, Json]) -> bool:
        """True for an answer of several steps."""
        return self.sequence is not None and answer[self.tag] == self.sequence

    def is_clarify(self, answer: Mapping[str, Json]) -> bool:
        """True for a question back."""
        return self.clarify is not None and answer[self.tag] == self.clarify


def roles_of(seen: list[Seen]) -> Roles | None:
    """The roles that the answers' branches play; None where they play none."""
    for tag in [name for name in seen[0].value if all(isinstance(one.value.get(name), str) for one in seen)]:
        by_value: dict[str, list[Mapping[str, Json]]] = {}
        for one in seen:
            by_value.setdefault(one.value[tag], []).append(one.value)
        if not 3 <= len(by_value) <= MOST_OPTIONS:
            continue
        keys = {key for one in seen for key in one.value}
        roles = Roles(tag=tag)
        for value, answers in by_value.items():
            steps = _steps_of(answers, tag, by_value)
            asked = _asked_of(answers, tag, by_value, keys)
            if steps and roles.sequence is None:
                roles = replace(roles, sequence=value, steps=steps)
            elif asked and roles.clarify is None:
                roles = replace(roles, clarify=value, intent=asked[0], missing=asked[1])
        if roles.sequence is not None or roles.clarify is not None:
            return roles
    return None


def _steps_of(answers: Sequence[Mapping[str, Json]], tag: str, known: Mapping[str, Any]) -> str | None:
    """The property in which all `answers` hold nothing but a list of other answers."""
    keys = {tuple(answer) for answer in answers}
    if len(keys) != 1 or len(next(iter(keys))) != 2:
        return None
    name = next(key for key in next(iter(keys)) if key != tag)
    lists = [answer[name] for answer in answers]
    if not all(isinstance(items, list) and items for items in lists):
        return None
    own = answers[0][tag]
    steps = [item for items in lists for item in items]
    fit = all(
        isinstance(item, dict) and _one_of(item.get(tag), known) and item.get(tag) != own for item in steps
    )
    return name if fit else None


def _asked_of(
    answers: Sequence[Mapping[str, Json]], tag: str, known: Mapping[str, Any], keys: set[str]
) -> tuple[str, str] | None:
    """The properties that hold the wanted action and the names of what is missing."""
    intents = [
        name
        for name in answers[0]
        if name != tag and all(_one_of(answer.get(name), known) for answer in answers)
    ]
    lists = [
        name
        for name, value in answers[0].items()
        if isinstance(value, list)
        and all(_names_absent(answer.get(name), answer, keys) for answer in answers)
    ]
    return (intents[0], lists[0]) if len(intents) == 1 and len(lists) == 1 else None


def _one_of(value: Json, known: Mapping[str, Any]) -> bool:
    return isinstance(value, str) and value in known


def _names_absent(items: Json, answer: Mapping[str, Json], keys: set[str]) -> bool:
    if not isinstance(items, list) or not items:
        return False
    return all(isinstance(item, str) and item in keys and item not in answer for item in items)


def sequence_branch(roles: Roles, references: list[dict[str, str]], counts: Sequence[int]) -> dict[str, Any]:
    """The branch of several steps; `counts` are the numbers of steps seen."""
    items: dict[str, Any] = {"oneOf": references} if len(references) > 1 else references[0]
    steps = {"type": "array", "minItems": min(counts), "maxItems": max(counts), "items": items}
    body = object_schema({roles.tag: {"const": roles.sequence}, roles.steps: steps}, [roles.tag, roles.steps])
    return {"type": "object", "x-role": "sequence", **body}


def clarify_branch(
    roles: Roles, actions: Sequence[Json], properties: Mapping[str, Property], asking: Sequence[Seen]
) -> dict[str, Any]:
    """The branch of questions back: any value of any other branch may be given, any may be missing."""
    wanted = [action for action in actions if not is_out_of_scope(action)]
    named = [name for name in properties if name != roles.tag]
    for one in asking:
        wanted.append(one.value[roles.intent])
        named.extend(one.value[roles.missing])
    wanted, named = list(dict.fromkeys(wanted)), list(dict.fromkeys(named))
    missing = {
        "type": "array",
        "x-role": "missing",
        "items": {"enum": named},
        "minItems": 1,
        "maxItems": len(named),
        "uniqueItems": True,
    }
    schemas: dict[str, Any] = {
        roles.tag: {"const": roles.clarify},
        roles.intent: {"enum": wanted, "x-role": "intent"},
        **{name: _loose(entry) for name, entry in properties.items() if name != roles.tag},
        roles.missing: missing,
    }
    body = object_schema(schemas, [roles.tag, roles.intent, roles.missing])
    return {"type": "object", "x-role": "clarify", **body}


def _loose(entry: Property) -> dict[str, Any]:
    schema = entry.common("")
    return {"enum": [schema["const"]]} if "const" in schema else schema
