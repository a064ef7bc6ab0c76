"""Routes of an infrastructure assistant: one for every request, and one for each operation on names, people and shares.

A route that names an operation never answers with another one, so that a caller who executes what `/dns/add` answers cannot
be made to remove a record.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from microlith.errors import RequestError
from microlith.routing.route import Routed
from microlith.serving.desk import Call
from microlith.serving.pack_api import Header, Heard, PackRoute, Reply

OPERATIONS = {
    "dns/add": "dns_add",
    "dns/remove": "dns_remove",
    "users/add": "user_add",
    "users/remove": "user_remove",
    "users/set-password": "user_set_password",
    "groups/add-member": "group_add_member",
    "groups/remove-member": "group_remove_member",
    "shares/create": "share_create",
    "shares/remove": "share_remove",
    "shares/grant": "share_grant",
    "shares/revoke": "share_revoke",
}
"""Path below /api/v1 -> the only action that it answers with."""
FORCED = {"true": "specialist", "false": "general"}
SWITCH = Header(
    name="X-Use-Micro-LLM", values=tuple(FORCED),
    about="true asks the specialist alone, false the general model alone; without it the route decides",
)  # fmt: skip
Id = Annotated[str, Field(max_length=200)] | StrictInt


class Query(BaseModel):
    """A request in words."""

    model_config = ConfigDict(extra="forbid")
    query: str = Field(examples=["add dns record api.local to 10.0.0.5"])
    appliance_id: Id | None = None
    customer_id: Id | None = None


class FieldSays(BaseModel):
    """One value of the action."""

    path: str
    value: Any
    confidence: float
    span: tuple[int, int] | None = Field(description="characters of the query that it was copied from")


class Understood(BaseModel):
    """What the query asks for."""

    action: dict[str, Any] = Field(examples=[{"action": "dns_remove", "zone": "api.local"}])
    confidence: float
    model: str
    duration_ms: float
    trace_id: str
    fields: list[FieldSays]
    missing: list[str] = Field(
        description="what must be given before it can be done; empty when all is there"
    )


class Refused(BaseModel):
    """No action that this route may answer with."""

    error: str
    trace_id: str | None = None
    action: dict[str, Any] | None = None
    """What was understood; None where nothing was."""
    confidence: float | None = None
    model: str | None = None


def read(heard: Heard) -> Call:
    """The query, for the stage that X-Use-Micro-LLM names.

    Raises:
        RequestError: if the header says something else than true or false.
    """
    query: Query = heard.body
    labels = {"appliance_id": query.appliance_id, "customer_id": query.customer_id}
    return Call(
        task=heard.task, request=query.query, force=_forced(heard),
        labels={name: str(value) for name, value in labels.items() if value is not None},
    )  # fmt: skip


def _forced(heard: Heard) -> str | None:
    said = heard.headers.get(SWITCH.name.lower())
    if said is None:
        return None
    if said.strip().lower() not in FORCED:
        raise RequestError(f"{SWITCH.name} is {said[:40]!r}, true or false is expected")
    return FORCED[said.strip().lower()]


def write(heard: Heard, routed: Routed, *, only: str | None = None) -> Reply:
    """The action with what is known of it; a refusal where there is none, or where it is not the `only` one."""
    prediction, action = routed.prediction, routed.prediction.output
    if not isinstance(action, dict):
        return _refused(routed, 422, f"not answered: {prediction.refusal}")
    if action["action"] == "unsupported":
        return _refused(routed, 422, "the query is none of the operations that are known here")
    asked_for = action["intent"] if action["action"] == "clarify" else action["action"]
    if only is not None and asked_for != only:
        return _refused(
            routed, 409, f"this route answers with {only} alone, and the query asks for {asked_for}"
        )
    fields = [
        FieldSays(path=one.path, value=one.value, confidence=one.confidence, span=one.span)
        for one in prediction.fields
    ]
    answer = Understood(
        action=action, confidence=prediction.confidence, model=prediction.model, duration_ms=routed.latency_ms,
        trace_id=routed.trace_id, fields=fields, missing=action.get("missing", []),
    )  # fmt: skip
    return Reply(body=answer)


def _refused(routed: Routed, status: int, error: str) -> Reply:
    prediction = routed.prediction
    understood = prediction.output if isinstance(prediction.output, dict) else None
    body = Refused(
        error=error, trace_id=routed.trace_id, action=understood, confidence=prediction.confidence,
        model=prediction.model,
    )  # fmt: skip
    return Reply(body=body, status=status)


def _route(path: str, about: str, writing: Callable[[Heard, Routed], Reply], *statuses: int) -> PackRoute:
    return PackRoute(
        path=f"/api/v1/{path}", about=about, asks=Query, says=Understood, read=read, write=writing,
        failures=dict.fromkeys(statuses, Refused), headers=(SWITCH,),
    )  # fmt: skip


ROUTES = [
    _route("parse", "What a query asks for.", write, 422),
    *(
        _route(path, f"What a query asks for, if that is {action}.", partial(write, only=action), 409, 422)
        for path, action in OPERATIONS.items()
    ),
]
