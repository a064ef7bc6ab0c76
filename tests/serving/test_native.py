from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from microlith.errors import Overloaded
from microlith.routing.route import Turn
from microlith.serving import http_errors, native
from microlith.serving.desk import Call
from microlith.serving.live import LiveDesk
from microlith.serving.settings import ServeSettings
from tests.serving.running import ScriptedDesk, app_of, serving
from tests.serving.small import register, task_folder
from tests.serving.test_live import ROW, Kept

HELP = {"type": "command"}


@pytest.fixture(scope="module")
def desk() -> ScriptedDesk:
    return ScriptedDesk({"cli-intent": {"/help": HELP}, "task-plan": lambda _: None})


@pytest.fixture(scope="module")
def address(desk: ScriptedDesk) -> Any:
    app = app_of(desk, native.router)
    http_errors.install(app)
    with serving(app) as found:
        yield found


def predict(address: str, body: Any, task: str = "cli-intent") -> httpx.Response:
    return httpx.post(f"{address}/v1/tasks/{task}/predict", json=body)


def test_an_answer_says_how_it_came_about(address: str) -> None:
    found = predict(address, {"input": "/help"}).json()
    assert found["output"] == HELP
    assert (found["stage"], found["model"], found["refusal"]) == ("specialist", "cli-intent@3", None)
    assert found["fields"]["type"] == {"value": "command", "confidence": 0.97, "span": None}
    assert found["hops"][0]["left"] is None
    assert found["trace_id"].startswith("trace-")


def test_a_refusal_is_an_answer_that_says_why(address: str) -> None:
    reply = predict(address, {"input": "something else"})
    assert reply.status_code == 200
    assert (reply.json()["output"], reply.json()["refusal"]) == (None, "not in the script")


def test_many_are_answered_in_order_and_a_bad_one_costs_no_other(address: str) -> None:
    found = predict(address, {"inputs": ["/help", {"no": "text"}, "/help"]}).json()["predictions"]
    assert [one.get("output") for one in found] == [HELP, None, HELP]
    assert found[1]["error"]["type"] == "DataError"


def test_what_a_caller_adds_reaches_the_desk(address: str, desk: ScriptedDesk) -> None:
    body = {
        "input": "/help", "context": [{"input": "before", "output": {"a": 1}}], "force": "general", "deadline_ms": 250,
        "labels": {"appliance_id": "a7"},
    }  # fmt: skip
    predict(address, body)
    assert desk.calls[-1] == Call(
        task="cli-intent", request="/help", turns=(Turn(request="before", answer='{"a": 1}'),), force="general",
        deadline_s=0.25, labels={"dialect": "native", "appliance_id": "a7"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({}, 400, "neither or both"), ({"input": "a", "inputs": ["b"]}, 400, "neither or both"),
        ({"input": "a", "force": "nobody"}, 422, "force"), ({"input": "a", "more": 1}, 422, "more"),
        ({"inputs": ["a"] * 300}, 422, "inputs"), ({"input": {"a": 1}}, 422, "takes text, not an object"),
        ({"input": "a", "deadline_ms": 0}, 422, "deadline_ms"), ([], 422, "body"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told(address: str, body: Any, status: int, why: str) -> None:
    reply = predict(address, body)
    assert (reply.status_code, why in reply.text) == (status, True), reply.text


def test_unknown_tasks_and_overload_have_their_status(address: str, desk: ScriptedDesk) -> None:
    assert predict(address, {"input": "x"}, task="nothing").status_code == 404
    assert predict(address, {"inputs": ["x"]}, task="nothing").status_code == 404
    desk.failure = Overloaded("too many", retry_after_s=2.5)
    try:
        reply = predict(address, {"input": "x"})
    finally:
        desk.failure = None
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "3")


def test_tasks_tell_their_schema_route_and_threshold(address: str) -> None:
    assert [one["task"] for one in httpx.get(f"{address}/v1/tasks").json()] == ["cli-intent", "task-plan"]
    one = httpx.get(f"{address}/v1/tasks/cli-intent").json()
    assert (one["model"], one["route"], one["threshold"]) == ("cli-intent@3", ["specialist", "general"], 0.9)
    assert one["output_schema"]["properties"]["type"]["enum"] == ["command", "prompt", "workflow"]
    assert httpx.get(f"{address}/v1/tasks/nothing").status_code == 404


def test_savings_are_counted_by_a_live_desk(tmp_path: Path) -> None:
    async def main() -> dict[str, Any]:
        task = task_folder(tmp_path, "mood", more="[general]\nprice_in = 2.0\nprice_out = 8.0")
        register(task, tmp_path / "home")
        desk = LiveDesk(ServeSettings(root=tmp_path / "home", tasks=(str(task.folder),)), Kept())
        desk.open()
        for _ in range(3):
            await desk.answer(Call(task="mood", request=ROW.input))
        await desk.close()
        with serving(app_of(desk, native.router)) as address:
            found: dict[str, Any] = httpx.get(f"{address}/v1/savings").json()
            return found

    found = asyncio.run(main())["mood"]
    assert (found["requests"], found["local"], found["local_share"], found["estimated"]) == (3, 3, 1.0, True)
    assert found["saved_tokens"] > 0
    assert found["saved_cost"] > 0
