"""The tables as they are after the last migration."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import JSON, Column, DateTime, Double, Index, Integer, MetaData, Table, Text, TypeDecorator
from sqlalchemy.engine import Dialect

REVISION = "0001"
"""Number of the last migration in `microlith.store.migrations`, after which these are the tables."""
METADATA = MetaData()


class Moment(TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps it as text that sorts by time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


TRACES = Table(
    "traces",
    METADATA,
    Column("trace_id", Text, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("task", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("output", JSON(none_as_null=True)),
    Column("confidence", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("stage", Text),
    Column("refusal", Text),
    Column("latency_ms", Double, nullable=False),
    Column("model_ms", Double, nullable=False),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("cost", Double, nullable=False),
    Column("hops", JSON, nullable=False),
    Column("labels", JSON, nullable=False),
    Index("traces_task_at", "task", "at"),
    Index("traces_at", "at"),
)
"""One row an answered request; `microlith.feedback.trace.Trace` says what each column holds."""

SETTINGS = Table(
    "settings",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""What belongs to this database alone: `salt`, random, in hex, under which requests are hashed; `tried`, written where a disk is
tried after it had refused."""
