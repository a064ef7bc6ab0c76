"""The row that everything in `data` passes on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from microlith.task.plan import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One request with its right answer, and where it came from."""

    input: str
    output: Json
    source: str
    """`file:line` of the row a person wrote, or `template:NAME`, `teacher:MODEL`; kin share it."""
    group: str | None = None
    """A label for per-group scores and for the split: rows of one group stay on one side; None for none."""
    weight: float = 1.0
    """Weight in training, > 0."""
    verified: bool = False
    """True when a person has confirmed the answer."""
    parents: tuple[str, ...] = ()
    """`source` of every row this one was made of; empty for an original row."""
    made_by: str | None = None
    """How it was made: "resample", "compose", "noise", "repeat", "template", "teacher"; None for an original row."""

    @property
    def key(self) -> str:
        """Content hash (hex, 16 digits) of input and output."""
        text = json.dumps([self.input, self.output], sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
