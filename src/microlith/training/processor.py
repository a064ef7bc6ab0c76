"""What this machine's processor computes well."""

from __future__ import annotations

from pathlib import Path


def precision_of(wanted: str) -> str:
    """ "bf16" or "float32": as wanted, and for "auto" bf16 where the processor has instructions for it."""
    if wanted != "auto":
        return wanted
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "float32"
    return "bf16" if "amx_bf16" in flags or "avx512_bf16" in flags else "float32"
