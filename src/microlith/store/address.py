"""Which database an address names."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from microlith.errors import UsageError

FILE = "microlith.db"
"""Name of the SQLite file in the home."""
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
}
_MEND = "write postgresql://user:password@host:5432/database or sqlite:////path/to/file.db, or leave it out"


def address_of(url: str | None, root: Path) -> URL:
    """The database that `url` names; without one the SQLite file in the home `root`.

    Raises:
        UsageError: if `url` is none of SQLite or PostgreSQL. Its text is never shown, since it may hold a password.
    """
    if url is None or not url.strip():
        return URL.create("sqlite+pysqlite", database=str(root / FILE))
    try:
        address = make_url(url.strip())
    except (ArgumentError, ValueError):
        # The cause is dropped: it quotes pieces of the address, and a badly escaped password is one of them.
        raise UsageError("the address of the database cannot be read", mend=_MEND) from None
    driver = _DRIVERS.get(address.drivername)
    if driver is None:
        raise UsageError(
            f"the address of the database begins with {address.drivername!r}; expected sqlite or postgresql",
            mend=_MEND,
        )
    if driver.startswith("sqlite") and address.database in (None, "", ":memory:"):
        raise UsageError(
            "the address of the database names no file; traces in memory would be lost", mend=_MEND
        )
    return address.set(drivername=driver)


def place_of(address: URL) -> str:
    """The database in words, without its password: the file's path, or `postgresql://user@host:port/name`."""
    if address.get_backend_name() == "sqlite":
        return str(address.database)
    user = f"{address.username}@" if address.username else ""
    host = address.host or address.query.get("host") or "localhost"
    port = address.port or address.query.get("port") or 5432
    return f"postgresql://{user}{host}:{port}/{address.database or ''}"
