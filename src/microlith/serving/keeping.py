"""Keeping a trace of every answer before it is given."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from microlith.feedback.traces import TraceWriter, trace_of
from microlith.routing.route import Routed
from microlith.serving.settings import ServeSettings
from microlith.store.engine import open_engine
from microlith.store.migrate import migrate
from microlith.task.plan import Plan


class TraceKeeper:
    """Writes traces, secrets masked; see `microlith.serving.live.Keeper`."""

    def __init__(self, engine: Engine) -> None:
        """Write to a database whose tables are there."""
        self._engine, self._writer = engine, TraceWriter(engine)

    async def keep(self, plan: Plan, routed: Routed, *, at: datetime, labels: dict[str, str]) -> None:
        """Returns when the trace is kept.

        Raises:
            StorageError: if it cannot be.
        """
        await self._writer.write(trace_of(plan, routed, at=at, salt=self._writer.salt, labels=labels))

    async def check(self) -> None:
        """See that a trace could be kept at this moment.

        Raises:
            StorageError: if not.
        """
        await self._writer.check()

    async def close(self) -> None:
        """Write what is waiting, then close the database."""
        await self._writer.close()
        self._engine.dispose()


def open_keeper(settings: ServeSettings) -> TraceKeeper:
    """Open the database of traces; its tables are made or brought up to date.

    Raises:
        StorageError: if it cannot be opened.
    """
    engine = open_engine(settings.store_url, settings.root)
    migrate(engine)
    return TraceKeeper(engine)
