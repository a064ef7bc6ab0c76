"""What a route costs, and what it would have cost to send every request to the general model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

from microlith.routing.route import Routed

GENERAL = "general"
"""Name of the stage that others are compared with."""
CHARACTERS_PER_TOKEN = 4
"""A rule of thumb for English text, for want of a count."""


@dataclass(frozen=True, kw_only=True)
class Savings:
    """What some requests cost, beside what the general model would have cost for all of them."""

    requests: int
    local: int
    """Requests that a stage of this machine answered."""
    general: int
    """Requests that the general model answered."""
    refused: int
    """Requests that nobody answered."""
    tokens_in: int
    """Read by remote models, for answers that were not given too."""
    tokens_out: int
    cost: float
    """Money spent, in the currency of the prices."""
    all_tokens_in: float
    """What the general model would have read for all requests."""
    all_tokens_out: float
    all_cost: float
    estimated: bool
    """True where no call of the general model was counted, so that these follow from the length of the texts; else they follow
    from the mean of the calls that were."""

    @property
    def local_share(self) -> float | None:
        """Share of the requests that were answered locally, 0-1; None where there are none."""
        return self.local / self.requests if self.requests else None

    @property
    def saved_tokens(self) -> float:
        """Tokens that were not spent; below 0 where the route spent more."""
        return self.all_tokens_in + self.all_tokens_out - self.tokens_in - self.tokens_out

    @property
    def saved_cost(self) -> float:
        """Money that was not spent; below 0 where the route spent more."""
        return self.all_cost - self.cost


class Ledger:
    """Counts requests as they are answered. It keeps sums only. Used from one event loop."""

    def __init__(self, *, price_in: float = 0.0, price_out: float = 0.0, prompt_characters: int = 0) -> None:
        """An empty ledger.

        Args:
            price_in: Money for a million tokens that the general model reads.
            price_out: Money for a million tokens that it writes.
            prompt_characters: About how long its prompt is without the request, for the estimate.
        """
        self._price_in, self._price_out, self._prompt = price_in, price_out, prompt_characters
        self._local = self._general = self._refused = 0
        self._spent, self._measured, self._guessed = _Sum(), _Sum(), _Sum()

    def add(self, routed: Routed) -> None:
        """Count one request."""
        if routed.stage is None:
            self._refused += 1
        elif routed.stage == GENERAL:
            self._general += 1
        else:
            self._local += 1
        is_measured = False
        for hop in routed.hops:
            self._spent.add(hop.tokens_in, hop.tokens_out, hop.cost)
            if hop.stage == GENERAL and hop.tokens_in:
                is_measured = True
                self._measured.add(hop.tokens_in, hop.tokens_out, hop.cost)
        if not is_measured:
            self._guess(routed)

    def savings(self) -> Savings:
        """What all requests so far come to."""
        spent, measured, guessed = self._spent, self._measured, self._guessed
        like = measured if measured.calls else guessed
        times = guessed.calls / max(like.calls, 1)
        return Savings(
            requests=self._local + self._general + self._refused,
            local=self._local,
            general=self._general,
            refused=self._refused,
            tokens_in=spent.tokens_in,
            tokens_out=spent.tokens_out,
            cost=spent.cost,
            all_tokens_in=measured.tokens_in + times * like.tokens_in,
            all_tokens_out=measured.tokens_out + times * like.tokens_out,
            all_cost=measured.cost + times * like.cost,
            estimated=not measured.calls,
        )

    def _guess(self, routed: Routed) -> None:
        """What the general model would have read and written, from the length of request and answer."""
        answer = "" if routed.prediction.output is None else json.dumps(routed.prediction.output)
        tokens_in = tokens_of(self._prompt + len(routed.request))
        tokens_out = tokens_of(len(answer))
        cost = price(tokens_in, tokens_out, price_in=self._price_in, price_out=self._price_out)
        self._guessed.add(tokens_in, tokens_out, cost)


@dataclass(kw_only=True)
class _Sum:
    """Of some calls."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0

    def add(self, tokens_in: int, tokens_out: int, cost: float) -> None:
        """Count one more."""
        self.calls += 1
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out
        self.cost += cost


def savings_of(
    routed: Iterable[Routed], *, price_in: float = 0.0, price_out: float = 0.0, prompt_characters: int = 0
) -> Savings:
    """What `routed` come to; see `Ledger`."""
    ledger = Ledger(price_in=price_in, price_out=price_out, prompt_characters=prompt_characters)
    for one in routed:
        ledger.add(one)
    return ledger.savings()


def price(tokens_in: int, tokens_out: int, *, price_in: float, price_out: float) -> float:
    """Money for so many tokens at prices per million."""
    return (tokens_in * price_in + tokens_out * price_out) / 1_000_000


def tokens_of(characters: int) -> int:
    """About how many tokens a text of so many characters has."""
    return math.ceil(characters / CHARACTERS_PER_TOKEN)
