"""Bring a database to the tables of this Microlith."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from microlith.errors import StorageError
from microlith.store.address import place_of
from microlith.store.engine import reading, writing

_FOLDER = Path(__file__).with_name("migrations")
_LOCK_KEY = 0x6D6963726F6C6974
"""Of PostgreSQL's advisory lock: "microlit" in ASCII."""
_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps the running migration in module globals."""


def migrate(engine: Engine) -> None:
    """Make or change the tables where that is needed. Any number of processes may do so at once.

    Raises:
        StorageError: if the database is of a newer Microlith, holds other tables of these names, or refuses; it is then
            as it was.
    """
    scripts = ScriptDirectory.from_config(_config())
    with reading(engine) as connection:
        if _is_current(connection, scripts, engine):
            return
    with _ONE_AT_A_TIME, writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        if not _is_current(connection, scripts, engine):
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_current(connection: Connection, scripts: ScriptDirectory, engine: Engine) -> bool:
    found = set(MigrationContext.configure(connection).get_current_heads())
    unknown = found - {script.revision for script in scripts.walk_revisions()}
    if unknown:
        raise StorageError(
            f"the database is of a newer Microlith: it is at {', '.join(sorted(unknown))}, "
            f"and this one knows up to {scripts.get_current_head()}",
            place=place_of(engine.url),
            mend="upgrade Microlith, or name another database",
        )
    return found == set(scripts.get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
