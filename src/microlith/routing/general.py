"""The general model as a stage: any OpenAI-compatible endpoint, or whatever model a caller brings along.

It is asked with the task's instruction, its schema, rows like the request and passages of documentation, and what it says
is held to the same rules as every other answer. Nothing that an endpoint writes into an error is passed on, since it may
repeat the request.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from microlith.errors import MissingExtra, TeacherError, UsageError
from microlith.routing.cost import price, tokens_of
from microlith.routing.general_prompt import GeneralPrompt, Message, response_format
from microlith.routing.general_reply import Reply, ReplyCheck
from microlith.routing.route import Answer, Asked
from microlith.task.taskfile import Task
from microlith.version import VERSION

if TYPE_CHECKING:
    from aiohttp import ClientSession

NAME = "general"
MOST_BYTES = 8_000_000
"""Longest reply of an endpoint that is read."""
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
"""Codes of errors, such as `model_not_found`, that are passed on."""
_WAIT = re.compile(r"\d{1,9}|\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
"""Values of Retry-After: seconds or a date (RFC 9110, 10.2.3)."""


@dataclass(frozen=True, kw_only=True)
class GeneralSettings:
    """Where a general model is and how it is asked."""

    base_url: str
    """Of the OpenAI-compatible interface, e.g. `http://127.0.0.1:11434/v1`; without user name or password."""
    model: str
    """Its name there."""
    api_key: str = field(default="none", repr=False)
    timeout_s: float = 20.0
    """Longest time to one whole answer, connection included, above 0."""
    max_tokens: int = 1024
    """Longest answer, at least 1."""
    price_in: float = 0.0
    """Money for a million tokens that it reads, from 0."""
    price_out: float = 0.0
    """Money for a million tokens that it writes, from 0."""
    temperature: float = 0.0
    """0-2."""
    logprobs: bool = False
    """True to ask for the probabilities of the tokens: the confidence of an answer is then their geometric mean, which is no
    calibrated probability. Endpoints that give none leave it at `assumed_confidence`."""
    assumed_confidence: float = 0.5
    """Stated with answers of which nothing better is known, 0-1. It is no measurement."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            UsageError: naming the value, never the key.
        """
        bounds = {
            "timeout_s": self.timeout_s > 0,
            "max_tokens": self.max_tokens >= 1,
            "price_in": 0 <= self.price_in < math.inf,
            "price_out": 0 <= self.price_out < math.inf,
            "temperature": 0 <= self.temperature <= 2,
            "assumed_confidence": 0 <= self.assumed_confidence <= 1,
        }
        for name, holds in bounds.items():
            if not holds:
                raise UsageError(f"{name} of the general model is {getattr(self, name)!r}, out of its bounds")
        if not self.model:
            raise UsageError("the general model has no name")
        _check_address(self.base_url)
        if not re.fullmatch(r"[!-~]+", self.api_key):
            raise UsageError("the general model's key is empty, or holds a blank or a sign beyond ASCII")

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.base_url).netloc


class GeneralStage:
    """A general model at an OpenAI-compatible endpoint. Used from one event loop at a time."""

    name = NAME

    def __init__(
        self, task: Task, settings: GeneralSettings, *, prompt: GeneralPrompt | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:  # fmt: skip
        """Prepare to ask; nothing is connected yet.

        Args:
            task: The task.
            settings: Where the model is and how it is asked.
            prompt: The task's prompt; None for one without rows and documentation.
            clock: Gives seconds.

        Raises:
            MissingExtra: if aiohttp is not installed.
        """
        self.settings, self.model = settings, settings.model
        self.prompt = prompt or GeneralPrompt(task)
        self._check = ReplyCheck(task, settings.model)
        self._clock = clock
        self._aiohttp = _aiohttp()
        self._session: tuple[asyncio.AbstractEventLoop, ClientSession] | None = None
        self._url = settings.base_url.rstrip("/") + "/chat/completions"
        self._proxy = _proxy_of(settings.base_url)
        self._options = _options(task, settings)

    async def ask(self, asked: Asked, *, timeout_s: float) -> Answer:
        """Answer one request; see `Stage.ask`. What is no valid answer becomes a refusal, and an empty request is one.

        Raises:
            TimeoutError: if the whole answer is not there within `timeout_s` or the settings' own limit.
            TeacherError: if the endpoint cannot be reached, refuses, or is none.
        """
        start = self._clock()
        if not asked.request.strip():
            return Answer(prediction=self._check.refusal("the request is empty"))
        async with asyncio.timeout(min(timeout_s, self.settings.timeout_s)):
            reply = await self._reply(await self.prompt.written(asked))
        prediction = self._check.prediction(asked, reply)
        cost = price(
            reply.tokens_in,
            reply.tokens_out,
            price_in=self.settings.price_in,
            price_out=self.settings.price_out,
        )
        took_ms = 1000.0 * (self._clock() - start)
        return Answer(
            prediction=replace(prediction, latency_ms=took_ms), refused_as="not valid",
            tokens_in=reply.tokens_in, tokens_out=reply.tokens_out, cost=cost,
        )  # fmt: skip

    async def aclose(self) -> None:
        """Close the connections; the next request opens new ones."""
        session, self._session = self._session, None
        if session is not None and session[0] is asyncio.get_running_loop():
            await session[1].close()

    async def _reply(self, messages: list[Message]) -> Reply:
        """What the endpoint says; an option that it does not know is left out from then on."""
        options = self._options
        while True:
            said = await self._posted({"model": self.model, "messages": messages, **options})
            if said.status < 300:
                self._options = options
                return self._read(said.content, messages)
            fewer = _without_refused(options, said)
            if fewer is None:
                raise self._failed(_told(said, messages))
            options = fewer

    async def _posted(self, body: Mapping[str, Any]) -> _Said:
        """Send one body. Whoever answers with another address is not followed there: the body is what people asked."""
        raw = bytearray()
        try:
            async with self._connected().post(
                self._url, json=body, proxy=self._proxy, allow_redirects=False
            ) as response:
                async for piece in response.content.iter_any():
                    raw += piece
                    if len(raw) > MOST_BYTES:
                        raise self._failed(f"its reply is longer than {MOST_BYTES:,} bytes")
        except (self._aiohttp.ClientError, OSError, ValueError) as error:
            raise self._failed(f"no connection ({type(error).__name__})") from None
        try:
            content = json.loads(raw)
        except (ValueError, RecursionError):
            content = None
        return _Said(response.status, content, response.headers.get("retry-after", ""))

    def _connected(self) -> ClientSession:
        """The connections of this event loop, which cannot move to another."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._session[0] is not loop:
            library, settings = self._aiohttp, self.settings
            made = library.ClientSession(
                headers={"Authorization": f"Bearer {settings.api_key}", "User-Agent": f"microlith/{VERSION}"},
                timeout=library.ClientTimeout(total=None), connector=library.TCPConnector(limit=0),
                cookie_jar=library.DummyCookieJar(),
            )  # fmt: skip
            self._session = (loop, made)
        return self._session[1]

    def _read(self, completion: Any, messages: list[Message]) -> Reply:
        choice = _member(completion, "choices", 0)
        if not isinstance(choice, Mapping):
            raise self._failed("what it says is not what OpenAI's interface promises")
        text = _member(choice, "message", "content")
        text = text if isinstance(text, str) else ""
        usage = _member(completion, "usage")
        return Reply(
            text=text,
            confidence=_confidence(choice, self.settings.assumed_confidence),
            end=str(choice.get("finish_reason") or ""),
            tokens_in=_count(usage, "prompt_tokens", sum(len(one["content"]) for one in messages)),
            tokens_out=_count(usage, "completion_tokens", len(text)),
        )

    def _failed(self, why: str) -> TeacherError:
        return TeacherError(
            f"{self.model} at {self.settings.place}: {why}",
            mend="check the general model's address, name and key, and that it runs",
        )


