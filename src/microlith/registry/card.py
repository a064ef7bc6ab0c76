"""The card of an artifact: what it is, what it was made of, and how well it does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

from microlith.errors import ArtifactError

CARD_FILE = "card.json"
"""The card's name in an artifact's folder."""

_STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class Base:
    """The pretrained model that an artifact was made of."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    name: str
    licence: str
    """SPDX name, or words where there is none."""
    sha256: str | None = None
    """Of its weights, 64 hex digits; None where unknown."""


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The rows that an artifact was made of."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    hash: str
    """Content hash of the data set."""
    splits: Mapping[str, int]
    """Name of the part ("train", "validation", "test", ...) -> rows."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measured number."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    value: float | None
    """None where it was not scored."""
    n: int
    """Cases that it was measured on, at least 0."""
    low: float | None = None
    """Lower end of the 95 % interval; None where there is none."""
    high: float | None = None
    """Upper end of the 95 % interval; None where there is none."""
    on: str = "test"
    """Part of the data that it was measured on."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How the exported model compares with the trained one."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    rows: int
    """Requests that both answered."""
    different: int
    """Answers that differ."""
    allowed: float
    """Largest share of different answers, 0-1, under which it may be registered."""
    confidence_shift: float
    """Mean absolute change of a decision's probability, 0-1."""
    exact_before: float
    """Share of right answers of the trained model, 0-1."""
    exact_after: float
    """Share of right answers of the exported model, 0-1."""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What the maker of an artifact says of it."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    kind: Literal["encoder", "generative", "linear", "nearest"]
    base: Base | None
    """None where nothing pretrained was used."""
    data: DataFacts
    seed: int
    libraries: Mapping[str, str]
    """Package -> version, of what training and export used."""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    parity: Parity | None = None
    """None where the artifact is the trained model itself."""
    settings: Mapping[str, bool | int | float | str | None] = field(default_factory=dict)
    """Every value of the recipe as it was used."""
    notes: str = ""
    """Anything a reader should know."""


@dataclass(frozen=True, kw_only=True)
class Card(CardFacts):
    """The whole card."""

    task: str
    version: int
    """1, 2, 3, ... in the order of registration."""
    created: str
    """When it was registered, UTC, ISO 8601."""
    schema_hash: str
    """Of the task's schema, see `microlith.registry.changes.schema_hash`."""
    files: Mapping[str, str]
    """Relative path of every file but the card -> its sha256, 64 hex digits."""
    artifact_hash: str
    """Of all file hashes: equal for equal files, whenever and under whatever version they were registered."""
    card_hash: str
    """Of the rest of the card: a changed number is found."""
    format: Literal[1] = 1
    """Version of the card's own form."""

    @property
    def name(self) -> str:
        """What predictions of this artifact are signed with, e.g. `infra@3`."""
        return f"{self.task}@{self.version}"

    def to_json(self) -> str:
        """The card as text."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def make_card(
    facts: CardFacts, *, task: str, version: int, created: str, schema_hash: str, files: Mapping[str, str]
) -> Card:
    """The card of filled files; its two hashes are computed.

    Raises:
        ArtifactError: if a value is not what the card's form says, e.g. a metric that is not finite.
    """
    values = {entry.name: getattr(facts, entry.name) for entry in fields(CardFacts)}
    card = Card(
        **values, task=task, version=version, created=created, schema_hash=schema_hash, files=dict(sorted(files.items())),
        artifact_hash=hash_of_files(files), card_hash="",
    )  # fmt: skip
    try:
        plain = json.loads(card.to_json())
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"the card cannot be written: {error}") from error
    plain["card_hash"] = _seal(plain)
    return read_card(json.dumps(plain), place=f"{task}@{version}")


def read_card(text: str, *, place: str) -> Card:
    """A card from its text.

    Raises:
        ArtifactError: with everything in it that is wrong; `place` is named in the message.
    """
    from pydantic import TypeAdapter, ValidationError

    from microlith.errors import Problem

    mend = "train again, or choose another version: `microlith models list`"
    try:
        card = TypeAdapter(Card).validate_json(text)
    except ValidationError as error:
        problems = [
            Problem(what=f"{'.'.join(map(str, one['loc'])) or 'card'}: {one['msg']}", place=place, mend=mend)
            for one in error.errors()
        ]
        raise ArtifactError(f"the card {place} cannot be read", problems=problems) from None
    plain = json.loads(text)
    for name, found, expected in (
        ("card_hash", card.card_hash, _seal(plain)),
        ("artifact_hash", card.artifact_hash, hash_of_files(card.files)),
    ):
        if found != expected:
            raise ArtifactError(
                f"the card was changed: its {name} is {found[:12]}, its contents give {expected[:12]}",
                place=place,
                mend=mend,
            )
    strange = [name for name in card.files if not _is_inside(name)]
    if strange:
        raise ArtifactError(
            f"the card names files outside its folder: {', '.join(strange)}", place=place, mend=mend
        )
    return card


def hash_of_files(files: Mapping[str, str]) -> str:
    """sha256 over the sorted paths and hashes of files."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def _seal(plain: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in plain.items() if key != "card_hash"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and ":" not in name
        and name != CARD_FILE
    )
