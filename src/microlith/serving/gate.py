"""Who may come in: the key of a request, the tasks that it is good for, and how often its owner may ask."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

from microlith.errors import MicrolithError, NotForTask
from microlith.serving.http_errors import NO_SHAPES, Shapes, response_to
from microlith.serving.keys import Entry, KeyStore, key_of
from microlith.serving.limits import RateLimit, caller_of
from microlith.serving.logging_rules import note

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = frozenset({"/", "/healthz", "/readyz"})
"""Paths that anybody may ask."""
_CALLER: ContextVar[Entry | None] = ContextVar("caller", default=None)


def admit(task: str) -> None:
    """See that the key of the request in hand is good for `task`; a server without keys admits everybody.

    Raises:
        NotForTask: if it is for other tasks only.
    """
    caller = _CALLER.get()
    if caller is not None and not caller.may(task):
        raise NotForTask(
            f"the API key {caller.name!r} is not for the task {task!r}",
            mend=f"it is for {', '.join(caller.tasks)}",
        )


def may_see(task: str) -> bool:
    """May the caller of the request in hand know of `task`?"""
    caller = _CALLER.get()
    return caller is None or caller.may(task)


class Gate:
    """ASGI middleware: turns away whoever has no key, where keys are needed, and whoever asks too often."""

    def __init__(
        self, app: ASGIApp, *, keys: KeyStore, rate: RateLimit | None = None, shapes: Shapes = NO_SHAPES
    ) -> None:
        """Let in by `keys`, each caller at `rate`; None for no limit. Refusals are shaped by path as `shapes` says."""
        self._app, self._keys, self._rate, self._shapes = app, keys, rate, shapes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; websockets, the app's start and end, and browsers' preflights pass."""
        if scope["type"] != "http" or scope["path"] in OPEN or scope["method"] == "OPTIONS":
            return await self._app(scope, receive, send)
        try:
            caller = self._caller(scope)
        except MicrolithError as error:
            return await response_to(error, scope, self._shapes)(scope, receive, send)
        token = _CALLER.set(caller)
        try:
            return await self._app(scope, receive, send)
        finally:
            _CALLER.reset(token)

    def _caller(self, scope: Scope) -> Entry | None:
        entry = self._keys.check(key_of(_headers(scope)), None) if self._keys.required else None
        if entry is not None:
            note(scope, caller=entry.name)
        if self._rate is not None:
            address = (scope.get("client") or (None,))[0]
            self._rate.take(caller_of(entry.name if entry else None, address))
        return entry


def _headers(scope: Scope) -> Mapping[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
