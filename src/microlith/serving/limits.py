"""What a server takes: requests a minute from one caller, requests at a time, bytes of a body."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from microlith.errors import MicrolithError, Overloaded, TooLarge, TooSlow, UsageError
from microlith.serving.http_errors import NO_SHAPES, Shapes, response_to

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CALLERS = 10_000
"""So many callers' buckets are remembered."""
_SLACK_S = 1e-6
"""Clocks count in floating point: a caller who waits as long as told is not refused for a rounding."""


def caller_of(key_name: str | None, address: str | None) -> str:
    """Whose bucket a request takes from: its key's, else its address's.

    Addresses of IPv6 count by their /64, which is what one subscriber has at the least.
    """
    if key_name is not None:
        return f"key:{key_name}"
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return f"address:{address or 'unknown'}"
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        parsed = mapped or ipaddress.ip_network((int(parsed) >> 64 << 64, 64)).network_address
    return f"address:{parsed}"


class RateLimit:
    """A token bucket a caller, kept as the moment at which the bucket is full again (the generic cell rate algorithm
    of ATM Forum TM 4.0, 4.4.2). Used from one event loop."""

    def __init__(
        self, per_minute: float, burst: int, clock: Callable[[], float], *, callers: int = CALLERS
    ) -> None:
        """Let each caller make `burst` requests at once and `per_minute` in the long run.

        Args:
            per_minute: Tokens a minute, above 0.
            burst: Size of a bucket, at least 1.
            clock: Gives seconds; never goes backwards.
            callers: So many are remembered. Who was silent longest is forgotten first and has a full bucket then.

        Raises:
            UsageError: if a number is out of its range.
        """
        if not per_minute > 0 or burst < 1 or callers < 1:
            raise UsageError(
                f"a limit of {per_minute:g} requests a minute, {burst} at once, cannot be",
                mend="name more than 0 a minute and at least 1 at once",
            )
        self._every_s = 60.0 / per_minute
        self._ahead_s = (burst - 1) * self._every_s
        self._limit = f"{per_minute:g} requests a minute, {burst} at once"
        self._clock, self._callers = clock, callers
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many callers are remembered."""
        return len(self._full_at)

    def take(self, caller: str) -> None:
        """Take a token for one request.

        Raises:
            Overloaded: if there is none; `retry_after_s` says when there is one. Asking earlier costs nothing.
        """
        now = self._clock()
        full_at = max(self._full_at.get(caller, now), now)
        wait_s = full_at - self._ahead_s - now
        if wait_s > _SLACK_S:
            self._full_at.move_to_end(caller)
            raise Overloaded(f"a caller may make {self._limit}", retry_after_s=wait_s)
        self._full_at[caller] = full_at + self._every_s
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self._callers:
            self._full_at.popitem(last=False)


class Gatekeeper:
    """Counts the requests that are being answered or wait for it, and refuses what would be too many."""

    def __init__(self, max_waiting: int, max_bytes: int, *, retry_after_s: float = 1.0) -> None:
        """Let in at most `max_waiting` requests of `max_bytes` together; others are told to come in `retry_after_s`.

        Raises:
            UsageError: if a number is not above 0.
        """
        if max_waiting < 1 or max_bytes < 1 or not retry_after_s > 0:
            raise UsageError(
                "a server must take at least one request of one byte", mend="name numbers above 0"
            )
        self._max_waiting, self._max_bytes, self._retry_after_s = max_waiting, max_bytes, retry_after_s
        self._waiting = self._bytes = 0

    @property
    def waiting(self) -> int:
        """Requests that are in."""
        return self._waiting

    @property
    def waiting_bytes(self) -> int:
        """Bytes of their bodies."""
        return self._bytes

    @asynccontextmanager
    async def admit(self, size_bytes: int) -> AsyncIterator[None]:
        """Let one request in for as long as the block lasts, however it ends.

        Raises:
            Overloaded: if too many are in.
            TooLarge: if it would not fit even alone.
        """
        if size_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        if self._waiting >= self._max_waiting or self._bytes + size_bytes > self._max_bytes:
            raise Overloaded(
                f"{self._waiting} requests are being answered", retry_after_s=self._retry_after_s
            )
        self._waiting += 1
        self._bytes += size_bytes
        try:
            yield
        finally:
            self._waiting -= 1
            self._bytes -= size_bytes


class BodyLimit:
    """ASGI middleware: the app sees a request when its whole body is there, and none that is too large or too slow."""

    def __init__(
        self, app: ASGIApp, max_bytes: int, *, body_timeout_s: float = 10.0, shapes: Shapes = NO_SHAPES
    ) -> None:
        """Refuse bodies of more than `max_bytes` (413) or that take longer than `body_timeout_s` to arrive (408)."""
        self._app, self._max_bytes, self._body_timeout_s, self._shapes = (
            app,
            max_bytes,
            body_timeout_s,
            shapes,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; websockets and the app's start and end pass."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            async with asyncio.timeout(self._body_timeout_s):
                body = await self._body(scope, receive)
        except TimeoutError:
            return await self._refuse(_too_slow(self._body_timeout_s), scope, receive, send)
        except TooLarge as error:
            return await self._refuse(error, scope, receive, send)
        if body is not None:
            await self._app(scope, _replay(body, receive), send)
        return None

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None where the caller has gone. Nothing is read of a body that says it is too large."""
        if _stated_bytes(scope) > self._max_bytes:
            raise _too_large(self._max_bytes)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise _too_large(self._max_bytes)
            if not message.get("more_body", False):
                return bytes(body)

    async def _refuse(self, error: MicrolithError, scope: Scope, receive: Receive, send: Send) -> None:
        response = response_to(error, scope, self._shapes)
        # What is left of the body is not read, so nothing can follow it on this connection.
        response.headers["connection"] = "close"
        await response(scope, receive, send)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the request is larger than {max_bytes:,} bytes", mend="send less, or several requests")


def _too_slow(body_timeout_s: float) -> TooSlow:
    return TooSlow(f"the request did not arrive within {body_timeout_s:g} s", mend="send it again")


def _stated_bytes(scope: Scope) -> int:
    """What the header content-length says; 0 where it says nothing or nonsense, which the count then finds out."""
    stated = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(stated[:20]) if stated.isdigit() else 0


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body first, then what comes after it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again