class CallableStage:
    """A general model that a caller brings along, such as the model of an MCP client. Its tokens are not counted."""

    name = NAME

    def __init__(
        self, task: Task, ask: Callable[[list[Message]], Awaitable[str]], *, prompt: GeneralPrompt | None = None,
        model: str = "sampling", assumed_confidence: float = 0.5, clock: Callable[[], float] = perf_counter,
    ) -> None:  # fmt: skip
        """Prepare to ask.

        Args:
            task: The task.
            ask: Answers a conversation, whose first message is the system's, with text.
            prompt: The task's prompt, e.g. `GeneralStage.prompt`; None for one without rows and documentation.
            model: Name shown in every prediction.
            assumed_confidence: Stated with every answer, 0-1. It is no measurement.
            clock: Gives seconds.
        """
        self.model = model
        self.prompt = prompt or GeneralPrompt(task)
        self._ask, self._clock, self._confidence = ask, clock, assumed_confidence
        self._check = ReplyCheck(task, model)

    async def ask(self, asked: Asked, *, timeout_s: float) -> Answer:
        """Answer one request; see `Stage.ask`. Whatever the caller's function raises goes through."""
        start = self._clock()
        if not asked.request.strip():
            return Answer(prediction=self._check.refusal("the request is empty"))
        async with asyncio.timeout(timeout_s):
            text = await self._ask(await self.prompt.written(asked))
        prediction = self._check.prediction(asked, Reply(text=text, confidence=self._confidence))
        took_ms = 1000.0 * (self._clock() - start)
        return Answer(prediction=replace(prediction, latency_ms=took_ms), refused_as="not valid")


