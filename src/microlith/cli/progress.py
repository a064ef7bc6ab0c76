"""Events of long work as progress: a live line in a terminal, plain lines in a file, JSON lines for machines."""

from __future__ import annotations

import sys
from collections.abc import Generator
from dataclasses import asdict
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from microlith.cli.terminal import emit, err
from microlith.events import Event, Progress, StageDone, StageStarted, Step, Validation, Warned

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

Result = TypeVar("Result")
EVERY_S = 10.0
"""Seconds between two lines about training steps where there is no live line."""
SPARKS = "▁▂▃▄▅▆▇█"


class Listener(Protocol):
    """Shows events."""

    def hear(self, event: Event) -> None:
        """Show one event."""

    def close(self) -> None:
        """Leave the terminal tidy, also after an error."""


def follow(work: Generator[Event, None, Result], *, as_json: bool) -> Result:
    """Run `work` to its end, show its events on standard error, and give back its result."""
    listener = listener_of(as_json=as_json)
    try:
        while True:
            listener.hear(next(work))
    except StopIteration as stop:
        found: Result = stop.value
        return found
    finally:
        listener.close()
        work.close()


def listener_of(*, as_json: bool) -> Listener:
    """The listener that suits the reader: a machine, a terminal or a file."""
    if as_json:
        return JsonListener()
    return LiveListener() if sys.stderr.isatty() else PlainListener()


class JsonListener:
    """One JSON object a line, on standard error; the result alone goes to standard output."""

    def hear(self, event: Event) -> None:
        """Write the event with its class name in snake case as `event`."""
        emit(event_facts(event), stream=sys.stderr)

    def close(self) -> None:
        """Nothing is open."""


def event_facts(event: Event) -> dict[str, Any]:
    """An event as JSON."""
    name = "".join(f"_{char.lower()}" if char.isupper() else char for char in type(event).__name__)
    return {"event": name.lstrip("_"), **asdict(event)}


class PlainListener:
    """Lines, for logs."""

    def __init__(self) -> None:
        self._told = monotonic()
        self._curve = Curve()

    def hear(self, event: Event) -> None:
        """Write a line, for steps only every `EVERY_S` seconds."""
        self._curve.add(event)
        match event:
            case Step() | Progress() if not is_last(event) and monotonic() - self._told < EVERY_S:
                return
            case Step():
                self._told = monotonic()
                line(f"  {step_text(event, self._curve.score)}")
            case Progress():
                self._told = monotonic()
                line(f"  {event.stage} {progress_text(event)}")
            case Validation():
                pass
            case _:
                tell(event, self._curve)

    def close(self) -> None:
        """Nothing is open."""


class LiveListener:
    """A line that moves while the model trains; finished stages scroll up."""

    def __init__(self) -> None:
        self._curve = Curve()
        self._bars: Bars | None = None
        self._bar: TaskID | None = None

    def hear(self, event: Event) -> None:
        """Move the line."""
        self._curve.add(event)
        if isinstance(event, Step):
            self._move(event.step, event.steps, step_text(event, self._curve.score))
        elif isinstance(event, Progress):
            self._move(event.done, event.total, progress_text(event))
        elif isinstance(event, StageStarted):
            self._begin(event)
        elif not isinstance(event, Validation):
            if isinstance(event, StageDone):
                self.close()
            tell(event, self._curve)

    def close(self) -> None:
        """Take the moving line away."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._bar = None

    def _begin(self, event: StageStarted) -> None:
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bars

        self.close()
        self._bars = Bars(
            SpinnerColumn(style="cyan"), TextColumn("{task.description}"), BarColumn(bar_width=24),
            TextColumn("{task.fields[facts]}"), console=err(), transient=True,
        )  # fmt: skip
        self._bars.start()
        self._bar = self._bars.add_task(f"{event.stage:<10}", total=None, facts=event.detail)

    def _move(self, done: int, total: int, facts: str) -> None:
        if self._bars is not None and self._bar is not None:
            self._bars.update(self._bar, total=total or None, completed=done, facts=facts)


class Curve:
    """What training has told so far."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.score = ""
        """What the validation part last said; empty before."""

    def add(self, event: Event) -> None:
        """Remember what the event says about the learning; a stage that begins starts a new curve."""
        match event:
            case StageStarted():
                self.losses, self.score = [], ""
            case Step(loss=loss):
                self.losses.append(loss)
            case Validation(exact=float(exact)):
                self.score = f"validation {exact:.1%}"
            case Validation(loss=float(loss)):
                self.score = f"validation loss {loss:.3f}"

    def summary(self) -> str:
        """The loss as a row of bars with its first and last value; empty before the first step."""
        if not self.losses:
            return ""
        return f"loss {self.losses[0]:.2f} {sparkline(self.losses, 24)} {self.losses[-1]:.3f}"


def sparkline(values: list[float], width: int) -> str:
    """`values` as at most `width` bars, the lowest value the lowest bar; the values are thinned by their means."""
    count = min(width, len(values))
    edges = [round(index * len(values) / count) for index in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[round((value - low) * scale)] for value in means)


def step_text(event: Step, score: str) -> str:
    """Where training stands: step, loss, validation score, speed, time left."""
    scored = f"  {score}" if score else ""
    return (
        f"step {event.step}/{event.steps}  loss {event.loss:.3f}{scored}  "
        f"{event.rows_per_s:.0f} rows/s  {clock_text(event.seconds_left)} left"
    )


def progress_text(event: Progress) -> str:
    """How far a stage is."""
    counted = f"{event.done:,} of {event.total:,}" if event.total else f"{event.done:,}"
    return f"{counted}  {event.detail}".rstrip()


def is_last(event: Step | Progress) -> bool:
    """True for the event that ends its stage."""
    return event.step >= event.steps if isinstance(event, Step) else 0 < event.total <= event.done


def clock_text(seconds: float) -> str:
    """Seconds as minutes and seconds, `3:07`; hours before them from one hour on."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def tell(event: Event, curve: Curve) -> None:
    """A lasting line about a stage that is done, or a warning."""
    match event:
        case StageDone():
            facts = "  ".join(part for part in (event.detail, curve.summary()) if part)
            mark, spent = ("=", "reused") if event.reused else ("✓", f"{event.seconds:.1f} s")
            line(f"{mark} {event.stage:<10} {facts}", end=spent)
        case Warned():
            line(f"! {event.what}", style="yellow")


def line(text: str, *, end: str = "", style: str | None = None) -> None:
    """A line on standard error, with a dim remark behind it."""
    from rich.text import Text

    shown = Text(text, style=style or "")
    if end:
        shown.append(f"  {end}", style="dim")
    err().print(shown, soft_wrap=True)
