"""`keys`: who may ask the server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microlith.cli.options import AsJson

if TYPE_CHECKING:
    from microlith.serving.keys import Entry, KeyStore

KeyName = Annotated[str, typer.Argument(metavar="NAME", help="Who the key is for, e.g. ci or the-office.")]

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Seconds of the units that a length of time may be given in."""


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="API keys of the server, and what each may ask."
    )
    group.command(short_help="Make a key; it is shown this once.")(create)
    group.command("list", short_help="Every key's name, tasks and end.")(list_)
    group.command(short_help="Exchange a key; the old one works a while longer.")(rotate)
    group.command(short_help="End a key now.")(revoke)
    app.add_typer(group, name="keys")


def create(
    name: KeyName,
    tasks: Annotated[
        list[str], typer.Option("--task", metavar="TASK", help='A task that it may ask; again for more, "*" for all.')
    ],
    days: Annotated[
        int | None, typer.Option("--days", metavar="N", min=1, max=36500, help="It ends after so many days; default: never.")
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Make a key and show it. Only a hash of it is kept; a running server takes it at the next request.

    As soon as there is one key, every caller needs one.

    Examples:

      microlith keys create ci --task infra --task cli-intent --days 90

      microlith keys create the-office --task "*"
    """
    key, entry = _store().create(name, tuple(tasks), days)
    _show_new(key, entry, as_json=as_json)


def list_(as_json: AsJson = False) -> None:
    """List every key without the key itself. During a rotation a name stands twice.

    Examples:

      microlith keys list

      microlith keys list --json
    """
    import time

    from microlith.cli.tables import show_table
    from microlith.cli.terminal import emit, say

    store, now = _store(), time.time()
    entries = store.list()
    if as_json:
        emit(
            {
                "file": str(store.path),
                "keys": [_facts(one) | {"is_expired": one.is_expired(now)} for one in entries],
            }
        )
    elif not entries:
        say(f'{store.path} holds no key: only callers on this machine are answered; begin with: microlith keys create ci --task "*"')  # fmt: skip
    else:
        rows = [(*_row(one), "expired" if one.is_expired(now) else "") for one in entries]
        show_table(("name", "id", "tasks", "made (UTC)", "ends (UTC)", ""), rows)


def rotate(
    name: KeyName,
    grace: Annotated[
        str, typer.Option("--grace", metavar="TIME", help="The old key works so much longer: 0s, 90s, 10m, 24h, 7d.")
    ] = "10m",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Make a new key for the same name and tasks and show it. The old one ends after the grace.

    Examples:

      microlith keys rotate ci

      microlith keys rotate ci --grace 24h
    """
    key, entry = _store().rotate(name, seconds_of(grace))
    _show_new(key, entry, as_json=as_json)


def revoke(name: KeyName, as_json: AsJson = False) -> None:
    """End every key of a name. A running server refuses it from the next request on.

    Examples:

      microlith keys revoke ci
    """
    from microlith.cli.terminal import counted, emit, say

    store = _store()
    gone, left = store.revoke(name), len(store.list())
    if as_json:
        emit({"name": name, "revoked": gone, "left": left})
        return
    say(f"revoked {counted(gone, 'key')} of {name}; {counted(left, 'key')} left")
    if not left:
        say("no key is left: callers on this machine are now answered without one, all others not at all")


def seconds_of(text: str) -> float:
    """`10m` as 600; units are s, m, h and d.

    Raises:
        UsageError: if it cannot be read.
    """
    from microlith.errors import UsageError

    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip())
    if not found:
        raise UsageError(f"{text!r} is no length of time", mend="write 0s, 90s, 10m, 24h or 7d")
    return float(int(found[1]) * UNITS[found[2]])


def _store() -> KeyStore:
    from microlith.registry import home
    from microlith.serving.keys import FILE_NAME, KeyStore

    return KeyStore(home() / FILE_NAME)


def _show_new(key: str, entry: Entry, *, as_json: bool) -> None:
    from microlith.cli.tables import show_table
    from microlith.cli.terminal import emit, say

    if as_json:
        emit({"key": key} | _facts(entry))
        return
    say(key, style="bold")
    show_table(("name", "id", "tasks", "made (UTC)", "ends (UTC)"), [_row(entry)])
    say('it is shown this once; send it as "Authorization: Bearer KEY"')


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name, "key_id": entry.key_id, "tasks": list(entry.tasks), "created": entry.created.isoformat(),
        "expires": entry.expires.isoformat() if entry.expires is not None else None,
    }  # fmt: skip


def _row(entry: Entry) -> tuple[str, ...]:
    ends = f"{entry.expires:%Y-%m-%d %H:%M}" if entry.expires is not None else "never"
    return entry.name, entry.key_id, ", ".join(entry.tasks), f"{entry.created:%Y-%m-%d %H:%M}", ends
