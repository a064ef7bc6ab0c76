"""What the processor computes well."""

from __future__ import annotations

from pathlib import Path

import pytest

from microlith.training.processor import precision_of


@pytest.mark.parametrize("wanted", ["bf16", "float32"])
def test_what_is_asked_for_is_taken(wanted: str) -> None:
    assert precision_of(wanted) == wanted


@pytest.mark.parametrize(
    ("flags", "found"),
    [("fpu amx_bf16 sse", "bf16"), ("avx512_bf16", "bf16"), ("fpu sse avx2", "float32"), (None, "float32")],
)
def test_auto_goes_by_the_processors_instructions(
    flags: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path, **_: object) -> str:
        if flags is None:
            raise FileNotFoundError(path)
        return flags

    monkeypatch.setattr(Path, "read_text", read)
    assert precision_of("auto") == found
