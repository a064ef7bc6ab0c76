"""Limits: how often, how many at a time, how large, how slow."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from microlith.errors import Overloaded, TooLarge, UsageError
from microlith.serving.limits import BodyLimit, Gatekeeper, RateLimit, caller_of
from tests.serving.running import serving


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def admitted(limit: RateLimit, caller: str = "a") -> bool:
    try:
        limit.take(caller)
    except Overloaded:
        return False
    return True


def test_a_bucket_gives_its_burst_and_then_one_a_time() -> None:
    clock = Clock(1e6)
    limit = RateLimit(60, 3, clock)
    assert [admitted(limit) for _ in range(5)] == [True, True, True, False, False]
    clock.now += 1
    assert [admitted(limit) for _ in range(2)] == [True, False]
    clock.now += 100
    assert [admitted(limit) for _ in range(4)] == [True, True, True, False]


def test_a_refusal_says_exactly_when_to_come_again() -> None:
    clock = Clock()
    limit = RateLimit(30, 1, clock)
    limit.take("a")
    clock.now = 0.5
    with pytest.raises(Overloaded) as caught:
        limit.take("a")
    assert caught.value.retry_after_s == pytest.approx(1.5)
    assert "30 requests a minute" in str(caught.value)


@given(
    per_minute=st.floats(0.1, 1e5), burst=st.integers(1, 50), start=st.floats(0, 2e9),
    waits=st.lists(st.floats(0, 3), max_size=30),
)  # fmt: skip
def test_waiting_as_long_as_told_is_enough_and_a_tenth_less_is_not(
    per_minute: float, burst: int, start: float, waits: list[float]
) -> None:
    clock = Clock(start)
    limit = RateLimit(per_minute, burst, clock)
    for wait in waits:
        clock.now += wait
        try:
            limit.take("a")
        except Overloaded as error:
            came = clock.now
            if error.retry_after_s > 1e-3:
                clock.now = came + error.retry_after_s * 0.9
                assert not admitted(limit)
            clock.now = came + error.retry_after_s
            limit.take("a")


def test_clocks_round_but_nobody_who_waited_is_refused() -> None:
    for number in range(200):
        clock = Clock(number / 70)
        limit = RateLimit(7, 2, clock)
        while admitted(limit):
            clock.now += 0.1
        with pytest.raises(Overloaded) as caught:
            limit.take("a")
        clock.now += caught.value.retry_after_s
        assert admitted(limit), number


@given(gaps=st.lists(st.floats(0, 0.4), min_size=1, max_size=200))
def test_no_pattern_of_asking_gets_more_than_burst_and_rate_allow(gaps: list[float]) -> None:
    clock = Clock()
    limit = RateLimit(120, 5, clock)
    got = 0
    for gap in gaps:
        clock.now += gap
        got += admitted(limit)
    assert got <= 5 + clock.now * 2 + 1e-3


def test_callers_have_buckets_of_their_own() -> None:
    limit = RateLimit(1, 1, Clock())
    assert admitted(limit, "a")
    assert admitted(limit, "b")
    assert not admitted(limit, "a")


def test_only_so_many_callers_are_remembered_and_the_silent_are_forgotten_first() -> None:
    limit = RateLimit(1, 1, Clock(), callers=3)
    for caller in ("a", "b", "c"):
        limit.take(caller)
    assert not admitted(limit, "a")  # it has spoken: b is the most silent now
    limit.take("d")
    assert len(limit) == 3
    assert not admitted(limit, "a")
    assert admitted(limit, "b")
    for number in range(1000):
        limit.take(f"new {number}")
    assert len(limit) == 3


@pytest.mark.parametrize(("per_minute", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_a_limit_of_nothing_cannot_be(per_minute: float, burst: int) -> None:
    with pytest.raises(UsageError):
        RateLimit(per_minute, burst, Clock())


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("ci", "10.0.0.1", "key:ci"),
        (None, "10.0.0.1", "address:10.0.0.1"),
        (None, "::ffff:10.0.0.1", "address:10.0.0.1"),
        (None, "2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::"),
        (None, "2001:db8:1:2:ffff::1", "address:2001:db8:1:2::"),
        (None, "::1", "address:::"),
        (None, "testclient", "address:testclient"),
        (None, None, "address:unknown"),
    ],
)
def test_a_caller_is_a_key_or_else_an_address(name: str | None, address: str | None, expected: str) -> None:
    assert caller_of(name, address) == expected


def test_the_gatekeeper_counts_and_refuses_what_is_too_many() -> None:
    async def play() -> None:
        gate = Gatekeeper(2, 100, retry_after_s=3)
        async with gate.admit(10), gate.admit(20):
            assert (gate.waiting, gate.waiting_bytes) == (2, 30)
            with pytest.raises(Overloaded) as caught:
                async with gate.admit(1):
                    pytest.fail("it was let in")
            assert caught.value.retry_after_s == 3
        assert (gate.waiting, gate.waiting_bytes) == (0, 0)

    asyncio.run(play())


def test_the_gatekeeper_counts_bytes_and_knows_what_never_fits() -> None:
    async def play() -> None:
        gate = Gatekeeper(10, 100)
        async with gate.admit(60):
            with pytest.raises(Overloaded):
                async with gate.admit(41):
                    pytest.fail("it was let in")
            async with gate.admit(40):
                assert gate.waiting == 2
            with pytest.raises(TooLarge):
                async with gate.admit(101):
                    pytest.fail("it was let in")

    asyncio.run(play())


@pytest.mark.parametrize("end", [ValueError, asyncio.CancelledError])
def test_the_gatekeeper_lets_go_however_a_request_ends(end: type[BaseException]) -> None:
    async def play() -> None:
        gate = Gatekeeper(1, 100)
        with pytest.raises(end):
            async with gate.admit(10):
                raise end
        assert (gate.waiting, gate.waiting_bytes) == (0, 0)

    asyncio.run(play())


Messages = list[dict[str, Any]]


async def exchange(
    messages: Messages, *, max_bytes: int = 10, headers: tuple[tuple[bytes, bytes], ...] = (), timeout_s: float = 5
) -> tuple[Messages, int, Messages]:  # fmt: skip
    """What was sent, how many messages were read, and what the app saw; after the last message nothing ever comes."""
    sent: Messages = []
    seen: Messages = []
    read = 0

    async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        seen.append(await receive())

    async def receive() -> Any:
        nonlocal read
        if read == len(messages):
            await asyncio.Event().wait()
        read += 1
        return messages[read - 1]

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": list(headers)}
    await BodyLimit(app, max_bytes, body_timeout_s=timeout_s)(scope, receive, send)
    return sent, read, seen


def part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_that_fits_comes_whole() -> None:
    sent, _, seen = asyncio.run(exchange([part(b"12345", more=True), part(b"67890", more=False)]))
    assert seen == [part(b"1234567890", more=False)]
    assert sent == []


def test_a_stated_length_over_the_limit_is_refused_unread() -> None:
    sent, read, seen = asyncio.run(
        exchange([part(b"1" * 11, more=False)], headers=((b"content-length", b"11"),))
    )
    assert (sent[0]["status"], read, seen) == (413, 0, [])
    assert (b"connection", b"close") in sent[0]["headers"]
    error = json.loads(sent[1]["body"])["error"]
    assert error["type"] == "TooLarge"
    assert "10 bytes" in error["message"]


@pytest.mark.parametrize("stated", [None, b"1", b"nonsense", b"-5", "٣".encode(), b"0" * 5000])
def test_a_body_that_grows_over_the_limit_is_refused_and_the_rest_not_read(stated: bytes | None) -> None:
    messages = [part(b"123456", more=True), part(b"78901", more=True), part(b"x", more=False)]
    headers = () if stated is None else ((b"content-length", stated),)
    sent, read, seen = asyncio.run(exchange(messages, headers=headers))
    assert (sent[0]["status"], read, seen) == (413, 2, [])


def test_a_body_that_does_not_come_is_refused() -> None:
    sent, _, seen = asyncio.run(exchange([part(b"1", more=True)], timeout_s=0.01))
    assert (sent[0]["status"], seen) == (408, [])
    assert json.loads(sent[1]["body"])["error"]["type"] == "TooSlow"


def test_a_caller_who_goes_is_not_answered() -> None:
    sent, _, seen = asyncio.run(exchange([part(b"1", more=True), {"type": "http.disconnect"}]))
    assert (sent, seen) == ([], [])


def limited_app(timeout_s: float) -> FastAPI:
    app = FastAPI()
    app.add_middleware(BodyLimit, max_bytes=1000, body_timeout_s=timeout_s)

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    return app


def chunks(count: int) -> Any:
    yield from (b"x" * 100 for _ in range(count))


@pytest.mark.parametrize(("count", "status"), [(0, 200), (10, 200), (11, 413), (500, 413)])
@pytest.mark.parametrize("stated", [True, False])
def test_a_real_server_takes_what_fits(count: int, status: int, stated: bool) -> None:
    with serving(limited_app(30)) as base:
        content = b"x" * 100 * count if stated else chunks(count)
        found = httpx.post(f"{base}/size", content=content)
    assert found.status_code == status
    assert found.json() == 100 * count if status == 200 else found.json()["error"]["type"] == "TooLarge"


def test_a_real_server_hangs_up_on_a_slow_body() -> None:
    with serving(limited_app(0.05)) as base:
        address = httpx.URL(base)
        with socket.create_connection((address.host, address.port or 0), timeout=10) as line:
            line.sendall(b"POST /size HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
            told = b""
            while got := line.recv(4096):
                told += got
    assert told.startswith(b"HTTP/1.1 408 ")
