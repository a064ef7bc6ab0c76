"""What this machine's processor computes well."""

from __future__ import annotations

from pathlib import Path


def computes_bf16() -> bool:
    """Does the processor multiply bf16 matrices in hardware?"""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def precision_of(wanted: str) -> str:
    """ "bf16" or "float32": as wanted, and for "auto" bf16 where the processor has instructions for it."""
    if wanted != "auto":
        return wanted
    return "bf16" if computes_bf16() else "float32"
