from __future__ import annotations

import builtins
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from microlith.data.dataset import finished
from microlith.data.example import Example
from microlith.data.formats import read_rows
from microlith.data.teacher import BARREN_CALLS, Teacher, TeacherReport, generate_rows
from microlith.errors import MissingExtra, TeacherError
from microlith.events import Progress, Warned
from microlith.task.taskfile import Task
from tests.data.small import make_task, member, other, user

SHOWN = [
    user("add bob with Secret#1", "bob", "Secret#1"),
    member("put bob into ops", "bob", "ops"),
    other("why is it slow"),
]
Answer = tuple[int, str, dict[str, str]]
"""Status, body and headers of one reply."""


def spoken(content: str | None) -> Answer:
    message = {"role": "assistant", "content": content}
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
    }
    return 200, json.dumps(body), {}


def rows(*names: str) -> str:
    return "\n".join(
        json.dumps({"input": f"{name} needs a login", "output": {"action": "user_add", "username": name}})
        for name in names
    )


class Endpoint:
    """A real HTTP server that gives the next answer of its script to each request, the last one for ever."""

    def __init__(self, *script: Answer) -> None:
        self.script = list(script)
        self.requests: list[dict[str, Any]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.requests.append(
                    {"path": self.path, "key": self.headers["Authorization"], **json.loads(body)}
                )
                status, text, headers = (
                    endpoint.script.pop(0) if len(endpoint.script) > 1 else endpoint.script[0]
                )
                if status == 0:
                    return
                data = text.encode()
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(data)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def teacher(self) -> Teacher:
        return Teacher(
            model="big",
            base_url=f"http://127.0.0.1:{self.server.server_address[1]}/v1",
            api_key="k",
            timeout_s=5,
            tries=4,
        )


@pytest.fixture
def endpoint() -> Iterator[Callable[..., Endpoint]]:
    started: list[Endpoint] = []

    def start(*script: Answer) -> Endpoint:
        started.append(Endpoint(*script))
        return started[-1]

    yield start
    for one in started:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return make_task(tmp_path / "task", SHOWN)


def taught(
    task: Task,
    path: Path,
    asked: Endpoint,
    *,
    count: int,
    waits: list[float] | None = None,
    events: list[Any] | None = None,
) -> TeacherReport:
    sleep = (waits if waits is not None else []).append
    work = generate_rows(task, SHOWN, path, count=count, teacher=asked.teacher, sleep=sleep)
    return finished(work, on_event=None if events is None else events.append)


def written(path: Path) -> list[Example]:
    return list(read_rows(path).examples)


def test_good_rows_are_written_with_their_lineage(
    task: Task, tmp_path: Path, endpoint: Callable[..., Endpoint]
) -> None:
    asked, path, events = (
        endpoint(spoken(rows("ann", "carl")), spoken(rows("dora"))),
        tmp_path / "taught.jsonl",
        list[Any](),
    )
    report = taught(task, path, asked, count=3, events=events)
    assert (report.accepted, report.resumed, report.calls, report.rejected) == (3, 0, 2, {})
    assert [one.output["username"] for one in written(path)] == ["ann", "carl", "dora"]
    assert [one.source for one in written(path)] == ["teacher:big:1", "teacher:big:1", "teacher:big:2"]
    assert {one.made_by for one in written(path)} == {"teacher"}
    assert [event.done for event in events if isinstance(event, Progress)] == [2, 3]


def test_the_teacher_is_told_the_job_the_schema_and_rows_but_no_secret(
    task: Task, tmp_path: Path, endpoint: Callable[..., Endpoint]
) -> None:
    asked = endpoint(spoken(rows("ann")))
    taught(task, tmp_path / "x.jsonl", asked, count=1)
    (request,) = asked.requests
    told = json.dumps(request["messages"])
    assert (request["path"], request["key"], request["model"]) == ("/v1/chat/completions", "Bearer k", "big")
    assert task.instruction in told
    assert "group_add" in told
    assert "put bob into ops" in told
    assert "add bob with" in told
    assert "Secret#1" not in told


@pytest.mark.parametrize(
    ("reply", "rejected"),
    [
        ("I would rather not.", {"not JSON": 1}),
        ("", {"empty replies": 1}),
        (None, {"empty replies": 1}),
        ('{"input": "add x", "output": {"action": "user_', {"not JSON": 1}),
        ('{"input": "add x"}', {"not a row": 1}),
        ("[1, null]", {"not JSON": 1, "not a row": 1}),
        ('{"input": " ", "output": {"action": "none"}}', {"empty requests": 1}),
        ('{"input": "fly", "output": {"action": "fly"}}', {"not valid": 1}),
        ('{"input": "fly", "output": {"action": "none", "x": NaN}}', {"not JSON": 1}),
        ('{"input": "add the new one", "output": {"action": "user_add", "username": "zoe"}}', {"not grounded": 1}),
        ('{"input": "Why is it SLOW?", "output": {"action": "none"}}', {"repeated": 1}),
        (rows("bea") + "\n" + rows("bea"), {"repeated": 1}),
        (rows("ann") + '\n{"input": "half', {"not JSON": 1}),
    ],
)  # fmt: skip
def test_what_is_not_usable_is_counted_with_its_reason(
    reply: str | None, rejected: dict[str, int], task: Task, tmp_path: Path, endpoint: Callable[..., Endpoint]
) -> None:
    report = taught(
        task, tmp_path / "x.jsonl", endpoint(spoken(reply), spoken(rows("ann", "carl", "dora"))), count=2
    )
    assert {reason: report.rejected[reason] for reason in rejected} == rejected
    assert len(written(tmp_path / "x.jsonl")) == 2


@pytest.mark.parametrize(
    "reply",
    [rows("ann", "carl"), f"```json\n{rows('ann', 'carl')}\n```", f"[{rows('ann', 'carl').replace(chr(10), ',')}]",
     json.dumps({"rows": [json.loads(line) for line in rows("ann", "carl").splitlines()]}, indent=1), rows("ann", "carl").replace("\n", ",\n")],
    ids=["lines", "fence", "array", "object", "commas"],
)  # fmt: skip
def test_rows_are_found_in_every_usual_packing(
    reply: str, task: Task, tmp_path: Path, endpoint: Callable[..., Endpoint]
) -> None:
    assert taught(task, tmp_path / "x.jsonl", endpoint(spoken(reply)), count=2).calls == 1


def test_a_busy_or_failing_endpoint_is_tried_again(
    task: Task, tmp_path: Path, endpoint: Callable[..., Endpoint]
) -> None:
    waits: list[float] = []
    events: list[Any] = []
    asked = endpoint((429, "{}", {"Retry-After": "7"}), (503, "{}", {}), (0, "", {}), spoken(rows("ann")))
    report = taught(task, tmp_path / "x.jsonl", asked, count=1, waits=waits, events=events)
    assert (report.retries, report.accepted) == (3, 1)
    assert waits[0] == 7.0
    assert 2.0 <= waits[1] <= 3.0
    assert 4.0 <= waits[2] <= 6.0
    assert sum(isinstance(event, Warned) for event in events) == 3


@pytest.mark.parametrize(
    ("answer", "told", "requests"),
    [
        ((429, "{}", {}), "4 tries: HTTP 429", 4),
        ((401, '{"error": {"message": "bad key"}}', {}), "refuses: HTTP 401", 1),
        ((404, "nothing here", {}), "refuses: HTTP 404", 1),
        (spoken("no"), f"no usable row in {BARREN_CALLS} calls: {BARREN_CALLS} not JSON", BARREN_CALLS),
        ((200, "{}", {}), "no usable row", BARREN_CALLS),
    ],
)
def test_a_hopeless_endpoint_is_given_up(
    answer: Answer, told: str, requests: int, task: Task, tmp_path: Path, endpoint: Callable[..., Endpoint]
) -> None:
    asked = endpoint(answer)
    with pytest.raises(TeacherError, match=told) as error:
        taught(task, tmp_path / "x.jsonl", asked, count=1)
    assert len(asked.requests) == requests
    assert error.value.problems or error.value.what


def test_a_page_that_is_no_interface_is_told(
    task: Task, tmp_path: Path, endpoint: Callable[..., Endpoint]
) -> None:
    asked = endpoint((200, "<html>hello</html>", {"Content-Type": "text/html"}))
    with pytest.raises(TeacherError):
        taught(task, tmp_path / "x.jsonl", asked, count=1)


def test_a_killed_run_goes_on_where_it_stopped(
    task: Task, tmp_path: Path, endpoint: Callable[..., Endpoint]
) -> None:
    path = tmp_path / "x.jsonl"
    taught(task, path, endpoint(spoken(rows("ann", "carl"))), count=2)
    with path.open("a") as file:
        file.write('{"input": "cut off by a ki')
    report = taught(task, path, endpoint(spoken(rows("ann", "dora"))), count=3)
    assert (report.resumed, report.accepted, report.rejected) == (2, 3, {"repeated": 1})
    assert [one.source for one in written(path)] == ["teacher:big:1", "teacher:big:1", "teacher:big:2"]


def test_a_file_that_is_full_enough_asks_nobody(
    task: Task, tmp_path: Path, endpoint: Callable[..., Endpoint]
) -> None:
    asked, path = endpoint(spoken(rows("ann"))), tmp_path / "x.jsonl"
    taught(task, path, asked, count=1)
    assert taught(task, path, asked, count=1).calls == 0
    assert len(asked.requests) == 1


def test_a_missing_package_names_the_command(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "openai":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    work = generate_rows(
        task, SHOWN, tmp_path / "x", count=1, teacher=Teacher(model="m", base_url="http://127.0.0.1:9")
    )
    with pytest.raises(MissingExtra, match="openai") as error:
        finished(work)
    assert "pip install" in str(error.value)
