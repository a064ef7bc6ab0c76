"""`export`: an artifact as a folder for somewhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microlith.cli.options import AsJson, ModelName, TaskName


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Write an artifact as a folder: smaller, for Ollama, or its adapter.")(export)


def export(
    task: TaskName,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write; absent or empty.")
    ],
    model: ModelName = None,
    file_type: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="NAME",
            help="f16, q8_0, q4_0, or q4_k_m, q5_k_m, q6_k through llama.cpp's llama-quantize; default: as it is.",
        ),
    ] = None,
    adapter_of: Annotated[
        str | None,
        typer.Option(
            "--adapter", metavar="BASE", help="Write the LoRA adapter alone, for this base (GGUF file or Ollama name)."
        ),
    ] = None,
    quantizer: Annotated[
        Path | None, typer.Option("--quantizer", metavar="FILE", help="llama-quantize, where it is not on the PATH.")
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Write an artifact's files into a folder that works by itself.

    A language model's folder holds the GGUF file and a Modelfile: `ollama create NAME -f Modelfile` takes it, so does
    any llama.cpp. A smaller number format is proven first; one that changes more answers than it may is refused.

    Examples:

      microlith export task-plan --output plan

      microlith export task-plan --type q8_0 --output plan-q8

      microlith export cli-intent --adapter smollm2:1.7b --output cli-adapter
    """
    from microlith.cli.progress import follow
    from microlith.cli.terminal import emit, say
    from microlith.task import load_task
    from microlith.workflow.export import export as work

    found = follow(
        work(load_task(task), output, model=model, file_type=file_type, adapter_of=adapter_of, quantizer=quantizer),
        as_json=as_json,
    )  # fmt: skip
    if as_json:
        emit(found.to_json())
        return
    say(
        f"\n{found.model} as {found.file_type}: {found.folder}, {found.size_bytes / 1e6:.1f} MB", style="bold"
    )
    if (found.folder / "Modelfile").is_file():
        say(f"  cd {found.folder} && ollama create {found.model.partition('@')[0]} -f Modelfile")
