"""What the dialects share: the task that a model name means, messages as a request and its turns, the answer as a caller gets it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from fastapi import Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import WithJsonSchema
from starlette.concurrency import run_in_threadpool

from microlith.data.strict_json import NotStrictJson, loads
from microlith.errors import RequestError, TooLarge, UnknownTask
from microlith.routing.route import Routed, Turn
from microlith.serving.desk import Call, Desk, Served
from microlith.serving.dialect_schema import AskedSchema
from microlith.serving.dialect_text import Piece, pieces_of
from microlith.serving.http_errors import facts_of
from microlith.serving.logging_rules import note
from microlith.task.plan import Json

MOST_MESSAGES = 1000
"""Messages of one request."""
MOST_CHARACTERS = 1_000_000
"""Characters of all messages of one request together."""
TRACE = "x-trace-id"
"""Header of every answer that a model had a part in: what feedback names."""

_STAGES = {"type": "string", "enum": ["specialist", "general"]}
Force = Annotated[
    Literal["specialist", "general"] | None,
    WithJsonSchema(_STAGES),
    Header(
        alias="X-Microlith-Force", description="Ask only this stage of the route; nothing asks the route."
    ),
]
"""The header that forces a stage, in every dialect."""

_WORD_OR_MARK = re.compile(r"\w+|[^\w\s]")
_LATEST = ":latest"
_KINDS = frozenset({"str", "int", "float", "bool"})


class BadParameter(RequestError):
    """Something in the body cannot be answered as it stands."""

    def __init__(self, what: str, *, param: str, mend: str | None = None) -> None:
        """`param` is the path to it in the body, e.g. `messages[0].content`; empty for the body itself."""
        super().__init__(what, place=param or None, mend=mend)


@dataclass(frozen=True, kw_only=True)
class Said:
    """One message of a conversation."""

    role: Literal["user", "assistant", "system"]
    text: str
    param: str
    """Where it stands in the body."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """How much was read and written."""

    read: int
    """Tokens where a general model answered; else words and marks of the request, since a specialist reads no tokens."""
    written: int
    """The same of the answer."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer as a dialect hands it out."""

    routed: Routed
    pieces: tuple[Piece, ...]
    """The answer as JSON text, in pieces; empty for a refusal."""
    refusal: str | None
    """Why there is no answer; None when there is one."""

    @property
    def text(self) -> str:
        """The answer as JSON text; empty for a refusal."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def usage(self) -> Usage:
        """Tokens of the stage that answered, where it counts any; else words and marks."""
        hop = self.routed.hops[-1] if self.routed.stage is not None else None
        if hop is not None and (hop.tokens_in or hop.tokens_out):
            return Usage(read=hop.tokens_in, written=hop.tokens_out)
        return Usage(read=counted(self.routed.request), written=counted(self.refusal or self.text))

    @property
    def headers(self) -> dict[str, str]:
        """What every answer says of itself."""
        return {TRACE: self.routed.trace_id}

    @property
    def facts(self) -> dict[str, Any]:
        """What no other server says: the member `microlith` of an answer.

        `span` is a half-open range of characters (code points) in the request as the model read it; null for a value
        that is not copied.
        """
        given = self.routed.prediction
        fields = given.fields if self.refusal is None else ()
        return {
            "trace_id": self.routed.trace_id,
            "confidence": round(given.confidence, 6) if self.refusal is None else 0.0,
            "stage": self.routed.stage,
            "model": given.model,
            "refusal": self.refusal,
            "fields": {
                one.path: {"value": one.value, "confidence": round(one.confidence, 6), "span": one.span} for one in fields
            },
        }  # fmt: skip


# ------------------------------------------------------------------------------------------- what is asked


def pick(desk: Desk, model: str) -> Served:
    """The task that a model name means: `infra`, `infra:latest`, or `infra@3` while that version is the live one.

    Raises:
        UnknownTask: if it is not served, or another version is live.
    """
    task, at, _ = model.partition("@")
    served = desk.find(task if at else task.removesuffix(_LATEST))
    if at and model != served.model:
        raise UnknownTask(
            f"{model[:80]!r} is not live, {served.model or 'no specialist'} is", mend=f'ask for "{task}"'
        )
    return served


def conversation(messages: Sequence[Said]) -> tuple[str, tuple[Turn, ...]]:
    """The request, which is the last user message, and the turns before it, oldest first.

    Only a user message that an answer follows at once is a turn, and only where the answer is JSON, as a task's own are.
    What the system says is left out: a task knows its job.

    Raises:
        BadParameter: if there is no user message, or the assistant has the last word.
        TooLarge: if the messages are too long together.
    """
    if sum(len(one.text) for one in messages) > MOST_CHARACTERS:
        raise TooLarge(f"the messages have more than {MOST_CHARACTERS:,} characters", mend="send fewer turns")
    spoken = [one for one in messages if one.role != "system"]
    if not any(one.role == "user" for one in spoken):
        raise BadParameter(
            "there is no user message", param="messages", mend="end them with the request as a user message"
        )
    if spoken[-1].role != "user":
        raise BadParameter(
            "the assistant has the last word", param=spoken[-1].param, mend="end the messages with a user's"
        )
    turns = (
        Turn(request=asked.text, answer=said.text)
        for asked, said in pairwise(spoken[:-1])
        if asked.role == "user" and said.role == "assistant" and _is_answer(said.text)
    )
    return spoken[-1].text, tuple(turns)


def _is_answer(text: str) -> bool:
    try:
        return loads(text) is not None
    except NotStrictJson:
        return False


def whole(value: Json, param: str) -> None:
    """See that `value` can be written down as JSON, and is not too long.

    Raises:
        BadParameter: if a text in it holds half of a surrogate pair, or a number is none of JSON's.
        TooLarge: if it is longer than `MOST_CHARACTERS`.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:
        raise BadParameter(
            "a text holds half of a surrogate pair, which no text can",
            param=param,
            mend="send whole characters",
        ) from None
    except (ValueError, RecursionError):
        raise BadParameter(
            "this is not JSON: a number is not finite, or it is nested too deeply", param=param
        ) from None
    size = len(value if isinstance(value, str) else text)
    if size > MOST_CHARACTERS:
        raise TooLarge(f"{param} has {size:,} characters, at most {MOST_CHARACTERS:,} are taken")


