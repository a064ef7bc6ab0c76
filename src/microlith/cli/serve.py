"""`serve`: the server, or a server of tools on standard input and output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from microlith.cli.options import AsJson

if TYPE_CHECKING:
    from microlith.serving.settings import ServeSettings
    from microlith.serving.start import Running


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Answer over HTTP, in every dialect, or as MCP tools.")(serve)


def serve(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK]...", help="Tasks to serve; default: all that were trained here."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="Address to listen on; another than this machine's own needs keys."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Port to listen on; 0 takes a free one.")] = 8077,
    general: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="OpenAI-compatible address of the general model [MICROLITH_GENERAL_URL]."
        ),
    ] = None,
    general_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Its name there [MICROLITH_GENERAL_MODEL; its key: MICROLITH_GENERAL_KEY]."
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Database of the traces [MICROLITH_STORE]; default: SQLite in the home."
        ),
    ] = None,
    per_minute: Annotated[
        int, typer.Option(metavar="N", help="Requests of one caller in a minute; 0 for no limit.")
    ] = 0,
    most_inside: Annotated[
        int, typer.Option(metavar="N", help="Requests worked on or waiting; more are told to come again.")
    ] = 256,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Speak MCP on standard input and output instead of HTTP.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve tasks until told to stop (Ctrl-C or SIGTERM; requests in hand are answered first).

    Dialects: Microlith's own (/v1/tasks/TASK/predict), OpenAI (/v1/chat/completions), Ollama (/api/chat),
    decisions (/v1/systemone), MCP (/mcp), the routes that packs name, /metrics for Prometheus, /docs for people.
    What `microlith models promote` makes live is taken up without a restart.

    Examples:

      microlith serve infra cli-intent

      microlith serve --general http://127.0.0.1:11434/v1 --general-model llama3.2

      microlith serve infra --mcp
    """
    import os

    from microlith.registry.home import home
    from microlith.serving.settings import STORE, ServeSettings
    from microlith.serving.start import run

    settings = ServeSettings(
        root=home().absolute(), tasks=tuple(tasks or ()), host=host, port=port, general_url=general, general_model=general_model,
        store_url=store or os.environ.get(STORE) or None, per_minute=per_minute, most_inside=most_inside,
    )  # fmt: skip
    if mcp:
        from microlith.serving.start import run_mcp

        run_mcp(settings)
        return
    run(settings, ready=lambda running: _tell(running, settings, as_json=as_json))


def _tell(running: Running, settings: ServeSettings, *, as_json: bool) -> None:
    """Say, once the server listens, what it serves and where."""
    from microlith.cli.terminal import emit, err

    lines = running.parts.desk.lines
    if as_json:
        emit(
            {
                "address": running.address, "seconds": round(running.seconds, 2),
                "tasks": {one.served.task.name: {"model": one.served.model, "route": list(one.served.route), "notes": list(one.notes)}
                          for one in lines},
            }
        )  # fmt: skip
        return
    out = err()
    for one in lines:
        threshold = "" if one.served.threshold is None else f", believed from {one.served.threshold:.3f} on"
        out.print(
            f"{one.served.task.name}: {' > '.join(one.served.route)} ({one.served.model or 'no specialist'}{threshold})",
            markup=False,
        )
        for note in one.notes:
            out.print(f"  ! {note}", markup=False, soft_wrap=True)
    out.print(
        f"listening on {running.address} after {running.seconds:.1f} s; pages: {running.address}/docs",
        markup=False,
    )
