"""The System One dialect: questions by Ollama's own client, whole decisions by plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import pytest

from microlith.errors import Overloaded, StorageError
from tests.serving.dialect_desk import ADD, ADDED, ODD, ODD_ANSWER, PLAIN, REFUSED, DialectDesk


@pytest.fixture(scope="module")
def client(running: tuple[DialectDesk, str]) -> Iterator[ollama.Client]:
    with ollama.Client(host=running[1]) as made:
        yield made


def choice(*options: str) -> dict[str, Any]:
    return {"type": "choice", "instructions": "Which?", "criteria": dict.fromkeys(options)}


def noul() -> dict[str, Any]:
    return {"type": "noul", "instructions": "Is it?"}


def score(*options: str) -> dict[str, Any]:
    return {"type": "score", "instructions": "How much?", "criteria": list(options)}


# ------------------------------------------------------------------------------------------- questions


def test_a_choice_is_the_decision_with_its_probabilities(desk: DialectDesk, client: ollama.Client) -> None:
    answer = client.systemone(
        model="cli-intent", state="/help", questions={"type": choice("command", "prompt", "workflow")}
    )
    told = answer.answers["type"]
    assert (answer.model, told.type, told.choice) == ("cli-intent", "choice", "command")
    assert told.probabilities == {"command": 0.97, "prompt": 0.015, "workflow": 0.015}
    assert told.confidence == pytest.approx(0.8584, abs=1e-4)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (2, 9)
    assert desk.calls[0].request == "/help"
    assert desk.calls[0].labels == {"dialect": "systemone"}


def test_options_that_are_left_out_leave_the_rest_scaled_to_one(
    desk: DialectDesk, client: ollama.Client
) -> None:
    answer = client.systemone(
        model="cli-intent", state="/help", questions={"type": choice("prompt", "command")}
    )
    told = answer.answers["type"].probabilities
    assert list(told) == ["prompt", "command"]
    assert told["command"] == pytest.approx(0.97 / 0.985, abs=1e-6)
    assert sum(told.values()) == pytest.approx(1.0, abs=1e-6)


def test_a_noul_is_the_probability_of_one_option(desk: DialectDesk, client: ollama.Client) -> None:
    answer = client.systemone(
        model="cli-intent", state="/help", questions={"type=command": noul(), "type=prompt": noul()}
    )
    assert [told.noul for told in answer.answers.values()] == [0.97, 0.015]


def test_a_score_is_the_expected_place_among_ordered_options(
    desk: DialectDesk, client: ollama.Client
) -> None:
    state = {"metrics": {"elapsed_hours": 3}}
    answer = client.systemone(
        model="task-risk", state=state, questions={"risk_level": score("low", "medium", "high")}
    )
    told = answer.answers["risk_level"]
    assert told.score == pytest.approx(0.015 + 2 * 0.97)
    assert told.legend == {"0": "low", "1": "medium", "2": "high"}
    assert told.probabilities == {"0": 0.015, "1": 0.015, "2": 0.97}
    assert desk.calls[0].request == state


def test_one_request_answers_every_question(desk: DialectDesk, client: ollama.Client) -> None:
    questions = {
        "record_type": choice("A", "AAAA", "CNAME"),
        "action": choice("dns_add", "dns_remove"),
        "access": choice("read", "write"),
    }
    answer = client.systemone(model="infra", state=ADD, questions=questions)
    assert {name: told.choice for name, told in answer.answers.items()} == {
        "record_type": "A",
        "action": "dns_add",
    }
    assert len(desk.calls) == 1


@pytest.mark.parametrize(
    ("state", "question", "why"),
    [
        (ADD, {"access": choice("read", "write")}, "the answer holds no access"),
        (REFUSED, {"action": choice("dns_add", "dns_remove")}, "not in the script"),
        (
            ADD,
            {"action": choice("user_add", "user_remove")},
            "action is 'dns_add', which is none of the question's options",
        ),
    ],
)
def test_a_question_without_an_answer_is_missing_and_told_why(
    running: tuple[DialectDesk, str], desk: DialectDesk, state: str, question: dict[str, Any], why: str
) -> None:
    answer = httpx.post(
        f"{running[1]}/v1/systemone", json={"model": "infra", "state": state, "questions": question}
    )
    assert answer.status_code == 200
    assert answer.json()["answers"] == {}
    assert answer.json()["microlith"]["unanswered"] == {next(iter(question)): why}
    assert answer.headers["x-trace-id"] == "trace-1"


def test_an_answer_without_fields_is_as_sure_as_the_whole(desk: DialectDesk, client: ollama.Client) -> None:
    answer = client.systemone(model="infra", state=PLAIN, questions={"action=unsupported": noul()})
    assert answer.answers["action=unsupported"].noul == 0.5


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"questions": {"urgency": choice("low", "high")}},
            "questions.urgency: the task infra makes no decision of this name",
        ),
        (
            {"questions": {"zone": choice("a", "b")}},
            "questions.zone: the task infra makes no decision of this name",
        ),
        ({"questions": {"action": choice("dns_add", "fly")}}, "questions.action: 'fly' is no option"),
        ({"questions": {"action": score("dns_add", "dns_add")}}, "questions.action: an option stands twice"),
        ({"questions": {"action": noul()}}, "questions.action: 'true' is no option"),
        ({"questions": {"action=": noul()}}, "questions.action=: '' is no option"),
        ({"questions": {"action": {"type": "choice", "criteria": {}}}}, "questions.action.choice.criteria: "),
        ({"questions": {"action": {"type": "box"}}}, "questions.action: "),
        ({"questions": {}}, "questions: "),
        ({"state": 5}, "state: "),
        ({"state": "\ud800"}, "state: "),
        ({"state": {"a": float("nan")}}, "state: "),
        ({"images": ["aGk="]}, "images: "),
    ],
)
def test_a_question_that_the_task_cannot_decide_is_a_bad_request(
    running: tuple[DialectDesk, str], desk: DialectDesk, more: dict[str, Any], words: str
) -> None:
    body = {"model": "infra", "state": ADD, "questions": {"action": choice("dns_add", "dns_remove")}, **more}
    answer = post(running, body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(words)
    assert desk.calls == []


def test_an_unknown_model_is_not_found(desk: DialectDesk, client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        client.systemone(model="nothing", state="x", questions={"a": noul()})
    assert caught.value.status_code == 404


def test_text_tasks_take_no_objects(desk: DialectDesk, client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        client.systemone(model="infra", state={"a": 1}, questions={"action=dns_add": noul()})
    assert caught.value.status_code == 422


def test_the_asynchronous_client_gets_answers(running: tuple[DialectDesk, str], desk: DialectDesk) -> None:
    async def asked() -> Any:
        async with ollama.AsyncClient(host=running[1]) as client:
            return await client.systemone(model="infra", state=ADD, questions={"action=dns_add": noul()})

    assert asyncio.run(asked()).answers["action=dns_add"].noul == 0.97


# ------------------------------------------------------------------------------------------- whole decisions


def post(running: tuple[DialectDesk, str], body: Any) -> httpx.Response:
    return httpx.post(
        f"{running[1]}/v1/systemone", content=json.dumps(body), headers={"content-type": "application/json"}
    )


def test_a_whole_decision_tells_every_value_and_every_hop(
    running: tuple[DialectDesk, str], desk: DialectDesk
) -> None:
    desk.is_general = True
    told = post(running, {"task": "infra", "input": ODD}).json()
    assert told["decision"] == ODD_ANSWER
    assert (told["confidence"], told["decided_by"], told["model"], told["refusal"]) == (
        0.97,
        "general",
        "large",
        None,
    )
    assert (told["trace_id"], told["latency_ms"]) == ("trace-1", 902.0)
    assert [(hop["stage"], hop["left"]) for hop in told["hops"]] == [
        ("specialist", "low confidence"),
        ("general", None),
    ]
    spans = {one["path"]: one["span"] for one in told["decisions"]}
    assert ODD[slice(*spans["password"])] == ODD_ANSWER["password"]
    assert spans["action"] is None


def test_a_whole_decision_is_asked_with_options_context_and_labels(
    running: tuple[DialectDesk, str], desk: DialectDesk
) -> None:
    body = {
        "task": "infra@3", "input": ADD, "options": {"force": "specialist", "deadline_ms": 250, "fields": False},
        "context": [{"input": "before", "output": {"action": "unsupported"}}], "labels": {"customer": "c1"},
    }  # fmt: skip
    told = post(running, body).json()
    assert (told["decision"], told["decisions"]) == (ADDED, [])
    [call] = desk.calls
    assert (call.task, call.force, call.deadline_s) == ("infra", "specialist", 0.25)
    assert call.labels == {"dialect": "systemone", "customer": "c1"}
    assert [(turn.request, turn.answer) for turn in call.turns] == [("before", '{"action": "unsupported"}')]


def test_a_refusal_is_a_decision_of_null_that_says_why(
    running: tuple[DialectDesk, str], desk: DialectDesk
) -> None:
    answer = post(running, {"task": "infra", "input": REFUSED})
    told = answer.json()
    assert answer.status_code == 200
    assert (told["decision"], told["decided_by"], told["confidence"]) == (None, None, 0.0)
    assert told["refusal"] == "not in the script"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"task": "nothing", "input": "x"}, 404),
        ({"task": "infra"}, 400),
        ({"task": "infra", "input": 5}, 400),
        ({"task": "infra", "input": "x", "more": 1}, 400),
        ({"task": "infra", "input": "x", "options": {"force": "both"}}, 400),
        ({"task": "infra", "input": "x", "options": {"deadline_ms": 0}}, 400),
        ({"task": "infra", "input": "x", "options": {"fields": 1}}, 400),
        ({"task": "infra", "input": "x", "labels": {"a": "\ud800"}}, 400),
        ({"task": "infra", "input": "x", "context": [{"input": "\ud800", "output": 1}]}, 400),
        ({"task": "infra", "input": "x" * 1_000_001}, 413),
        ({}, 400),
        ([], 400),
        (None, 400),
        ("text", 400),
    ],
)
def test_what_is_no_request_is_refused(
    running: tuple[DialectDesk, str], desk: DialectDesk, body: Any, status: int
) -> None:
    answer = post(running, body)
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str)
    assert desk.calls == []


@pytest.mark.parametrize(
    ("failure", "status"), [(Overloaded("too many", retry_after_s=1.0), 429), (StorageError("full"), 507)]
)
def test_failures_of_the_desk_keep_their_status(
    running: tuple[DialectDesk, str], desk: DialectDesk, failure: Exception, status: int
) -> None:
    desk.failure = failure
    answer = post(running, {"task": "infra", "input": ADD})
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)


def test_both_forms_stand_on_the_openapi_page(running: tuple[DialectDesk, str]) -> None:
    page = httpx.get(f"{running[1]}/openapi.json").json()
    body = page["paths"]["/v1/systemone"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    named = {part["$ref"].rpartition("/")[2] for part in body.get("oneOf") or body["anyOf"]}
    assert named == {"QuestionsRequest", "DecisionRequest"}
    assert set(page["components"]["schemas"]["DecisionOut"]["properties"]) >= {"decision", "hops", "trace_id"}
