"""Where traces are kept: the engine and the migrations of its tables."""

from __future__ import annotations

from importlib.util import find_spec

from microlith.errors import MissingExtra

# Alembic is looked for and not imported: it takes long, and only a database that is not current needs it.
if any(find_spec(name) is None for name in ("sqlalchemy", "alembic")):
    raise MissingExtra(
        "sqlalchemy and alembic are not installed; traces are kept with them",
        mend='run: pip install "microlith[serve]"',
    )
