"""The same examples at every run, so that a failure comes with the commit that caused it; `make fuzz` looks for new ones."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("new", derandomize=False)
settings.load_profile("same")
