"""Requests that no client should send, over connections that stay: no fault of the server's, no hang, an answer in form."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from random import Random

import pytest

from tests.serving.faults.conftest import ROW, Plain
from tests.serving.faults.processes import Server
from tests.serving.faults.wild import Wild, wild_request

HANG_S = 30.0
CALLERS = 4
STATUSES = frozenset({200, 202, 204, 307, 400, 401, 403, 404, 405, 406, 408, 413, 415, 421, 422, 429})
"""What may be answered to anything; faults of the server are none of it."""

NO_HTTP = b"Invalid HTTP request received."
"""What the HTTP library says before any of our code runs; the MCP library refuses what is not for it in plain text, too."""


@pytest.mark.parametrize(
    ("first", "count"),
    [pytest.param(0, 500, id="500"), pytest.param(10_000, 10_000, id="10000", marks=pytest.mark.slow)],
)
def test_whatever_is_sent_is_answered_in_form(plain: Plain, first: int, count: int) -> None:
    with ThreadPoolExecutor(CALLERS) as pool:
        runs = [range(first + number, first + count, CALLERS) for number in range(CALLERS)]
        seen = [
            one for found in pool.map(lambda seeds: _all_answered(plain.server, seeds), runs) for one in found
        ]
    faults = [f"{seed}: {fault}" for seed, _, fault in seen if fault is not None]
    assert not faults, "\n".join(sorted(faults)[:50])
    statuses = Counter(status for _, status, _ in seen)
    assert statuses[200] > count / 8, statuses  # else it does not get far
    assert plain.server.predict("mood", ROW.input).value["output"] == ROW.output


def _all_answered(server: Server, seeds: Iterable[int]) -> list[tuple[int, int, str | None]]:
    """Seed, status and fault of each request, over one connection."""
    with closing(
        http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=HANG_S)
    ) as connection:
        return [(seed, *_answered(connection, wild_request(Random(seed)))) for seed in seeds]


def _answered(connection: http.client.HTTPConnection, request: Wild) -> tuple[int, str | None]:
    """Status of the answer, and what is wrong with it."""
    try:
        connection.putrequest(
            request.method, request.path, skip_host=any(n == "Host" for n, _ in request.headers)
        )
        for name, value in request.headers:
            connection.putheader(name, value)
        if request.body is not None:
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was refused before it was sent as a whole; the answer is there all the same
    try:
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return 0, f"{request.method} {request.path[:80]}: {error!r}"
    fault = _fault(request, answer.status, answer.getheader("content-type") or "", body)
    return answer.status, None if fault is None else f"{request.method} {request.path[:80]}: {fault}"


def _fault(request: Wild, status: int, kind: str, body: bytes) -> str | None:
    if status not in STATUSES:
        return f"{status}: {body[:300]!r}"
    if not body or request.method == "HEAD":
        return None
    try:
        if kind.startswith("application/json"):
            value = json.loads(body)
            return None if status < 400 or "error" in value else f"no error in {body[:200]!r}"
        if kind.startswith("application/x-ndjson"):
            return (
                None if all(isinstance(json.loads(line), dict) for line in body.splitlines()) else "no lines"
            )
        if kind.startswith("text/event-stream"):
            lines = [
                line for line in body.decode().replace("\r", "").split("\n") if line.startswith("data: ")
            ]
            return (
                None
                if all(json.loads(line[6:]) for line in lines if line != "data: [DONE]") and lines
                else "no events"
            )
    except ValueError as error:
        return f"{status} {kind}: {error}: {body[:200]!r}"
    if body == NO_HTTP or (
        request.path.startswith("/mcp") and status in (400, 403, 421) and body.startswith(b"Invalid ")
    ):
        return None
    is_page = status == 200 and request.method == "GET" and kind.startswith(("text/html", "text/plain"))
    return None if is_page else f"{status} {kind}: {body[:200]!r}"
