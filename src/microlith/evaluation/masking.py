"""Hide secret values before anything of a request or an answer is kept or shown.

A secret is a value that the schema marks `x-secret`. It is hidden where the answer holds it, and wherever the same text
turns up elsewhere: in the request, in another field that a model copied it to, in an error message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from microlith.task.plan import Json, Plan

MASK = "••••"
OTHER = "•••• (another)"
"""Stands for a secret that is not the expected one, so that the error is still seen."""
MIN_PART = 4
"""A text of at least this many characters that is part of a secret is hidden as well."""

Path = tuple[str, ...]


class Masker:
    """Hides the secrets that an expected and a given answer reveal."""

    def __init__(self, plan: Plan, *, expected: Json, got: Json) -> None:
        self._paths = frozenset(
            slot.path for group in plan.groups for slot in group.slots.values() if slot.secret
        )
        self._right = frozenset(self._secrets(expected, ()))
        found = {value for value in (*self._right, *self._secrets(got, ())) if value.strip()}
        self._values = sorted(found, key=len, reverse=True)
        self._patterns = [_pattern(value) for value in self._values]

    def text(self, text: str) -> str:
        """`text` with every secret replaced by `MASK`, spelled plainly or with JSON's or Python's escapes."""
        for pattern in self._patterns:
            text = pattern.sub(MASK, text)
        return text

    def answer(self, answer: Json) -> Json:
        """A copy of `answer` with every secret replaced by `MASK`, or by `OTHER` where it is not the expected one."""
        return self._masked(answer, ())

    def _is_secret(self, path: Path) -> bool:
        return any(path[-len(one) :] == one for one in self._paths)

    def _secrets(self, node: Json, path: Path) -> Iterator[str]:
        if isinstance(node, dict):
            for name, child in node.items():
                yield from self._secrets(child, (*path, str(name)))
        elif isinstance(node, list):
            for child in node:
                yield from self._secrets(child, path)
        elif node is not None and self._is_secret(path):
            yield str(node)

    def _masked(self, node: Json, path: Path) -> Json:
        if isinstance(node, dict):
            return {
                self.text(str(name)): self._masked(child, (*path, str(name))) for name, child in node.items()
            }
        if isinstance(node, list):
            return [self._masked(child, path) for child in node]
        if node is not None and self._is_secret(path):
            return MASK if str(node) in self._right else OTHER
        return self._scalar(node)

    def _scalar(self, node: Json) -> Json:
        if isinstance(node, bool) or node is None:
            return node
        text = str(node)
        if len(text) >= MIN_PART and any(text in value for value in self._values):
            return MASK
        masked = self.text(text)
        return node if masked == text else masked


def _pattern(value: str) -> re.Pattern[str]:
    """Finds a secret; one shorter than `MIN_PART` only as a whole word, or else every "a" would be hidden."""
    spellings = dict.fromkeys(
        (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1])
    )
    either = "|".join(re.escape(one) for one in sorted(spellings, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)" if len(value) < MIN_PART else either)
