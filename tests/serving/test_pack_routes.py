"""Routes that task folders name themselves, asked over a real server; what infra answers on its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from microlith.errors import Overloaded, StorageError, TaskError
from microlith.serving import http_errors, pack_routes
from microlith.serving.pack_api import routes_of
from microlith.task.taskfile import load_task
from tests.serving.running import ScriptedDesk, app_of, serving

ADD = {"action": "dns_add", "zone": "api.lan", "record_type": "A", "ip": "10.0.0.5"}
REMOVE = {"action": "dns_remove", "zone": "api.lan"}
UNCLEAR = {"action": "clarify", "intent": "dns_add", "zone": "nas.lan", "missing": ["ip"]}
SCRIPT = {
    "add api.lan 10.0.0.5": ADD,
    "remove api.lan": REMOVE,
    "add a record for nas.lan": UNCLEAR,
    "why is dns slow?": {"action": "unsupported"},
    "add api.lan 10.0.0.5 and remove old.lan": {
        "action": "sequence", "steps": [ADD, {"action": "dns_remove", "zone": "old.lan"}],
    },
}  # fmt: skip


def app_with_errors(desk: ScriptedDesk) -> FastAPI:
    app = app_of(desk, pack_routes.router)
    http_errors.install(app, pack_routes.shapes(desk))
    return app


@pytest.fixture(scope="module")
def scripted() -> ScriptedDesk:
    return ScriptedDesk({"infra": SCRIPT})


@pytest.fixture(scope="module")
def address(scripted: ScriptedDesk) -> Iterator[str]:
    with serving(app_with_errors(scripted)) as url:
        yield url


@pytest.fixture
def desk(scripted: ScriptedDesk) -> ScriptedDesk:
    scripted.reset()
    return scripted


@pytest.fixture
def client(address: str, desk: ScriptedDesk) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, trust_env=False) as made:
        yield made


# ------------------------------------------------------------------------------------------------ infra


def test_parse_answers_with_the_action_and_all_that_is_known_of_it(client: httpx.Client) -> None:
    response = client.post("/api/v1/parse", json={"query": "add api.lan 10.0.0.5"})
    said = response.json()
    assert response.status_code == 200
    assert said["action"] == ADD
    assert (said["confidence"], said["model"], said["duration_ms"]) == (0.97, "infra@3", 2.0)
    assert said["trace_id"] == response.headers["x-trace-id"]
    assert {"path": "ip", "value": "10.0.0.5", "confidence": 0.97, "span": [12, 20]} in said["fields"]
    assert said["missing"] == []


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("dns/add", "add api.lan 10.0.0.5", 200),
        ("dns/remove", "remove api.lan", 200),
        ("dns/remove", "add api.lan 10.0.0.5", 409),
        ("dns/add", "remove api.lan", 409),
        ("users/remove", "remove api.lan", 409),
        ("dns/add", "add api.lan 10.0.0.5 and remove old.lan", 409),
        ("dns/add", "add a record for nas.lan", 200),
        ("dns/remove", "add a record for nas.lan", 409),
        ("dns/add", "why is dns slow?", 422),
        ("parse", "why is dns slow?", 422),
        ("parse", "not in the script", 422),
        ("parse", "add api.lan 10.0.0.5 and remove old.lan", 200),
    ],
)
def test_a_route_that_names_an_operation_answers_with_no_other(
    client: httpx.Client, path: str, query: str, status: int
) -> None:
    response = client.post(f"/api/v1/{path}", json={"query": query})
    assert response.status_code == status
    said = response.json()
    assert said["trace_id"] == "trace-1"
    assert said["action"] == SCRIPT.get(query)
    assert ("error" in said) == (status != 200)


def test_what_must_still_be_given_is_named(client: httpx.Client) -> None:
    said = client.post("/api/v1/dns/add", json={"query": "add a record for nas.lan"}).json()
    assert (said["action"], said["missing"]) == (UNCLEAR, ["ip"])


def test_a_refusal_says_why(client: httpx.Client) -> None:
    said = client.post("/api/v1/parse", json={"query": "something else"}).json()
    assert said["error"] == "not answered: not in the script"


@pytest.mark.parametrize(("header", "force"), [("true", "specialist"), ("False", "general"), (None, None)])
def test_a_header_chooses_the_model(
    client: httpx.Client, desk: ScriptedDesk, header: str | None, force: str | None
) -> None:
    headers = {} if header is None else {"X-Use-Micro-LLM": header}
    assert client.post("/api/v1/dns/add", json={"query": "add api.lan 10.0.0.5"}, headers=headers).is_success
    assert desk.calls[0].force == force


def test_another_word_in_the_header_is_a_bad_request(client: httpx.Client, desk: ScriptedDesk) -> None:
    response = client.post("/api/v1/parse", json={"query": "x"}, headers={"X-Use-Micro-LLM": "maybe"})
    assert response.status_code == 400
    assert response.json() == {"error": "X-Use-Micro-LLM is 'maybe', true or false is expected"}
    assert not desk.calls


def test_appliance_and_customer_are_kept_with_the_trace(client: httpx.Client, desk: ScriptedDesk) -> None:
    client.post("/api/v1/parse", json={"query": "remove api.lan", "appliance_id": "a-7", "customer_id": 12})
    assert desk.calls[0].labels == {"dialect": "pack", "appliance_id": "a-7", "customer_id": "12"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "body/query: this is needed and missing"),
        ({"query": 5}, "body/query: Input should be a valid string"),
        ({"query": "x", "zone": "y"}, "body/zone: Extra inputs are not permitted"),
        ([], "body: Input should be a valid dictionary"),
    ],
)
def test_a_body_that_does_not_fit_is_a_bad_request(client: httpx.Client, body: Any, error: str) -> None:
    response = client.post("/api/v1/parse", json=body)
    assert response.status_code == 400
    assert response.json()["error"].startswith(error)


def test_a_full_server_says_when_to_come_again(client: httpx.Client, desk: ScriptedDesk) -> None:
    desk.failure = Overloaded("too many requests", retry_after_s=1.5)
    response = client.post("/api/v1/parse", json={"query": "x"})
    assert (response.status_code, response.headers["retry-after"]) == (429, "2")
    assert response.json() == {"error": "too many requests"}


def test_a_failing_disk_does_not_show_its_paths(client: httpx.Client, desk: ScriptedDesk) -> None:
    desk.failure = StorageError("the trace cannot be kept", place="/var/lib/private.db")
    response = client.post("/api/v1/parse", json={"query": "x"})
    assert (response.status_code, response.json()) == (507, {"error": "the trace cannot be kept"})


def test_every_operation_on_names_people_groups_and_shares_has_a_route() -> None:
    task = load_task("infra")
    named = {route.path.removeprefix("/api/v1/") for route in routes_of(task)} - {"parse"}
    actions = [
        name for name in task.schema.value["$defs"] if name.split("_")[0] in ("dns", "user", "group", "share")
    ]
    plural = {"dns": "dns", "user": "users", "group": "groups", "share": "shares"}
    expected = set()
    for action in actions:
        thing, _, verb = action.partition("_")
        expected.add(f"{plural[thing]}/{verb.replace('_', '-')}")
    assert named == expected


def test_every_route_is_on_the_openapi_page_with_its_models(client: httpx.Client) -> None:
    page = client.get("/openapi.json").json()
    for route in routes_of(load_task("infra")):
        shown = page["paths"][route.path]["post"]
        asked = shown["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        answered = shown["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        assert (asked.rpartition("/")[2], answered.rpartition("/")[2]) == ("Query", "Understood")
        assert shown["parameters"][0]["name"] == "X-Use-Micro-LLM"
        assert "422" in shown["responses"]


# ---------------------------------------------------------------------------------------- folders of one's own


OWN = """
from pydantic import BaseModel

