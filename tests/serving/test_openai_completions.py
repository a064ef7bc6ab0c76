"""OpenAI's older dialect, asked by OpenAI's own client."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.serving.dialect_desk import ADD, ADDED, REFUSED, DialectDesk


@pytest.fixture(scope="module")
def client(running: tuple[DialectDesk, str]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running[1]}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("prompt", [ADD, [ADD]])
def test_a_prompt_is_a_request(desk: DialectDesk, client: openai.OpenAI, prompt: Any) -> None:
    answer = client.completions.create(
        model="infra", prompt=prompt, max_tokens=7, extra_body={"metadata": {"a": "b"}}
    )
    assert json.loads(answer.choices[0].text) == ADDED
    assert (answer.object, answer.choices[0].finish_reason, answer.system_fingerprint) == (
        "text_completion",
        "stop",
        "infra@3",
    )
    assert answer.usage
    assert answer.usage.prompt_tokens == 14
    assert desk.calls[0].labels == {"dialect": "openai", "a": "b"}


def test_log_probabilities_stand_at_the_characters_of_their_pieces(
    desk: DialectDesk, client: openai.OpenAI
) -> None:
    choice = client.completions.create(model="infra", prompt=ADD, logprobs=2).choices[0]
    told = choice.logprobs
    assert told
    assert told.tokens
    assert told.text_offset
    assert told.token_logprobs
    assert "".join(told.tokens) == choice.text
    assert all(choice.text.startswith(*pair) for pair in zip(told.tokens, told.text_offset, strict=True))
    assert min(told.token_logprobs) == pytest.approx(math.log(0.97))
    assert told.top_logprobs == [
        {token: sure} for token, sure in zip(told.tokens, told.token_logprobs, strict=True)
    ]


def test_a_stream_is_the_same_text_with_the_same_places(desk: DialectDesk, client: openai.OpenAI) -> None:
    whole = client.completions.create(model="infra", prompt=ADD, logprobs=0).choices[0]
    chunks = list(
        client.completions.create(
            model="infra", prompt=ADD, logprobs=0, stream=True, stream_options={"include_usage": True}
        )
    )
    *parts, last, counted = chunks
    assert "".join(part.choices[0].text for part in parts) == whole.text
    assert whole.logprobs
    assert [part.choices[0].logprobs.text_offset[0] for part in parts] == whole.logprobs.text_offset
    assert last.choices[0].finish_reason == "stop"
    assert counted.choices == []
    assert counted.usage
    assert {chunk.object for chunk in chunks} == {"text_completion"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_no_text_and_says_why_beside_it(
    desk: DialectDesk, client: openai.OpenAI, stream: bool
) -> None:
    made: Any = client.completions.create(model="infra", prompt=REFUSED, stream=stream)
    last = list(made)[-1] if stream else made
    assert (last.choices[0].text, last.choices[0].finish_reason) == ("", "content_filter")
    assert last.microlith["refusal"] == "not in the script"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": [ADD, ADD]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"suffix": "x"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"best_of": 3}, "best_of"),
        ({"n": 2}, "n"),
        ({"logprobs": 6}, "logprobs"),
    ],
)
def test_what_would_change_the_meaning_is_a_bad_request(
    desk: DialectDesk, client: openai.OpenAI, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**{"model": "infra", "prompt": ADD, **more})
    assert caught.value.param == param
    assert desk.calls == []


def test_an_unknown_model_is_not_found(desk: DialectDesk, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="nothing", prompt=ADD)
