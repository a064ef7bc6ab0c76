"""The path /mcp. What answers there is loaded at its first request: it takes longer to load than all else together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.routing import Route

from microlith.serving.desk import Desk

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send


def load(desk: Desk, *, loopback: bool) -> Starlette:
    """Import the protocol's library and make the app; see `microlith.serving.mcp_server.mcp_app`."""
    from microlith.serving.mcp_server import mcp_app

    return mcp_app(desk, loopback=loopback)


class McpRoute:
    """ASGI app of one path. Used from one event loop, inside its `lifespan`, which is entered once."""

    def __init__(self, make: Callable[[], Starlette]) -> None:
        """Answer with what `make` gives. It is called in a thread, so that other requests go on meanwhile."""
        self._make = make
        self._opened: asyncio.Future[Starlette] | None = None
        self._open: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Has anybody asked yet?"""
        return self._open is not None

    def route(self, path: str) -> Route:
        """The route to this app."""
        return Route(path, endpoint=self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app = await asyncio.shield(self._ready())  # the one who waits may go, others wait too
        await app.router(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Requests may come inside this block; at its end, what is open is closed."""
        try:
            yield
        finally:
            self._ended.set()
            if self._open is not None:
                await self._open

    def _ready(self) -> asyncio.Future[Starlette]:
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
            self._open = asyncio.create_task(self._live(self._opened))
        return self._opened

    async def _live(self, opened: asyncio.Future[Starlette]) -> None:
        """Hold the app's own lifespan, which must begin and end in one task."""
        try:
            app = await asyncio.to_thread(self._make)
            async with app.router.lifespan_context(app):
                opened.set_result(app)
                await self._ended.wait()
        except Exception as error:
            if opened.done():
                raise
            # The requests that wait answer for it, and the next one tries anew.
            opened.set_exception(error)
            self._opened = self._open = None
