"""What a task folder's serving.py says: HTTP routes of the task's own, for callers that expect a shape of their own.

A `serving.py` beside task.toml holds a table and plain functions:

    ROUTES = [
        PackRoute(path="/api/v1/parse", about="...", asks=Query, says=Understood, read=read, write=write),
    ]

`read` makes a call of what a caller sent, `write` makes the caller's answer of what became of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from microlith.errors import Problem, TaskError
from microlith.routing.route import Routed
from microlith.serving.desk import Call
from microlith.task.own_code import load_module
from microlith.task.taskfile import Task

FILE = "serving.py"
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class Failure(BaseModel):
    """Why there is no answer."""

    error: str


@dataclass(frozen=True, kw_only=True)
class Header:
    """A header that a route reads."""

    name: str
    about: str
    values: tuple[str, ...]
    """What it may say."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a caller sent to a route."""

    task: str
    """The task whose folder names the route."""
    body: Any
    """An instance of the route's `asks`."""
    headers: Mapping[str, str]
    """By name in lower case."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a caller is answered."""

    body: BaseModel
    status: int = 200


@dataclass(frozen=True, kw_only=True)
class PackRoute:
    """One route, asked with POST and JSON."""

    path: str
    """From the server's root, e.g. `/api/v1/parse`; without parameters."""
    about: str
    """A sentence for the OpenAPI page."""
    asks: type[BaseModel]
    """The body; one that does not fit is answered with 400 and a `Failure`."""
    says: type[BaseModel]
    """The answer with status 200."""
    read: Callable[[Heard], Call]
    """What to ask the desk. It raises RequestError for what cannot be asked."""
    write: Callable[[Heard, Routed], Reply]
    """The answer, refusals included."""
    failures: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    """Other answers that `write` gives, by status; `Failure` unless listed here."""
    headers: tuple[Header, ...] = ()
    cors: bool = False
    """May pages of other origins ask it?"""


def routes_of(task: Task) -> tuple[PackRoute, ...]:
    """The routes that a task's folder names; none where it holds no serving.py.

    Raises:
        TaskError: if serving.py cannot be loaded or its `ROUTES` are not a list of routes.
    """
    path = task.folder / FILE
    if not path.is_file():
        return ()
    routes = getattr(load_module(path, task.name), "ROUTES", None)
    if not isinstance(routes, list | tuple) or not all(isinstance(route, PackRoute) for route in routes):
        raise TaskError(
            f"{FILE} has no list ROUTES of PackRoute", place=str(path), mend="ROUTES = [PackRoute(...), ...]"
        )
    problems = [
        Problem(what=f"the path {route.path!r} is not plain", place=str(path), mend='write it like "/api/v1/parse"')
        for route in routes
        if not _PATH.fullmatch(route.path)
    ]  # fmt: skip
    if problems:
        raise TaskError(f"{FILE} names paths that cannot be served", problems=problems)
    return tuple(routes)
