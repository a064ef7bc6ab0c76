"""What Ollama's clients send, and what of it cannot be answered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from microlith.serving.dialect import MOST_MESSAGES, BadParameter, Said, whole
from microlith.serving.dialect_schema import AskedSchema, SchemaTrouble

_ROLES: Mapping[str, Literal["user", "assistant", "system"]] = {
    "user": "user", "assistant": "assistant", "system": "system",
}  # fmt: skip


class _Sent(BaseModel):
    """Members that are not named here, such as `options`, `template` or `context`, are accepted and change nothing: the same
    request always gets the same answer."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _of_any_content_type(cls, data: Any) -> Any:
        """Ollama takes a body of whatever content type; `curl -d` sends it as a form's."""
        try:
            return json.loads(data) if isinstance(data, bytes) else data
        except RecursionError:
            raise ValueError("nested too deeply") from None


class Message(BaseModel):
    """One message; what the system says is ignored."""

    model_config = ConfigDict(extra="ignore")
    role: str = Field(max_length=40, description="user, assistant or system")
    content: str | None = ""
    images: list[Any] | None = None
    tool_calls: list[Any] | None = None


class Asking(_Sent):
    """What both ways to ask have in common."""

    model: str = Field(
        min_length=1, max_length=200, description="A served task, e.g. `infra` or `infra:latest`"
    )
    stream: bool | None = True
    format: str | dict[str, Any] | None = Field(
        default=None,
        description="A schema that the answer has to satisfy beside its task's own; answers are always JSON",
    )
    keep_alive: float | str | None = None
    think: bool | str | None = None
    tools: list[Any] | None = None
    images: list[Any] | None = None
    suffix: str | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)


class ChatRequest(Asking):
    """`POST /api/chat`. The last user message is the request; earlier user and assistant messages are its turns."""

    messages: list[Message] | None = Field(default=None, max_length=MOST_MESSAGES)


class GenerateRequest(Asking):
    """`POST /api/generate`. The prompt is the request."""

    prompt: str | None = ""


class ShowRequest(_Sent):
    """`POST /api/show`."""

    model: str = Field(default="", max_length=200)
    name: str = Field(default="", max_length=200, description="An older name of `model`")


def check(body: Asking) -> None:
    """Refuse what would change the meaning of a request.

    Raises:
        BadParameter: which names it.
    """
    for name in ("tools", "images", "suffix", "think"):
        if getattr(body, name):
            raise BadParameter(
                f"{body.model[:80]!r} does not support {name}", param=name, mend="leave it out"
            )


def said(messages: Sequence[Message]) -> list[Said]:
    """The messages as every dialect reads them.

    Raises:
        BadParameter: if one holds more than text, or is a tool's.
    """
    made = []
    for at, message in enumerate(messages):
        param, role = f"messages[{at}]", _ROLES.get(message.role)
        if role is None:
            raise BadParameter(
                f"the role {message.role!r} is not supported",
                param=f"{param}.role",
                mend=f"use one of {', '.join(_ROLES)}",
            )
        for name in ("images", "tool_calls"):
            if getattr(message, name):
                raise BadParameter(
                    f"{name} are not supported", param=f"{param}.{name}", mend="leave them out"
                )
        whole(message.content, f"{param}.content")
        made.append(Said(role=role, text=message.content or "", param=f"{param}.content"))
    return made


def asked_schema(given: str | Mapping[str, Any] | None) -> AskedSchema | None:
    """The caller's own schema; None where the request gives none.

    Raises:
        BadParameter: if it cannot be used.
    """
    if given is None or given in ("", "json"):
        return None
    if isinstance(given, str):
        raise BadParameter(
            f"{given[:40]!r} is no format", param="format", mend='send "json" or a JSON Schema'
        )
    whole(given, "format")
    try:
        return AskedSchema(given)
    except SchemaTrouble as error:
        raise BadParameter(str(error), param="format") from None