class _Said(NamedTuple):
    """What an endpoint sent back."""

    status: int
    content: Any
    """Parsed; None where it is no JSON."""
    retry_after: str

    @property
    def error(self) -> Mapping[str, Any]:
        """The members of its error; empty where it names none."""
        found = _member(self.content, "error") or self.content
        return found if isinstance(found, Mapping) else {}


def _proxy_of(base_url: str) -> str | None:
    """The proxy that the environment names for an address."""
    parts, found = urlsplit(base_url), getproxies()
    if proxy_bypass(parts.netloc):
        return None
    return found.get(parts.scheme) or found.get("all")


def _aiohttp() -> Any:
    try:
        import aiohttp
    except ImportError as error:
        raise MissingExtra(
            "asking a general model needs aiohttp", mend='pip install "microlith[serve]"'
        ) from error
    return aiohttp


def _check_address(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        holds = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        holds, parts = False, urlsplit("")
    if not holds:
        raise UsageError(
            "the general model's address is no http or https address",
            mend="e.g. http://127.0.0.1:11434/v1",
        )
    if parts.username or parts.password:
        raise UsageError(
            "the general model's address holds a user name or password",
            mend="give the key in MICROLITH_GENERAL_KEY",
        )


def _options(task: Task, settings: GeneralSettings) -> dict[str, Any]:
    """What is asked for beside model and messages."""
    options = {
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "response_format": response_format(task),
    }
    return options | ({"logprobs": True} if settings.logprobs else {})


def _without_refused(options: Mapping[str, Any], said: _Said) -> dict[str, Any] | None:
    """Other options after an endpoint refused these; None where none of them is to blame.

    An endpoint that does not say which one it refuses is taken to refuse the schema. Newer models want the limit of tokens
    under another name.
    """
    if said.status not in (400, 422):
        return None
    named = said.error.get("param")
    refused = named if isinstance(named, str) and named in options else "response_format"
    if refused not in options:
        return None
    fewer = {name: value for name, value in options.items() if name != refused}
    return fewer | ({"max_completion_tokens": options[refused]} if refused == "max_tokens" else {})


def _told(said: _Said, messages: Sequence[Message]) -> str:
    """The status of a reply, its code where that is a plain name and no word of the request, and when to come again."""
    asked = [one["content"] for one in messages if one["role"] != "system"]
    codes = [
        one
        for one in (said.error.get("code"), said.error.get("type"))
        if isinstance(one, str) and _CODE.fullmatch(one) and not any(one in text for text in asked)
    ]
    wait = said.retry_after
    told = f", Retry-After: {wait}{' s' if wait.isdecimal() else ''}" if _WAIT.fullmatch(wait) else ""
    return " ".join([f"HTTP {said.status}", *codes[:1]]) + told


def _member(value: Any, *path: str | int) -> Any:
    """What stands at `path` of a reply; None where it does not."""
    for step in path:
        try:
            value = value[step]
        except (TypeError, KeyError, IndexError):
            return None
    return value


def _confidence(choice: Any, otherwise: float) -> float:
    """The geometric mean of the tokens' probabilities; `otherwise` where they are not given."""
    tokens = _member(choice, "logprobs", "content")
    values = [_member(token, "logprob") for token in tokens] if isinstance(tokens, list) else []
    if not values or not all(isinstance(one, int | float) for one in values):
        return otherwise
    return math.exp(min(sum(float(one) for one in values if one is not None) / len(values), 0.0))


def _count(usage: Any, name: str, characters: int) -> int:
    """Tokens as the endpoint counted them; where it did not, about as many as the text has."""
    found = _member(usage, name)
    return found if isinstance(found, int) and found >= 0 else tokens_of(characters)
