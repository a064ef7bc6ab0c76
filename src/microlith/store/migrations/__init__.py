"""Numbered migrations, run by `microlith.store.migrate`; alembic finds them by this folder."""
