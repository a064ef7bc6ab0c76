"""Errors as HTTP answers: status, facts, headers, and nothing that is none of the caller's business."""

from __future__ import annotations

import json
import logging
from typing import Any, Literal

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict, field_validator

from microlith import errors
from microlith.errors import (
    DataError,
    MicrolithError,
    NotAllowed,
    NotForTask,
    Overloaded,
    Problem,
    RequestError,
    StorageError,
    TooLarge,
    TooSlow,
    UnknownTask,
)
from microlith.serving.http_errors import Facts, facts_of, install, status_of
from microlith.serving.logging_rules import FAULTS, note
from tests.serving.running import serving

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotAllowed("no key"), 401), (NotForTask("not this"), 403), (UnknownTask("no task"), 404), (TooSlow("slow"), 408),
        (TooLarge("large"), 413), (DataError("wrong"), 422), (Overloaded("busy", retry_after_s=1), 429),
        (StorageError("full"), 507), (MicrolithError("broken"), 500), (RuntimeError("odd"), 500),
        (HTTPException(405), 405), (HTTPException(499), 499),
    ],
)  # fmt: skip
def test_every_error_has_a_status(error: Exception, status: int) -> None:
    assert facts_of(error)[0] == status


def test_every_class_of_the_tree_has_a_sensible_status() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MicrolithError)
    ]
    found = {kind: status_of(kind.__new__(kind)) for kind in kinds}
    assert len(found) > 15
    assert all(400 <= status < 600 for status in found.values())
    assert all(400 <= status < 500 for kind, status in found.items() if issubclass(kind, RequestError))


