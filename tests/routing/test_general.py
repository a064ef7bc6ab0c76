"""The general model, asked through the real client at a real server."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from microlith.data.example import Example
from microlith.errors import TeacherError, UsageError
from microlith.routing.general import CallableStage, GeneralSettings, GeneralStage
from microlith.routing.general_prompt import GeneralPrompt, Message
from microlith.routing.route import Answer, Asked, Stage, Turn
from microlith.task.taskfile import Task, load_task
from tests.inference.toys import GATE, toy, write_task
from tests.routing.endpoint import (
    Endpoint,
    Reaction,
    breaks_off,
    drips,
    endpoint,
    hangs_up,
    points_where_asked,
    refuses_options,
    says,
    silent,
    status,
)

REQUEST = "point web1.lan at 10.2.0.9"
RIGHT = {"action": "point", "host": "web1.lan", "ip": "10.2.0.9"}
LONG_S = 30.0


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return load_task(write_task(tmp_path_factory.mktemp("task") / "gate", GATE))


def settings(one: Endpoint, **more: Any) -> GeneralSettings:
    return GeneralSettings(**{"base_url": one.base_url, "model": "big", "api_key": "k3y", **more})


def answers(
    stage: GeneralStage | CallableStage, *requests: str, timeout_s: float = LONG_S, turns: tuple[Turn, ...] = ()
) -> list[Answer]:  # fmt: skip
    async def run() -> list[Answer]:
        try:
            return [
                await stage.ask(Asked(request=one, trace_id="t", turns=turns), timeout_s=timeout_s)
                for one in requests
            ]
        finally:
            if isinstance(stage, GeneralStage):
                await stage.aclose()

    return asyncio.run(run())


def answered(task: Task, *script: Reaction, request: str = REQUEST, **more: Any) -> Answer:
    with endpoint(*script) as one:
        return answers(GeneralStage(task, settings(one, **more)), request)[0]


def test_a_right_answer_comes_with_its_fields_tokens_and_price(gate: Task) -> None:
    usage = {"prompt_tokens": 900, "completion_tokens": 30, "total_tokens": 930}
    answer = answered(gate, says(RIGHT, usage=usage), price_in=2.0, price_out=10.0)
    assert answer.prediction.output == RIGHT
    assert (answer.prediction.model, answer.prediction.refusal) == ("big", None)
    assert {one.path: one.span for one in answer.prediction.fields} == {
        "action": None,
        "host": (6, 14),
        "ip": (18, 26),
    }
    assert answer.prediction.latency_ms > 0
    assert (answer.tokens_in, answer.tokens_out) == (900, 30)
    assert answer.cost == pytest.approx(0.0021)


def test_it_is_a_stage_of_a_route(gate: Task) -> None:
    with endpoint(says(RIGHT)) as one:
        stage: Stage = GeneralStage(gate, settings(one))
        assert (stage.name, stage.model) == ("general", "big")


def test_tokens_that_are_not_counted_are_estimated_from_the_texts(gate: Task) -> None:
    with endpoint(says(RIGHT)) as one:
        (answer,) = answers(GeneralStage(gate, settings(one)), REQUEST)
        told = sum(len(message["content"]) for message in one.requests[0]["messages"])
    assert answer.tokens_in == -(-told // 4)
    assert answer.tokens_out == -(-len(json.dumps(RIGHT)) // 4)


def test_it_is_told_the_job_the_schema_the_nearest_rows_the_documentation_and_the_conversation(
    gate: Task, tmp_path: Path
) -> None:
    (tmp_path / "hosts.md").write_text(
        "# Hosts\n\nEvery host points at one address.\n\n# Lunch\n\nSoup.\n", encoding="utf-8"
    )
    with endpoint(says(RIGHT)) as one:
        prompt = GeneralPrompt(gate, examples=toy("gate").examples, documents=[tmp_path / "hosts.md"])
        stage = GeneralStage(gate, settings(one), prompt=prompt)
        answers(stage, REQUEST, turns=(Turn(request="open port 9", answer='{"action": "open", "port": 9}'),))
        (sent,) = one.requests
    system, *rest = sent["messages"]
    assert gate.instruction in system["content"]
    assert '"x-source": "input"' in system["content"]
    assert len(re.findall(r"^Request: .*point .*\nAnswer: ", system["content"], re.MULTILINE)) == 4
    assert "Hosts\nEvery host points at one address." in system["content"]
    assert "Soup" not in system["content"]
    assert rest == [
        {"role": "user", "content": "open port 9"},
        {"role": "assistant", "content": '{"action": "open", "port": 9}'},
        {"role": "user", "content": REQUEST},
    ]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("big", 0.0, 1024)
    assert one.keys == ["Bearer k3y"]


def test_the_schema_that_the_endpoint_holds_its_answer_to_has_no_words_of_ours(gate: Task) -> None:
    with endpoint(says(RIGHT)) as one:
        answers(GeneralStage(gate, settings(one)), REQUEST)
        form = one.requests[0]["response_format"]
    assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "toy")
    assert '"x-' not in json.dumps(form)
    assert [branch["properties"]["action"] for branch in form["json_schema"]["schema"]["oneOf"][:2]] == [
        {"const": "open"},
        {"const": "point"},
    ]


SECRETS = ("Tr0ub4dor&3", "x!9", "no-w4y")


@pytest.mark.parametrize("is_secret", [True, False])
def test_a_secret_of_a_row_never_reaches_the_endpoint(tmp_path: Path, *, is_secret: bool) -> None:
    schema = (
        GATE if is_secret else json.loads(json.dumps(GATE).replace('"x-secret": true', '"x-secret": false'))
    )
    task = load_task(write_task(tmp_path / "gate", schema))
    rows = toy("gate").examples
    assert all(any(secret in row.input for row in rows) for secret in SECRETS)
    with endpoint(says({"action": "login", "user": "ann"})) as one:
        prompt = GeneralPrompt(task, examples=rows, shown=len(rows))
        stage = GeneralStage(task, settings(one), prompt=prompt)
        answers(stage, "make a login for ann", "make a login for bob with password")
        bodies = one.bodies
    assert all(body.count(b"with password ") >= 5 for body in bodies)
    found = {secret for secret in SECRETS for body in bodies if secret.encode() in body}
    assert found == (set() if is_secret else set(SECRETS))


def test_rows_that_do_not_fit_the_schema_are_not_shown(gate: Task) -> None:
    odd = [
        Example(input=f"{REQUEST} {n}", output=bad, source="x")
        for n, bad in enumerate([1, [], {"action": "fly"}])
    ]
    (system, _) = GeneralPrompt(gate, examples=[*odd, *toy("gate").examples]).messages(
        Asked(request=REQUEST, trace_id="t")
    )
    assert system["content"].count("Request: ") == 4
    assert f"Request: {REQUEST}" not in system["content"]


def test_the_secret_of_the_request_itself_is_asked_with_and_answered(gate: Task) -> None:
    login = {"action": "login", "user": "zed", "password": "S3same!"}
    answer = answered(gate, says(login), request="make a login for zed with password S3same!")
    assert answer.prediction.output == login


# ------------------------------------------------------------------------------------------ bad answers


@pytest.mark.parametrize(
    ("reaction", "told"),
    [
        (says("I would rather not."), r"the answer holds no JSON object in 19 characters"),
        (says("{'action': 'point'}"), r"the answer is no strict JSON, which shows at character 1"),
        (says('{"action": "point", "action": "open"}'), r"the answer is no strict JSON"),
        (says('{"action": {"action": "unsupported"}'), r"the answer is no strict JSON"),
        (says(json.dumps(RIGHT) + json.dumps(RIGHT)), r"the answer holds more than one JSON object"),
        (says([RIGHT]), r"the answer is JSON but no object"),
        (says(f"Well: [{json.dumps(RIGHT)}]"), r"the answer holds more than one JSON object, or"),
        (says("null"), r"the answer is JSON but no object"),
        (says(""), r"the answer is empty"),
        (says(None), r"the answer is empty"),
        (says("<think>what a request</think>"), r"the answer is empty"),
        (says('{"action": "poi', finish="length"), r"the answer is cut off after 4 tokens \(length\)"),
        (says(RIGHT, finish="length"), r"the answer is cut off"),
        (says("", finish="content_filter"), r"the answer was stopped after 0 tokens \(content_filter\)"),
        (says({"action": "fly"}), r"the answer does not fit the schema at #"),
        (says({**RIGHT, "ttl": 5}), r"the answer does not fit the schema at # \(additionalProperties\)"),
        (says({**RIGHT, "ip": "10.2.0.999"}), r"the answer does not fit the schema at #/ip \(x-format\)"),
        (says({"action": "point", "host": "web1.lan"}), r"the answer does not fit the schema at # \(required\)"),
        (says({**RIGHT, "ip": "10.2.0.8"}), r"the answer is not grounded: ip: its value does not stand in the request"),
    ],
)  # fmt: skip
def test_what_is_no_valid_answer_is_refused_with_the_reason(
    gate: Task, reaction: Reaction, told: str
) -> None:
    answer = answered(gate, reaction)
    assert (answer.prediction.output, answer.refused_as) == (None, "not valid")
    assert re.match(told, answer.prediction.refusal or "")
    assert answer.tokens_in > 0


@pytest.mark.parametrize(
    "text",
    [
        "```json\n{}\n```",
        "```\n{}```",
        "Here you are: {} Good luck!",
        "<think>is it {{this}}?</think>\n{}",
        "  {}\n",
    ],
)
def test_words_around_the_one_object_do_no_harm(gate: Task, text: str) -> None:
    said = text.replace("{}", json.dumps(RIGHT))
    assert answered(gate, says(said)).prediction.output == RIGHT


@pytest.mark.parametrize(
    "said",
    [
        {"action": "login", "user": "zed", "pin": "S3same!"},
        {"action": "point", "host": "S3same!", "ip": "S3same!"},
        {"action": "S3same!"},
        {"action": "login", "user": "s3same!"},
        {"action": "open", "port": "S3same!"},
        "S3same!",
        '{"S3same!": {',
        'S3same! {"a": 1} {"b": "S3same!"}',
    ],
)
def test_a_refusal_repeats_no_text_of_the_reply_where_the_task_has_secrets(gate: Task, said: Any) -> None:
    answer = answered(gate, says(said), request="make a login for zed with password S3same!")
    assert answer.prediction.refusal
    assert "s3same" not in answer.prediction.refusal.casefold()


def test_an_empty_request_is_refused_without_asking(gate: Task) -> None:
    with endpoint(says(RIGHT)) as one:
        (answer,) = answers(GeneralStage(gate, settings(one)), " \n")
        assert (one.bodies, answer.prediction.refusal) == ([], "the request is empty")
        assert answer.refused_as == "no answer"


def test_a_value_of_an_earlier_turn_may_be_copied_and_has_no_place_in_the_request(gate: Task) -> None:
    earlier = Turn(request="point web1.lan at 10.2.0.8", answer="{}")
    with endpoint(says(RIGHT)) as one:
        (answer,) = answers(GeneralStage(gate, settings(one)), "at 10.2.0.9 instead", turns=(earlier,))
    assert answer.prediction.output == RIGHT
    assert {one.path: one.span for one in answer.prediction.fields} == {
        "action": None,
        "host": None,
        "ip": (3, 11),
    }


def test_the_confidence_is_the_mean_of_the_tokens_probabilities_where_they_are_asked_for(
    gate: Task,
) -> None:
    reaction = says(RIGHT, logprobs=[-0.1, -0.2])
    assert answered(gate, reaction, logprobs=True).prediction.confidence == pytest.approx(0.860708)
    assert answered(gate, says(RIGHT), logprobs=True, assumed_confidence=0.7).prediction.confidence == 0.7


def test_a_computed_value_is_computed_whatever_the_model_says() -> None:
    task = load_task("task-risk")
    request = "metrics.allocated_hours: 4\nmetrics.elapsed_hours: 9"
    wrong = {"risk_level": "low", "confidence": 80, "reasons": ["It is late."], "recommended_actions": ["Ask for help."]}  # fmt: skip
    without = {name: value for name, value in wrong.items() if name != "risk_level"}
    for said in (wrong, without):
        assert answered(task, says(said), request=request).prediction.output == {
            **wrong,
            "risk_level": "high",
        }
    assert answered(task, says({**wrong, "more": 1}), request=request).prediction.output is None
    refusal = answered(task, says(wrong), request="metrics.title: x").prediction.refusal
    assert (refusal or "").startswith(
        "the answer's computed values cannot be computed: the metrics give neither"
    )


# ------------------------------------------------------------------------------------ bad endpoints


@pytest.mark.parametrize(
    ("reaction", "told"),
    [
        (status(429, headers={"Retry-After": "7"}), "HTTP 429, Retry-After: 7 s"),
        (status(429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"),
        (status(500), "HTTP 500"),
        (status(503, "<html>busy</html>"), "HTTP 503"),
        (status(401, '{"error": {"message": "bad key k3y", "code": "invalid_api_key"}}'), "HTTP 401 invalid_api_key"),
        (status(404, '{"error": {"message": "no", "type": "not_found", "code": 404}}'), "HTTP 404 not_found"),
        (status(400), "HTTP 400"),
        (hangs_up, "no connection"),
        (breaks_off, "no connection"),
        (status(200, "<html>hello</html>", {"Content-Type": "text/html"}), "not what OpenAI's interface promises"),
        (status(200, "{broken"), "not what OpenAI's interface promises"),
        (status(200, "{}"), "not what OpenAI's interface promises"),
    ],
)  # fmt: skip
def test_an_endpoint_that_fails_is_an_error_that_says_how(gate: Task, reaction: Reaction, told: str) -> None:
    with endpoint(reaction) as one, pytest.raises(TeacherError, match=re.escape(told)) as error:
        answers(GeneralStage(gate, settings(one)), REQUEST)
    assert error.value.what.startswith("big at 127.0.0.1:")
    assert "k3y" not in str(error.value)
    assert error.value.problems[0].mend


def test_nobody_is_followed_to_another_address(gate: Task) -> None:
    with endpoint(says(RIGHT)) as other:
        moved = {"Location": f"{other.base_url}/chat/completions"}
        with endpoint(status(307, headers=moved)) as one, pytest.raises(TeacherError, match="HTTP 307"):
            answers(GeneralStage(gate, settings(one)), "open port 22")
        assert other.bodies == []


def test_passwords_that_the_machine_keeps_for_hosts_change_nothing(
    gate: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login someone password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with endpoint(says(RIGHT)) as one:
        answers(GeneralStage(gate, settings(one, api_key="k3y")), REQUEST)
    assert one.keys == ["Bearer k3y"]


def test_a_proxy_is_taken_from_the_environment(gate: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with endpoint(says(RIGHT)) as one:
        monkeypatch.setenv("http_proxy", one.base_url.removesuffix("/v1"))
        far = GeneralSettings(base_url="http://general.invalid/v1", model="big")
        answers(GeneralStage(gate, far), REQUEST)
        assert len(one.bodies) == 1
        monkeypatch.setenv("no_proxy", "general.invalid")
        with pytest.raises(TeacherError, match="no connection"):
            answers(GeneralStage(gate, far), REQUEST)
        assert len(one.bodies) == 1


def test_a_reply_without_end_is_not_read_to_its_end(gate: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microlith.routing.general.MOST_BYTES", 1000)
    with endpoint(status(200, "[" + "1," * 1000 + "1]")) as one, pytest.raises(TeacherError) as error:
        answers(GeneralStage(gate, settings(one)), "open port 22")
    assert "longer than 1,000 bytes" in error.value.what


def test_an_endpoint_that_repeats_the_request_in_its_error_is_not_quoted(gate: Task) -> None:
    body = json.dumps({"error": {"message": "bad: S3same!", "code": "bad S3same!", "type": "S3same"}})
    reaction = status(422, body, {"Retry-After": "S3same"})
    with endpoint(reaction) as one, pytest.raises(TeacherError) as error:
        answers(GeneralStage(gate, settings(one)), "make a login for zed with password S3same")
    assert "S3same" not in repr(error.value) + str(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_nobody_at_the_address_is_an_error(gate: Task) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers, and nobody else can come
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        stage = GeneralStage(gate, GeneralSettings(base_url=address, model="big"))
        with pytest.raises(TeacherError, match="no connection"):
            answers(stage, REQUEST)


@pytest.mark.parametrize("reaction", [silent, drips(RIGHT)], ids=["silent", "drips"])
@pytest.mark.parametrize("where", ["call", "settings"])
def test_the_time_limit_holds_for_the_whole_answer(gate: Task, reaction: Reaction, where: str) -> None:
    limits = {"call": (0.3, LONG_S), "settings": (LONG_S, 0.3)}[where]
    with endpoint(reaction) as one:
        stage = GeneralStage(gate, settings(one, timeout_s=limits[1]))
        with pytest.raises(TimeoutError):
            answers(stage, REQUEST, timeout_s=limits[0])


def test_time_that_is_over_already_is_a_timeout(gate: Task) -> None:
    with endpoint(says(RIGHT)) as one, pytest.raises(TimeoutError):
        answers(GeneralStage(gate, settings(one)), REQUEST, timeout_s=-1.0)


def test_an_endpoint_that_takes_no_schema_is_asked_without_it_from_then_on(gate: Task) -> None:
    with endpoint(refuses_options(RIGHT, "response_format")) as one:
        found = answers(GeneralStage(gate, settings(one)), REQUEST, REQUEST)
        sent = ["response_format" in request for request in one.requests]
    assert [answer.prediction.output for answer in found] == [RIGHT, RIGHT]
    assert sent == [True, False, False]


def test_an_option_that_the_endpoint_names_is_left_out_and_the_limit_renamed(gate: Task) -> None:
    with endpoint(refuses_options(RIGHT, "max_tokens", "temperature", tell=True)) as one:
        answers(GeneralStage(gate, settings(one)), REQUEST, REQUEST)
        *_, first, last = one.requests
    assert first.keys() == last.keys() == {"model", "messages", "response_format", "max_completion_tokens"}
    assert len(one.bodies) == 4


def test_a_refusal_that_the_schema_is_not_to_blame_for_changes_nothing(gate: Task) -> None:
    with endpoint(status(400), status(400), says(RIGHT)) as one:
        stage = GeneralStage(gate, settings(one))
        with pytest.raises(TeacherError):
            answers(stage, REQUEST)
        answers(stage, REQUEST)
        assert ["response_format" in request for request in one.requests] == [True, False, True]


def test_it_is_asked_once_and_tried_no_second_time(gate: Task) -> None:
    with endpoint(status(500)) as one, pytest.raises(TeacherError):
        answers(GeneralStage(gate, settings(one)), REQUEST)
    assert len(one.bodies) == 1


def test_one_stage_serves_one_event_loop_after_another(gate: Task) -> None:
    with endpoint(says(RIGHT)) as one:
        stage = GeneralStage(gate, settings(one))
        asked = Asked(request=REQUEST, trace_id="t")
        found = [asyncio.run(stage.ask(asked, timeout_s=LONG_S)) for _ in range(2)]
    assert [answer.prediction.output for answer in found] == [RIGHT, RIGHT]


def test_many_requests_are_answered_at_a_time(gate: Task) -> None:
    async def run(stage: GeneralStage) -> list[Answer]:
        requests = [Asked(request=f"point h{n}.lan at 10.2.0.9", trace_id="t") for n in range(8)]
        return await asyncio.gather(*(stage.ask(one, timeout_s=LONG_S) for one in requests))

    with endpoint(points_where_asked) as one:
        found = asyncio.run(run(GeneralStage(gate, settings(one))))
    assert [answer.prediction.output["host"] for answer in found] == [f"h{n}.lan" for n in range(8)]


# ------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_s": 0}, {"max_tokens": 0}, {"price_in": -1.0},
        {"price_out": float("inf")}, {"temperature": 2.5}, {"assumed_confidence": 1.1}, {"model": ""},
        {"base_url": "127.0.0.1:11434"}, {"base_url": "ftp://x/v1"}, {"base_url": "http://x:99999/v1"},
        {"base_url": "http://me:k3y@x/v1"}, {"api_key": ""}, {"api_key": "k3y\n"}, {"api_key": "k3yé"},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_without_telling_the_key(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        GeneralSettings(**{"base_url": "http://x/v1", "model": "big", "api_key": "k3y", **wrong})
    assert "k3y" not in str(error.value)


@pytest.mark.parametrize("wrong", [{"shown": -1}, {"passages": -1}])
def test_a_prompt_that_cannot_be_is_refused(gate: Task, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        GeneralPrompt(gate, **wrong)


def test_the_key_is_not_shown() -> None:
    assert "k3y" not in repr(GeneralSettings(base_url="http://x/v1", model="big", api_key="k3y"))


# ------------------------------------------------------------------------------------ a caller's model


def stage_of(task: Task, ask: Callable[[list[Message]], Any], **more: Any) -> CallableStage:
    return CallableStage(task, ask, **more)


def test_a_model_that_the_caller_brings_is_told_and_checked_alike(gate: Task) -> None:
    heard: list[list[Message]] = []

    async def ask(messages: list[Message]) -> str:
        heard.append(messages)
        return json.dumps(RIGHT)

    prompt = GeneralPrompt(gate, examples=toy("gate").examples)
    good, bad = answers(
        stage_of(gate, ask, prompt=prompt, model="theirs"), REQUEST, "point a.lan at 10.2.0.9"
    )
    assert (good.prediction.output, good.prediction.model, good.tokens_in) == (RIGHT, "theirs", 0)
    assert (bad.prediction.refusal or "").startswith("the answer is not grounded: host")
    assert bad.refused_as == "not valid"
    assert [message["role"] for message in heard[0]] == ["system", "user"]
    assert "Answer: {" in heard[0][0]["content"]


def test_the_time_limit_holds_for_a_model_that_the_caller_brings(gate: Task) -> None:
    async def never(_: list[Message]) -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(TimeoutError):
        answers(stage_of(gate, never), REQUEST, timeout_s=0.01)
