"""Libraries that would talk to the terminal by themselves."""

from __future__ import annotations


def quiet_transformers() -> None:
    """Let transformers tell errors only, without progress bars."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
