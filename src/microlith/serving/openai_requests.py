"""What OpenAI's clients send, and what of it cannot be answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from microlith.serving.dialect import MOST_MESSAGES, BadParameter, Said, text_of, whole
from microlith.serving.dialect_schema import AskedSchema, SchemaTrouble

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Labels = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]
"""OpenAI's bounds of `metadata`."""

_ROLES: Mapping[str, Literal["user", "assistant", "system"]] = {
    "user": "user", "assistant": "assistant", "system": "system", "developer": "system",
}  # fmt: skip


class _Sent(BaseModel):
    """Members that are not named here, such as `temperature`, `max_tokens`, `seed`, `stop` or `user`, are accepted and change
    nothing: the same request always gets the same answer."""

    model_config = ConfigDict(extra="ignore")


class Message(_Sent):
    """One message; content that is a list holds parts of type "text" only."""

    role: str = Field(
        max_length=40, description="user, assistant, system or developer; what the last two say is ignored"
    )
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None


class StreamOptions(_Sent):
    """What a stream holds beside the answer."""

    include_usage: bool = False


class JsonSchema(_Sent):
    """A schema that the answer has to satisfy beside its task's own."""

    name: str = Field(max_length=200)
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class ResponseFormat(_Sent):
    """Answers are always JSON that is valid against the task's own schema, whatever this says."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Asking(_Sent):
    """What both ways to ask have in common."""

    model: Name = Field(description="A served task, e.g. `infra`, or `infra@3` while that version is live")
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(default=1, description="Only 1: the same request always gets the same answer")
    metadata: Labels | None = Field(default=None, description="Kept with the trace")
    logit_bias: dict[str, Any] | None = None


class ChatRequest(Asking):
    """`POST /v1/chat/completions`. The last user message is the request; earlier user and assistant messages are its turns."""

    messages: list[Message] = Field(max_length=MOST_MESSAGES)
    response_format: ResponseFormat | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    audio: Any = None
    modalities: list[str] | None = None
    web_search_options: Any = None
    moderation: Any = None


class CompletionRequest(Asking):
    """`POST /v1/completions`. The prompt is the request."""

    prompt: str | list[Any]
    logprobs: int | None = Field(default=None, ge=0, le=5)
    suffix: str | None = None
    echo: bool | None = False
    best_of: int | None = None


_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "tools": (None, []), "tool_choice": (None, "none", "auto"), "functions": (None, []), "function_call": (None, "none", "auto"),
    "audio": (None,), "modalities": (None, ["text"]), "web_search_options": (None,), "moderation": (None,),
    "logit_bias": (None, {}), "n": (None, 1), "suffix": (None, ""), "echo": (None, False), "best_of": (None, 1),
}  # fmt: skip
"""Parameter -> the values that change nothing."""


def check(body: Asking) -> None:
    """Refuse what would change the meaning of a request.

    Raises:
        BadParameter: which names it.
    """
    for name, harmless in _HARMLESS.items():
        if getattr(body, name, None) not in harmless:
            raise BadParameter(f"{name!r} is not supported with this value", param=name, mend="leave it out")
    if body.stream_options is not None and not body.stream:
        raise BadParameter(
            "'stream_options' is for streams only", param="stream_options", mend='set "stream" to true'
        )
    if isinstance(body, ChatRequest) and body.top_logprobs is not None and not body.logprobs:
        raise BadParameter(
            "'top_logprobs' needs 'logprobs'", param="top_logprobs", mend='set "logprobs" to true'
        )
    whole(body.metadata, "metadata")


def said(messages: Sequence[Message]) -> list[Said]:
    """The messages as every dialect reads them.

    Raises:
        BadParameter: if one is not text, or is a tool's.
    """
    return [_said(one, f"messages[{at}]") for at, one in enumerate(messages)]


def _said(message: Message, param: str) -> Said:
    role = _ROLES.get(message.role)
    if role is None:
        raise BadParameter(
            f"the role {message.role!r} is not supported",
            param=f"{param}.role",
            mend=f"use one of {', '.join(_ROLES)}",
        )
    if message.tool_calls or message.function_call:
        raise BadParameter("tool calls are not supported", param=f"{param}.tool_calls", mend="leave them out")
    where = f"{param}.content"
    if role == "user":
        return Said(role=role, text=text_of(message.content, where), param=where)
    # An assistant that refused has no content; it is no turn then.
    content = (
        message.content
        if isinstance(message.content, list)
        else [{"type": "text", "text": message.content or ""}]
    )
    parts = [part for part in content if part.get("type") != "refusal"]
    return Said(role=role, text=text_of(parts, where), param=where)


def asked_schema(given: ResponseFormat | None) -> AskedSchema | None:
    """The caller's own schema; None where the request gives none.

    Raises:
        BadParameter: if it cannot be used.
    """
    if given is None or given.type != "json_schema":
        return None
    param = "response_format.json_schema"
    if given.json_schema is None:
        raise BadParameter("it is missing", param=param, mend="send it, or another type")
    if given.json_schema.schema_ is None:
        return None
    whole(given.json_schema.schema_, f"{param}.schema")
    try:
        return AskedSchema(given.json_schema.schema_, name=given.json_schema.name)
    except SchemaTrouble as error:
        raise BadParameter(str(error), param=f"{param}.schema") from None


def prompt_of(body: CompletionRequest) -> str:
    """The request of a completion.

    Raises:
        BadParameter: if it is not one text.
    """
    given = body.prompt
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str):
        raise BadParameter(
            "the prompt is not one text", param="prompt", mend="send one text, in several requests if need be"
        )
    whole(given, "prompt")
    return given
