"""Folders that are either whole or not there.

A folder is filled under a name that begins with `.part-`, written through to the disk and then renamed. Whoever reads sees
only whole folders; what a killed process left behind is cleared away by the next writer.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from microlith.errors import StorageError

PART = ".part-"
"""Prefix of folders that are being filled."""
FORGOTTEN_AFTER_S = 24 * 3600
"""A part of another machine is taken for left behind after so many seconds."""

_REFUSALS = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free some space"),
    errno.EFBIG: ("the file is larger than this process may write", "raise the file size limit"),
    errno.EROFS: ("the disk is read-only", "name a writable folder with MICROLITH_HOME"),
    errno.EACCES: ("this folder may not be written", "name a writable folder with MICROLITH_HOME"),
    errno.EPERM: ("this folder may not be written", "name a writable folder with MICROLITH_HOME"),
    errno.EIO: ("the disk reports an error", "check the disk"),
    errno.ENOTDIR: (
        "a file stands where a folder is expected",
        "move it, or name another folder with MICROLITH_HOME",
    ),
    errno.ENAMETOOLONG: ("the path is too long", "use a shorter folder or task name"),
}


@contextmanager
def disk(place: Path) -> Iterator[None]:
    """Turns what the disk refuses inside the block into a StorageError that names `place`.

    Raises:
        StorageError: where the disk is full, read-only, not ours or broken; other errors pass.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        what, mend = _REFUSALS[error.errno]
        raise StorageError(what, place=str(error.filename or place), mend=mend) from error


def part_name(final: str = "") -> str:
    """A name that nobody else has: who fills the folder and, after a tilde, the name that it shall get."""
    return f"{PART}{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}~{final}"


def new_part(parent: Path, final: str = "") -> Path:
    """A new empty folder inside `parent` under a `part_name`; `parent` is made where it is missing.

    Raises:
        StorageError: if the disk refuses.
    """
    part = parent / part_name(final)
    with disk(parent):
        parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
    return part


def write_through(folder: Path) -> None:
    """Force every file and folder under `folder` to the disk."""
    for current, _, files in os.walk(folder):
        for name in files:
            _sync(Path(current, name))
        _sync(Path(current))


def rename_new(part: Path, final: Path) -> bool:
    """Give a filled folder its final name; False if the name is taken, and then nothing has changed.

    Raises:
        StorageError: if the disk refuses.
    """
    if final.exists():
        return False
    with disk(final):
        try:
            part.rename(final)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY) or (os.name == "nt" and final.exists()):
                return False
            raise
        _sync(final.parent)
    return True


def replace_text(path: Path, text: str) -> None:
    """Write a small file so that readers see the old text or the new one, never a part.

    Raises:
        StorageError: if the disk refuses; the old text is then still there.
    """
    part = path.with_name(f"{PART}{path.name}-{secrets.token_hex(4)}")
    with disk(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="utf-8")
            _sync(part)
            part.replace(path)
            _sync(path.parent)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def discard(part: Path) -> None:
    """Remove a folder that never got its final name; what cannot be removed now is left to `clear_parts`."""
    shutil.rmtree(part, ignore_errors=True)


def clear_parts(parent: Path, *, now: float | None = None) -> list[Path]:
    """Remove folders in `parent` whose writer is gone, and give their paths back; `now` is seconds since 1970."""
    moment = time.time() if now is None else now
    left = [part for part in parts(parent) if is_left_behind(part, moment)]
    for part in left:
        discard(part)
    return left


def parts(parent: Path) -> list[Path]:
    """Folders in `parent` that are being filled or were left behind, sorted; empty where there is no such folder."""
    try:
        return sorted(path for path in parent.iterdir() if path.name.startswith(PART) and path.is_dir())
    except OSError:
        return []


def is_left_behind(part: Path, now: float) -> bool:
    """True when the process that filled `part` is gone; that of another machine, when nothing happened for long."""
    host, _, process = part.name.removeprefix(PART).partition("~")[0].rpartition("-")[0].rpartition("-")
    if host == socket.gethostname()[:40] and process.isdecimal() and os.name == "posix":
        return not _is_alive(int(process))
    try:
        return now - part.stat().st_mtime > FORGOTTEN_AFTER_S
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path) -> None:
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(file: Path) -> str:
    """Hash of a file's content, 64 hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
