"""From a registered artifact to a folder for somewhere else: another number format, Ollama, an adapter to apply on its base."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from microlith.data.example import Example
from microlith.errors import ArtifactError, StorageError, UsageError
from microlith.events import Event, StageDone, StageStarted
from microlith.inference.generative import MODEL_FILE, PROMPT_FILE, GenerativeModel
from microlith.inference.stored import CALIBRATION, GROUNDING, SCHEMA, TOKENIZER
from microlith.registry.models import open_model
from microlith.task.taskfile import Task

if TYPE_CHECKING:
    from microlith.export.generative_proof import GenerativeProof

FILE_TYPES = ("f16", "q8_0", "q4_0", "q4_k_m", "q5_k_m", "q6_k")
"""Number formats that can be asked for; those with a "k" need llama.cpp's own `llama-quantize`."""
PROOF_ROWS = 100
"""Training rows that both files answer."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A folder that was written."""

    folder: Path
    model: str
    """The artifact that it was made of, e.g. `infra@3`."""
    file_type: str
    size_bytes: int
    proof: GenerativeProof | None
    """None where the artifact's own files were copied, which are proven."""

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "folder": str(self.folder), "model": self.model, "file_type": self.file_type, "size_bytes": self.size_bytes,
            "proof": self.proof.to_json() if self.proof is not None else None,
        }  # fmt: skip


def export(
    task: Task, folder: Path, *, model: str | None = None, file_type: str | None = None, adapter_of: str | None = None,
    quantizer: Path | None = None, root: Path | None = None,
) -> Generator[Event, None, Exported]:  # fmt: skip
    """Write an artifact's files into `folder`, which must not be there or be empty.

    A language model's folder is one that `ollama create NAME -f Modelfile` takes, and that microlith loads.

    Args:
        task: The task.
        folder: Gets the files under their final name only when all of them are whole and proven.
        model: What `open_model` takes; None is the newest artifact.
        file_type: One of FILE_TYPES; None keeps the artifact's own.
        adapter_of: Write the LoRA adapter instead of a whole model, for this base: a GGUF file, or a name of Ollama's library.
        quantizer: llama.cpp's `llama-quantize`; None looks for it on the PATH.
        root: Home of the artifacts.

    Raises:
        UsageError: if the model is of another kind, or the folder holds something.
        ArtifactError: if there is no such artifact, or no adapter in it.
        ParityError: if the smaller file answers otherwise than its allowance says; nothing is then written.
        StorageError: if the disk refuses.
    """
    opened = open_model(str(task.folder), model, root=root)
    if opened.artifact is None:
        raise UsageError("rules are a file already", mend="copy rules.py")
    _require_empty(folder)
    source, name = opened.artifact.folder, opened.artifact.card.name
    own = str(opened.artifact.card.settings.get("file_type", "f16"))
    wanted = (file_type or own).lower()
    if opened.kind != "generative" and (file_type is not None or adapter_of is not None):
        raise UsageError(
            f"{name} is no language model but {opened.kind}", mend="leave out --type and --adapter"
        )
    if file_type is not None and adapter_of is not None:
        raise UsageError("an adapter has no number format of its own", mend="leave out --type or --adapter")
    folder = folder.absolute()
    part = folder.with_name(folder.name + ".part")
    begun = time.monotonic()
    yield StageStarted(
        stage="export", detail=f"{name} as {wanted if opened.kind == 'generative' else opened.kind}"
    )
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        proof = None
        if adapter_of is not None:
            _adapter(source, part, adapter_of, name)
        elif opened.kind != "generative" or wanted == own:
            shutil.copytree(source, part, dirs_exist_ok=True)
        else:
            proof = yield from _smaller(task, source, part, wanted, quantizer)
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    except OSError as error:
        raise StorageError(
            f"the folder cannot be written: {error}", place=str(folder), mend="free some disk"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    yield StageDone(stage="export", detail=f"{folder}, {size / 1e6:.1f} MB", seconds=time.monotonic() - begun)
    return Exported(folder=folder, model=name, file_type=wanted, size_bytes=size, proof=proof)


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "the folder holds something already", place=str(folder), mend="name another with --output"
        )


