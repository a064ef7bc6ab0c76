"""The HTTP routes that served tasks name themselves (see `microlith.serving.pack_api`).

Errors are answered by `microlith.serving.http_errors`, in the shape that `shapes` gives for these paths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from microlith.errors import Problem, RequestError, TaskError
from microlith.serving.desk import Desk
from microlith.serving.dialect import TRACE, StrictRoute
from microlith.serving.http_errors import Facts, Shapes, facts_of
from microlith.serving.logging_rules import note
from microlith.serving.pack_api import Failure, Header, Heard, PackRoute, routes_of


def router(desk: Desk) -> APIRouter:
    """The routes of every served task.

    Raises:
        TaskError: if a task's serving.py is wrong, or two tasks name one path.
    """
    made = APIRouter(route_class=_StrictRoute)
    for task, route in declared(desk):
        made.add_api_route(
            route.path,
            _endpoint(desk, task, route),
            methods=["POST"],
            response_model=route.says,
            responses=_answers(route),
            summary=route.about,
            tags=[task],
            openapi_extra={"parameters": [_parameter(header) for header in route.headers]},
            generate_unique_id_function=lambda made: made.path_format.strip("/").replace("/", "-"),
        )
    return made


def declared(desk: Desk) -> list[tuple[str, PackRoute]]:
    """Every route of every served task, with the task's name.

    Raises:
        TaskError: see `router`.
    """
    found: dict[str, tuple[str, PackRoute]] = {}
    problems = []
    for served in desk.served():
        for route in routes_of(served.task):
            other, known = found.setdefault(route.path, (served.task.name, route))
            if known is not route:
                what = f"{route.path} is named by {other} and by {served.task.name}"
                problems.append(Problem(what=what, mend="serve only one of them, or change a path"))
    if problems:
        raise TaskError("two routes have one path", problems=problems)
    return list(found.values())


def shapes(desk: Desk) -> Shapes:
    """Path -> shape of errors there, for `http_errors.install` and for middleware that refuses requests.

    Raises:
        TaskError: see `router`.
    """
    return {route.path: _failure for _, route in declared(desk)}


def _failure(status: int, facts: Facts) -> dict[str, Any]:
    return Failure(error=facts["message"]).model_dump()


def _endpoint(desk: Desk, task: str, route: PackRoute) -> Callable[..., Any]:
    async def answer(body: Any, request: Request) -> Response:
        note(request.scope, task=task)
        heard = Heard(task=task, body=body, headers=dict(request.headers))
        call = route.read(heard)
        routed = await desk.answer(replace(call, labels={"dialect": "pack", **call.labels}))
        note(request.scope, trace_id=routed.trace_id)
        reply = route.write(heard, routed)
        content = reply.body.model_dump(mode="json", by_alias=True)
        return JSONResponse(content, reply.status, {TRACE: routed.trace_id})

    answer.__annotations__ = {"body": route.asks, "request": Request, "return": Response}
    return answer


def _answers(route: PackRoute) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI page says of statuses other than 200."""
    told: dict[int | str, dict[str, Any]] = {
        "4XX": {"model": Failure, "description": "It cannot be asked like this."},
        "5XX": {"model": Failure, "description": "The server could not answer."},
    }
    return told | {
        status: {"model": model, "description": (model.__doc__ or "").partition("\n")[0]}
        for status, model in route.failures.items()
    }


def _parameter(header: Header) -> dict[str, Any]:
    return {
        "name": header.name, "in": "header", "required": False, "description": header.about,
        "schema": {"type": "string", "enum": list(header.values)},
    }  # fmt: skip


class _StrictRoute(StrictRoute):
    """The same for callers who expect no more than a sentence."""

    @staticmethod
    def misfit(error: RequestValidationError) -> RequestError:
        """See `StrictRoute.misfit`."""
        return RequestError(facts_of(error)[1]["message"])
