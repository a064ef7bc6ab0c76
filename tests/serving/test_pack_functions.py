"""The two functions of a work-management front end, asked by Supabase's own client under a browser's rules."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from microlith.errors import Overloaded
from microlith.inference.protocol import Prediction
from microlith.serving import http_errors, pack_routes
from microlith.serving.limits import BodyLimit
from microlith.serving.pack_cors import CORS, PackCors
from tests.serving.running import ScriptedDesk, app_of, serving

NAME = "Hannelore Voss-Quandt"
METRICS = {
    "allocated_hours": 10,
    "elapsed_hours": 6.5,
    "progress_ratio": 0.25,
    "total_steps": 4,
    "steps_completed": 1,
}
CONTEXT = {"full_name": NAME, "role": "Writer", "is_micro_task": False, "email": "voss@example.org"}
RISK = {
    "risk_level": "high", "confidence": 72, "reasons": ["One step of four took most of your time."],
    "recommended_actions": ["Finish step two today.", "Ask for a second pair of hands."],
}  # fmt: skip
PLAN = {
    "suggested_plan": [
        {"phase": "build_guidance", "title": "Write the text", "duration": 2, "risk": "low", "note": "Short words"},
        {"phase": "deployment", "title": "Publish it", "duration": 2, "risk": "medium", "note": "After a review"},
    ],
    "ai_metadata": {"overall_risks": ["The review takes long"], "assumptions": ["There is one reviewer"]},
}  # fmt: skip
WANTED = {
    "title": "Release notes",
    "description": "For the patch.",
    "skills": ["writing"],
    "taskType": "Docs",
}


def risk(request: str) -> Any:
    return RISK if "Restyle" in request else None


def plan(request: str) -> Any:
    if "nothing" in request:  # no valid answer has no steps; a stage that does not check might still give one
        empty = PLAN | {"suggested_plan": []}
        return Prediction(output=empty, confidence=0.9, fields=(), model="general", latency_ms=1.0)
    return PLAN if "Release notes" in request else None


def made_app(desk: ScriptedDesk, *, cors: bool = True) -> FastAPI:
    app = app_of(desk, pack_routes.router)
    shapes = pack_routes.shapes(desk)
    http_errors.install(app, shapes)
    app.add_middleware(BodyLimit, max_bytes=4_000, shapes=shapes)
    if cors:
        app.add_middleware(PackCors, desk=desk)
    return app


@pytest.fixture(scope="module")
def scripted() -> ScriptedDesk:
    return ScriptedDesk({"task-risk": risk, "task-plan": plan, "infra": {}})


@pytest.fixture(scope="module")
def address(scripted: ScriptedDesk) -> Iterator[str]:
    with serving(made_app(scripted)) as url:
        yield url


@pytest.fixture
def desk(scripted: ScriptedDesk) -> ScriptedDesk:
    scripted.reset()
    return scripted


@pytest.fixture
def client(address: str, desk: ScriptedDesk) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{address}/functions/v1", trust_env=False) as made:
        yield made


def question(**changed: Any) -> dict[str, Any]:
    return {"metrics": METRICS, "taskTitle": "Restyle the header", "employeeContext": CONTEXT} | changed


# ------------------------------------------------------------------------------------------- analyze-task-risk


def test_a_risk_is_answered_in_exactly_the_known_shape(client: httpx.Client) -> None:
    response = client.post("/analyze-task-risk", json=question())
    assert (response.status_code, response.json()) == (200, RISK)
    assert response.headers["x-trace-id"] == "trace-1"


def test_the_model_reads_the_figures_as_it_learnt_them(client: httpx.Client, desk: ScriptedDesk) -> None:
    backwards = {name: METRICS[name] for name in reversed(METRICS)}
    client.post("/analyze-task-risk", json=question(metrics=backwards | {"unknown": 1}))
    asked = desk.calls[0].request
    assert isinstance(asked, dict)
    assert list(asked["metrics"].items()) == list(METRICS.items())
    assert asked["employeeContext"] == {"role": "Writer", "is_micro_task": False}


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ({"base_risk_level": "high"}, "high"),
        ({"risk_level": "medium"}, "medium"),
        ({"base_risk_level": "low", "risk_level": "high"}, "low"),
        ({"base_risk_level": "critical"}, "low"),
        ({}, "low"),
    ],
)
def test_without_a_usable_answer_the_stated_level_stands(
    client: httpx.Client, levels: dict[str, str], expected: str
) -> None:
    response = client.post("/analyze-task-risk", json={"metrics": METRICS | levels})
    said = response.json()
    assert (response.status_code, said["risk_level"], said["confidence"]) == (200, expected, 50)
    assert (len(said["reasons"]), len(said["recommended_actions"])) == (1, 1)
    assert list(said) == list(RISK)


@pytest.mark.parametrize("body", [{}, {"metrics": None}, {"metrics": "many"}, {"taskTitle": "x"}])
def test_without_metrics_it_is_a_bad_request(client: httpx.Client, body: dict[str, Any]) -> None:
    response = client.post("/analyze-task-risk", json=body)
    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    assert "metrics" in response.json()["error"]


@pytest.mark.parametrize(
    "failure", [None, RuntimeError(f"{NAME} is late"), Overloaded("full", retry_after_s=1)]
)
@pytest.mark.parametrize("title", ["Restyle the header", "Something else", 7])
def test_a_persons_name_goes_no_further_than_the_route(
    client: httpx.Client,
    desk: ScriptedDesk,
    caplog: pytest.LogCaptureFixture,
    failure: Exception | None,
    title: Any,
) -> None:
    desk.failure = failure
    with caplog.at_level(logging.DEBUG):
        response = client.post("/analyze-task-risk", json=question(taskTitle=title))
    # httpcore's client in this very process logs what it sends at this level; ours is what counts.
    said = [
        record.getMessage() for record in caplog.records if not record.name.startswith(("http", "asyncio"))
    ]
    assert NAME not in "\n".join(
        [response.text, repr(desk.calls), *said, *map(str, response.headers.items())]
    )


# ------------------------------------------------------------------------------------------- generate-task-plan


def test_a_plan_names_its_model(client: httpx.Client, desk: ScriptedDesk) -> None:
    response = client.post("/generate-task-plan", json=WANTED)
    expected = PLAN | {"ai_metadata": PLAN["ai_metadata"] | {"model": "task-plan@3"}}  # type: ignore[operator]
    assert (response.status_code, response.json()) == (200, expected)
    assert desk.calls[0].request == WANTED


@pytest.mark.parametrize(
    "changed", [{"title": ""}, {"title": None}, {"description": "  "}, {"skills": "many"}]
)
def test_a_plan_needs_a_title_and_a_description(client: httpx.Client, changed: dict[str, Any]) -> None:
    response = client.post("/generate-task-plan", json=WANTED | changed)
    assert response.status_code == 400
    assert next(iter(changed)) in response.json()["error"]


@pytest.mark.parametrize(
    ("title", "why"), [("nothing", "the plan has no steps"), ("Unknown", "not in the script")]
)
def test_an_empty_plan_is_an_error(client: httpx.Client, title: str, why: str) -> None:
    response = client.post("/generate-task-plan", json=WANTED | {"title": title})
    assert (response.status_code, response.json()) == (502, {"error": f"no plan was made: {why}"})


# --------------------------------------------------------------------------------------------------------- CORS


@pytest.mark.parametrize(
    ("body", "failure", "status"),
    [
        (question(), None, 200),
        ({}, None, 400),
        ({"metrics": {}, "taskTitle": "x" * 5_000}, None, 413),
        (question(), Overloaded("full", retry_after_s=1), 429),
        (question(), RuntimeError("broken"), 500),
    ],
)
def test_every_answer_may_be_read_by_a_page(
    client: httpx.Client, desk: ScriptedDesk, body: dict[str, Any], failure: Exception | None, status: int
) -> None:
    desk.failure = failure
    response = client.post("/analyze-task-risk", json=body, headers={"Origin": "https://app.example.org"})
    assert response.status_code == status
    assert CORS.items() <= dict(response.headers).items()
    assert status == 200 or isinstance(response.json()["error"], str)


def test_a_preflight_is_answered_without_asking_anybody(client: httpx.Client, desk: ScriptedDesk) -> None:
    response = client.options("/generate-task-plan", headers={"Origin": "https://app.example.org"})
    assert (response.status_code, response.content) == (204, b"")
    assert (
        response.headers["access-control-allow-headers"]
        == "authorization, x-client-info, apikey, content-type"
    )
    assert not desk.calls


def test_other_routes_are_for_their_own_origin(address: str) -> None:
    response = httpx.post(f"{address}/api/v1/parse", json={"query": "x"}, trust_env=False)
    assert not [name for name in response.headers if name.startswith("access-control")]


# -------------------------------------------------------------------------------------------- Supabase's client

SCRIPTS = Path(__file__).parent / "supabase"


@pytest.fixture(scope="module")
def installed() -> Path:
    """A folder with the client and the script; kept between runs, since it never changes for one package.json."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are needed to run Supabase's client")
    wanted = (SCRIPTS / "package.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"microlith-supabase-{hashlib.sha256(wanted).hexdigest()[:12]}"
    if not folder.is_dir():
        making = Path(tempfile.mkdtemp(prefix="microlith-supabase-making-"))
        shutil.copy(SCRIPTS / "package.json", making)
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
        done = subprocess.run(command, cwd=making, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            shutil.rmtree(making)
            pytest.skip(f"npm cannot install Supabase's client: {done.stderr.strip()[-200:]}")
        try:
            making.rename(folder)
        except OSError:  # another run was quicker
            shutil.rmtree(making)
    shutil.copy(SCRIPTS / "invoke.mjs", folder)
    return folder


def invoked(folder: Path, url: str, *calls: dict[str, Any]) -> dict[str, Any]:
    command = ["node", "invoke.mjs", url, json.dumps(calls)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_supabases_client_gets_answers_and_told_errors(
    address: str, desk: ScriptedDesk, installed: Path
) -> None:
    told = invoked(
        installed, address,
        {"name": "analyze-task-risk", "body": question()},
        {"name": "analyze-task-risk", "body": {"taskTitle": "x"}},
        {"name": "generate-task-plan", "body": WANTED},
        {"name": "generate-task-plan", "body": WANTED | {"title": "Unknown"}},
        {"name": "generate-task-plan", "body": WANTED | {"description": "x" * 5_000}},
    )  # fmt: skip
    first, no_metrics, planned, no_plan, too_large = told["results"]
    assert first == {"data": RISK, "error": None}
    assert planned["data"]["ai_metadata"]["model"] == "task-plan@3"
    for failed, status in ((no_metrics, 400), (no_plan, 502), (too_large, 413)):
        assert (failed["data"], failed["error"]["name"], failed["error"]["status"]) == (
            None,
            "FunctionsHttpError",
            status,
        )
        assert list(failed["error"]["body"]) == ["error"]
    assert {"apikey", "authorization", "content-type", "x-client-info"} == set(told["preflights"][0]["asked"])
    assert {one["status"] for one in told["preflights"]} == {204}


def test_supabases_client_is_refused_by_the_browser_where_nothing_is_allowed(
    desk: ScriptedDesk, installed: Path
) -> None:
    with serving(made_app(desk, cors=False)) as url:
        told = invoked(installed, url, {"name": "analyze-task-risk", "body": question()})
    assert told["results"][0]["error"]["name"] == "FunctionsFetchError"
    assert "preflight" in told["results"][0]["error"]["cause"]
