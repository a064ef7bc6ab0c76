"""The path /mcp answers as before, though what answers there is loaded at the first request."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from microlith.serving.mcp_route import McpRoute, load
from tests.serving.running import ScriptedDesk, serving

pytest.importorskip("mcp")

from mcp import Client


class Made:
    """Makes a small app, and keeps what happens to it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.error: Exception | None = None

    def __call__(self) -> Starlette:
        self.events.append("made")
        if self.error is not None:
            raise self.error

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            holder = asyncio.current_task()
            self.events.append("begun")
            yield
            assert asyncio.current_task() is holder
            self.events.append("ended")

        return Starlette(
            routes=[Route("/mcp", lambda request: PlainTextResponse("here"), methods=["GET"])],
            lifespan=lifespan,
        )


def outer(mcp: McpRoute) -> Starlette:
    """An app with nothing but that route."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with mcp.lifespan():
            yield

    return Starlette(routes=[mcp.route("/mcp")], lifespan=lifespan)


def inside(made: Callable[[], Starlette], times: int) -> list[int]:
    """Statuses of so many requests that come at once inside the lifespan."""
    mcp = McpRoute(made)

    async def main() -> list[int]:
        transport = httpx.ASGITransport(outer(mcp), raise_app_exceptions=False)
        async with mcp.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://local") as client:
            replies = await asyncio.gather(*(client.get("/mcp") for _ in range(times)))
            return [reply.status_code for reply in replies]

    return asyncio.run(main())


def test_nothing_is_made_before_the_first_request() -> None:
    made = Made()
    assert inside(made, 0) == []
    assert made.events == []


def test_requests_that_come_at_once_share_what_is_made_and_it_is_closed_at_the_end() -> None:
    made = Made()
    assert inside(made, 3) == [200, 200, 200]
    assert made.events == ["made", "begun", "ended"]


def test_what_cannot_be_made_fails_its_request_and_the_next_one_tries_anew() -> None:
    made = Made()
    made.error = ImportError("no library")
    mcp = McpRoute(made)

    async def main() -> list[int]:
        transport = httpx.ASGITransport(outer(mcp), raise_app_exceptions=False)
        async with mcp.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://local") as client:
            first = await client.get("/mcp")
            made.error = None
            return [first.status_code, (await client.get("/mcp")).status_code]

    assert asyncio.run(main()) == [500, 200]
    assert made.events == ["made", "made", "begun", "ended"]


def test_a_client_that_goes_while_it_is_made_does_not_take_it_from_others() -> None:
    made = Made()
    mcp = McpRoute(made)

    async def main() -> int:
        transport = httpx.ASGITransport(outer(mcp))
        async with mcp.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://local") as client:
            gone = asyncio.create_task(client.get("/mcp"))
            while not mcp.is_open:
                await asyncio.sleep(0)
            gone.cancel()
            return (await client.get("/mcp")).status_code

    assert asyncio.run(main()) == 200


def test_a_client_of_the_protocol_is_answered() -> None:
    mcp = McpRoute(lambda: load(ScriptedDesk({"infra": {}}), loopback=True))

    async def names(address: str) -> list[str]:
        async with Client(f"{address}/mcp") as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    with serving(outer(mcp)) as address:
        assert asyncio.run(names(address)) == ["infra"]


def test_the_app_is_made_without_what_only_some_requests_need() -> None:
    program = (
        "import sys, microlith.serving.app; from microlith.serving.start import *;"
        "import microlith.serving.parts, microlith.serving.keeping;"
        "print([name for name in ('mcp', 'alembic', 'openai', 'bm25s', 'torch', 'transformers') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"
