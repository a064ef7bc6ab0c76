"""The desk of a running server: routes that are swapped while requests go through them, a limit, a trace of everything."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from microlith.data.rows import renderer
from microlith.errors import DataError, MicrolithError, StorageError, TooLarge, UnknownTask, first_line
from microlith.inference.cores import usable_cores
from microlith.routing.cost import Ledger, Savings
from microlith.routing.route import Asked, Routed, Turn
from microlith.serving.desk import Call, Served
from microlith.serving.gate import admit, may_see
from microlith.serving.limits import Gatekeeper
from microlith.serving.loading import Loaded, Loader, tasks_to_serve
from microlith.serving.settings import ServeSettings
from microlith.task.plan import Json, Plan
from microlith.task.taskfile import Task

if TYPE_CHECKING:
    from microlith.routing.general_prompt import GeneralPrompt

LOG = logging.getLogger("microlith.serving")
TRIED_S, LONGEST_TRY_S = 1.0, 2.0
"""The database is tried for `/readyz` so often, and so long is waited for it, in seconds."""


class Keeper(Protocol):
    """Keeps traces."""

    async def keep(self, plan: Plan, routed: Routed, *, at: datetime, labels: dict[str, str]) -> None:
        """Returns when the trace is kept.

        Raises:
            StorageError: if it cannot be.
        """

    async def check(self) -> None:
        """See that a trace could be kept at this moment.

        Raises:
            StorageError: if not.
        """


class Watcher(Protocol):
    """Sees every request; see `microlith.serving.metrics.Metrics`."""

    def observe(self, routed: Routed) -> None:
        """Count one that came to an answer or a refusal."""

    def observe_error(self, task: str | None, error: Exception) -> None:
        """Count one that ended in an error."""

    def update(self, served: Iterable[Served]) -> None:
        """Know what is served from now on."""


class LiveDesk:
    """Answers from the registry's live versions. Used from one event loop."""

    def __init__(
        self, settings: ServeSettings, keeper: Keeper, watchers: Iterable[Watcher] = (), *,
        clock: Callable[[], float] = perf_counter, now: Callable[[], datetime] | None = None,
    ) -> None:  # fmt: skip
        """Nothing is loaded before `open`; `clock` gives seconds and `now` the time of day."""
        self._settings, self._keeper, self._watchers = settings, keeper, tuple(watchers)
        self._clock, self._now = clock, now or (lambda: datetime.now(UTC))
        self._executor = ThreadPoolExecutor(settings.threads or usable_cores(), thread_name_prefix="model")
        self._loader = Loader(settings, self._executor)
        self._lines: dict[str, Loaded] = {}
        self._refused: dict[str, int | None] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._watching: asyncio.Task[None] | None = None
        self._reading: asyncio.Future[None] | None = None
        self._trying: asyncio.Task[str | None] | None = None
        self._tried_s = 0.0
        self._gatekeeper = Gatekeeper(settings.most_inside, settings.most_inside * settings.most_bytes)

    def open(self) -> None:
        """Load every task.

        Raises:
            MicrolithError: if one cannot be served.
        """
        for task in tasks_to_serve(self._settings):
            self._lines[task.name] = self._loader.load(task, self._loader.live_version(task))
            self._ledgers[task.name] = Ledger(
                price_in=task.general.price_in, price_out=task.general.price_out,
                prompt_characters=len(task.instruction) + len(json.dumps(task.schema.value)),
            )  # fmt: skip
        self._tell()

    def start(self) -> None:
        """Look, from now on, for versions that are promoted, and read what general models are shown."""
        loop = asyncio.get_running_loop()
        self._watching = loop.create_task(self._watch())
        self._reading = loop.run_in_executor(None, self._loader.prepare)

    async def close(self) -> None:
        """Stop looking, and let the threads end."""
        if self._watching is not None:
            self._watching.cancel()
        if self._reading is not None:
            self._reading.cancel()
        await self._loader.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher.update([line.served for line in self.lines])

    @property
    def lines(self) -> tuple[Loaded, ...]:
        """Everything that is loaded, by name."""
        return tuple(self._lines[name] for name in sorted(self._lines))

    @property
    def inside(self) -> int:
        """Requests that are being worked on."""
        return self._gatekeeper.waiting

    def served(self) -> tuple[Served, ...]:
        """See `Desk.served`; what the caller's key is not for is left out."""
        return tuple(line.served for line in self.lines if may_see(line.served.task.name))

    def find(self, task: str) -> Served:
        """See `Desk.find`.

        Raises:
            NotForTask: if the caller's key is not for it.
        """
        line = self._line(task)
        admit(task)
        return line.served

    def prompt(self, task: str) -> GeneralPrompt:
        """See `Desk.prompt`."""
        return self._loader.prompt(self.find(task).task)

    def savings(self) -> dict[str, Savings]:
        """See `Desk.savings`; what the caller's key is not for is left out."""
        return {task: ledger.savings() for task, ledger in sorted(self._ledgers.items()) if may_see(task)}

    async def trouble(self) -> str | None:
        """Why nothing could be answered at this moment, since no trace could be kept; None where all is well.

        Anybody may ask, so the database is tried once a second at most, and never twice at a time.
        """
        trying = self._trying
        if trying is None or (trying.done() and self._clock() >= self._tried_s + TRIED_S):
            self._tried_s = self._clock()
            trying = self._trying = asyncio.get_running_loop().create_task(self._tried())
        # Another caller may begin the next try meanwhile; this one waits for the one that it saw.
        done, _ = await asyncio.wait([trying], timeout=LONGEST_TRY_S)
        if not done:
            return f"the database of traces did not answer within {LONGEST_TRY_S:g} s"
        return trying.result()

    async def _tried(self) -> str | None:
        try:
            await self._keeper.check()
        except StorageError as error:
            LOG.error("no trace can be kept: %s", error.what)
            return "no trace can be kept; the server's log says why"
        return None

    async def answer(self, call: Call) -> Routed:
        """See `Desk.answer`."""
        try:
            return await self._admitted(call)
        except MicrolithError as error:
            for watcher in self._watchers:
                watcher.observe_error(call.task, error)
            raise

    async def _admitted(self, call: Call) -> Routed:
        line = self._line(call.task)
        admit(call.task)
        request = request_of(line.served.task, call.request, most=self._settings.most_bytes)
        async with self._gatekeeper.admit(len(request)):
            return await self._through(line, call, request)

    async def _through(self, line: Loaded, call: Call, request: str) -> Routed:
        task, at = line.served.task, self._now()
        asked = Asked(
            request=request, trace_id=secrets.token_hex(12), turns=turns_of(task, call.turns, most=self._settings.most_bytes),
            force=call.force, deadline_s=None if call.deadline_s is None else self._clock() + call.deadline_s,
            labels=call.labels,
        )  # fmt: skip
        routed = await line.chain.answer(asked, general=call.general)
        await self._keeper.keep(task.plan, routed, at=at, labels=dict(call.labels))
        self._ledgers[task.name].add(routed)
        for watcher in self._watchers:
            watcher.observe(routed)
        return routed

    def _line(self, task: str) -> Loaded:
        found = self._lines.get(task)
        if found is None:
            raise UnknownTask(
                f"the task {task[:80]!r} is not served here",
                mend=f"served are {', '.join(filter(may_see, sorted(self._lines))) or 'none for this key'}",
            )
        return found

    # ------------------------------------------------------------------------------------------ hot swap

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.watch_s)
            try:
                await self.refresh()
            except Exception:  # the loop must outlive whatever a disk or a file does
                LOG.exception("looking for promoted versions failed")

    async def refresh(self) -> tuple[str, ...]:
        """Load what was promoted since; gives the names of the tasks that are answered by another version now.

        Requests in hand end with the version they began with. A version that cannot be loaded is told once and the one
        that answers goes on answering.
        """
        swapped = []
        for name, line in list(self._lines.items()):
            task = line.served.task
            version = self._loader.live_version(task)
            if version is None:
                continue  # its artifacts are gone from the disk; what is loaded goes on
            if version == line.version:
                self._refused.pop(name, None)  # whoever promotes the refused one again has mended it
                continue
            if version == self._refused.get(name):
                continue
            if await self._swap(task, version):
                swapped.append(name)
        return tuple(swapped)

    async def _swap(self, task: Task, version: int) -> bool:
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(None, self._loader.load, task, version)
        except Exception as error:  # whatever a file does to a library, the other tasks are looked at too
            self._refused[task.name] = version
            LOG.error("%s@%s is not taken: %s", task.name, version, first_line(error))
            return False
        self._refused.pop(task.name, None)
        self._lines[task.name] = loaded
        self._tell()
        LOG.info("%s answers now", loaded.served.model)
        return True


