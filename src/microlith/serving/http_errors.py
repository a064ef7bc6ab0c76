"""Errors as HTTP answers: one mapping for every dialect.

The facts are the same everywhere; a dialect may give them another shape:

    {"error": {"type": "UnknownTask", "message": "...", "problems": [{"what", "place", "mend"}], "trace_id": null}}
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microlith.errors import DataError, MicrolithError, NotAllowed, Overloaded, Problem, RequestError, outcome
from microlith.serving.logging_rules import log_fault, noted

Facts = dict[str, Any]
"""`type`, `message`, `problems` and `trace_id` of an error."""
Shape = Callable[[int, Facts], Any]
"""A dialect's body of an error, made from its HTTP status and its facts."""
Shapes = Mapping[str, Shape]
"""Beginning of a path -> shape of the errors there; the longest beginning that fits counts."""
NO_SHAPES: Shapes = {}


_FAULT = "the server failed; the request is not at fault"


def facts_of(error: Exception, *, trace_id: str | None = None) -> tuple[int, Facts, dict[str, str]]:
    """Status, facts and headers of an error.

    Nothing of an error that was not foreseen is told, and a place only of errors about the request: other places are
    files of the server.
    """
    if isinstance(error, RequestValidationError):
        error = _as_data_error(error)
    if isinstance(error, HTTPException):
        detail = str(error.detail)
        facts = _facts(_phrase(error.status_code), detail, [Problem(what=detail)], trace_id)
        return error.status_code, facts, dict(error.headers or {})
    if not isinstance(error, MicrolithError):
        fault = Problem(what=_FAULT, mend="report it with its trace_id")
        return 500, _facts("InternalError", _FAULT, [fault], trace_id), {}
    problems = error.problems
    if not isinstance(error, RequestError | DataError):
        problems = tuple(replace(one, place=None) for one in problems)
    return status_of(error), _facts(type(error).__name__, error.what, problems, trace_id), _headers(error)


def _phrase(status: int) -> str:
    """e.g. `NotFound` for 404."""
    try:
        return HTTPStatus(status).phrase.replace(" ", "")
    except ValueError:
        return f"Status{status}"


def status_of(error: MicrolithError) -> int:
    """The HTTP status that stands for `error`."""
    return outcome(error)[0]


def _facts(kind: str, message: str, problems: Sequence[Problem], trace_id: str | None) -> Facts:
    rows = [{"what": one.what, "place": one.place, "mend": one.mend} for one in problems]
    return {"type": kind, "message": message, "problems": rows, "trace_id": trace_id}


def _headers(error: MicrolithError) -> dict[str, str]:
    if isinstance(error, Overloaded):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
    if isinstance(error, NotAllowed) and status_of(error) == 401:
        return {"WWW-Authenticate": "Bearer"}
    return {}


def _as_data_error(error: RequestValidationError) -> DataError:
    """What FastAPI found wrong with a request; the values themselves are not repeated, they may be secret."""
    problems = [_problem(one) for one in error.errors()] or [Problem(what="the request cannot be read")]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return DataError(f"{problems[0]}{more}", problems=problems)


def _problem(found: Mapping[str, Any]) -> Problem:
    part, *path = found["loc"] or ("request",)
    if found["type"] == "json_invalid":
        why = found.get("ctx", {}).get("error", "it cannot be read")
        return Problem(what=f"the body is not JSON: {why}", place=f"body, character {path[0] if path else 0}")
    if found["type"] == "missing":
        what = "this is needed and missing"
    elif found["type"] == "union_tag_invalid":  # its words quote the value
        what = f"expected one of {found['ctx']['expected_tags']}"
    elif found["type"] in ("value_error", "assertion_error"):  # their words may quote the value
        what = "this value cannot be taken"
    else:
        what = str(found["msg"])
    return Problem(what=what, place="/".join([str(part), *(str(step)[:64] for step in path)]))


def response_to(error: Exception, scope: Scope, shapes: Shapes = NO_SHAPES) -> Response:
    """The answer to a request that ended in `error`, in the shape of its path; the server's own faults are logged."""
    status, facts, headers = facts_of(error, trace_id=noted(scope).trace_id)
    if status >= 500:
        facts["trace_id"] = facts["trace_id"] or secrets.token_hex(8)
        log_fault(error, status, facts["trace_id"])
    path = scope.get("path", "")
    fitting = max((start for start in shapes if path.startswith(start)), key=len, default=None)
    body = {"error": facts} if fitting is None else shapes[fitting](status, facts)
    # Escaped, since a message may quote half characters (lone surrogates), which UTF-8 does not have.
    return Response(json.dumps(body), status, headers, media_type="application/json")


def install(app: FastAPI, shapes: Shapes = NO_SHAPES) -> None:
    """Let every error of `app` be answered as this module says. Call it before other middleware is added, so that
    theirs, such as CORS headers, is on these answers too."""

    async def answer(request: Request, error: Exception) -> Response:
        return response_to(error, request.scope, shapes)

    for kind in (MicrolithError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)
    app.add_middleware(Boundary, shapes=shapes)


class Boundary:
    """ASGI middleware: the last boundary of a request. An error that nobody foresaw becomes an answer without its words.

    Starlette's own would raise the error again, and the server would then write its words, which may quote a request,
    into the log.
    """

    def __init__(self, app: ASGIApp, *, shapes: Shapes = NO_SHAPES) -> None:
        self._app, self._shapes = app, shapes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; websockets and the app's start and end pass."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        has_begun = False

        async def watch(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except ClientDisconnect:
            return None  # nobody is there to answer
        except Exception as error:  # the request boundary
            response = response_to(error, scope, self._shapes)
            if not has_begun:
                await response(scope, receive, send)
            # Else the answer ends here unfinished; the server closes the connection, so that nobody takes it for whole.
        return None
