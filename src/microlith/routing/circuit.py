"""A circuit breaker: what failed several times in a row is left alone for a while (Nygard, Release It!, 2007).

A closed circuit lets every call through. After some failures in a row it opens and lets none through; when its pause is over
it is half open and lets one call through, which closes it or opens it for twice as long.
"""

from __future__ import annotations

from typing import Literal

from microlith.errors import UsageError

State = Literal["closed", "open", "half-open"]


class Circuit:
    """The breaker of one stage. It knows no clock: `now` is in seconds of one that never goes back.

    No method waits or yields, so calls from one event loop cannot come between one another; it is not made for threads.
    """

    def __init__(self, *, failures: int = 5, open_s: float = 30.0, longest_s: float = 600.0) -> None:
        """A closed circuit.

        Args:
            failures: So many in a row open it, at least 1.
            open_s: Its first pause, above 0.
            longest_s: No pause is longer, at least `open_s`.

        Raises:
            UsageError: if a value is out of bounds.
        """
        if failures < 1 or not 0 < open_s <= longest_s:
            raise UsageError(
                f"a circuit cannot have failures={failures}, open_s={open_s:g}, longest_s={longest_s:g}",
                mend="failures is at least 1, open_s above 0, longest_s at least open_s",
            )
        self._most, self._first_s, self._longest_s = failures, open_s, longest_s
        self._failed, self._pause_s = 0, open_s
        self._until: float | None = None
        """When the pause ends; None while closed."""
        self._probe_until: float | None = None
        """Until when the half-open circuit waits for the one call; None where none is out."""

    def state(self, now: float) -> State:
        """What it is at `now`; half open both before and after its one call has been let through."""
        if self._until is None:
            return "closed"
        return "open" if now < self._until else "half-open"

    def allows(self, now: float) -> bool:
        """May a call be made? True on a half-open circuit lets that one through, so ask only to call.

        A call that never reports back holds its place as long as the pause was, then another may go.
        """
        state = self.state(now)
        if state != "half-open":
            return state == "closed"
        if self._probe_until is not None and now < self._probe_until:
            return False
        self._probe_until = now + self._pause_s
        return True

    def succeeded(self, now: float) -> None:
        """A call was answered: the circuit closes, and its next pause is the first one again."""
        self._failed, self._pause_s = 0, self._first_s
        self._until = self._probe_until = None

    def failed(self, now: float) -> None:
        """A call failed. On an open circuit it is one that was made before, and changes nothing."""
        state = self.state(now)
        if state == "closed":
            self._failed += 1
            if self._failed >= self._most:
                self._until = now + self._pause_s
        elif state == "half-open":
            self._pause_s = min(2.0 * self._pause_s, self._longest_s)
            self._until, self._probe_until = now + self._pause_s, None
