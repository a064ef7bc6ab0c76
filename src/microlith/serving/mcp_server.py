"""Served tasks for clients of the Model Context Protocol, over standard input and output or over HTTP.

Each task is a tool. Where a client lends its own large model, that serves as the general model of the client's calls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette

from microlith.errors import MicrolithError
from microlith.routing.general import CallableStage
from microlith.routing.route import Routed
from microlith.serving.desk import Call, Desk
from microlith.serving.logging_rules import log_fault, note
from microlith.serving.mcp_sampling import Ask, Context, Exchange, Waiting, asks_at_once, offers_sampling
from microlith.serving.mcp_tools import call_of, failure_of, result_of, tool_of, tools_of
from microlith.version import VERSION

INSTRUCTIONS = """\
Each tool turns one narrow kind of request into checked JSON, and says how sure it is. Nothing is carried out. A request that \
no model may answer is an error that says why."""

Called = types.CallToolResult | types.InputRequiredResult


def make_mcp(desk: Desk) -> Server[Any]:
    """A server whose tools are the tasks that `desk` serves."""
    tools = _Tools(desk)
    return Server(
        "microlith",
        version=VERSION,
        instructions=INSTRUCTIONS,
        on_list_tools=tools.list,
        on_call_tool=tools.call,
    )


def mcp_app(desk: Desk, *, loopback: bool = True) -> Starlette:
    """The server over streamable HTTP, as an app with the one route /mcp; its lifespan must be entered once.

    Args:
        desk: Serves the tasks.
        loopback: True answers only requests to this machine's own names, so that no page can reach a server without keys
            by a name of its own that it lets point here. False where callers need keys.
    """
    return make_mcp(desk).streamable_http_app(
        streamable_http_path="/mcp", host="127.0.0.1" if loopback else "0.0.0.0"
    )


async def run_stdio(desk: Desk) -> None:
    """Serve one client on standard input and output until it goes. What else is printed meanwhile goes to standard error."""
    server = make_mcp(desk)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


class _Tools:
    """What the server answers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._waiting = Waiting()

    async def list(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """Every tool that the caller may see."""
        tools = [tool_of(name, served) for name, served in tools_of(self._desk).items()]
        return types.ListToolsResult(tools=tools)

    async def call(self, ctx: Context, params: types.CallToolRequestParams) -> Called:
        """Answer one call.

        Raises:
            MCPError: if there is no such tool, or for what nobody foresaw; its words are not passed on.
        """
        try:
            return await self._called(ctx, params)
        except MicrolithError as error:
            return failure_of(error)
        except MCPError:
            raise
        except Exception as error:  # the request boundary
            log_fault(error, 500, None)
            raise MCPError(types.INTERNAL_ERROR, "the server failed; the request is not at fault") from None

    async def _called(self, ctx: Context, params: types.CallToolRequestParams) -> Called:
        if params.request_state is not None:
            return await self._goes_on(ctx, self._waiting.take(params))
        call = self._call(ctx, params)
        if not offers_sampling(ctx):
            return _told(ctx, await self._desk.answer(call))
        if ctx.session.can_send_request:
            return _told(ctx, await self._desk.answer(self._asking(call, asks_at_once(ctx))))
        exchange = Exchange(params)
        exchange.start(self._desk.answer(self._asking(call, exchange.ask)))
        return await self._goes_on(ctx, exchange)

    def _call(self, ctx: Context, params: types.CallToolRequestParams) -> Call:
        served = tools_of(self._desk).get(params.name)
        if served is None:
            known = ", ".join(tools_of(self._desk))
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name[:80]!r}; there are {known}")
        if ctx.request is not None:
            note(ctx.request.scope, task=served.task.name)
        return call_of(served, params.arguments or {})

    def _asking(self, call: Call, ask: Ask) -> Call:
        prompt = self._desk.prompt(call.task)
        return replace(call, general=CallableStage(prompt.task, ask, prompt=prompt))

    async def _goes_on(self, ctx: Context, exchange: Exchange) -> Called:
        reached = await exchange.next()
        return _told(ctx, reached) if isinstance(reached, Routed) else self._waiting.keep(exchange, reached)


def _told(ctx: Context, routed: Routed) -> types.CallToolResult:
    if ctx.request is not None:
        note(ctx.request.scope, trace_id=routed.trace_id)
    return result_of(routed)
