"""A tiny language model of a task's own, trained once, for the tests of its export."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from microlith.export.generative import Trained
from tests.training import scratch_small

_FOLDER = tempfile.TemporaryDirectory(prefix="scratch-")
ROWS = scratch_small.rows()
PLAN, SPEC = scratch_small.plan(), scratch_small.spec()


@cache
def trained() -> Trained:
    """The model, as the exporter takes it."""
    _, found = scratch_small.run(Path(_FOLDER.name) / "run", least_rows=800, passes=20)
    return Trained(folder=found.folder, prompt=found.prompt, context_tokens=found.settings.context_tokens)
