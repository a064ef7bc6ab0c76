"""Both databases that traces may be kept in. PostgreSQL is a real server, started once and stopped at the end."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import Engine

from microlith.store.engine import open_engine
from microlith.store.migrate import migrate

USER = "keeper"
ROOT = Path(__file__).parents[2]


class Server:
    """A PostgreSQL server of its own, with a password, in a temporary folder."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        # PostgreSQL refuses to run as root.
        self._who = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix="microlith-pg-", dir="/tmp"))
        self.password = secrets.token_hex(8)
        self.port = free_port()
        if self._who:
            shutil.chown(self.folder, **self._who)
        self._initialise()
        self.start()

    def _initialise(self) -> None:
        word = self.folder / "word"
        word.write_text(self.password, encoding="utf-8")
        word.chmod(0o644)
        self._run(
            "initdb", "--username", USER, "--pwfile", str(word), "--auth", "scram-sha-256", "--encoding", "UTF8",
            "--locale", "C.UTF-8", "--no-sync", "--pgdata", str(self.folder / "data"),
        )  # fmt: skip

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """Stop the server, by the process id in its own folder; again is harmless."""
        if (self.folder / "data/postmaster.pid").exists():
            self._control("stop", "-m", "fast")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", *, password: str | None = None, options: str = "") -> str:
        """An address; `options` are settings of the session, such as `-csearch_path=mine`."""
        settings = f"?options={quote(options)}" if options else ""
        return f"postgresql://{USER}:{password or self.password}@127.0.0.1:{self.port}/{database}{settings}"

    def new_schema(self) -> str:
        """An empty schema: as good as a database of one's own, and made at once."""
        name = f"s{secrets.token_hex(6)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return name

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "--wait", "--silent", "--pgdata", str(self.folder / "data"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / program, *arguments], check=True, cwd=self.folder, stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL, **self._who,
        )  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def server() -> Server | str:
    """The only server of this run, or why there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not found[-1].is_file():
        return "no PostgreSQL server is installed"
    if os.geteuid() == 0 and not any(entry.pw_name == "postgres" for entry in pwd.getpwall()):
        return "there is no user that a PostgreSQL server could run as"
    return Server(found[-1].parent)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    one = server()
    if isinstance(one, str):
        pytest.skip(one)
    yield one
    one.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'microlith.db'}"
    one: Server = request.getfixturevalue("postgres")
    return one.url(options=f"-csearch_path={one.new_schema()}")


@pytest.fixture
def engine(url: str, tmp_path: Path) -> Iterator[Engine]:
    """A migrated database of either kind."""
    one = open_engine(url, tmp_path)
    migrate(one)
    yield one
    one.dispose()


@contextmanager
def python(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs `code`; it is ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def sqlite_lock(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds SQLite's write lock until its input is closed or the block ends."""
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
        "connection.execute('ROLLBACK')\n"
        "connection.close()\n"
    )
    with python(code, str(path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process


@contextmanager
def unprivileged(*paths: Path) -> Iterator[None]:
    """Whoever runs the tests, without root's way around permissions; `paths` belong to that user."""
    if os.geteuid() != 0:
        yield
        return
    nobody = pwd.getpwnam("nobody")
    for path in paths:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    os.seteuid(nobody.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="microlith-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = Path(tempfile.mkdtemp(prefix="microlith-disk-", dir="/tmp"))
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
        )  # fmt: skip
        if mounted.returncode:
            pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        folder.rmdir()
