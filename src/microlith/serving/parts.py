"""What a server is made of."""

from __future__ import annotations

from dataclasses import dataclass

from microlith.serving.keys import KeyStore
from microlith.serving.live import Keeper, LiveDesk
from microlith.serving.metrics import Metrics
from microlith.serving.settings import ServeSettings, check_settings
from microlith.serving.spans import Spans


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a server is made of."""

    settings: ServeSettings
    desk: LiveDesk
    metrics: Metrics
    keys: KeyStore


def make_parts(settings: ServeSettings, *, keeper: Keeper) -> Parts:
    """Load the tasks and everything around them.

    Raises:
        MicrolithError: if a task cannot be served, or the settings are unsafe.
    """
    keys = KeyStore(settings.root / "keys.json")
    check_settings(settings, has_keys=keys.required)
    metrics = Metrics()
    desk = LiveDesk(settings, keeper, [metrics, Spans()])
    metrics.watch_queue(lambda: desk.inside)
    desk.open()
    return Parts(settings=settings, desk=desk, metrics=metrics, keys=keys)
