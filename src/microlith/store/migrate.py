"""Bring a database to the tables of this Microlith."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from microlith.errors import StorageError
from microlith.store.address import place_of
from microlith.store.engine import reading, writing
from microlith.store.tables import REVISION

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

_FOLDER = Path(__file__).with_name("migrations")
_LOCK_KEY = 0x6D6963726F6C6974
"""Of PostgreSQL's advisory lock: "microlit" in ASCII."""
_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps the running migration in module globals."""
_VERSIONS = "alembic_version"
"""Alembic's own table, with one row: the number of the last migration."""


def migrate(engine: Engine) -> None:
    """Make or change the tables where that is needed. Any number of processes may do so at once.

    Raises:
        StorageError: if the database is of a newer Microlith, holds other tables of these names, or refuses; it is then
            as it was.
    """
    with reading(engine) as connection:
        if _revisions(connection) == {REVISION}:
            return  # without Alembic, which takes long to import
    _upgrade(engine)


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config()
    scripts = ScriptDirectory.from_config(config)
    with _ONE_AT_A_TIME, writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        found = _revisions(connection)
        _refuse_newer(found, scripts, engine)
        if found != {REVISION}:  # else another process was quicker
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _revisions(connection: Connection) -> set[str]:
    """Numbers of the migrations that the database has reached: none where it is new."""
    if not inspect(connection).has_table(_VERSIONS):
        return set()
    return set(connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalars())


def _refuse_newer(found: set[str], scripts: ScriptDirectory, engine: Engine) -> None:
    unknown = found - {script.revision for script in scripts.walk_revisions()}
    if unknown:
        raise StorageError(
            f"the database is of a newer Microlith: it is at {', '.join(sorted(unknown))}, "
            f"and this one knows up to {REVISION}",
            place=place_of(engine.url),
            mend="upgrade Microlith, or name another database",
        )


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
