"""Starting and stopping a server process."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from microlith.errors import MissingExtra, UsageError
from microlith.serving.settings import ServeSettings

if TYPE_CHECKING:
    from microlith.serving.parts import Parts

EXTRA = 'pip install "microlith[serve]"'


def require_libraries() -> None:
    """See that what serving needs is installed.

    Raises:
        MissingExtra: naming the packages and the command.
    """
    from importlib.util import find_spec

    names = (
        "fastapi",
        "uvicorn",
        "httptools",
        "aiohttp",
        "sqlalchemy",
        "alembic",
        "prometheus_client",
        "mcp",
    )
    absent = [name for name in names if find_spec(name) is None]
    if absent:
        raise MissingExtra(f"serving needs {', '.join(absent)}", mend=EXTRA)


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that listens."""

    address: str
    seconds: float
    """From the call to its first answer."""
    parts: Parts


def run(settings: ServeSettings, *, ready: Callable[[Running], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; requests in hand are answered first.

    Args:
        settings: What is served, and where.
        ready: Told once when the server listens.

    Raises:
        MissingExtra: if a library is not installed.
        UsageError: if the port is taken, or the settings are unsafe.
        MicrolithError: if a task cannot be served.
    """
    began = perf_counter()
    require_libraries()
    import uvicorn

    from microlith.serving.app import make_app
    from microlith.serving.http_head import BoundedHead
    from microlith.serving.keeping import open_keeper
    from microlith.serving.logging_rules import LOG_CONFIG
    from microlith.serving.parts import make_parts

    listening = _listen(settings.host, settings.port)
    keeper = open_keeper(settings)
    parts = make_parts(settings, keeper=keeper)
    config = uvicorn.Config(
        make_app(parts, close=keeper.close), log_config=LOG_CONFIG, access_log=False, server_header=False, lifespan="on", http=BoundedHead, ws="none",
        timeout_graceful_shutdown=round(settings.stop_s), backlog=2048,
    )  # fmt: skip

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if ready is not None and self.started:
                ready(
                    Running(
                        address=_address(listening, settings.host),
                        seconds=perf_counter() - began,
                        parts=parts,
                    )
                )

    # uvicorn raises the signal once more when all is answered: then it is no accident, and the exit code is 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(config).run(sockets=[listening])


def run_mcp(settings: ServeSettings) -> None:
    """Serve tools on standard input and output until the client goes.

    Raises:
        MicrolithError: as `run` does.
    """
    require_libraries()
    from microlith.serving.keeping import open_keeper
    from microlith.serving.mcp_server import run_stdio
    from microlith.serving.parts import make_parts

    keeper = open_keeper(settings)
    parts = make_parts(settings, keeper=keeper)

    async def main() -> None:
        parts.desk.start()
        try:
            await run_stdio(parts.desk)
        finally:
            await parts.desk.close()
            await keeper.close()

    asyncio.run(main())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except (OSError, OverflowError) as error:
        made.close()
        why = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise UsageError(
            f"cannot listen on {host} port {port}: {why}",
            mend="name another with --port, or 0 for a free one",
        ) from error
    made.set_inheritable(True)
    return made


def _address(listening: socket.socket, host: str) -> str:
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
