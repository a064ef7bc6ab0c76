"""What Ollama's clients ask about models: which there are, what one is, which are loaded, which version this is."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from microlith.serving.desk import Desk, Served
from microlith.serving.dialect import BadParameter, StrictRoute, pick
from microlith.serving.ollama_errors import FAILURES
from microlith.serving.ollama_requests import ShowRequest

_FORMATS = {"encoder": "onnx", "generative": "gguf"}
_NEVER = "2999-12-31T00:00:00Z"


def router(desk: Desk) -> APIRouter:
    """The routes."""
    made = APIRouter(tags=["ollama"], route_class=StrictRoute)

    async def running(request: Request) -> Response:
        return PlainTextResponse("Microlith is running")

    made.add_route("/", running, methods=["GET", "HEAD"])  # clients of Ollama ask this first

    @made.get("/api/version", summary="Version of the server", responses=FAILURES)
    async def version(request: Request) -> JSONResponse:
        """The server's own version, not that of an Ollama it would stand for."""
        return JSONResponse({"version": request.app.version})

    @made.get("/api/tags", summary="Every served task as a model", responses=FAILURES)
    async def tags() -> JSONResponse:
        """`size` is 0: a specialist is part of the server."""
        return JSONResponse({"models": [_listed(served) for served in desk.served()]})

    @made.get("/api/ps", summary="Every served task as a loaded model", responses=FAILURES)
    async def loaded() -> JSONResponse:
        """They stay loaded."""
        running = [
            {**_listed(served), "expires_at": _NEVER, "size_vram": 0}
            for served in desk.served()
            if served.model is not None
        ]
        return JSONResponse({"models": running})

    @made.post("/api/show", summary="One served task as a model", responses=FAILURES)
    async def show(body: ShowRequest) -> JSONResponse:
        """`model_info` holds the task's instruction, schema and route."""
        name = body.model or body.name
        if not name:
            raise BadParameter("this is needed and missing", param="model", mend='send {"model": "infra"}')
        return JSONResponse(_shown(pick(desk, name)))

    return made


def stamp(at: datetime) -> str:
    """A time as Ollama writes it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _listed(served: Served) -> dict[str, Any]:
    name = f"{served.task.name}:latest"
    return {
        "name": name, "model": name, "modified_at": stamp(served.since), "size": 0, "digest": _digest(served),
        "details": _details(served),
    }  # fmt: skip


def _digest(served: Served) -> str:
    """The artifact's hash; without an artifact a hash of the names, since clients cut a digest to its first 12 signs."""
    if served.card is not None:
        return served.card.artifact_hash
    return hashlib.sha256(f"{served.task.name} {served.model}".encode()).hexdigest()


def _details(served: Served) -> dict[str, Any]:
    card = served.card
    return {
        "parent_model": card.base.name if card is not None and card.base is not None else "",
        "format": _FORMATS.get(card.kind, card.kind) if card is not None else "",
        "family": "microlith", "families": ["microlith"], "parameter_size": "", "quantization_level": "",
    }  # fmt: skip


def _shown(served: Served) -> dict[str, Any]:
    card, task = served.card, served.task
    licence = card.base.licence if card is not None and card.base is not None else ""
    return {
        "modelfile": f"# {served.model or task.name}, served by Microlith\nSYSTEM {json.dumps(task.instruction)}\n",
        "parameters": "", "template": "{{ .Prompt }}", "system": task.instruction, "license": licence,
        "modified_at": stamp(served.since), "details": _details(served), "capabilities": ["completion"],
        "model_info": {
            "general.architecture": "microlith", "general.basename": task.name, "microlith.model": served.model,
            "microlith.schema": dict(task.schema.value), "microlith.route": list(served.route),
            "microlith.threshold": served.threshold,
        },
    }  # fmt: skip
