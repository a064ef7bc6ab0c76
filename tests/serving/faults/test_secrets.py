"""A password in a request comes back in its answer alone: not in the log, not in a trace, not in an error."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest

from tests.routing.endpoint import hangs_up, says, status
from tests.serving.faults.conftest import PORT, Plain
from tests.serving.faults.processes import traces

PASSWORD = "Gr4n!te-lanterns_77"
ASKED = f"make a login for ann with password {PASSWORD}"
VAGUE = f"the new passwd of ann shall be {PASSWORD}, quick"
"""No rule understands it."""


def native(request: Any) -> tuple[str, Any]:
    return "/v1/tasks/gate/predict", {"input": request, "labels": {"note": f"it is {PASSWORD}"}}


def many(request: Any) -> tuple[str, Any]:
    return "/v1/tasks/gate/predict", {"inputs": [request, {"password": PASSWORD}, request]}


def openai(request: Any) -> tuple[str, Any]:
    return "/v1/chat/completions", {
        "model": "gate", "metadata": {"note": PASSWORD}, "stream": True,
        "messages": [{"role": "system", "content": PASSWORD}, {"role": "user", "content": request}],
    }  # fmt: skip


def completion(request: Any) -> tuple[str, Any]:
    return "/v1/completions", {"model": "gate", "prompt": request}


def ollama(request: Any) -> tuple[str, Any]:
    return "/api/chat", {"model": "gate", "messages": [{"role": "user", "content": request}]}


def systemone(request: Any) -> tuple[str, Any]:
    return "/v1/systemone", {"task": "gate", "input": request}


def pack(request: Any) -> tuple[str, Any]:
    return "/gate/v1/do", {"line": request}


DIALECTS = [native, many, openai, completion, ollama, systemone, pack]
GENERAL = [
    hangs_up,
    status(500, json.dumps({"error": {"message": f"cannot do {ASKED}", "code": PASSWORD, "type": PASSWORD}})),
    status(429, "{}", {"Retry-After": PASSWORD}),
    status(400, json.dumps({"error": {"message": PASSWORD, "param": PASSWORD}})),
    says(f"I will not set {PASSWORD}"),
    says(f'{{"action": "login", "user": "ann", "password": "{PASSWORD}"'),
    says({"action": "login", "user": PASSWORD, "password": "invented", "more": PASSWORD}),
    says({"action": "login", "user": "ann", "password": f"{PASSWORD}!"}),
    says({"action": "login", "user": "ann", "password": PASSWORD}),
]
"""What a general model may make of it."""
PAIRS = [
    (one, DIALECTS[(place + shift) % len(DIALECTS)]) for place, one in enumerate(GENERAL) for shift in (0, 3)
]
"""Every reaction in two dialects."""
WRONG: list[tuple[str, bytes]] = [
    ("/v1/tasks/gate/predict", json.dumps({"input": ASKED, "force": PASSWORD}).encode()),
    ("/v1/tasks/gate/predict", json.dumps({"input": ASKED, "deadline_ms": PASSWORD}).encode()),
    ("/v1/tasks/gate/predict", json.dumps({"input": {"password": PASSWORD}}).encode()),
    ("/v1/tasks/gate/predict", json.dumps({"input": [PASSWORD]}).encode()),
    ("/v1/tasks/gate/predict", f'{{"input": "{ASKED}'.encode()),
    ("/v1/tasks/gate/predict", PASSWORD.encode()),
    ("/v1/chat/completions", json.dumps({"model": "gate", "messages": PASSWORD}).encode()),
    ("/v1/chat/completions", json.dumps({"model": "gate", "messages": [{"role": "user", "content": {"x": PASSWORD}}]}).encode()),
    ("/v1/chat/completions", json.dumps({"model": "gate", "messages": [{"role": "user"}], "metadata": {"a": [PASSWORD]}}).encode()),
    ("/v1/completions", json.dumps({"model": "gate", "prompt": [ASKED, PASSWORD]}).encode()),
    ("/api/chat", json.dumps({"model": "gate", "messages": [{"role": "user", "content": [PASSWORD]}]}).encode()),
    ("/api/generate", json.dumps({"model": "gate", "prompt": {"password": PASSWORD}}).encode()),
    ("/v1/systemone", json.dumps({"task": "gate", "input": 7, "labels": {"a": [PASSWORD]}}).encode()),
    ("/v1/systemone", json.dumps({"model": "gate", "state": PASSWORD, "questions": {"action": {"type": PASSWORD}}}).encode()),
]  # fmt: skip


@pytest.fixture(scope="module")
def asked(running: Plain) -> list[tuple[str, int, bytes]]:
    """Path, status and answer of every request of this file."""
    told: list[tuple[str, int, bytes]] = []
    with closing(running.server.caller()) as caller:
        for reaction, dialect in PAIRS:
            running.general_does(says(None))
            assert (
                caller.predict("gate", PORT).value["hops"][0]["left"] == "not valid"
            )  # its circuit is closed again
            running.general_does(reaction)
            for request in (ASKED, VAGUE):
                path, body = dialect(request)
                reply = caller.send("POST", path, body)
                told.append((path, reply.status, reply.body))
        for path, wrong in WRONG:
            reply = caller.send("POST", path, wrong)
            assert reply.status in (400, 422), (path, wrong, reply)
            told.append((path, reply.status, reply.body))
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "eA==",
        }
        caller.send("GET", f"/v1/tasks?password={PASSWORD}", headers=upgrade)
    return told


def test_it_is_in_no_error(asked: list[tuple[str, int, bytes]]) -> None:
    errors = [(path, body) for path, code, body in asked if code >= 400]
    assert len(errors) > 10
    assert [(path, body) for path, body in errors if PASSWORD.encode() in body] == []


def test_it_is_not_in_the_log(plain: Plain, asked: object) -> None:
    assert PASSWORD not in plain.server.said()
    assert "Gr4n" not in plain.server.said()


def test_it_is_in_no_trace_and_nowhere_else_in_the_home(
    plain: Plain, asked: list[tuple[str, int, bytes]]
) -> None:
    answers = [body for _, code, body in asked if code == 200]
    kept = [one for one in traces(plain.server.home).values() if "ann" in one["request"]]
    assert len(kept) >= len(answers) > 20
    assert any(one["output"] == {"action": "login", "user": "ann", "password": "[secret]"} for one in kept)
    assert any(one["output"] is None for one in kept)
    assert [one for one in kept if PASSWORD in json.dumps(one, default=str)] == []
    for file in plain.server.home.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file
