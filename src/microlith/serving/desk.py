"""What the server's dialects ask: the tasks that are served, and an answer to a request of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from microlith.registry.card import Card
from microlith.routing.cost import Savings
from microlith.routing.route import Routed, Stage, Turn
from microlith.task.plan import Json
from microlith.task.taskfile import Task

if TYPE_CHECKING:
    from microlith.routing.general_prompt import GeneralPrompt


@dataclass(frozen=True, kw_only=True)
class Served:
    """One task as it is served at this moment."""

    task: Task
    model: str | None
    """Name of the specialist that answers, e.g. `infra@3`; None where none is registered."""
    card: Card | None
    """The specialist's card; None where none is registered."""
    route: tuple[str, ...]
    """Names of the stages that are asked, in turn."""
    threshold: float | None
    """Confidence, 0-1, below which the specialist is not believed; None where no confidence keeps the error budget."""
    since: datetime
    """Since when this specialist answers, with a time zone."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as a dialect hands it on."""

    task: str
    request: Json
    """Text; for a task of structured requests an object, or text that holds one."""
    turns: Sequence[Turn] = ()
    """Earlier turns of the conversation, oldest first; a task that declares none does not see them."""
    force: str | None = None
    """"specialist" or "general": only this stage is asked; None asks the route."""
    deadline_s: float | None = None
    """Seconds within which the answer must be there; None for the task's own limit."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Kept with the trace, such as the appliance or the dialect."""
    general: Stage | None = None
    """A general model that the caller brings along; None for the configured one."""


class Desk(Protocol):
    """Where the dialects ask."""

    def served(self) -> tuple[Served, ...]:
        """Every task that is served, by name."""
        ...

    def find(self, task: str) -> Served:
        """One task.

        Raises:
            UnknownTask: if it is not served.
        """
        ...

    def prompt(self, task: str) -> GeneralPrompt:
        """What a general model is told of a task: its schema, the nearest labelled rows, passages of documentation.

        Raises:
            UnknownTask: if it is not served.
        """
        ...

    def savings(self) -> Mapping[str, Savings]:
        """What the requests of each task cost since the server began, beside what the general model would have."""
        ...

    async def answer(self, call: Call) -> Routed:
        """Answer one request; its trace is kept when this returns.

        A request that no stage may answer comes back with a prediction without an output, which says why.

        Raises:
            UnknownTask: if the task is not served.
            DataError: if the request is of the wrong kind.
            TooLarge: if it is larger than the server takes.
            Overloaded: if there are too many.
            StorageError: if the trace cannot be kept; the answer is then not given.
        """
        ...
