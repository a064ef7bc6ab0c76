from __future__ import annotations

from pathlib import Path

import pytest

from microlith.errors import UsageError
from microlith.store.address import address_of, place_of

PASSWORD = "s3cr3t-word"


@pytest.mark.parametrize("url", [None, "", "  "])
def test_without_an_address_the_home_holds_the_file(url: str | None) -> None:
    address = address_of(url, Path("h"))
    assert (address.drivername, address.database) == ("sqlite+pysqlite", "h/microlith.db")


@pytest.mark.parametrize(
    ("url", "driver", "place"),
    [
        ("sqlite:///a/b.db", "sqlite+pysqlite", "a/b.db"),
        ("sqlite:////a/b.db", "sqlite+pysqlite", "/a/b.db"),
        (f"postgresql://u:{PASSWORD}@h/d", "postgresql+psycopg", "postgresql://u@h:5432/d"),
        (f"postgres://u:{PASSWORD}@h:99/d", "postgresql+psycopg", "postgresql://u@h:99/d"),
        (f" postgresql+psycopg://u:{PASSWORD}@h/d ", "postgresql+psycopg", "postgresql://u@h:5432/d"),
        (f"postgresql://h/d?password={PASSWORD}", "postgresql+psycopg", "postgresql://h:5432/d"),
        ("postgresql:///d?host=/run/pg&port=7", "postgresql+psycopg", "postgresql:///run/pg:7/d"),
    ],
)
def test_an_address_names_a_driver_and_a_place(url: str, driver: str, place: str) -> None:
    address = address_of(url, Path("h"))
    assert (address.drivername, place_of(address)) == (driver, place)


@pytest.mark.parametrize(
    ("url", "match"),
    [
        (f"mysql://u:{PASSWORD}@h/d", "'mysql'"),
        (f"postgresql+asyncpg://u:{PASSWORD}@h/d", "asyncpg"),
        (f"{PASSWORD}", "cannot be read"),
        (f"postgresql://u@h:{PASSWORD}/d", "cannot be read"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_another_address_is_refused_without_its_password(url: str, match: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        address_of(url, Path("h"))
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