def _adapter(source: Path, part: Path, base: str, name: str) -> None:
    """The adapter alone, with a Modelfile that applies it to `base`."""
    from microlith.export.generative import ADAPTER_FILE, MODELFILE
    from microlith.export.modelfile import modelfile
    from microlith.inference.prompt import Prompt

    if not (source / ADAPTER_FILE).is_file():
        raise ArtifactError(
            f"{name} has no adapter", place=str(source), mend="train with --recipe lora or qlora"
        )
    shutil.copyfile(source / ADAPTER_FILE, part / ADAPTER_FILE)
    stored = json.loads((source / PROMPT_FILE).read_text(encoding="utf-8"))
    text = modelfile(
        Prompt.from_json(stored["prompt"]),
        num_ctx=int(stored["context_tokens"]),
        model=base,
        adapter=f"./{ADAPTER_FILE}",
    )
    (part / MODELFILE).write_text(text, encoding="utf-8", newline="\n")
    for file in (PROMPT_FILE, TOKENIZER, GROUNDING, SCHEMA):
        shutil.copyfile(source / file, part / file)


def _smaller(
    task: Task, source: Path, part: Path, wanted: str, quantizer: Path | None
) -> Generator[Event, None, GenerativeProof]:
    """Another number format, proven against the artifact's own file, with a confidence of its own."""
    from microlith.export.changes import refuse_unless_proven
    from microlith.export.generative import MODELFILE, PROOF_FILE

    if wanted not in FILE_TYPES:
        raise UsageError(f"--type {wanted!r} is unknown", mend=f"choose one of {', '.join(FILE_TYPES)}")
    if wanted == "f16":
        raise UsageError(
            "the artifact is stored otherwise", mend="train with --set file_type=f16, or leave out --type"
        )
    _quantize(source / MODEL_FILE, part / MODEL_FILE, wanted, quantizer)
    for file in (TOKENIZER, PROMPT_FILE, GROUNDING, SCHEMA, MODELFILE):
        shutil.copyfile(source / file, part / file)
    rows = _rows(task)
    begun = time.monotonic()
    yield StageStarted(stage="prove", detail=f"{wanted} against the artifact on {len(rows)} training rows")
    proof = _proof(source, part, rows, wanted)
    (part / PROOF_FILE).write_text(
        json.dumps(proof.to_json(), indent=2, ensure_ascii=False), encoding="utf-8"
    )
    refuse_unless_proven(proof)
    yield StageDone(stage="prove", detail=proof.summary, seconds=time.monotonic() - begun)
    fitted = source / CALIBRATION
    if fitted.is_file():
        shutil.copyfile(fitted, part / CALIBRATION)
    return proof


def _quantize(source: Path, target: Path, wanted: str, quantizer: Path | None) -> None:
    from microlith.export.gguf_quantize import quantized
    from microlith.export.gguf_requantize import SmallType, requantized

    if wanted in ("q8_0", "q4_0"):
        requantized(source, target, file_type=cast(SmallType, wanted))
    else:
        quantized(source, target, file_format=wanted, program=quantizer)


def _rows(task: Task) -> Sequence[Example]:
    from microlith.data.load import load_examples

    known = load_examples(task).examples
    return known[:: max(1, -(-len(known) // PROOF_ROWS))]


def _proof(source: Path, part: Path, rows: Sequence[Example], wanted: str) -> GenerativeProof:
    from microlith.export.generative_proof import ALLOWANCES, Asked, prove
    from microlith.inference.llama_cpp import LlamaFile

    known = GenerativeModel.load(source)
    asked = Asked(plan=known.plan, spec=known.spec, prompt=known.prompt, tokenizer=part / TOKENIZER)
    room = known.context_tokens
    reference = LlamaFile.open(source / MODEL_FILE, n_ctx=room)
    return prove(asked, rows, reference, LlamaFile.open(part / MODEL_FILE, n_ctx=room), ALLOWANCES[wanted])