def text_of(content: str | Sequence[Mapping[str, Any]] | None, param: str) -> str:
    """A message's text: as it stands, or its text parts, one below the other.

    Raises:
        BadParameter: if there is none, or a part is not text.
    """
    if content is None:
        raise BadParameter("the message has no content", param=param, mend="send text")
    parts = (
        [content]
        if isinstance(content, str)
        else [_part(one, f"{param}[{at}]") for at, one in enumerate(content)]
    )
    text = "\n".join(parts)
    whole(text, param)
    return text


def _part(part: Mapping[str, Any], param: str) -> str:
    text = part.get("text")
    if part.get("type") not in ("text", "input_text", "output_text") or not isinstance(text, str):
        kind = str(part.get("type"))[:40]
        raise BadParameter(
            f"a part of type {kind!r} cannot be read", param=param, mend='send {"type": "text", "text": ...}'
        )
    return text


# ------------------------------------------------------------------------------------------- what is answered


def counted(text: str) -> int:
    """Words and marks of `text`: a run of letters, digits and "_" counts once, any other sign that is no blank as well."""
    return len(_WORD_OR_MARK.findall(text))


async def replied(desk: Desk, call: Call, request: Request, *, schema: AskedSchema | None = None) -> Reply:
    """Ask the desk; an answer that does not fit the caller's own `schema` is withheld.

    Raises:
        MicrolithError: see `Desk.answer`.
    """
    note(request.scope, task=call.task)
    routed = await desk.answer(call)
    note(request.scope, trace_id=routed.trace_id)
    given = routed.prediction
    refusal = (given.refusal or "no stage answered") if given.output is None else None
    if refusal is None and schema is not None:
        refusal = await run_in_threadpool(schema.misfit, given.output)
    return Reply(routed=routed, pieces=() if refusal is not None else pieces_of(given), refusal=refusal)


class StrictRoute(APIRoute):
    """A body that does not fit is a bad request, status 400, as the clients of these dialects expect."""

    @staticmethod
    def misfit(error: RequestValidationError) -> RequestError:
        """What a caller is told of such a body."""
        return _bad_parameter(error)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await answer(request)
            except RequestValidationError as error:
                raise self.misfit(error) from None

        return handler


def _bad_parameter(error: RequestValidationError) -> BadParameter:
    problem = facts_of(error)[1]["problems"][0]
    where, *path = (step for step in str(problem["place"] or "body").split("/") if not step.startswith("("))
    while path and (path[-1] in _KINDS or path[-1].endswith("]")):
        path.pop()  # a value that may be of several kinds is named with the kind that it is not
    named = "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in path).removeprefix(".")
    return BadParameter(
        problem["what"], param=named if where == "body" else path[0] if path else where, mend=problem["mend"]
    )