def request_of(task: Task, given: Json, *, most: int) -> str:
    """What models read of a request.

    Raises:
        DataError: if it is of another kind than the task takes.
        TooLarge: if it is longer than `most` characters.
    """
    if isinstance(given, str) and len(given) > most:
        raise TooLarge(f"the request has {len(given):,} characters, at most {most:,} are taken")
    render = renderer(task)
    if render is None:
        if not isinstance(given, str):
            raise DataError(
                f"the task {task.name} takes text, not {_kind(given)}", mend='send "input" as a string'
            )
        return given
    value = _parsed(task, given) if isinstance(given, str) else given
    if not isinstance(value, dict | list):
        raise DataError(
            f"the task {task.name} takes an object, not {_kind(value)}", mend='send "input" as an object'
        )
    try:
        text = render(value)
    except RecursionError as error:
        raise DataError("the request is nested too deeply") from error
    if len(text) > most:
        raise TooLarge(f"the request has {len(text):,} characters as text, at most {most:,} are taken")
    return text


def turns_of(task: Task, turns: Sequence[Turn], *, most: int) -> tuple[Turn, ...]:
    """The last turns, as many as the task declares, each as models read it; one that it cannot read is left out."""
    found = []
    for turn in list(turns)[-task.turns :] if task.turns else ():
        try:
            found.append(replace(turn, request=request_of(task, turn.request, most=most)))
        except (DataError, TooLarge):
            continue
    return tuple(found)


def _parsed(task: Task, given: str) -> Json:
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"the task {task.name} takes an object as JSON: {first_line(error)}",
            mend='send "input" as an object',
        ) from error


def _kind(value: Json) -> str:
    names = {
        dict: "an object",
        list: "an array",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")
