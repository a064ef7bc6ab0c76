"""Clients that go in the middle, or send half of what they promise: nobody else notices."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest

from tests.routing.endpoint import Endpoint, Handler
from tests.serving.faults.conftest import OPENED, PORT, ROW, Plain, knows
from tests.serving.faults.processes import Server, traces, until


def connected(server: Server) -> socket.socket:
    host, port = server.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def written(task: str, text: str, **more: object) -> bytes:
    body = json.dumps({"input": text, **more}).encode()
    head = f"POST /v1/tasks/{task}/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def leave(connection: socket.socket) -> None:
    connection.close()


def break_off(connection: socket.socket) -> None:
    """Close without a goodbye, as a process does that is killed or a network that is cut."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def assert_unaffected(server: Server) -> None:
    reply = server.predict("mood", ROW.input)
    assert (reply.status, reply.value["output"]) == (200, ROW.output)
    until(lambda: server.metrics()["microlith_queue"] == 0, "an empty queue")


@pytest.mark.parametrize("go", [leave, break_off])
def test_a_client_that_goes_before_its_answer_leaves_a_trace_of_it(
    plain: Plain, go: Callable[[socket.socket], None]
) -> None:
    gone: list[bool] = []

    def waits(endpoint: Endpoint, handler: Handler) -> None:
        until(lambda: gone, "clients that have gone")
        knows(endpoint, handler)

    plain.general_does(waits)
    arrived, name = len(plain.general.bodies), f"goes by {go.__name__}"
    clients = [connected(plain.server) for _ in range(4)]
    for client in clients:
        client.sendall(written("gate", PORT, labels={"who": name}))
    until(lambda: len(plain.general.bodies) == arrived + 4, "requests in hand")
    for client in clients:
        go(client)
    gone.append(True)

    def kept() -> list[object]:
        return [
            one["output"] for one in traces(plain.server.home).values() if one["labels"].get("who") == name
        ]

    until(lambda: len(kept()) == 4, "their traces")
    assert kept() == [OPENED] * 4
    assert_unaffected(plain.server)


@pytest.mark.parametrize("go", [leave, break_off])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"POST /v1/tas", id="half a line"),
        pytest.param(b"POST /v1/tasks/mood/predict HTTP/1.1\r\nHost: x\r\nContent-Le", id="half a head"),
        pytest.param(written("mood", ROW.input)[:-7], id="half a body"),
        pytest.param(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"mod", id="half a chunk"
        ),
        pytest.param(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", id="a promise"),
    ],
)  # fmt: skip
def test_half_a_request_is_nobody_s_harm(
    plain: Plain, sent: bytes, go: Callable[[socket.socket], None]
) -> None:
    before = len(traces(plain.server.home))
    for _ in range(3):
        client = connected(plain.server)
        client.sendall(sent)
        go(client)
    assert_unaffected(plain.server)
    assert len(traces(plain.server.home)) == before + 1  # of the request that asked whether all is well


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /api/chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n",
        b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n{}",
        b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n{}",
        b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
    ids=["chunk", "length", "negative length", "two lengths", "version", "TLS", "long header"],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(plain: Plain, sent: bytes) -> None:
    with closing(connected(plain.server)) as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        except OSError:
            answer = b""  # closed before all of it was read
    assert answer == b"" or answer.startswith(
        (b"HTTP/1.1 4", b"HTTP/1.1 200 OK\r\n" if b"9.9" in sent else b"HTTP/1.1 4")
    )
    assert_unaffected(plain.server)


def test_two_requests_in_one_breath_get_two_answers_in_their_order(plain: Plain) -> None:
    with closing(connected(plain.server)) as client:
        client.sendall(
            written("gate", PORT, labels={"n": "1"}) + written("mood", ROW.input, labels={"n": "2"})
        )
        got = b""
        while got.count(b"HTTP/1.1 200") < 2 or b'"mood@' not in got:
            got += client.recv(65536)
    assert got.index(b'"action"') < got.index(b'"mood":')


def test_many_idle_connections_keep_nobody_out(plain: Plain) -> None:
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(closing(connected(plain.server)))
        assert_unaffected(plain.server)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (written("mood", ROW.input)[:-7], b"the request did not arrive within 10 s"),
        (b"GET /healthz HTTP/1.1\r\nHo", b"the head of the request did not arrive within 30 s"),
    ],
    ids=["body", "head"],
)
def test_what_does_not_arrive_is_not_waited_for_any_longer(plain: Plain, sent: bytes, words: bytes) -> None:
    with closing(connected(plain.server)) as client:
        client.settimeout(60)
        client.sendall(sent)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert words in answer
    assert_unaffected(plain.server)


@pytest.mark.slow
def test_a_connection_that_says_nothing_is_closed_without_a_word(plain: Plain) -> None:
    with closing(connected(plain.server)) as client:
        client.settimeout(60)
        assert client.recv(1) == b""


def test_a_head_without_end_is_refused_before_it_fills_the_memory(plain: Plain) -> None:
    with closing(connected(plain.server)) as client, pytest.raises(ConnectionError):
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(1000):
            client.sendall(b"y" * 1_000_000)
    assert_unaffected(plain.server)
