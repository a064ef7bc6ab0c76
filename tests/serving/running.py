"""Real servers on loopback, and a desk whose models are scripted, for the tests of everything that speaks HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI

from microlith.errors import UnknownTask
from microlith.inference.fake import FakeModel, Script
from microlith.routing.cost import Savings
from microlith.routing.general_prompt import GeneralPrompt
from microlith.routing.route import Hop, Routed
from microlith.serving.desk import Call, Desk, Served
from microlith.serving.live import request_of
from microlith.task.taskfile import Task, load_task

MOST = 1_000_000
"""Characters of a request."""
SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class ScriptedDesk:
    """A desk whose specialists answer from a script; keeps every call."""

    def __init__(self, scripts: Mapping[str, Script], *, confidence: float = 0.97) -> None:
        """`scripts` names tasks (packs or folders) and what their models answer."""
        self._tasks: dict[str, Task] = {}
        self._models: dict[str, FakeModel] = {}
        for name, script in scripts.items():
            task = load_task(name)
            self._tasks[task.name] = task
            model = FakeModel(script, plan=task.plan, name=f"{task.name}@3", confidence=confidence)
            self._models[task.name] = model
        self.calls: list[Call] = []
        self.failure: Exception | None = None
        """Raised by every call, where it is set."""

    def reset(self) -> None:
        """As new."""
        self.calls.clear()
        self.failure = None

    def served(self) -> tuple[Served, ...]:
        return tuple(self.find(name) for name in sorted(self._tasks))

    def find(self, task: str) -> Served:
        if task not in self._tasks:
            raise UnknownTask(f"the task {task!r} is not served")
        known = self._tasks[task]
        return Served(
            task=known, model=f"{task}@3", card=None, route=("specialist", "general"), threshold=0.9, since=SINCE
        )  # fmt: skip

    def prompt(self, task: str) -> GeneralPrompt:
        return GeneralPrompt(self.find(task).task)

    def savings(self) -> dict[str, Savings]:
        return {}

    async def answer(self, call: Call) -> Routed:
        self.calls.append(call)
        self.find(call.task)
        if self.failure is not None:
            raise self.failure
        text = request_of(self._tasks[call.task], call.request, most=MOST)
        prediction = self._models[call.task].predict([text])[0]
        left = "no answer" if prediction.output is None else None
        hop = Hop(
            stage="specialist",
            model=f"{call.task}@3",
            latency_ms=1.5,
            left=left,
            confidence=prediction.confidence,
        )
        return Routed(
            trace_id=f"trace-{len(self.calls)}", task=call.task, request=text, prediction=prediction, hops=(hop,),
            latency_ms=2.0, model_ms=1.5,
        )  # fmt: skip


@contextmanager
def serving(app: FastAPI | Callable[..., Any]) -> Iterator[str]:
    """Run an app on a free loopback port; gives its base address, stops it at the end."""
    # Without a log_config of its own: to set one closes the handlers of every library, and absl's closes its stream too.
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    assert server.started, "the server did not start"
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def app_of(desk: Desk, *routers: Callable[[Desk], APIRouter]) -> FastAPI:
    """A bare app of some dialects."""
    app = FastAPI()
    for make in routers:
        app.include_router(make(desk))
    return app
