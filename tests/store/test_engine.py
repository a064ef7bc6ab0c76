from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, insert, select, text

import microlith.store
from microlith.errors import MissingExtra, StorageError
from microlith.store.engine import Writer, open_engine, reading, writing
from microlith.store.migrate import migrate
from microlith.store.tables import SETTINGS
from tests.store.databases import Server, free_port, sqlite_lock, unprivileged

QUICK_S = 0.05


def add(engine: Engine, name: str, value: str = "v") -> None:
    with writing(engine) as connection:
        connection.execute(insert(SETTINGS), {"name": name, "value": value})


def names(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return set(connection.execute(select(SETTINGS.c.name)).scalars())


def test_a_transaction_is_kept_when_its_block_ends(engine: Engine) -> None:
    add(engine, "a")
    assert "a" in names(engine)


def test_a_transaction_that_raises_keeps_nothing(engine: Engine) -> None:
    with pytest.raises(RuntimeError), writing(engine) as connection:
        connection.execute(insert(SETTINGS), {"name": "a", "value": "v"})
        raise RuntimeError
    assert "a" not in names(engine)


def test_reading_does_not_wait_for_a_writer(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(insert(SETTINGS), {"name": "a", "value": "v"})
        assert "a" not in names(engine)


def test_a_row_that_is_there_is_refused_without_its_values(engine: Engine) -> None:
    add(engine, "a")
    with pytest.raises(StorageError, match="already") as caught:
        add(engine, "a", "private words")
    assert "private words" not in f"{caught.value}{caught.value.__cause__}"


def test_sqlite_writes_ahead_and_survives_a_kill(tmp_path: Path) -> None:
    with reading(open_engine(None, tmp_path / "new" / "home", busy_timeout_s=2.5)) as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 2500, "foreign_keys": 1}
    assert (tmp_path / "new" / "home" / "microlith.db").is_file()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A migrated SQLite file that nobody has open."""
    engine = open_engine(None, tmp_path)
    migrate(engine)
    engine.dispose()
    return tmp_path / "microlith.db"


def test_a_locked_file_says_so_and_where(file: Path) -> None:
    engine = open_engine(None, file.parent, busy_timeout_s=QUICK_S)
    with sqlite_lock(file), pytest.raises(StorageError, match="locked by another process") as caught:
        add(engine, "a")
    assert caught.value.problems[0].place == str(file)
    assert caught.value.problems[0].mend
    add(engine, "a")
    assert "a" in names(engine)


def test_a_file_that_is_gone_keeps_nothing_until_it_is_back(file: Path) -> None:
    engine = open_engine(None, file.parent)
    names(engine)
    file.rename(file.with_name("away"))
    with pytest.raises(StorageError, match="file is gone"):
        add(engine, "a")
    file.with_name("away").rename(file)
    add(engine, "b")
    assert names(engine) & {"a", "b"} == {"b"}
    engine.dispose()


def test_a_file_that_takes_the_databases_place_is_written(file: Path, tmp_path: Path) -> None:
    migrate(other := open_engine(None, tmp_path / "other"))
    other.dispose()
    engine = open_engine(None, file.parent)
    names(engine)
    (tmp_path / "other" / "microlith.db").replace(file)
    add(engine, "a")
    engine.dispose()
    assert "a" in names(open_engine(None, file.parent))


def test_a_writer_keeps_its_connection_while_the_file_is_the_same(file: Path, tmp_path: Path) -> None:
    migrate(other := open_engine(None, tmp_path / "other"))
    other.dispose()
    engine = open_engine(None, file.parent)
    writer = Writer(engine)

    def put(name: str) -> Connection:
        with writer.writing() as connection:
            connection.execute(insert(SETTINGS), {"name": name, "value": "x"})
        return connection

    assert put("a") is put("b")
    with pytest.raises(StorageError, match="such a row already"):
        put("a")
    first = put("c")
    (tmp_path / "away").mkdir()
    for one in file.parent.glob("microlith.db*"):  # what SQLite keeps beside it belongs to it
        one.rename(tmp_path / "away" / one.name)
    with pytest.raises(StorageError, match="file is gone"):
        put("d")
    (tmp_path / "other" / "microlith.db").replace(file)
    assert put("e") is not first
    writer.close()
    assert names(engine) & set("abcde") == {"e"}
    engine.dispose()


def test_a_file_of_other_content_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "microlith.db").write_text("a shopping list, not a database\n" * 99, encoding="utf-8")
    with pytest.raises(StorageError, match="no SQLite database"):
        open_engine(None, tmp_path)


def test_a_damaged_file_is_told(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    with pytest.raises(StorageError, match="damaged"):
        names(open_engine(None, file.parent))


def test_a_folder_in_the_files_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "microlith.db").mkdir()
    with pytest.raises(StorageError, match="a folder stands"):
        open_engine(None, tmp_path)


def test_a_file_in_the_homes_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="a file stands"):
        open_engine(None, tmp_path / "home")


def test_a_folder_that_may_not_be_written_is_told(open_folder: Path) -> None:
    with unprivileged(open_folder):
        open_folder.chmod(0o555)
        with pytest.raises(StorageError, match="folder may not be written"):
            open_engine(None, open_folder)
        with pytest.raises(StorageError, match="cannot be made"):
            open_engine(None, open_folder / "home")


def test_a_folder_that_may_not_be_entered_is_told(open_folder: Path) -> None:
    with unprivileged(open_folder):
        open_folder.chmod(0o000)
        with pytest.raises(StorageError, match="folder may not be written"):
            open_engine(None, open_folder)


def test_a_file_that_may_not_be_written_is_told(open_folder: Path) -> None:
    with unprivileged(open_folder):
        migrate(engine := open_engine(None, open_folder))
        engine.dispose()
        (open_folder / "microlith.db").chmod(0o444)
        with pytest.raises(StorageError, match="may not be written"):
            add(open_engine(None, open_folder), "a")


def test_a_file_that_may_not_be_read_is_told(open_folder: Path) -> None:
    with unprivileged(open_folder):
        (open_folder / "microlith.db").touch(mode=0o000)
        with pytest.raises(StorageError, match="may not be read"):
            open_engine(None, open_folder)


def test_a_full_disk_is_told_and_works_again_when_there_is_space(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 600_000)
    engine = open_engine(None, small_disk)
    try:
        migrate(engine)
        with pytest.raises(StorageError, match="disk is full"):
            for number in range(99):
                add(engine, f"n{number}", "x" * 20_000)
        before = names(engine)
        ballast.unlink()
        add(engine, "later")
        assert names(engine) == before | {"later"}
    finally:
        engine.dispose()


def test_a_server_that_is_down_is_told(tmp_path: Path) -> None:
    url = f"postgresql://u:s3cr3t-word@127.0.0.1:{free_port()}/d"
    with pytest.raises(StorageError, match="server cannot be used") as caught:
        open_engine(url, tmp_path)
    assert "s3cr3t-word" not in f"{caught.value}{caught.value.__cause__}"
    assert "postgresql://u@127.0.0.1" in str(caught.value)


def test_a_wrong_password_is_told_and_not_shown(postgres: Server, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not let this user in") as caught:
        open_engine(postgres.url(password="wr0ng-word"), tmp_path)
    assert "wr0ng-word" not in f"{caught.value}{caught.value.__cause__}"


def test_a_missing_database_is_told(postgres: Server, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such database"):
        open_engine(postgres.url("nowhere"), tmp_path)


def test_a_locked_table_is_told(postgres: Server, tmp_path: Path) -> None:
    engine = open_engine(
        postgres.url(options=f"-csearch_path={postgres.new_schema()}"), tmp_path, busy_timeout_s=QUICK_S
    )
    migrate(engine)
    with writing(engine) as holder:
        holder.execute(text("LOCK TABLE settings IN EXCLUSIVE MODE"))
        with pytest.raises(StorageError, match="locked"):
            add(engine, "a")
    add(engine, "a")
    engine.dispose()


def test_a_database_that_may_only_be_read_is_told(postgres: Server, tmp_path: Path) -> None:
    url = postgres.url(options=f"-csearch_path={postgres.new_schema()} -cdefault_transaction_read_only=on")
    with pytest.raises(StorageError, match="only be read"):
        migrate(open_engine(url, tmp_path))


def test_a_server_that_restarts_loses_no_later_write(postgres: Server, tmp_path: Path) -> None:
    engine = open_engine(postgres.url(options=f"-csearch_path={postgres.new_schema()}"), tmp_path)
    migrate(engine)
    postgres.stop()
    try:
        with pytest.raises(StorageError):
            add(engine, "a")
    finally:
        postgres.start()
    add(engine, "b")
    assert names(engine) & {"a", "b"} == {"b"}
    engine.dispose()


@pytest.mark.parametrize("missing", ["sqlalchemy", "alembic"])
def test_a_missing_package_names_its_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=r'pip install "microlith\[serve\]"'):
        importlib.reload(microlith.store)


def test_a_missing_driver_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r'pip install "microlith\[postgres\]"'):
        open_engine("postgresql://h/d", tmp_path)