from microlith.serving.desk import Call
from microlith.serving.pack_api import PackRoute, Reply


class Asked(BaseModel):
    words: "str"


class Said(BaseModel):
    mood: str


def read(heard):
    return Call(task=heard.task, request=heard.body.words)


def write(heard, routed):
    return Reply(body=Said(mood=routed.prediction.output["mood"]), status=203)


ROUTES = [PackRoute(path="/mood", about="Which mood.", asks=Asked, says=Said, read=read, write=write)]
"""


def folder(parent: Path, name: str, serving_py: str | None) -> str:
    made = parent / name
    made.mkdir()
    (made / "task.toml").write_text(f'name = "{name}"\ninstruction = "Say the mood."\n')
    schema = {
        "type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"],
        "additionalProperties": False,
    }  # fmt: skip
    (made / "schema.json").write_text(json.dumps(schema))
    if serving_py is not None:
        (made / "serving.py").write_text(serving_py)
    return str(made)


def test_a_folder_of_ones_own_names_its_own_routes(tmp_path: Path) -> None:
    desk = ScriptedDesk({folder(tmp_path, "mood", OWN): {"hurray": {"mood": "good"}}})
    with serving(app_with_errors(desk)) as url:
        response = httpx.post(f"{url}/mood", json={"words": "hurray"}, trust_env=False)
    assert (response.status_code, response.json()) == (203, {"mood": "good"})


def test_a_folder_without_a_serving_file_names_none(tmp_path: Path) -> None:
    assert routes_of(load_task(folder(tmp_path, "mood", None))) == ()


@pytest.mark.parametrize(
    ("code", "what", "line"),
    [
        ("x = 1\nraise ValueError('no')\n", "ValueError: no", ":2"),
        ("def f(:\n", "SyntaxError", ":1"),
        ("ROUTES = [5]\n", "no list ROUTES", ""),
        ("\n", "no list ROUTES", ""),
        (OWN.replace('"/mood"', '"mood/{which}"'), "names paths that cannot be served", ""),
    ],
)
def test_a_wrong_serving_file_is_told_with_its_place(tmp_path: Path, code: str, what: str, line: str) -> None:
    task = load_task(folder(tmp_path, "mood", code))
    with pytest.raises(TaskError) as raised:
        routes_of(task)
    assert what in str(raised.value)
    assert f"serving.py{line}" in str(raised.value)


def test_two_tasks_cannot_name_one_path(tmp_path: Path) -> None:
    desk = ScriptedDesk({folder(tmp_path, "mood", OWN): {}, folder(tmp_path, "temper", OWN): {}})
    with pytest.raises(TaskError, match="/mood is named by mood and by temper"):
        pack_routes.router(desk)
