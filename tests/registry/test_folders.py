from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from microlith.errors import StorageError
from microlith.registry import folders
from microlith.registry.folders import (
    PART,
    clear_parts,
    disk,
    new_part,
    rename_new,
    replace_text,
    write_through,
)


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may not be written"),
        (errno.EFBIG, "larger"),
        (errno.EIO, "error"),
    ],
)
def test_what_the_disk_refuses_is_a_storage_error(number: int, what: str) -> None:
    with pytest.raises(StorageError, match=what) as caught, disk(Path("somewhere")):
        raise OSError(number, "no")
    assert caught.value.problems[0].place == "somewhere"
    assert caught.value.problems[0].mend


def test_other_errors_pass() -> None:
    with pytest.raises(FileNotFoundError), disk(Path("somewhere")):
        raise FileNotFoundError(errno.ENOENT, "no", "file")


def test_a_part_gets_its_name_only_once(tmp_path: Path) -> None:
    one, other = new_part(tmp_path), new_part(tmp_path)
    (one / "file").write_text("1", encoding="utf-8")
    (other / "file").write_text("2", encoding="utf-8")
    assert rename_new(one, tmp_path / "final")
    assert not rename_new(other, tmp_path / "final")
    assert (tmp_path / "final" / "file").read_text(encoding="utf-8") == "1"
    assert other.is_dir()


def test_the_name_may_be_taken_between_looking_and_renaming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, final = new_part(tmp_path), tmp_path / "final"
    (part / "file").write_text("1", encoding="utf-8")
    final.mkdir()
    (final / "file").write_text("2", encoding="utf-8")
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert not rename_new(part, final)
    assert (final / "file").read_text(encoding="utf-8") == "2"


def test_everything_is_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x", encoding="utf-8")
    synced: list[str] = []
    monkeypatch.setattr(folders, "_sync", lambda path: synced.append(path.relative_to(tmp_path).as_posix()))
    write_through(tmp_path)
    assert sorted(synced) == [".", "a", "a/b", "a/b/file"]


def test_a_text_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x" / "alias"
    replace_text(path, "1")
    replace_text(path, "2")
    assert path.read_text(encoding="utf-8") == "2"

    def full(handle: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        replace_text(path, "3")
    assert path.read_text(encoding="utf-8") == "2"
    assert [one.name for one in path.parent.iterdir()] == ["alias"]


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_parts_of_dead_processes_are_cleared_and_others_kept(tmp_path: Path) -> None:
    host = socket.gethostname()[:40]
    dead = tmp_path / f"{PART}{host}-{dead_process()}-00~"
    foreign = tmp_path / f"{PART}elsewhere-1-00~"
    mine, whole = new_part(tmp_path), tmp_path / "1"
    for folder in (dead, foreign, whole):
        folder.mkdir()
    assert clear_parts(tmp_path, now=foreign.stat().st_mtime + 10) == [dead]
    assert sorted(tmp_path.iterdir()) == sorted([foreign, mine, whole])
    assert clear_parts(tmp_path, now=foreign.stat().st_mtime + folders.FORGOTTEN_AFTER_S + 1) == [foreign]


def test_clearing_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert clear_parts(tmp_path / "absent") == []
