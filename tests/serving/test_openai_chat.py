"""OpenAI's chat dialect, asked by OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Any, Literal

import httpx
import openai
import pytest
from pydantic import BaseModel

from microlith.errors import DataError, NotAllowed, Overloaded, StorageError
from tests.serving.dialect_desk import (
    ADD,
    ADDED,
    ODD,
    ODD_ANSWER,
    PLAIN,
    REFUSED,
    RISK,
    DialectDesk,
)


@pytest.fixture(scope="module")
def client(running: tuple[DialectDesk, str]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running[1]}/v1", api_key="none", max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, text: Any = ADD, **more: Any) -> Any:
    given = {"model": "infra", "messages": [{"role": "user", "content": text}], **more}
    return client.chat.completions.create(**given)


def test_an_answer_is_json_of_the_task(desk: DialectDesk, client: openai.OpenAI) -> None:
    answer = ask(client)
    message = answer.choices[0].message
    assert json.loads(message.content) == ADDED
    assert message.refusal is None
    assert (answer.object, answer.model, answer.choices[0].finish_reason) == (
        "chat.completion",
        "infra",
        "stop",
    )
    assert answer.system_fingerprint == "infra@3"
    assert answer.id == "chatcmpl-trace-1"
    assert answer.microlith["trace_id"] == "trace-1"
    assert answer.microlith["stage"] == "specialist"
    assert answer.microlith["confidence"] == 0.97
    assert answer.microlith["fields"]["zone"] == {"value": "api.local", "confidence": 0.97, "span": [15, 24]}


def test_a_call_holds_the_last_user_message_the_turns_and_the_labels(
    desk: DialectDesk, client: openai.OpenAI
) -> None:
    messages = [
        {"role": "system", "content": "You are a poet."},
        {"role": "user", "content": "nobody answered this"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": '{"action": "unsupported"}'},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "Dear user, here is prose."},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": [{"type": "text", "text": ADD}, {"type": "text", "text": "below"}]},
        {"role": "developer", "content": "Answer in French."},
    ]
    ask(
        client,
        model="infra@3",
        messages=messages,
        metadata={"appliance": "a7"},
        extra_headers={"X-Microlith-Force": "general"},
    )
    [call] = desk.calls
    assert call.task == "infra"
    assert call.request == f"{ADD}\nbelow"
    assert [(turn.request, turn.answer) for turn in call.turns] == [("one", '{"action": "unsupported"}')]
    assert call.labels == {"dialect": "openai", "appliance": "a7"}
    assert call.force == "general"


def test_what_tunes_sampling_is_accepted_and_changes_nothing(
    desk: DialectDesk, client: openai.OpenAI
) -> None:
    answer = ask(
        client, temperature=0.7, top_p=0.5, max_tokens=1, max_completion_tokens=1, seed=4, user="u", stop=["{"], n=1, tools=[],
        presence_penalty=1.0, store=True, reasoning_effort="low", parallel_tool_calls=False, tool_choice="none", logit_bias={},
        modalities=["text"], response_format={"type": "json_object"}, extra_body={"top_k": 5, "min_p": 0.1},
    )  # fmt: skip
    assert json.loads(answer.choices[0].message.content) == ADDED


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {str(i): "" for i in range(17)}}, "metadata"),
        ({"model": "m" * 201}, "model"),
        ({"extra_headers": {"X-Microlith-Force": "both"}}, "X-Microlith-Force"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": ""}] * 1001}, "messages"),
        ({"messages": [{"role": "user", "content": ADD}, {"role": "assistant", "content": "{"}]}, "messages[1].content"),
        ({"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}]}, "messages[0].tool_calls"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            "messages[0].content[0]",
        ),
    ],
)  # fmt: skip
def test_what_would_change_the_meaning_is_a_bad_request_that_names_it(
    desk: DialectDesk, client: openai.OpenAI, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **more)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.body["message"]
    assert desk.calls == []


@pytest.mark.parametrize(
    "body", ["{", "[]", '{"model": "infra"}', '{"model": "infra", "messages": "hello"}', "null", "[" * 9000]
)
def test_a_body_that_is_no_request_is_a_bad_request(running: tuple[DialectDesk, str], body: str) -> None:
    answer = httpx.post(
        f"{running[1]}/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": [{"role": "user", "content": "half \ud83d"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "\udc00"}]}]}, "messages[0].content"),
        ({"metadata": {"k": "\ud800"}}, "metadata.k"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"title": "\ud800"}}}},
         "response_format.json_schema.schema"),
        ({"model": "\ud800"}, "model"),
    ],
)  # fmt: skip
def test_half_of_a_surrogate_pair_is_no_text(
    running: tuple[DialectDesk, str], desk: DialectDesk, more: dict[str, Any], param: str
) -> None:
    body = {"model": "infra", "messages": [{"role": "user", "content": ADD}], **more}
    answer = httpx.post(
        f"{running[1]}/v1/chat/completions",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param
    assert desk.calls == []


def test_the_empty_text_is_a_request(desk: DialectDesk, client: openai.OpenAI) -> None:
    assert json.loads(ask(client, "").choices[0].message.content) == {"action": "unsupported"}


def test_texts_are_bounded_together(desk: DialectDesk, client: openai.OpenAI) -> None:
    half = "x" * 500_001
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, messages=[{"role": "user", "content": half}, {"role": "user", "content": half}])
    assert caught.value.status_code == 413
    assert caught.value.code == "request_too_large"
    ask(client, "x" * 1_000_000)
    assert len(desk.calls) == 1


def test_a_refusal_of_the_route_is_a_refusal(desk: DialectDesk, client: openai.OpenAI) -> None:
    answer = ask(client, REFUSED, logprobs=True)
    choice = answer.choices[0]
    assert (choice.message.content, choice.message.refusal, choice.finish_reason) == (
        None,
        "not in the script",
        "stop",
    )
    assert answer.microlith["confidence"] == 0.0
    assert answer.microlith["fields"] == {}


def test_usage_counts_words_and_marks_of_a_specialist(desk: DialectDesk, client: openai.OpenAI) -> None:
    usage = ask(client).usage
    content = '{"action": "dns_add", "zone": "api.local", "record_type": "A", "ip": "10.0.0.5"}'
    marks = sum(not (sign.isalnum() or sign in "_ ") for sign in content)
    words = len("".join(sign if sign.isalnum() or sign == "_" else " " for sign in content).split())
    assert usage.prompt_tokens == 5 + 1 + 2 + 1 + 7 - 2  # add dns record api . local to 10 . 0 . 0 . 5
    assert usage.completion_tokens == words + marks
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_usage_of_a_general_model_is_its_tokens(desk: DialectDesk, client: openai.OpenAI) -> None:
    desk.is_general = True
    answer = ask(client)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (700, 31)
    assert answer.system_fingerprint == "large"
    assert answer.microlith["stage"] == "general"


def test_log_probabilities_belong_to_pieces_that_are_the_content(
    desk: DialectDesk, client: openai.OpenAI
) -> None:
    choice = ask(client, logprobs=True, top_logprobs=3).choices[0]
    pieces = choice.logprobs.content
    assert "".join(piece.token for piece in pieces) == choice.message.content
    values = {piece.token: piece.logprob for piece in pieces if piece.logprob}
    assert values == dict.fromkeys(
        ('"dns_add"', '"api.local"', '"A"', '"10.0.0.5"'), pytest.approx(math.log(0.97))
    )
    assert bytes(pieces[0].bytes).decode() == pieces[0].token
    assert [top.token for top in pieces[0].top_logprobs] == [pieces[0].token]
    assert ask(client).choices[0].logprobs is None


def test_an_answer_without_fields_is_one_piece(desk: DialectDesk, client: openai.OpenAI) -> None:
    pieces = ask(client, PLAIN, logprobs=True).choices[0].logprobs.content
    assert [(piece.token, piece.top_logprobs) for piece in pieces] == [('{"action": "unsupported"}', [])]
    assert pieces[0].logprob == pytest.approx(math.log(0.5))


def test_spans_are_characters_of_the_request(desk: DialectDesk, client: openai.OpenAI) -> None:
    answer = ask(client, ODD)
    assert json.loads(answer.choices[0].message.content) == ODD_ANSWER
    for path in ("username", "password"):
        assert ODD[slice(*answer.microlith["fields"][path]["span"])] == ODD_ANSWER[path]


def test_a_structured_task_takes_json_as_the_content(desk: DialectDesk, client: openai.OpenAI) -> None:
    answer = ask(client, '{"metrics": {"elapsed_hours": 3}}', model="task-risk")
    assert json.loads(answer.choices[0].message.content) == RISK
    with pytest.raises(openai.UnprocessableEntityError):
        ask(client, "this is no JSON", model="task-risk")


# ------------------------------------------------------------------------------------------- streams


def test_a_stream_is_the_role_the_pieces_the_end_and_the_usage(
    desk: DialectDesk, client: openai.OpenAI
) -> None:
    chunks = list(ask(client, ODD, stream=True, stream_options={"include_usage": True}, logprobs=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert json.loads("".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])) == ODD_ANSWER
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert (
        chunks[-1].usage.total_tokens
        == chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens
        > 0
    )
    assert {chunk.id for chunk in chunks} == {"chatcmpl-trace-1"}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    piece = chunks[1].choices[0]
    assert piece.logprobs.content[0].token == piece.delta.content


def test_a_stream_without_usage_has_none(desk: DialectDesk, client: openai.OpenAI) -> None:
    chunks = list(ask(client, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert chunks[-1].microlith["trace_id"] == "trace-1"


def test_a_streamed_refusal_is_a_delta(desk: DialectDesk, client: openai.OpenAI) -> None:
    chunks = list(ask(client, REFUSED, stream=True))
    assert "".join(chunk.choices[0].delta.refusal or "" for chunk in chunks) == "not in the script"
    assert all(not chunk.choices[0].delta.content for chunk in chunks)


def test_a_stream_is_events_that_end_in_done(running: tuple[DialectDesk, str], desk: DialectDesk) -> None:
    body = {"model": "infra", "messages": [{"role": "user", "content": ADD}], "stream": True}
    answer = httpx.post(f"{running[1]}/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") for event in events[:-2])


def test_the_stream_helper_of_the_client_gives_the_whole_answer(
    desk: DialectDesk, client: openai.OpenAI
) -> None:
    with client.chat.completions.stream(model="infra", messages=[{"role": "user", "content": ADD}]) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"content.delta", "content.done"} <= kinds
    assert json.loads(final.choices[0].message.content or "") == ADDED


# ------------------------------------------------------------------------------------------- schemas of callers


class Added(BaseModel):
    action: Literal["dns_add"]
    zone: str
    record_type: str
    ip: str


class Removed(BaseModel):
    action: Literal["dns_remove"]
    zone: str


def parse(client: openai.OpenAI, model: type[BaseModel], text: str = ADD) -> Any:
    return client.chat.completions.parse(
        model="infra", messages=[{"role": "user", "content": text}], response_format=model
    )


def test_an_answer_is_parsed_into_the_callers_model(desk: DialectDesk, client: openai.OpenAI) -> None:
    assert parse(client, Added).choices[0].message.parsed == Added.model_validate(ADDED)


def test_an_answer_that_does_not_satisfy_the_callers_schema_is_a_refusal(
    desk: DialectDesk, client: openai.OpenAI
) -> None:
    answer = parse(client, Removed)
    message = answer.choices[0].message
    assert (message.parsed, message.content) == (None, None)
    assert "the schema 'Removed' of the request" in message.refusal
    assert answer.microlith["fields"] == {}


def test_a_refusal_for_a_schema_holds_no_value_of_the_answer(
    desk: DialectDesk, client: openai.OpenAI
) -> None:
    refusal = parse(client, Removed, ODD).choices[0].message.refusal
    assert refusal
    assert ODD_ANSWER["password"] not in refusal


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"$schema": "https://example.org/mine"},
        {"properties": {"zone": {"pattern": "("}}},
        {"properties": {"zone": {"pattern": "(?=a)"}}},
        {"patternProperties": {"(a+)+$": {}}},
        {"properties": {"zone": {"$schema": "http://json-schema.org/draft-07/schema#"}}},
        {"description": "x" * 70_000},
    ],
)
def test_a_schema_that_cannot_be_used_is_a_bad_request(
    desk: DialectDesk, client: openai.OpenAI, schema: Any
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})
    assert caught.value.param == "response_format.json_schema.schema"


# ------------------------------------------------------------------------------------------- headers and errors


def test_raw_responses_hold_the_trace(desk: DialectDesk, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="infra", messages=[{"role": "user", "content": ADD}]
    )
    assert raw.headers["x-trace-id"] == "trace-1"
    assert raw.parse()._request_id == "trace-1"


@pytest.mark.parametrize("model", ["nothing", "infra@2", "nothing@3", "infra@"])
def test_an_unknown_model_is_not_found(desk: DialectDesk, client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, model=model)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("failure", "raised", "status"),
    [
        (NotAllowed("the key is unknown"), openai.AuthenticationError, 401),
        (Overloaded("too many", retry_after_s=2.5), openai.RateLimitError, 429),
        (DataError("of the wrong kind"), openai.UnprocessableEntityError, 422),
        (StorageError("the disk is full"), openai.InternalServerError, 507),
        (RuntimeError("a secret"), openai.InternalServerError, 500),
    ],
)
def test_failures_of_the_desk_are_the_clients_own_exceptions(
    desk: DialectDesk,
    client: openai.OpenAI,
    failure: Exception,
    raised: type[openai.APIStatusError],
    status: int,
) -> None:
    desk.failure = failure
    for stream in (False, True):
        with pytest.raises(raised) as caught:
            ask(client, stream=stream)
        assert caught.value.status_code == status
        assert "secret" not in str(caught.value)


def test_an_overloaded_server_says_when_to_come_again(desk: DialectDesk, client: openai.OpenAI) -> None:
    desk.failure = Overloaded("too many", retry_after_s=2.5)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client)
    assert caught.value.response.headers["retry-after"] == "3"
    assert caught.value.code == "rate_limit_exceeded"


def test_the_asynchronous_client_answers_and_streams(
    running: tuple[DialectDesk, str], desk: DialectDesk
) -> None:
    async def asked() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=f"{running[1]}/v1", api_key="none", max_retries=0) as client:
            messages: Any = [{"role": "user", "content": ADD}]
            whole = await client.chat.completions.create(model="infra", messages=messages)
            stream = await client.chat.completions.create(model="infra", messages=messages, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return whole.choices[0].message.content or "", "".join(pieces)

    whole, streamed = asyncio.run(asked())
    assert json.loads(whole) == ADDED
    assert streamed == whole
