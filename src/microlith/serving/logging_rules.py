"""What a server writes to its log: one JSON object a line on standard error, and never what a caller said.

    {"time": "...", "method": "POST", "path": "/v1/chat/completions", "status": 200, "ms": 3.1, "trace_id": "...",
     "task": "infra", "caller": "ci"}

Bodies, headers and queries are never written. The words of an error that was not foreseen are not written either, since
they may quote a request: its kind and the lines of code that it passed stand for it. Loggers of other libraries are cut
down in the same way.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable, MutableMapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

from microlith.errors import ArtifactError, MicrolithError, MissingExtra, StorageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ACCESS = "microlith.access"
"""Logger of one line a request."""
FAULTS = "microlith.faults"
"""Logger of requests that failed by the server's fault."""
SPEAKERS = ("microlith", "uvicorn.error")
"""Loggers whose words are written; of others only the place is."""

_KEY = re.compile(r"(mk_[0-9a-f]{1,8})[0-9a-z_]*", re.IGNORECASE)
_LONGEST = 300
_FRAMES = 12
_NOTES = "microlith"
_OURS = (StorageError, ArtifactError, MissingExtra)
"""Errors whose words are about the server's own files and packages, never about a request."""


@dataclass(frozen=True, kw_only=True)
class Noted:
    """What the app found out about a request, for its line in the log."""

    trace_id: str | None = None
    task: str | None = None
    caller: str | None = None
    """Name of the caller's key, never the key."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """One line of the log."""

    time: str
    """When the answer was finished, ISO 8601, UTC."""
    method: str
    path: str
    """Without the query."""
    status: int | None
    """None where the caller went away before an answer began."""
    ms: float
    """From the request's arrival to the end of the answer."""
    trace_id: str | None
    task: str | None
    caller: str | None


def note(
    scope: MutableMapping[str, Any], *, trace_id: str | None = None, task: str | None = None, caller: str | None = None
) -> None:  # fmt: skip
    """Keep something for the log line and the errors of this request; None leaves what was kept before."""
    facts = {"trace_id": trace_id, "task": task, "caller": caller}
    kept = scope.setdefault("state", {}).setdefault(_NOTES, {})
    kept.update({name: value for name, value in facts.items() if value is not None})


def noted(scope: MutableMapping[str, Any]) -> Noted:
    """What was kept so far."""
    return Noted(**scope.get("state", {}).get(_NOTES, {}))


def masked(text: str) -> str:
    """`text` with at most the public part of any API key in it, and not longer than a line should be."""
    shown = _KEY.sub(r"\1...", text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + "..."


class AccessLog:
    """ASGI middleware: writes one line a request. It belongs outside of all others."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        clock: Callable[[], float] = perf_counter,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Log requests to `app`; `clock` gives seconds and `now` the time of day."""
        self._app, self._clock = app, clock
        self._now = now or (lambda: datetime.now(UTC))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; websockets and the app's start and end pass."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        # Made here, so that what inner parts note in their copies of the scope is seen here.
        scope.setdefault("state", {})[_NOTES] = {}
        began, status = self._clock(), None

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            logging.getLogger(ACCESS).info(line_of(self._access(scope, began, status)))
        return None

    def _access(self, scope: Scope, began: float, status: int | None) -> Access:
        return Access(
            time=_iso(self._now()), method=scope["method"], path=scope["path"], status=status,
            ms=round((self._clock() - began) * 1000, 3), **asdict(noted(scope)),
        )  # fmt: skip


def line_of(access: Access) -> str:
    """One line of JSON, ASCII only, so that nothing in it can begin a line or colour a terminal."""
    return json.dumps({name: masked(v) if isinstance(v, str) else v for name, v in asdict(access).items()})


def log_fault(error: BaseException, status: int, trace_id: str | None) -> None:
    """Write down that a request failed by the server's fault."""
    facts: dict[str, Any] = {"time": _iso(datetime.now(UTC)), "status": status, "trace_id": trace_id}
    logging.getLogger(FAULTS).error(json.dumps(facts | fault_of(error)))


def fault_of(error: BaseException) -> dict[str, Any]:
    """Kind, causes and lines of code of an error; its words only where they are about the server itself."""
    kinds: list[str] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(kinds) < 5:
        kinds.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    facts: dict[str, Any] = {"error": type(error).__name__, "causes": kinds}
    if isinstance(error, MicrolithError) and isinstance(error, _OURS):
        facts["words"] = masked(str(error))
    return facts | {"at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]}


class JsonLines(logging.Formatter):
    """Every record as one JSON object; the words of libraries that might quote a request are left out."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        if record.name in (ACCESS, FAULTS):
            return record.getMessage()
        time = _iso(datetime.fromtimestamp(record.created, UTC))
        facts: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "logger": record.name}
        if record.name.startswith(SPEAKERS):
            facts["words"] = masked(record.getMessage())
        else:
            facts["said_at"] = f"{record.pathname}:{record.lineno}"
        if record.exc_info and record.exc_info[1] is not None:
            facts |= fault_of(record.exc_info[1])
        return json.dumps(facts)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": JsonLines}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"}
    },
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {
        "microlith": {"level": "INFO"},
        "uvicorn": {"level": "INFO"},
        "uvicorn.error": {"level": "INFO"},
        # Its lines hold the query; `AccessLog` writes ours.
        "uvicorn.access": {"level": "CRITICAL", "propagate": False},
    },
}
"""For `logging.config.dictConfig` and uvicorn's `log_config`."""
