"""Settings for the property tests: the machine may be busy, so no example has a deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("task", deadline=None, max_examples=60)
settings.load_profile("task")
