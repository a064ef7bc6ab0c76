"""Heads of requests that are too large or never come to their end: uvicorn itself waits for ever and keeps all of it."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from microlith.errors import MicrolithError, TooLarge, TooSlow
from microlith.serving.http_errors import facts_of

MOST_BYTES = 65_536
"""Largest head: request line and headers."""
LONGEST_S = 30.0
"""Longest time from a connection's beginning, or from the first byte of a later request, to the end of the head."""


class BoundedHead(HttpToolsProtocol):
    """One connection. What is refused here never becomes a request, so it is answered in Microlith's own form and closed."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._is_open, self._bytes = True, 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection begins: a head is waited for."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._come()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Something came. A piece is at most what the event loop reads at once, so a head is looked at after it."""
        super().data_received(data)
        if not self._is_open:
            return
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            self._refuse(TooLarge(f"the head of the request is larger than {MOST_BYTES:,} bytes"))

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._come()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._is_open, self._bytes = True, 0
        if self._timer is None:
            self._timer = self.loop.call_later(LONGEST_S, self._give_up)

    def _come(self) -> None:
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self._bytes:  # a browser that connects ahead expects no answer
            return self.transport.close()
        return self._refuse(TooSlow(f"the head of the request did not arrive within {LONGEST_S:g} s"))

    def _refuse(self, error: MicrolithError) -> None:
        self._come()
        status, facts, _ = facts_of(error)
        body = json.dumps({"error": facts})
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write((head + body).encode())
        self.transport.close()
