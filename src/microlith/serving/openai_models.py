"""OpenAI's list of models: every served task is one."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from microlith.serving.desk import Desk, Served
from microlith.serving.dialect import StrictRoute, pick
from microlith.serving.openai_errors import FAILURES


def router(desk: Desk) -> APIRouter:
    """The routes."""
    made = APIRouter(tags=["openai"], route_class=StrictRoute)

    @made.get("/v1/models", summary="Every served task as a model", responses=FAILURES)
    async def models() -> JSONResponse:
        """`id` is what requests name as their `model`; `microlith.model` is the specialist that answers now."""
        return JSONResponse(
            {"object": "list", "data": [_model(served, served.task.name) for served in desk.served()]}
        )

    @made.get("/v1/models/{model}", summary="One served task as a model", responses=FAILURES)
    async def model_(model: str) -> JSONResponse:
        """By its name, e.g. `infra`, or `infra@3` while that version is live."""
        return JSONResponse(_model(pick(desk, model), model))

    return made


def _model(served: Served, name: str) -> dict[str, Any]:
    return {
        "id": name, "object": "model", "created": int(served.since.timestamp()), "owned_by": "microlith",
        "microlith": {
            "model": served.model, "instruction": served.task.instruction, "route": list(served.route), "threshold": served.threshold,
        },
    }  # fmt: skip
