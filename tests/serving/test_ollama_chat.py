"""Ollama's dialect, asked by Ollama's own client."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import ollama
import pytest

from microlith.errors import DataError, NotAllowed, Overloaded, StorageError
from tests.serving.dialect_desk import ADD, ADDED, ODD, ODD_ANSWER, REFUSED, DialectDesk


@pytest.fixture(scope="module")
def client(running: tuple[DialectDesk, str]) -> Iterator[ollama.Client]:
    with ollama.Client(host=running[1]) as made:
        yield made


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_a_chat_is_answered_with_json_of_the_task(desk: DialectDesk, client: ollama.Client) -> None:
    answer = client.chat(model="infra:latest", messages=user(ADD), options={"temperature": 0.5})
    assert json.loads(answer.message.content or "") == ADDED
    assert (answer.model, answer.message.role, answer.done, answer.done_reason) == (
        "infra:latest",
        "assistant",
        True,
        "stop",
    )
    assert (answer.total_duration, answer.load_duration, answer.eval_duration) == (2_000_000, 0, 1_500_000)
    assert answer.prompt_eval_duration == 500_000
    assert answer.prompt_eval_count == 14
    assert answer.eval_count
    assert datetime.fromisoformat(answer.created_at or "").tzinfo


def test_a_stream_is_the_answer_in_pieces(desk: DialectDesk, client: ollama.Client) -> None:
    *parts, last = client.chat(model="infra", messages=user(ODD), stream=True)
    assert json.loads("".join(part.message.content or "" for part in parts)) == ODD_ANSWER
    assert {part.done for part in parts} == {False}
    assert (last.done, last.done_reason, last.message.content) == (True, "stop", "")
    assert last.eval_count


def test_a_prompt_is_answered_whole_and_streamed(desk: DialectDesk, client: ollama.Client) -> None:
    whole = client.generate(model="infra", prompt=ODD, system="You are a poet.")
    *parts, last = client.generate(model="infra", prompt=ODD, stream=True)
    assert json.loads(whole.response or "") == ODD_ANSWER
    assert "".join(part.response or "" for part in parts) == whole.response
    assert last.done
    assert [call.request for call in desk.calls] == [ODD, ODD]


def test_streaming_is_the_rule_whatever_the_content_type(
    running: tuple[DialectDesk, str], desk: DialectDesk
) -> None:
    body = json.dumps({"model": "infra", "prompt": ADD})
    for content_type in ("application/json", "application/x-www-form-urlencoded"):
        answer = httpx.post(
            f"{running[1]}/api/generate", content=body, headers={"content-type": content_type}
        )
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["x-trace-id"]
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert "".join(line["response"] for line in lines) == json.dumps(ADDED)
        assert lines[-1]["microlith"]["stage"] == "specialist"


def test_a_call_holds_the_last_user_message_and_the_turns(desk: DialectDesk, client: ollama.Client) -> None:
    messages = [
        {"role": "system", "content": "You are a poet."}, *user("one"), {"role": "assistant", "content": '{"type": "command"}'},
        *user("two"),
    ]  # fmt: skip
    client.chat(model="cli-intent", messages=messages)
    [call] = desk.calls
    assert (call.task, call.request, call.labels) == ("cli-intent", "two", {"dialect": "ollama"})
    assert [(turn.request, turn.answer) for turn in call.turns] == [("one", '{"type": "command"}')]


def test_log_probabilities_belong_to_the_pieces(desk: DialectDesk, client: ollama.Client) -> None:
    whole = client.chat(model="infra", messages=user(ADD), logprobs=True, top_logprobs=1)
    pieces = whole.logprobs or []
    assert "".join(piece.token for piece in pieces) == whole.message.content
    assert min(piece.logprob for piece in pieces) == pytest.approx(math.log(0.97))
    assert [top.token for top in pieces[0].top_logprobs or []] == [pieces[0].token]
    *parts, last = client.chat(model="infra", messages=user(ADD), logprobs=True, stream=True)
    assert [part.logprobs[0].token for part in parts if part.logprobs] == [piece.token for piece in pieces]
    assert last.logprobs is None


def test_tokens_of_a_general_model_are_told(desk: DialectDesk, client: ollama.Client) -> None:
    desk.is_general = True
    answer = client.chat(model="infra", messages=user(ADD))
    assert (answer.prompt_eval_count, answer.eval_count) == (700, 31)


def test_a_format_that_the_answer_satisfies_changes_nothing(desk: DialectDesk, client: ollama.Client) -> None:
    for form in ("json", "", {"type": "object", "required": ["zone"]}):
        answer = client.chat(model="infra", messages=user(ADD), format=form)
        assert json.loads(answer.message.content or "") == ADDED


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("text", "form", "words"),
    [
        (REFUSED, None, "not in the script"),
        (
            ADD,
            {"required": ["username"]},
            'the answer does not satisfy the schema of the request: as a whole, it breaks "required"',
        ),
    ],
)
def test_a_refusal_is_an_error_that_says_why(
    desk: DialectDesk, client: ollama.Client, text: str, form: Any, words: str, stream: bool
) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        list(client.chat(model="infra", messages=user(text), format=form, stream=stream))
    assert (caught.value.status_code, caught.value.error) == (422, words)


def test_nothing_is_asked_to_load_or_unload_a_model(desk: DialectDesk, client: ollama.Client) -> None:
    assert client.generate(model="infra").done_reason == "load"
    assert client.chat(model="infra", messages=[]).done_reason == "load"
    assert client.chat(model="infra", keep_alive=0).done_reason == "unload"
    with pytest.raises(ollama.ResponseError) as caught:
        client.generate(model="nothing")
    assert caught.value.status_code == 404
    assert desk.calls == []


@pytest.mark.parametrize(
    ("path", "more", "words"),
    [
        ("chat", {"messages": [{"role": "system", "content": "x"}]}, "messages: there is no user message"),
        ("chat", {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role: "),
        (
            "chat",
            {"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]},
            "messages[0].images: ",
        ),
        ("chat", {"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls: "),
        ("chat", {"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content: "),
        ("chat", {"messages": [{"role": "user", "content": []}]}, "messages[0].content: "),
        ("chat", {"messages": user("x") * 1001}, "messages: "),
        ("chat", {"messages": user("x"), "tools": [{"type": "function"}]}, "tools: "),
        ("chat", {"messages": user("x"), "think": True}, "think: "),
        ("chat", {"messages": user("x"), "format": "xml"}, "format: 'xml' is no format"),
        ("chat", {"messages": user("x"), "format": {"type": "strin"}}, "format: it is no JSON Schema"),
        ("generate", {"prompt": "x", "suffix": "y"}, "suffix: "),
        ("generate", {"prompt": "x", "images": ["aGk="]}, "images: "),
        ("generate", {"prompt": "\ud800"}, "prompt: "),
        ("generate", {"prompt": 5}, "prompt: "),
    ],
)
def test_what_cannot_be_answered_is_told_with_its_place(
    running: tuple[DialectDesk, str], desk: DialectDesk, path: str, more: dict[str, Any], words: str
) -> None:
    answer = httpx.post(f"{running[1]}/api/{path}", content=json.dumps({"model": "infra", **more}))
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(words)
    assert desk.calls == []


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"text"', "model=infra", "[" * 9000])
def test_a_body_that_is_no_request_is_refused(running: tuple[DialectDesk, str], body: str) -> None:
    for headers in ({}, {"content-type": "application/json"}):
        answer = httpx.post(f"{running[1]}/api/chat", content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (NotAllowed("the key is unknown"), 401), (Overloaded("too many", retry_after_s=2.5), 429), (DataError("wrong kind"), 422),
        (StorageError("the disk is full"), 507),
    ],
)  # fmt: skip
def test_failures_of_the_desk_keep_their_status_and_words(
    desk: DialectDesk, client: ollama.Client, failure: Exception, status: int
) -> None:
    desk.failure = failure
    for stream in (False, True):
        with pytest.raises(ollama.ResponseError) as caught:
            list(client.chat(model="infra", messages=user(ADD), stream=stream))
        assert caught.value.status_code == status
        assert caught.value.error.startswith(failure.args[0])


def test_texts_are_bounded(desk: DialectDesk, client: ollama.Client) -> None:
    for asked in (
        lambda text: client.chat(model="cli-intent", messages=user(text)),
        lambda text: client.generate(model="cli-intent", prompt=text),
    ):
        with pytest.raises(ollama.ResponseError) as caught:
            asked("x" * 1_000_001)
        assert caught.value.status_code == 413
        assert asked("x" * 1_000_000).done


def test_the_asynchronous_client_answers_and_streams(
    running: tuple[DialectDesk, str], desk: DialectDesk
) -> None:
    async def asked() -> tuple[str, str]:
        async with ollama.AsyncClient(host=running[1]) as client:
            whole = await client.chat(model="infra", messages=user(ADD))
            parts = [
                part.message.content
                async for part in await client.chat(model="infra", messages=user(ADD), stream=True)
            ]
            return whole.message.content or "", "".join(part or "" for part in parts)

    whole, streamed = asyncio.run(asked())
    assert json.loads(whole) == ADDED
    assert streamed == whole
