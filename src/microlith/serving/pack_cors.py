"""Lets pages of other origins ask the pack routes that allow it, as browsers demand (CORS).

It stands outside of key checks, limits and the error boundary, so that their answers carry the headers too: a page may not
read an answer without them, and would take a told error for a broken network.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microlith.serving.desk import Desk
from microlith.serving.dialect import TRACE
from microlith.serving.pack_routes import declared

ALLOWED = ("authorization", "x-client-info", "apikey", "content-type")
"""Request headers that Supabase's clients send."""
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-headers": ", ".join(ALLOWED),
    "access-control-allow-methods": "POST, OPTIONS",
    "access-control-expose-headers": f"{TRACE}, retry-after",
}


class PackCors:
    """ASGI middleware: answers preflights and adds the headers to every other answer of routes that say `cors=True`."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        """Stand before `app` for the tasks that `desk` serves."""
        self._app = app
        self._paths = frozenset(route.path for _, route in declared(desk) if route.cors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; those to other paths pass."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            return await self._app(scope, receive, send)
        if scope["method"] == "OPTIONS":
            return await Response(status_code=204, headers=CORS)(scope, receive, send)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(CORS)
            await send(message)

        return await self._app(scope, receive, sending)
