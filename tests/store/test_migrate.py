from __future__ import annotations

import multiprocessing
import subprocess
import sys
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from microlith.errors import StorageError
from microlith.store.engine import open_engine, reading, writing
from microlith.store.migrate import _config, migrate
from microlith.store.settings import setting
from microlith.store.tables import METADATA, REVISION


def test_the_migrations_make_the_tables_that_are_declared(engine: Engine) -> None:
    with reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_the_last_migration_is_the_one_that_is_declared() -> None:
    assert ScriptDirectory.from_config(_config()).get_heads() == [REVISION]


def test_a_current_database_is_opened_without_the_library_of_migrations(tmp_path: Path) -> None:
    migrate(open_engine(None, tmp_path))
    program = (
        "import sys; from pathlib import Path; from microlith.store.engine import open_engine;"
        "from microlith.store.migrate import migrate; migrate(open_engine(None, Path(sys.argv[1])));"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == 0


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    salt = setting(engine, "salt")
    migrate(engine)
    assert setting(engine, "salt") == salt


def test_every_database_has_a_salt_of_its_own(tmp_path: Path) -> None:
    salts = set()
    for name in ("a", "b"):
        migrate(engine := open_engine(None, tmp_path / name))
        salts.add(setting(engine, "salt"))
    assert len(salts) == 2
    assert {len(salt) for salt in salts} == {64}


def test_a_lost_setting_is_told(engine: Engine) -> None:
    with pytest.raises(StorageError, match="'pepper'"):
        setting(engine, "pepper")


def test_a_database_of_a_newer_microlith_is_refused(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match=r"newer Microlith.*9999.*0001") as caught:
        migrate(engine)
    assert caught.value.problems[0].place


def test_a_migration_that_fails_leaves_the_database_as_it_was(url: str, tmp_path: Path) -> None:
    engine = open_engine(url, tmp_path)
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE traces (somebody_elses integer)"))
    with pytest.raises(StorageError, match="refuses"):
        migrate(engine)
    assert set(inspect(engine).get_table_names()) <= {"traces", "alembic_version"}
    with reading(engine) as connection:
        assert MigrationContext.configure(connection).get_current_heads() == ()
    engine.dispose()


def migrate_at(barrier: Barrier, url: str, home: Path, salts: SimpleQueue[str]) -> None:
    barrier.wait()
    engine = open_engine(url, home, busy_timeout_s=60)
    migrate(engine)
    salts.put(setting(engine, "salt"))


def test_processes_that_migrate_at_once_do_not_disturb_each_other(url: str, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    barrier, salts = fork.Barrier(4), fork.SimpleQueue()
    processes = [fork.Process(target=migrate_at, args=(barrier, url, tmp_path, salts)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert len({salts.get() for _ in processes}) == 1