def test_facts_hold_every_problem() -> None:
    problems = [Problem(what="a is missing", place="body/a", mend="add it"), Problem(what="b is wrong")]
    assert facts_of(DataError("two mistakes", problems=problems), trace_id="t1")[1] == {
        "type": "DataError", "message": "two mistakes", "trace_id": "t1",
        "problems": [
            {"what": "a is missing", "place": "body/a", "mend": "add it"},
            {"what": "b is wrong", "place": None, "mend": None},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(("wait_s", "told"), [(0.001, "1"), (1, "1"), (1.01, "2"), (59.5, "60")])
def test_the_header_never_tells_a_caller_to_come_too_early(wait_s: float, told: str) -> None:
    assert facts_of(Overloaded("busy", retry_after_s=wait_s))[2] == {"Retry-After": told}


def test_only_a_missing_key_asks_for_one() -> None:
    assert facts_of(NotAllowed("no key"))[2] == {"WWW-Authenticate": "Bearer"}
    assert facts_of(NotForTask("not this"))[2] == {}


def test_files_of_the_server_are_not_named() -> None:
    facts = facts_of(StorageError("the disk is full", place="/srv/secret/db", mend="free some space"))[1]
    assert "/srv" not in json.dumps(facts)
    assert facts["problems"] == [{"what": "the disk is full", "place": None, "mend": "free some space"}]


class Body(BaseModel):
    """A body of the app below."""

    model_config = ConfigDict(extra="forbid")
    request: str
    password: str = ""
    mode: Literal["a", "b"] = "a"

    @field_validator("password")
    @classmethod
    def _long(cls, value: str) -> str:
        if value and len(value) < 20:
            raise ValueError(f"{value} is too short")
        return value


FAILURES: dict[str, Exception] = {
    "unknown": UnknownTask("no task 'x'", mend="choose one"), "busy": Overloaded("busy", retry_after_s=2.5),
    "disk": StorageError("the disk is full", place="/srv/secret/db"), "odd": RuntimeError(f"password={SECRET}"),
    "half": DataError("half a character: \ud83d"), "gone": HTTPException(410, "gone", headers={"x-a": "b"}),
}  # fmt: skip


def failing_app(**settings: Any) -> FastAPI:
    app = FastAPI()
    install(app, **settings)

    @app.post("/ask")
    async def ask(body: Body, limit: int = 1) -> dict[str, str]:
        return {}

    @app.get("/fail/{name}")
    @app.get("/v1/fail/{name}")
    async def fail(name: str) -> None:
        raise FAILURES[name]

    @app.get("/noted")
    async def traced(request: Request) -> None:
        note(request.scope, trace_id="t7")
        raise RuntimeError(SECRET)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def lines() -> Any:
            yield "one\n"
            raise RuntimeError(SECRET)

        return StreamingResponse(lines())

    return app


@pytest.fixture
def client() -> TestClient:
    return TestClient(failing_app())


def test_an_error_is_answered_with_its_facts(client: TestClient) -> None:
    found = client.get("/fail/unknown")
    assert found.status_code == 404
    assert found.json() == {
        "error": {
            "type": "UnknownTask", "message": "no task 'x'", "trace_id": None,
            "problems": [{"what": "no task 'x'", "place": None, "mend": "choose one"}],
        }
    }  # fmt: skip
    assert client.get("/fail/busy").headers["retry-after"] == "3"
    assert client.get("/fail/half").status_code == 422


@pytest.mark.parametrize(
    ("sent", "places"),
    [
        ({}, ["body/request"]),
        ({"request": 1, "mode": "c"}, ["body/request", "body/mode"]),
        ({"request": "x", "requst": "y"}, ["body/requst"]),
        ([], ["body"]),
    ],
)
def test_a_wrong_field_is_named(sent: object, places: list[str], client: TestClient) -> None:
    found = client.post("/ask", json=sent)
    assert found.status_code == 422
    error = found.json()["error"]
    assert error["type"] == "DataError"
    assert [one["place"] for one in error["problems"]] == places
    assert error["message"].startswith(places[0])


def test_a_wrong_query_and_a_body_that_is_no_json_are_named(client: TestClient) -> None:
    error = client.post("/ask?limit=x", json={"request": "x"}).json()["error"]
    assert error["problems"][0]["place"] == "query/limit"
    found = client.post("/ask", content=b'{"request": ', headers={"content-type": "application/json"})
    assert found.status_code == 422
    assert "the body is not JSON" in found.json()["error"]["message"]


def test_a_wrong_value_is_not_repeated(client: TestClient) -> None:
    found = client.post("/ask", json={"request": "x", "password": SECRET})
    assert found.status_code == 422
    assert "body/password" in found.text
    assert SECRET not in found.text


def test_what_nobody_foresaw_tells_a_trace_id_and_nothing_else(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    found = client.get("/fail/odd")
    assert found.status_code == 500
    error = found.json()["error"]
    assert error["type"] == "InternalError"
    assert SECRET not in found.text
    assert "RuntimeError" not in found.text
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == FAULTS]
    assert [line["trace_id"] for line in lines] == [error["trace_id"]]
    assert lines[0]["error"] == "RuntimeError"
    assert "test_http_errors.py" in lines[0]["at"][-1]
    assert SECRET not in caplog.text


def test_the_trace_id_of_the_request_is_told(client: TestClient) -> None:
    assert client.get("/noted").json()["error"]["trace_id"] == "t7"


def test_a_fault_of_the_server_is_logged_with_its_place(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        error = client.get("/fail/disk").json()["error"]
    assert error["trace_id"] is not None
    assert "/srv/secret/db: the disk is full" in caplog.text


def test_paths_and_methods_that_are_not_there_have_the_same_shape(client: TestClient) -> None:
    assert client.get("/nowhere").json()["error"]["type"] == "NotFound"
    found = client.get("/ask")
    assert (found.status_code, found.json()["error"]["type"]) == (405, "MethodNotAllowed")
    assert found.headers["allow"] == "POST"
    assert client.get("/fail/gone").headers["x-a"] == "b"


def test_a_dialect_shapes_the_errors_of_its_paths() -> None:
    def short(status: int, facts: Facts) -> object:
        return {"detail": f"{status} {facts['type']}"}

    client = TestClient(failing_app(shapes={"/v1/": short, "/": lambda status, facts: "other"}))
    assert client.get("/v1/fail/unknown").json() == {"detail": "404 UnknownTask"}
    assert client.get("/v1/fail/odd").json() == {"detail": "500 InternalError"}
    assert client.get("/v1/nowhere").json() == {"detail": "404 NotFound"}
    assert client.get("/fail/unknown").json() == "other"


def test_an_answer_that_breaks_off_is_not_taken_for_whole(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(failing_app()) as base, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{base}/stream")
    assert caplog.records  # it was told
    assert SECRET not in caplog.text
    assert SECRET not in capfd.readouterr().err
