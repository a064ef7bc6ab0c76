"""A client's own large model as the general model of a call (sampling in the Model Context Protocol).

Until 2025-11-25 a server asks it with a request of its own while the call is in hand. Since 2026-07-28 a server may send no
requests: the call is answered with a question, and the client calls again with what its model said. Between the two, the call
waits here; the route's own limit of time ends it where the client does not come back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

from microlith.errors import TeacherError
from microlith.routing.general_prompt import Message
from microlith.routing.route import Routed

Ask = Callable[[list[Message]], Awaitable[str]]
Context = ServerRequestContext[Any, Any]

MOST_TOKENS = 1024
"""Longest answer that a client's model is asked for."""
MOST_WAITING = 256
"""Calls that wait for their clients at a time; of more, the oldest is given up."""
KEY = "general"
"""Name of the question within a call."""


def offers_sampling(ctx: Context) -> bool:
    """May the client's model be asked?"""
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and capabilities.sampling is not None


def asks_at_once(ctx: Context) -> Ask:
    """Asks the client's model with a request of the server's own."""

    async def ask(messages: list[Message]) -> str:
        result = await ctx.session.send_request(
            _question(messages),
            types.CreateMessageResult,
            metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
        )
        return _text_of(result)

    return ask


class Exchange:
    """One call that may be answered with a question first."""

    def __init__(self, params: types.CallToolRequestParams) -> None:
        """For the call with these parameters; it begins with `start`."""
        self._of = (params.name, params.arguments)
        self._question: asyncio.Future[types.CreateMessageRequest] = _future()
        self._said: asyncio.Future[str] = _future()
        self._answer: asyncio.Task[Routed] | None = None

    def start(self, answer: Coroutine[Any, Any, Routed]) -> None:
        """Begin to answer; `answer` asks the client's model through `ask`."""
        self._answer = asyncio.get_running_loop().create_task(answer)

    async def ask(self, messages: list[Message]) -> str:
        """What the client's model says, once the client has called again."""
        self._said = _future()
        self._question.set_result(_question(messages))
        return await self._said

    def hear(self, params: types.CallToolRequestParams) -> None:
        """Take what the client brings.

        Raises:
            MCPError: if it belongs to another call.
        """
        if (params.name, params.arguments) != self._of:
            raise MCPError(types.INVALID_PARAMS, "the request state belongs to another call")
        self._question = _future()
        if self._said.done():
            return
        try:
            self._said.set_result(_text_of((params.input_responses or {}).get(KEY)))
        except TeacherError as error:
            self._said.set_exception(error)

    async def next(self) -> Routed | types.CreateMessageRequest:
        """The answer, or what the client's model must be asked before there is one."""
        assert self._answer is not None
        try:
            await asyncio.wait((self._answer, self._question), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.give_up()
            raise
        return self._answer.result() if self._answer.done() else self._question.result()

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        if self._answer is not None:
            self._answer.cancel()


class Waiting:
    """Calls that wait for their clients. Used from one event loop."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        """Let `most` calls wait."""
        self._most = most
        self._exchanges: OrderedDict[str, Exchange] = OrderedDict()

    def keep(self, exchange: Exchange, question: types.CreateMessageRequest) -> types.InputRequiredResult:
        """Let a call wait; what its client is answered meanwhile."""
        state = secrets.token_urlsafe(32)
        self._exchanges[state] = exchange
        while len(self._exchanges) > self._most:
            self._exchanges.popitem(last=False)[1].give_up()
        return types.InputRequiredResult(input_requests={KEY: question}, request_state=state)

    def take(self, params: types.CallToolRequestParams) -> Exchange:
        """The call that a client comes back to, with what it brings.

        Raises:
            MCPError: if there is none, or not with these arguments.
        """
        exchange = self._exchanges.pop(params.request_state or "", None)
        if exchange is None:
            raise MCPError(
                types.INVALID_PARAMS, "no call waits under this request state; call the tool again"
            )
        exchange.hear(params)
        return exchange


def _question(messages: list[Message]) -> types.CreateMessageRequest:
    system = [one["content"] for one in messages if one["role"] == "system"]
    spoken = [
        types.SamplingMessage(
            role="assistant" if one["role"] == "assistant" else "user",
            content=types.TextContent(type="text", text=one["content"]),
        )
        for one in messages
        if one["role"] != "system"
    ]
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(
            messages=spoken, system_prompt="\n\n".join(system), max_tokens=MOST_TOKENS, temperature=0.0
        )
    )


def _text_of(result: Any) -> str:
    """The text that a client's model gave.

    Raises:
        TeacherError: if it gave none.
    """
    content = getattr(result, "content", None)
    parts = content if isinstance(content, list) else [content]
    texts = [part.text for part in parts if isinstance(part, types.TextContent)]
    if not texts:
        raise TeacherError("the client's model gave no text")
    return "".join(texts)


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()
