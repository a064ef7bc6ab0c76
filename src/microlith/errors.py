"""Every error that Microlith raises on purpose.

    MicrolithError
    ├── UsageError              a command or function was called with values that cannot work
    ├── TaskError               a task folder is wrong
    │   ├── UnknownTask         no task of that name
    │   ├── TaskFileError       task.toml is wrong
    │   └── SchemaError         schema.json is wrong or uses what Microlith cannot decide
    ├── DataError               a row, a file of rows or a split is wrong
    │   └── LeakError           rows kin to a test row would have been trained on
    ├── TrainingError           training cannot start or go on
    │   └── MissingBase         the pretrained base is not on this machine
    ├── ArtifactError           an artifact is missing, incomplete or damaged
    │   └── ParityError         the exported model answers differently from the trained one
    ├── GateFailed              a score is below what the caller demanded
    ├── MissingExtra            an optional dependency is not installed
    ├── TeacherError            a remote model did not give a usable answer
    ├── RequestError            a caller's request cannot be answered as it stands
    │   ├── NotAllowed          the key is missing or wrong
    │   │   └── NotForTask      the key is a good one, but not for this task
    │   ├── TooLarge            the request is larger than the server takes
    │   ├── TooSlow             the request did not arrive in time
    │   └── Overloaded          too many requests; try again later
    └── StorageError            the disk refused (full, read-only, not ours)

An error says what is wrong, which value, what was expected, where (file and line of the
user's own data) and how to mend it. A `Problem` is one such finding; an error carries one or many,
so that a broken file is reported whole and not one mistake at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, where, and what to do about it."""

    what: str
    """What is wrong, naming the value and what was expected."""
    place: str | None = None
    """`file:line`, `file:line:column` or a JSON pointer; None when there is no place."""
    mend: str | None = None
    """What the reader should do; None when `what` already says it."""

    def __str__(self) -> str:
        text = f"{self.place}: {self.what}" if self.place else self.what
        return f"{text} -> {self.mend}" if self.mend else text


class MicrolithError(Exception):
    """The root of the tree. `problems` holds every finding, at least one."""

    def __init__(
        self,
        what: str,
        *,
        place: str | None = None,
        mend: str | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        self.what = what
        self.problems: tuple[Problem, ...] = tuple(problems) or (Problem(what=what, place=place, mend=mend),)
        super().__init__(what)

    def __str__(self) -> str:
        if len(self.problems) == 1 and self.problems[0].what == self.what:
            return str(self.problems[0])
        return "\n".join([self.what, *(f"  {problem}" for problem in self.problems)])


class UsageError(MicrolithError):
    """A command or function was called with values that cannot work."""


class TaskError(MicrolithError):
    """A task folder is wrong."""


class UnknownTask(TaskError):
    """No task of that name exists."""


class TaskFileError(TaskError):
    """task.toml is wrong."""


class SchemaError(TaskError):
    """schema.json is wrong, or uses what Microlith cannot decide."""


class DataError(MicrolithError):
    """A row, a file of rows or a split is wrong."""


class LeakError(DataError):
    """Rows kin to a test row would have been trained on."""


class TrainingError(MicrolithError):
    """Training cannot start or go on."""


class MissingBase(TrainingError):
    """The pretrained base is not on this machine."""


class ArtifactError(MicrolithError):
    """An artifact is missing, incomplete or damaged."""


class ParityError(ArtifactError):
    """The exported model answers differently from the model it was made of."""


class GateFailed(MicrolithError):
    """A score is below what the caller demanded."""


class MissingExtra(MicrolithError):
    """An optional dependency is not installed."""


class TeacherError(MicrolithError):
    """A remote model did not give a usable answer."""


class StorageError(MicrolithError):
    """The disk refused: full, read-only or not ours."""


class RequestError(MicrolithError):
    """A caller's request cannot be answered as it stands."""


class NotAllowed(RequestError):
    """The caller's key is missing or wrong."""


class NotForTask(NotAllowed):
    """The key is a good one, but not for this task."""


class TooLarge(RequestError):
    """The request is larger than the server takes."""


class TooSlow(RequestError):
    """The request did not arrive in time."""


class Overloaded(RequestError):
    """Too many requests at a time. `retry_after_s` says when to come again, in seconds."""

    def __init__(self, what: str, *, retry_after_s: float, mend: str | None = None) -> None:
        super().__init__(what, mend=mend or f"try again in {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


def first_line(error: BaseException) -> str:
    """What a foreign error says first, at most 200 characters; its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


OUTCOMES: dict[type[MicrolithError], tuple[int, int]] = {
    MicrolithError: (500, 1),
    GateFailed: (422, 1),
    UsageError: (400, 2),
    TaskError: (400, 3),
    UnknownTask: (404, 3),
    DataError: (422, 4),
    TrainingError: (500, 5),
    ArtifactError: (500, 6),
    MissingExtra: (501, 7),
    TeacherError: (502, 8),
    StorageError: (507, 9),
    RequestError: (400, 2),
    NotAllowed: (401, 2),
    NotForTask: (403, 2),
    TooLarge: (413, 2),
    TooSlow: (408, 2),
    Overloaded: (429, 2),
}
"""HTTP status and process exit code per error class; a subclass without a row takes its parent's."""


def outcome(error: MicrolithError) -> tuple[int, int]:
    """The HTTP status and the exit code (1-9) that stand for `error`."""
    return next(OUTCOMES[kind] for kind in type(error).__mro__ if kind in OUTCOMES)
