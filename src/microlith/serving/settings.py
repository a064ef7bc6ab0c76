"""Everything that a server can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from microlith.errors import UsageError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
GENERAL_URL, GENERAL_MODEL, GENERAL_KEY = (
    "MICROLITH_GENERAL_URL",
    "MICROLITH_GENERAL_MODEL",
    "MICROLITH_GENERAL_KEY",
)
"""Environment variables that name the general model of tasks that name none themselves."""
STORE = "MICROLITH_STORE"
"""Environment variable that names the database of the traces."""


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of one server."""

    root: Path
    """Home of artifacts, keys and traces."""
    tasks: tuple[str, ...] = ()
    """Packs or task folders to serve; empty for every task that was trained here."""
    host: str = "127.0.0.1"
    port: int = 8077
    """0 takes a free one."""
    general_url: str | None = None
    """OpenAI-compatible interface of the general model; None for none but those that tasks name."""
    general_model: str | None = None
    general_key: str = field(default="none", repr=False)
    store_url: str | None = None
    """Database of the traces; None for SQLite in the home."""
    most_inside: int = 256
    """Requests that are worked on or wait at a time; more are told to come again."""
    most_bytes: int = 1_000_000
    """Largest body of a request."""
    per_minute: int = 0
    """Requests of one caller in a minute; 0 for no limit."""
    body_timeout_s: float = 10.0
    """Longest time that a body may take to arrive."""
    watch_s: float = 1.0
    """Seconds between two looks at which version is live."""
    stop_s: float = 20.0
    """Longest time that requests in hand get when the server is told to stop."""
    threads: int = 0
    """Processor cores for models; 0 takes all."""

    def general_from(self, environment: Mapping[str, str]) -> tuple[str | None, str | None, str]:
        """Address, name and key of the general model: settings before the environment."""
        url = self.general_url or environment.get(GENERAL_URL) or None
        model = self.general_model or environment.get(GENERAL_MODEL) or None
        key = self.general_key if self.general_key != "none" else environment.get(GENERAL_KEY) or "none"
        return url, model, key


def check_settings(settings: ServeSettings, *, has_keys: bool) -> None:
    """Refuse what would be unsafe or cannot work.

    Raises:
        UsageError: if the server would listen to others without asking for keys, or a number is out of bounds.
    """
    if settings.host not in LOOPBACK and not has_keys:
        raise UsageError(
            f"the server would answer everybody on {settings.host} without a key",
            mend='make one first: microlith keys create NAME --task "*"; or listen on 127.0.0.1',
        )
    for name, least, most in (
        ("port", 0, 65535), ("most_inside", 1, 100_000), ("most_bytes", 1_000, 1 << 30), ("per_minute", 0, 10**6),
        ("threads", 0, 1024),
    ):  # fmt: skip
        value = getattr(settings, name)
        if not least <= value <= most:
            raise UsageError(f"{name} is {value}, a number from {least} to {most} is expected")
