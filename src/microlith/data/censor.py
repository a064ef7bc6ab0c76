"""Rows without their secrets: what may be shown to a model that is not on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from microlith.data.example import Example
from microlith.data.slot_values import as_text
from microlith.data.spans import layout
from microlith.data.values import value
from microlith.errors import DataError
from microlith.task.plan import Json, Plan
from microlith.task.reading import read


def censored(row: Example, plan: Plan, rng: Random) -> Example | None:
    """The row with other values for those that the schema calls secret.

    Args:
        row: A labelled row.
        plan: Its task's plan.
        rng: Source of the new values. Its state must not follow from the secret, or the secret could be guessed from them.

    Returns:
        The row, the same one where it holds no secret. None where a secret cannot be told from the words around it, is not
        copied from the request, or would still stand somewhere; and where the plan has no variant for the answer.
    """
    if not any(slot.secret for group in plan.groups for slot in group.slots.values()):
        return row
    try:
        secrets = list(_secrets(plan, row.output))
        made = _replaced(row, plan, rng) if secrets else row
    except DataError:
        return None
    return None if made is None or _holds(made, secrets) else made


def _replaced(row: Example, plan: Plan, rng: Random) -> Example | None:
    parts = layout(row, plan)
    secret = [
        index for index, one in enumerate(parts.values) if any(bound.slot.secret for bound in one.bindings)
    ]
    if not all(parts.values[index].movable for index in secret):
        return None
    texts = {
        index: value(parts.values[index].spans[0].format, rng, like=parts.values[index].text)
        for index in secret
    }
    made = parts.rebuilt(texts)
    return None if made is None else made.example


def _secrets(plan: Plan, output: Json) -> Iterator[str]:
    """The texts of all secret values of an answer."""
    for group, steps in read(plan, output).items():
        slots = next(one.slots for one in plan.groups if one.path == group)
        for step in steps:
            for key, found in step.items():
                if slots[key].secret and found is not None:
                    yield from map(as_text, found if isinstance(found, list) else [found])


def _holds(row: Example, secrets: list[str]) -> bool:
    """Does one of the secrets stand in the row, in whatever casing?"""
    texts = [text.casefold() for text in (row.input, *_texts(row.output))]
    return any(secret.casefold() in text for secret in secrets if secret for text in texts)


def _texts(node: Json) -> Iterator[str]:
    if isinstance(node, dict):
        for child in node.values():
            yield from _texts(child)
    elif isinstance(node, list):
        for child in node:
            yield from _texts(child)
    elif node is not None:
        yield as_text(node)
