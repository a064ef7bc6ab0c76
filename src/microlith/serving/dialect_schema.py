"""A caller's own JSON Schema, which an answer has to satisfy beside its task's.

The schema comes from outside, so checking it must end soon whatever it says: it is of bounded size, takes a bounded number of
steps, its patterns are matched in linear time (by the regular expressions of pydantic's core), and nothing is fetched for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from itertools import count
from typing import Annotated, Any

from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from pydantic import StringConstraints, TypeAdapter
from pydantic import ValidationError as NoMatch
from pydantic_core import SchemaError as NoPattern
from referencing import Registry

from microlith.serving.dialect_text import as_text
from microlith.task.jsontext import pointer_of
from microlith.task.plan import Json
from microlith.task.schema import DIALECTS, dialect_of
from microlith.task.validate import CLASSES

MOST_CHARACTERS = 65_536
"""Of a schema as JSON text."""
MOST_STEPS = 10_000
"""Keywords that are looked at for one answer."""
_STEPS: ContextVar[Iterator[int]] = ContextVar("steps")
"""Counts the keywords of the check in hand."""


class SchemaTrouble(ValueError):
    """A schema that cannot be used; says why, and repeats nothing of an answer."""


class AskedSchema:
    """A schema that a request gives."""

    def __init__(self, schema: Mapping[str, Json], *, name: str = "") -> None:
        """Read the schema; `name` is told when an answer does not satisfy it.

        Raises:
            SchemaTrouble: if it is no JSON Schema, or one that cannot be checked safely.
        """
        text = as_text(schema)
        if len(text) > MOST_CHARACTERS:
            raise SchemaTrouble(
                f"the schema has {len(text):,} characters, at most {MOST_CHARACTERS:,} are taken"
            )
        _lint(text)
        self._schema = {key: value for key, value in schema.items() if key != "$schema"}
        self._library = CLASSES[dialect_of(schema)]
        self._name = name

    def misfit(self, answer: Json) -> str | None:
        """Why `answer` does not satisfy it, without a value of the answer; None where it does."""
        called = f"the schema {self._name!r} of the request" if self._name else "the schema of the request"
        _STEPS.set(count(1))
        try:
            found = next(_bounded(self._library)(self._schema, registry=Registry()).iter_errors(answer), None)
        except SchemaTrouble as error:
            return f"{called} cannot be checked: {error}"
        except (
            Exception
        ) as error:  # a stranger's schema in a library: whatever it trips over, it cannot be used
            return f"{called} cannot be checked: {type(error).__name__}"
        if found is None:
            return None
        place = pointer_of(list(found.absolute_path)) or "as a whole"
        return f'the answer does not satisfy {called}: {place}, it breaks "{found.validator}"'


@lru_cache(maxsize=64)
def _lint(text: str) -> None:
    """See once that a schema is one; the same schema comes with every request of a program."""
    schema = json.loads(text)
    dialect = dialect_of(schema)
    if dialect not in CLASSES:
        raise SchemaTrouble(f"its $schema is {dialect[:80]!r}, known are {', '.join(DIALECTS)}")
    _walk(schema)
    try:
        found = next(CLASSES[dialect](CLASSES[dialect].META_SCHEMA).iter_errors(schema), None)
    except Exception as error:  # as above
        raise SchemaTrouble(f"it is no JSON Schema: {type(error).__name__}") from None
    if found is not None:
        raise SchemaTrouble(
            f"it is no JSON Schema: {pointer_of(list(found.absolute_path)) or '/'}: {found.message[:200]}"
        )


def _walk(schema: Json) -> None:
    """Refuse what would lead around the limits: a dialect inside, regular expressions of the standard library."""
    pending, top = [schema], True
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if "patternProperties" in node:
                raise SchemaTrouble("patternProperties cannot be checked here")
            if "$schema" in node and not top:
                raise SchemaTrouble('"$schema" may stand at the top only')
            if isinstance(node.get("pattern"), str):
                _matcher(node["pattern"])
            pending += node.values()
        elif isinstance(node, list):
            pending += node
        top = False


@lru_cache(maxsize=8)
def _bounded(library: Any) -> Any:
    """The library's class, but it counts its steps and matches patterns in linear time."""

    def counting(keyword: Callable[..., Any]) -> Callable[..., Any]:
        def check(validator: Any, value: Json, instance: Json, schema: Json) -> Iterator[ValidationError]:
            if next(_STEPS.get()) > MOST_STEPS:
                raise SchemaTrouble(f"it takes more than {MOST_STEPS:,} steps")
            yield from keyword(validator, value, instance, schema) or ()

        return check

    own = {**library.VALIDATORS, "pattern": _pattern}
    return extend(library, {name: counting(keyword) for name, keyword in own.items()})


def _pattern(validator: Any, pattern: Json, instance: Json, schema: Json) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _matcher(str(pattern))(instance):
        yield ValidationError("does not match")


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> Callable[[str], bool]:
    try:
        adapter = TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
    except NoPattern:
        raise SchemaTrouble(f"the pattern {pattern[:80]!r} cannot be checked in linear time") from None

    def matches(text: str) -> bool:
        try:
            adapter.validate_python(text)
        except NoMatch:
            return False
        return True

    return matches
