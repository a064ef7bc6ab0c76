"""Traces, and the database's own settings with the salt of its hashes."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables and draw the salt."""
    settings = op.create_table(
        "settings", sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )
    op.bulk_insert(settings, [{"name": "salt", "value": secrets.token_hex(32)}])
    op.create_table(
        "traces",
        sa.Column("trace_id", sa.Text, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("request_hash", sa.Text, nullable=False),
        sa.Column("output", sa.JSON),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("stage", sa.Text),
        sa.Column("refusal", sa.Text),
        sa.Column("latency_ms", sa.Double, nullable=False),
        sa.Column("model_ms", sa.Double, nullable=False),
        sa.Column("tokens_in", sa.Integer, nullable=False),
        sa.Column("tokens_out", sa.Integer, nullable=False),
        sa.Column("cost", sa.Double, nullable=False),
        sa.Column("hops", sa.JSON, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
    )
    op.create_index("traces_task_at", "traces", ["task", "at"])
    op.create_index("traces_at", "traces", ["at"])
