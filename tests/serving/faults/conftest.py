"""One server for everything that does not end it: small tasks, and a general model that does as a test wants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from microlith.registry import set_alias
from tests.inference.toys import toy
from tests.routing.endpoint import Endpoint, Handler, Reaction, endpoint, says
from tests.serving.faults.processes import Server, server
from tests.serving.small import UNPROVEN, register, task_folder

RULES = """import re

def parse(text):
    if found := re.search(r"open port (\\d{1,5})", text):
        return {"action": "open", "port": int(found[1])}
    found = re.search(r"make a login for (\\w+) with password (\\S+)", text)
    return {"action": "login", "user": found[1], "password": found[2]} if found else None
"""
ROUTES = """from pydantic import BaseModel

from microlith.serving.desk import Call
from microlith.serving.pack_api import Failure, PackRoute, Reply


class Line(BaseModel):
    line: str


class Done(BaseModel):
    action: dict


def read(heard):
    return Call(task=heard.task, request=heard.body.line)


def write(heard, routed):
    given = routed.prediction
    return Reply(body=Failure(error=given.refusal), status=422) if given.output is None else Reply(body=Done(action=given.output))


ROUTES = [PackRoute(path="/gate/v1/do", about="A line for the gate.", asks=Line, says=Done, read=read, write=write)]
"""
GENERAL_S = 3
"""The tasks' own limit for the general model, in seconds."""
ROW = toy("mood").examples[0]
PORT = "open port 8080"
OPENED = {"action": "open", "port": 8080}
"""What the rules say."""
ORDER = toy("orders").examples[0]


def knows(one: Endpoint, handler: Handler) -> None:
    """A general model that knows the requests of this file, and says nonsense to all others."""
    asked = json.loads(handler.body)["messages"][-1]["content"]
    known: dict[str, Any] = {PORT: OPENED, ORDER.input: ORDER.output}
    known |= {row.input: row.output for row in toy("music").examples}
    says(known.get(asked, "I would not know."))(one, handler)


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A server without keys, and its general model."""

    server: Server
    general: Endpoint

    def general_does(self, reaction: Reaction) -> None:
        """From now on the general model reacts like this; connections that are open stay."""
        self.general.script[:] = [reaction]


def make_home(root: Path) -> Path:
    """A home with every kind of route."""
    home = root / "home"
    mood = task_folder(root, "mood")
    register(mood, home)
    register(mood, home)
    set_alias("mood", "live", 1, root=home)
    limit = f"[general]\ntimeout_s = {GENERAL_S}"
    gate = task_folder(root, "gate", route=("general", "rules"), more=limit, rules=RULES)
    (gate.folder / "serving.py").write_text(ROUTES, encoding="utf-8")
    task_folder(root, "music", route=("general", "nearest"), more=limit)
    register(task_folder(root, "orders", route=("specialist", "general"), more=limit), home, heldout=UNPROVEN)
    return home


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    home = make_home(tmp_path_factory.mktemp("plain"))
    with endpoint(knows) as general:
        tasks = ("mood", "gate", "music", "orders")
        with server(home, *tasks, "--general", general.base_url, "--general-model", "big") as one:
            yield Plain(server=one, general=general)
            assert one.process.poll() is None, f"the server ended in the middle: {one.said()[-2000:]}"


@pytest.fixture
def plain(running: Plain) -> Iterator[Plain]:
    """The server, its general model in good health before and after; nothing that nobody foresaw happens meanwhile."""
    running.general_does(knows)
    yield running
    running.general_does(knows)
    assert '"status": 500' not in running.server.said()
    assert "Traceback" not in running.server.said()
