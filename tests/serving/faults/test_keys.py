"""A server with keys: who has none, the wrong one, or one that is exchanged while it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from microlith.serving.keys import KeyStore
from tests.serving.faults.conftest import OPENED, PORT, ROW, make_home
from tests.serving.faults.processes import Reply, Server, server, traces

NOBODY = "http://127.0.0.1:9/v1"
"""Nothing listens there."""


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A server with keys."""

    server: Server
    keys: KeyStore
    every: str
    """A key for every task."""
    mood: str
    """A key for the task "mood"."""

    def send(self, key: str | None, method: str, path: str, body: Any = None) -> Reply:
        caller = self.server.caller(key)
        try:
            return caller.send(method, path, body)
        finally:
            caller.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    home = make_home(tmp_path_factory.mktemp("guarded"))
    keys = KeyStore(home / "keys.json")
    every, mood = keys.create("every", ("*",))[0], keys.create("mood", ("mood",))[0]
    with server(home, "mood", "gate", "--general", NOBODY, "--general-model", "big") as one:
        yield Guarded(server=one, keys=keys, every=every, mood=mood)


def native(value: Any) -> str:
    assert set(value["error"]) == {"type", "message", "problems", "trace_id"}
    return str(value["error"]["message"])


def openai(value: Any) -> str:
    assert set(value["error"]) == {"message", "type", "param", "code"}
    return str(value["error"]["message"])


def text(value: Any) -> str:
    assert isinstance(value["error"], str)
    return str(value["error"])


CHAT = {"model": "gate", "messages": [{"role": "user", "content": PORT}]}
DIALECTS: list[tuple[str, Any, Callable[[Any], str]]] = [
    ("/v1/tasks/gate/predict", {"input": PORT}, native),
    ("/v1/tasks/gate", None, native),
    ("/v1/chat/completions", CHAT, openai),
    ("/v1/completions", {"model": "gate", "prompt": PORT}, openai),
    ("/v1/models/gate", None, openai),
    ("/api/chat", CHAT, text),
    ("/api/generate", {"model": "gate", "prompt": PORT}, text),
    ("/api/show", {"model": "gate"}, text),
    ("/v1/systemone", {"task": "gate", "input": PORT}, text),
    ("/gate/v1/do", {"line": PORT}, text),
]


@pytest.mark.parametrize(("path", "body", "message"), DIALECTS)
@pytest.mark.parametrize(
    ("key", "status", "words"),
    [
        (None, 401, "an API key is needed"),
        ("mk_00000000_" + "0" * 64, 401, "the API key is not known here"),
        ("mood", 403, "the API key 'mood' is not for the task"),
    ],
    ids=["no key", "an unknown key", "a key for another task"],
)
def test_who_may_not_ask_is_told_in_the_dialect_s_own_form(
    guarded: Guarded,
    path: str,
    body: Any,
    message: Callable[[Any], str],
    key: str | None,
    status: int,
    words: str,
) -> None:
    sent = guarded.mood if key == "mood" else key
    reply = guarded.send(sent, "GET" if body is None else "POST", path, body)
    assert reply.status == status
    assert words in message(reply.value)
    assert ("www-authenticate" in reply.headers) == (status == 401)


def test_who_may_ask_is_answered_and_the_next_stage_stands_in_for_a_general_model_that_is_down(
    guarded: Guarded,
) -> None:
    reply = guarded.send(guarded.every, "POST", "/v1/tasks/gate/predict", {"input": PORT})
    assert (reply.status, reply.value["output"], reply.value["stage"]) == (200, OPENED, "rules")
    assert reply.value["hops"][0]["left"] == "error"
    assert "no connection" in reply.value["hops"][0]["detail"]
    refused = guarded.send(guarded.every, "POST", "/gate/v1/do", {"line": "why is it slow?"})
    assert refused.status == 422
    assert "general: error" in text(refused.value)
    kept = traces(guarded.server.home)
    assert kept[reply.value["trace_id"]]["output"] == OPENED
    assert kept[refused.headers["x-trace-id"]]["output"] is None


@pytest.mark.parametrize("path", ["/mcp", "/metrics", "/openapi.json", "/docs", "/v1/tasks", "/nowhere"])
def test_nothing_but_health_is_told_without_a_key(guarded: Guarded, path: str) -> None:
    refused = guarded.send(None, "POST" if path == "/mcp" else "GET", path, {} if path == "/mcp" else None)
    assert (refused.status, native(refused.value)) == (401, "an API key is needed")


def test_a_key_sees_its_own_tasks_only(guarded: Guarded) -> None:
    lists: dict[str, Callable[[Any], set[str]]] = {
        "/v1/tasks": lambda value: {one["task"] for one in value},
        "/v1/models": lambda value: {one["id"] for one in value["data"]},
        "/api/tags": lambda value: {one["name"].removesuffix(":latest") for one in value["models"]},
    }
    for path, names in lists.items():
        assert names(guarded.send(guarded.mood, "GET", path).value) == {"mood"}
        assert names(guarded.send(guarded.every, "GET", path).value) == {"mood", "gate"}
    unknown = guarded.send(guarded.mood, "GET", "/v1/tasks/moood")
    assert unknown.value["error"]["problems"][0]["mend"] == "served are mood"


def test_a_key_is_exchanged_while_it_serves(guarded: Guarded) -> None:
    def status(key: str) -> int:
        return guarded.send(key, "POST", "/v1/tasks/mood/predict", {"input": ROW.input}).status

    first, _ = guarded.keys.create("ci", ("mood",))
    assert status(first) == 200
    second, _ = guarded.keys.rotate("ci", grace_s=3600)
    assert (status(first), status(second)) == (200, 200)
    third, _ = guarded.keys.rotate("ci", grace_s=0)
    assert (status(first), status(second), status(third)) == (401, 401, 200)
    guarded.keys.revoke("ci")
    assert (status(third), status(guarded.mood)) == (401, 200)


def test_without_its_file_of_keys_it_lets_nobody_in_until_it_is_back(guarded: Guarded) -> None:
    aside = guarded.keys.path.with_suffix(".aside")
    guarded.keys.path.rename(aside)
    try:
        for key in (None, guarded.every):
            refused = guarded.send(key, "GET", "/v1/tasks")
            assert (refused.status, native(refused.value)) == (507, "the file of keys is gone")
        assert guarded.send(None, "GET", "/healthz").status == 200
    finally:
        aside.rename(guarded.keys.path)
    assert guarded.send(None, "GET", "/v1/tasks").status == 401
    assert guarded.send(guarded.every, "GET", "/v1/tasks").status == 200


def test_keys_are_written_nowhere(guarded: Guarded) -> None:
    guarded.send(guarded.every, "POST", f"/v1/tasks/mood/predict?key={guarded.every}", {"input": ROW.input})
    said = guarded.server.said()
    assert '"caller": "every"' in said
    for key in (guarded.every, guarded.mood):
        secret = key.rpartition("_")[2]
        assert secret not in said
        for file in guarded.server.home.rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes(), file
