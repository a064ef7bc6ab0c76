"""What a general model is told: the job, the schema, rows like the request, passages of documentation, the conversation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

from microlith.data.censor import censored
from microlith.data.example import Example
from microlith.errors import MicrolithError, UsageError
from microlith.routing.retrieval import Nearest, passages_of
from microlith.routing.route import Asked
from microlith.task.keywords import OURS
from microlith.task.plan import Json
from microlith.task.schema import children
from microlith.task.taskfile import Task

Message = dict[str, str]
"""`role` ("system", "user" or "assistant") and `content`, as chat interfaces take them."""

_RULES = """\
Answer the last request with one JSON object that fits this JSON Schema, and with nothing around it:
{schema}

What the schema marks with "x-source" is copied from the request letter for letter: never make such a value up, correct it or \
translate it. An optional value that the request does not give is left out. What is marked with "x-computed" is computed again \
afterwards. An answer whose "x-role" is "clarify" names what is missing; "out-of-scope" is for requests that are none of this job."""

_SEARCHERS = ThreadPoolExecutor(2, thread_name_prefix="prompt")
"""Threads of their own: whoever waits for rows that are being indexed must not keep others from theirs."""


class GeneralPrompt:
    """Writes the prompt of one task. Values that the schema calls secret are replaced in the rows that are shown.

    Rows are read and indexed by `prepare`, or else when the first prompt is written, which takes seconds where there are many.
    Safe to share between threads.
    """

    def __init__(
        self, task: Task, *, examples: Sequence[Example] | Callable[[], Sequence[Example]] = (),
        documents: Sequence[Path | str] = (), shown: int = 4, passages: int = 2,
    ) -> None:  # fmt: skip
        """Know what may be shown.

        Args:
            task: The task.
            examples: Rows whose answers are right, or what gives them; the caller chooses whom it trusts.
            documents: Text and Markdown files, or folders of them.
            shown: Rows that one prompt shows, the nearest to the request; 0 for none.
            passages: Passages of documentation that one prompt shows at most; 0 for none.

        Raises:
            UsageError: if a document cannot be read, or fewer than none are to be shown.
            MissingExtra: if there are documents and bm25s is not installed.
        """
        if shown < 0 or passages < 0:
            raise UsageError(
                f"a prompt cannot show {shown} rows and {passages} passages", mend="name 0 or more"
            )
        self.task = task
        self._shown, self._passages = shown, passages
        self._given = examples if shown else ()
        self._indexed: tuple[Sequence[Example], Nearest] | None = None
        self._indexing = Lock()
        self._failure: MicrolithError | None = None
        self._row_texts: dict[int, str | None] = {}
        """Number of a row -> its text; None for one that may not be shown."""
        self._near_passages = Nearest(passages_of(documents) if passages else ())
        schema = json.dumps(task.schema.value, ensure_ascii=False)
        self._head = f"{task.instruction}\n\n{_RULES.format(schema=schema)}"

    async def written(self, asked: Asked) -> list[Message]:
        """`messages`, for an event loop: what has to be searched is searched in a thread.

        Raises:
            MissingExtra: if bm25s is not installed.
        """
        rows = self._given if self._indexed is None else self._indexed[0]
        if rows or self._near_passages.texts:
            return await asyncio.get_running_loop().run_in_executor(_SEARCHERS, self.messages, asked)
        return self.messages(asked)

    def prepare(self) -> None:
        """Read and index the rows, if that is not done yet.

        Raises:
            MicrolithError: if a row cannot be read; then every prompt raises the same.
        """
        self._known()

    def messages(self, asked: Asked) -> list[Message]:
        """The conversation that ends with the request.

        Raises:
            MissingExtra: if bm25s is not installed.
        """
        parts = [self._head, *self._documentation(asked.request), *self._rows(asked.request)]
        messages = [{"role": "system", "content": "\n\n".join(parts)}]
        for turn in asked.turns:
            messages.append({"role": "user", "content": turn.request})
            messages.append({"role": "assistant", "content": turn.answer})
        return [*messages, {"role": "user", "content": asked.request}]

    def _documentation(self, request: str) -> list[str]:
        found = islice(self._near_passages.order(request, like=True), self._passages)
        texts = [self._near_passages.texts[place] for place in found]
        return ["\n\n".join(["From the documentation:", *texts])] if texts else []

    def _rows(self, request: str) -> list[str]:
        examples, near = self._known()
        found = filter(None, (self._row(place, examples[place]) for place in near.order(request)))
        rows = list(islice(found, self._shown))
        return ["\n\n".join(["Requests like it, with their right answers:", *rows])] if rows else []

    def _known(self) -> tuple[Sequence[Example], Nearest]:
        """The rows and their index."""
        with self._indexing:
            if self._failure is not None:
                raise self._failure
            if self._indexed is None:
                try:
                    examples = self._given() if callable(self._given) else self._given
                    self._indexed = examples, Nearest([one.input for one in examples])
                except MicrolithError as error:  # reading them again at every request would not mend it
                    self._failure = error
                    raise
            return self._indexed

    def _row(self, place: int, row: Example) -> str | None:
        """The text of a row; None where it does not fit the schema (any more) or its secrets cannot be replaced."""
        if place not in self._row_texts:
            fits = self.task.validator.is_valid(row.output)
            shown = censored(row, self.task.plan, Random(place)) if fits else None
            self._row_texts[place] = _told(shown) if shown else None
        return self._row_texts[place]


def _told(row: Example) -> str:
    return f"Request: {row.input}\nAnswer: {json.dumps(row.output, ensure_ascii=False)}"


def response_format(task: Task) -> dict[str, Any]:
    """What asks an OpenAI-compatible endpoint to hold its answer to the task's schema."""
    return {
        "type": "json_schema",
        "json_schema": {"name": task.name, "schema": plain(task.schema.value), "strict": True},
    }


def plain(schema: Json) -> Json:
    """A schema without the keywords that Microlith adds, which other readers may refuse."""
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {key: value for key, value in schema.items() if key not in OURS}
    for keyword, parts, child in children(schema):
        if len(parts) == 1:
            made[keyword] = plain(child)
            continue
        if made[keyword] is schema[keyword]:
            made[keyword] = schema[keyword].copy()
        made[keyword][parts[1]] = plain(child)
    return made
