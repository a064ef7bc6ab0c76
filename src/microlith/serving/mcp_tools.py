"""Served tasks as tools of the Model Context Protocol: names, schemas, arguments, results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mcp import types
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microlith.errors import DataError, MicrolithError
from microlith.routing.general_prompt import plain
from microlith.routing.route import Routed
from microlith.serving.desk import Call, Desk, Served
from microlith.serving.http_errors import facts_of
from microlith.serving.logging_rules import log_fault
from microlith.serving.native import TurnIn, turns_of
from microlith.task.plan import Json
from microlith.task.taskfile import Task


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")
    input: Any
    context: list[TurnIn] = Field(default=[], max_length=50, description="Earlier turns, oldest first.")


class _Text(_Arguments):
    input: str = Field(description="The request in words.")


class _Structured(_Arguments):
    input: dict[str, Any] = Field(description="The request as an object.")


def tools_of(desk: Desk) -> dict[str, Served]:
    """Name of a tool -> its task, for every task that is served to the caller.

    A tool is called like its task, with `_` for `-`; where two tasks would share a name, the later one keeps its own.
    """
    found: dict[str, Served] = {}
    for served in desk.served():
        name = served.task.name.replace("-", "_")
        found[served.task.name if name in found else name] = served
    return found


def tool_of(name: str, served: Served) -> types.Tool:
    """What a client is told of a tool."""
    return types.Tool(
        name=name,
        title=served.task.name,
        description=served.task.instruction,
        input_schema=_kind(served.task).model_json_schema(),
        output_schema=_output_schema(served.task),
        annotations=types.ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


def call_of(served: Served, arguments: Mapping[str, Any]) -> Call:
    """A tool's arguments as a call.

    Raises:
        DataError: naming every argument that does not fit, and none of their values.
    """
    try:
        given = _kind(served.task).model_validate(arguments)
    except ValidationError as error:
        wrong = "; ".join(f"{'/'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise DataError(f"the arguments do not fit: {wrong}", mend="see the tool's input schema") from None
    return Call(
        task=served.task.name, request=given.input, turns=turns_of(given.context), labels={"dialect": "mcp"}
    )  # fmt: skip


def result_of(routed: Routed) -> types.CallToolResult:
    """What became of a request; a refusal is a tool error, so that the client's model sees why and can go on."""
    given = routed.prediction
    if given.output is None:
        return _error(f"no answer: {given.refusal} (trace {routed.trace_id})")
    structured = {
        "answer": given.output,
        "confidence": given.confidence,
        "stage": routed.stage,
        "model": given.model,
        "trace_id": routed.trace_id,
    }
    text = json.dumps(structured, ensure_ascii=False)
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], structured_content=structured
    )


def failure_of(error: MicrolithError) -> types.CallToolResult:
    """An error as a tool error; the server's own troubles are logged and told without their place."""
    status = facts_of(error)[0]
    if status < 500:
        return _error(str(error))
    log_fault(error, status, None)
    return _error(error.what)


def _error(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)


def _kind(task: Task) -> type[_Arguments]:
    return _Text if task.input_kind == "text" else _Structured


# --------------------------------------------------------------------------------------------------- schemas

_AT = "#/properties/answer"


def _output_schema(task: Task) -> dict[str, Any]:
    """The schema of `result_of`: the task's own one with what is said of an answer around it."""
    schema = plain(dict(task.schema.value))
    assert isinstance(schema, dict)
    dialect, own = schema.pop("$schema", None), str(schema.pop("$id", "")).rstrip("#")
    properties = {
        "answer": _moved(schema, own),
        "confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "that the whole answer is right"},
        "stage": {"type": ["string", "null"], "description": "who answered: rules, specialist, general or nearest"},
        "model": {"type": "string"},
        "trace_id": {"type": "string", "description": "names this answer in feedback"},
    }  # fmt: skip
    wrapped = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"$schema": dialect} | wrapped if dialect else wrapped


def _moved(schema: Json, own: str) -> Json:
    """A schema whose local references lead to where it stands now; `own` is the address that it gave itself."""
    if isinstance(schema, list):
        return [_moved(item, own) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _moved(value, own) for key, value in schema.items()}
    reference = made.get("$ref")
    if isinstance(reference, str):
        local = reference.removeprefix(own)
        if local in ("", "#") or local.startswith("#/"):
            made["$ref"] = _AT + local[1:]
    return made
