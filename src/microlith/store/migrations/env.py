"""Alembic runs this file by its path: it migrates over the connection that `microlith.store.migrate` hands in."""

from __future__ import annotations

from alembic import context

# The transaction belongs to that connection, so all migrations are kept or none.
context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
