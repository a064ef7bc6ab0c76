"""What belongs to one database alone, such as the salt of its hashes."""

from __future__ import annotations

from sqlalchemy import Engine, select

from microlith.errors import StorageError
from microlith.store.address import place_of
from microlith.store.engine import reading
from microlith.store.tables import SETTINGS


def setting(engine: Engine, name: str) -> str:
    """A value of the database's own, such as `salt`.

    Raises:
        StorageError: if there is none, or the database refuses.
    """
    with reading(engine) as connection:
        value = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.name == name)).scalar()
    if value is None:
        raise StorageError(
            f"the database has lost its setting {name!r}", place=place_of(engine.url), mend="put back a copy"
        )
    return str(value)
