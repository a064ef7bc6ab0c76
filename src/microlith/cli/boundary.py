"""The edge of the program: every way in which a command can end becomes an exit code and at most a few lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from microlith.errors import MicrolithError, outcome

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
CRASHED = 70
"""Exit code after an error that Microlith did not foresee."""
RESUMABLE = frozenset({"train", "demo"})
"""Commands that go on where they were interrupted."""
BROKEN_PIPE = 141
"""Exit code when the reader of our output went away, as a shell reports it."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: What stands behind the program's name.

    Returns:
        0 when all is well; 1-9 as `errors.OUTCOMES` says; 2 also for a command line that cannot be read;
        `INTERRUPTED`, `CRASHED` or `BROKEN_PIPE`.
    """
    as_json, debug = "--json" in arguments, "--debug" in arguments or "MICROLITH_DEBUG" in os.environ
    try:
        return _dispatch([one for one in arguments if one != "--debug"])
    except MicrolithError as error:
        from microlith.cli.terminal import show_error

        show_error(error, as_json=as_json, debug=debug)
        return outcome(error)[1]
    except KeyboardInterrupt:
        resumes = "; the same command goes on from the last checkpoint" if RESUMABLE & set(arguments) else ""
        sys.stderr.write(f"\ninterrupted{resumes}\n")
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except Exception as error:  # the last boundary: a person gets a line, and the traceback on request
        return _crash(error, debug=debug)


def _dispatch(arguments: list[str]) -> int:
    import typer

    from microlith.cli.app import app

    try:
        code = app(args=arguments, standalone_mode=False, prog_name="microlith")
        sys.stdout.flush()
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except typer.TyperException as error:
        error.show() if hasattr(error, "show") else sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    if code == INTERRUPTED:  # typer has turned Ctrl-C into an exit code
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _crash(error: Exception, *, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
        return CRASHED
    first = (str(error).strip() or "no message").splitlines()[0][:300]
    sys.stderr.write(
        f"error: this should not have happened: {type(error).__name__}: {first}\n"
        "  mend add --debug to the command for the traceback, and report it with the command\n"
    )
    return CRASHED


def _silence_stdout() -> None:
    """Point standard output at nothing, so that closing it at exit raises nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
