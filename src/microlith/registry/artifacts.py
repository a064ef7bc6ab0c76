"""Artifacts: numbered, whole, and the same bytes when opened as when registered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from microlith.errors import ArtifactError, Problem, UsageError
from microlith.registry.card import CARD_FILE, Card, CardFacts, make_card, read_card
from microlith.registry.changes import changes, schema_hash
from microlith.registry.folders import (
    clear_parts,
    discard,
    disk,
    new_part,
    rename_new,
    replace_text,
    sha256_of,
    write_through,
)
from microlith.registry.home import artifacts_of, checked_name, home

SCHEMA_FILE = "schema.json"
"""The schema that an artifact was made for, in its folder."""
LATEST, LIVE = "latest", "live"
"""Aliases: the highest version; the version that answers callers."""

_ATTEMPTS = 1000
_MEND = "train again, or choose another version: `microlith models list`"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A registered artifact."""

    folder: Path
    card: Card


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One version as a list shows it; its files are not checked."""

    task: str
    version: int
    folder: Path
    card: Card | None
    """None where the card cannot be read."""
    aliases: tuple[str, ...]
    problem: str | None = None
    """Why there is no card."""


class Draft:
    """An artifact that is being made. Write its files into `folder`, prove them there, then `publish`."""

    def __init__(self, task: str, schema: Mapping[str, Any], folder: Path) -> None:
        self.task, self.schema, self.folder = task, schema, folder
        self.published: Artifact | None = None

    def publish(self, facts: CardFacts, *, created: datetime) -> Artifact:
        """Register the files under the next version number; until then nobody sees them.

        Args:
            facts: What the card says of them.
            created: When, with a time zone.

        Raises:
            ArtifactError: if there are no files, or the card cannot be written.
            UsageError: if `created` has no time zone, or the draft is already published.
            StorageError: if the disk refuses; nothing is then registered.
        """
        if self.published is not None:
            raise UsageError(f"this draft is already published as {self.published.card.name}")
        with disk(self.folder):
            text = json.dumps(self.schema, indent=2, ensure_ascii=False)
            (self.folder / SCHEMA_FILE).write_text(text, encoding="utf-8", errors="surrogatepass")
            files = _hashes(self.folder)
        if not set(files) - {SCHEMA_FILE}:
            raise ArtifactError("the artifact has no files", place=str(self.folder))
        self.published = self._register(facts, files, _utc(created))
        return self.published

    def _register(self, facts: CardFacts, files: Mapping[str, str], created: str) -> Artifact:
        parent = self.folder.parent
        for _ in range(_ATTEMPTS):
            version = max(_versions(parent), default=0) + 1
            card = make_card(
                facts,
                task=self.task,
                version=version,
                created=created,
                schema_hash=schema_hash(self.schema),
                files=files,
            )
            with disk(self.folder):
                (self.folder / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
                write_through(self.folder)
            if rename_new(self.folder, parent / str(version)):
                return Artifact(folder=parent / str(version), card=card)
        raise ArtifactError(f"no free version number after {_ATTEMPTS} attempts", place=str(parent))


@contextmanager
def draft(task: str, schema: Mapping[str, Any], *, root: Path | None = None) -> Iterator[Draft]:
    """An artifact in the making; what is not published when the block ends is removed.

    Args:
        task: The task's name.
        schema: The task's schema as it is written, kept with the artifact.
        root: Home of the artifacts; None takes `home()`.

    Raises:
        StorageError: if the disk refuses, also inside the block.
        UsageError: if the task's name cannot be a folder's.
    """
    parent = artifacts_of(task, root or home())
    clear_parts(parent)
    started = Draft(task, schema, new_part(parent))
    try:
        with disk(started.folder):
            yield started
    finally:
        if started.published is None:
            discard(started.folder)


def open_artifact(
    task: str,
    version: str | int = LATEST,
    *,
    schema: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> Artifact:
    """Open an artifact and verify every file.

    Args:
        task: The task's name.
        version: A number, "latest" or another alias.
        schema: The task's schema of today; the artifact must have been made for the same. None asks nothing.
        root: Home of the artifacts; None takes `home()`.

    Raises:
        ArtifactError: if there is no such version, a file is missing, added or changed, or the schema is another one; with
            every finding.
    """
    parent = artifacts_of(task, root or home())
    number = resolve(task, version, root=root)
    artifact = Artifact(folder=parent / str(number), card=_card(parent / str(number)))
    if (artifact.card.task, artifact.card.version) != (task, number):
        raise ArtifactError(
            f"the card is that of {artifact.card.name}, expected {task}@{number}",
            place=str(artifact.folder),
            mend=_MEND,
        )
    problems = _file_problems(artifact)
    if problems:
        raise ArtifactError(f"the artifact {artifact.card.name} is damaged", problems=problems)
    if schema is not None:
        _demand_schema(artifact, schema)
    return artifact


def resolve(task: str, version: str | int = LATEST, *, root: Path | None = None) -> int:
    """The number that a version or alias stands for.

    Raises:
        ArtifactError: if there is none.
    """
    parent = artifacts_of(task, root or home())
    versions = _versions(parent)
    if not versions:
        raise ArtifactError(
            f"no artifact of {task} is registered", place=str(parent), mend=f"microlith train {task}"
        )
    if version == LATEST:
        return max(versions)
    number = _alias(parent, version) if isinstance(version, str) and not version.isdecimal() else int(version)
    if number is None and version == LIVE:
        raise ArtifactError(
            f"no version of {task} is live",
            place=str(parent),
            mend=f"microlith models promote {task} VERSION",
        )
    if number not in versions:
        raise ArtifactError(
            f"{task} has no version {version!r}",
            place=str(parent),
            mend=f"there are {', '.join(map(str, versions))} and {LATEST}",
        )
    return int(number)


def list_artifacts(task: str | None = None, *, root: Path | None = None) -> tuple[Listing, ...]:
    """Every version of a task, or of all tasks, the newest first within a task; files are not verified."""
    base = (root or home()) / "artifacts"
    if task is not None:
        tasks = [checked_name(task)]
    else:
        tasks = sorted(folder.name for folder in base.iterdir() if folder.is_dir()) if base.is_dir() else []
    return tuple(
        _listing(name, version, base / name)
        for name in tasks
        for version in sorted(_versions(base / name), reverse=True)
    )


def aliases(task: str, *, root: Path | None = None) -> dict[str, int]:
    """Alias -> version: "latest", and every alias that was set and still stands for a version; empty without artifacts."""
    parent = artifacts_of(task, root or home())
    versions = _versions(parent)
    if not versions:
        return {}
    folder = parent / "aliases"
    names = sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
    found = {name: _alias(parent, name) for name in names}
    return {LATEST: max(versions), **{name: number for name, number in found.items() if number in versions}}


def set_alias(task: str, name: str, version: str | int, *, root: Path | None = None) -> int:
    """Let `name` stand for a version; gives its number back.

    Raises:
        UsageError: if the name is "latest", a number, or cannot be a file's.
        ArtifactError: if there is no such version.
        StorageError: if the disk refuses; the alias then stands for what it stood for.
    """
    if name == LATEST or name.isdecimal():
        raise UsageError(
            f"{name!r} cannot be set: it follows from the versions",
            mend=f"set {LIVE!r} or a name of your own",
        )
    number = resolve(task, version, root=root)
    folder = artifacts_of(task, root or home()) / "aliases"
    replace_text(folder / checked_name(name, "alias"), f"{number}\n")
    return number


def _listing(task: str, version: int, parent: Path) -> Listing:
    names = tuple(
        name for name, number in aliases(task, root=parent.parent.parent).items() if number == version
    )
    folder = parent / str(version)
    try:
        return Listing(task=task, version=version, folder=folder, card=_card(folder), aliases=names)
    except ArtifactError as error:
        return Listing(
            task=task, version=version, folder=folder, card=None, aliases=names, problem=str(error)
        )


def _versions(parent: Path) -> list[int]:
    try:
        names = [path.name for path in parent.iterdir() if path.is_dir()]
    except OSError:
        return []
    return sorted(
        int(name) for name in names if name.isdecimal() and name.isascii() and str(int(name)) == name
    )


def _alias(parent: Path, name: str) -> int | None:
    try:
        text = (parent / "aliases" / checked_name(name, "alias")).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdecimal() else None


def _card(folder: Path) -> Card:
    place = folder / CARD_FILE
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"the card cannot be read: {error}", place=str(place), mend=_MEND) from error
    return read_card(text, place=str(place))


def _hashes(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ArtifactError(f"{name} is a link; an artifact holds plain files", place=str(path))
        if path.is_file() and name != CARD_FILE:
            found[name] = sha256_of(path)
    return found


def _file_problems(artifact: Artifact) -> list[Problem]:
    problems = []
    found = _present(artifact.folder)
    for name, expected in artifact.card.files.items():
        place = str(artifact.folder / name)
        if name not in found:
            problems.append(
                Problem(what=f"{name} is missing, expected sha256 {expected[:12]}", place=place, mend=_MEND)
            )
            continue
        try:
            actual = sha256_of(artifact.folder / name)
        except OSError as error:
            problems.append(Problem(what=f"{name} cannot be read: {error.strerror}", place=place, mend=_MEND))
            continue
        if actual != expected:
            what = f"{name} was changed: sha256 is {actual[:12]}, expected {expected[:12]}"
            problems.append(Problem(what=what, place=place, mend=_MEND))
    for name in sorted(found - set(artifact.card.files)):
        problems.append(
            Problem(
                what=f"{name} does not belong to the artifact",
                place=str(artifact.folder / name),
                mend="remove it",
            )
        )
    return problems


def _present(folder: Path) -> set[str]:
    names = (
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() or path.is_symlink()
    )
    return {name for name in names if name != CARD_FILE}


def _demand_schema(artifact: Artifact, schema: Mapping[str, Any]) -> None:
    if artifact.card.schema_hash == schema_hash(schema):
        return
    before = json.loads((artifact.folder / SCHEMA_FILE).read_text(encoding="utf-8", errors="surrogatepass"))
    found = changes(before, schema) or ("the order of keywords",)
    mend = f"train again: `microlith train {artifact.card.task}`, or take the change back"
    raise ArtifactError(
        f"{artifact.card.name} was made for another schema than the task has today",
        problems=[
            Problem(what=change, mend=mend if index == 0 else None) for index, change in enumerate(found[:20])
        ],
    )


def _utc(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise UsageError(f"the time {moment} has no time zone", mend="pass datetime.now(UTC)")
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
