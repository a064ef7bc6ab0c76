"""Where traces are kept: the engine and the migrations of its tables."""

from __future__ import annotations

from microlith.errors import MissingExtra

try:
    import alembic  # noqa: F401
    import sqlalchemy  # noqa: F401
except ImportError as error:
    raise MissingExtra(
        "sqlalchemy and alembic are not installed; traces are kept with them",
        mend='run: pip install "microlith[serve]"',
    ) from error
