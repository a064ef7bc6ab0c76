"""Smaller files of a finished GGUF file by llama.cpp's own program, for formats such as Q4_K_M."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from microlith.errors import ArtifactError, MissingExtra, UsageError
from microlith.inference.gguf_file import GgufFacts, read_gguf

PROGRAM = "llama-quantize"
FORMATS = (
    "Q2_K",
    "Q3_K_S",
    "Q3_K_M",
    "Q3_K_L",
    "Q4_K_S",
    "Q4_K_M",
    "Q5_K_S",
    "Q5_K_M",
    "Q6_K",
    "Q4_0",
    "Q5_0",
    "Q8_0",
    "IQ4_XS",
)
"""Formats that may be asked for; each works without a set of texts to weigh by."""


def quantized(
    source: Path, target: Path, *, file_format: str = "Q4_K_M", program: str | Path | None = None
) -> GgufFacts:
    """Write `source` with fewer bits a number.

    Args:
        source: A GGUF file of type f32 or f16.
        target: The file to write; one that is there is replaced.
        file_format: One of `FORMATS`.
        program: llama.cpp's `llama-quantize`; None looks for it on the PATH.

    Raises:
        UsageError: if the format is unknown or the file is quantized already.
        MissingExtra: if the program is not there.
        ArtifactError: if the source is damaged or the program fails; it quotes the last lines that it said.
    """
    if file_format.upper() not in FORMATS:
        raise UsageError(
            f"file_format={file_format!r} is unknown", mend=f"choose one of {', '.join(FORMATS)}"
        )
    facts = read_gguf(source)
    if any(tensor.kind not in ("F32", "F16", "BF16") for tensor in facts.tensors):
        raise UsageError("the file is quantized already", place=str(source), mend='write it as "f16" first')
    part = target.with_name(target.name + ".part")
    try:
        _run([_found(program), str(source), str(part), file_format.upper()], source)
        found = read_gguf(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return GgufFacts(**{**vars(found), "path": target})


def _found(program: str | Path | None) -> str:
    path = shutil.which(str(program or PROGRAM))
    if path is None:
        raise MissingExtra(
            f"{program or PROGRAM} is not on this machine; it makes formats such as Q4_K_M",
            mend="install llama.cpp (github.com/ggml-org/llama.cpp, or your system's package) and name its llama-quantize, "
            'or write "q8_0" or "q4_0", which need nothing',
        )
    return path


def _run(command: list[str], source: Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise MissingExtra(
            f"{command[0]} does not start: {error.strerror}", mend="install llama.cpp again"
        ) from error
    if done.returncode:
        said = " / ".join((done.stdout + done.stderr).strip().splitlines()[-3:])
        raise ArtifactError(f"{PROGRAM} failed with code {done.returncode}: {said}", place=str(source))
