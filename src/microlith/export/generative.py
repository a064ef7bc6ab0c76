"""A language model as the files that answer: the GGUF file, tokenizer, prompt and Modelfile, proven against the trained model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from microlith.data.example import Example
from microlith.errors import StorageError
from microlith.export.changes import refuse_unless_proven
from microlith.export.generative_proof import ALLOWANCES, Asked, GenerativeProof, prove
from microlith.export.gguf_adapter import write_adapter
from microlith.export.gguf_write import FileType, write_gguf
from microlith.export.modelfile import modelfile
from microlith.inference.generative import MODEL_FILE, PROMPT_FILE
from microlith.inference.grounding import GroundingSpec
from microlith.inference.llama_cpp import LlamaFile
from microlith.inference.prompt import Prompt
from microlith.inference.stored import TOKENIZER, write_plan
from microlith.task.plan import Plan
from microlith.training.torch_file import TorchFile

ADAPTER_FILE, MODELFILE, PROOF_FILE = "adapter.gguf", "Modelfile", "parity.json"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained language model on the disk, whatever recipe made it, and how it is asked."""

    folder: Path
    """config.json, 16-bit weights as safetensors, tokenizer.json."""
    prompt: Prompt
    context_tokens: int
    """Most tokens of prompt and answer."""
    adapter: Path | None = None
    """Folder of the LoRA adapter alone, as peft writes it; None where there is none."""
    base: Path | None = None
    """Folder of the adapter's base."""


def export_generative(
    trained: Trained,
    plan: Plan,
    spec: GroundingSpec,
    examples: Sequence[Example],
    folder: Path,
    *,
    name: str,
    file_type: FileType = "f16",
    card: Mapping[str, str | int | float] | None = None,
) -> GenerativeProof:
    """Write the files that `GenerativeModel.load` and Ollama read, and prove them on `examples`.

    Args:
        trained: The trained model.
        plan: The task's plan.
        spec: How its requests are grounded.
        examples: Validation rows; all are answered by the trained model and by llama.cpp.
        folder: Existing, empty folder.
        name: The model's name inside the file.
        file_type: Number format of the weights.
        card: Facts for the file's metadata, each key beginning with "general." or "microlith.".

    Raises:
        ParityError: if the file answers otherwise than it may; it names the rows.
        UsageError: if the architecture is unknown.
        StorageError: if the disk refuses.
    """
    facts = write_gguf(
        trained.folder,
        folder / MODEL_FILE,
        name=name,
        file_type=file_type,
        end_token=trained.prompt.end,
        extra=card,
    )
    try:
        _write_side_files(trained, plan, spec, folder)
        if trained.adapter is not None and trained.base is not None:
            write_adapter(trained.adapter, trained.base, folder / ADAPTER_FILE, name=name)
        asked = Asked(plan=plan, spec=spec, prompt=trained.prompt, tokenizer=trained.folder / TOKENIZER)
        proof = prove(
            asked, examples, TorchFile(trained.folder, n_ctx=trained.context_tokens),
            LlamaFile.open(folder / MODEL_FILE, n_ctx=trained.context_tokens), ALLOWANCES[file_type], notes=facts.notes,
        )  # fmt: skip
        text = json.dumps(proof.to_json(), indent=2, ensure_ascii=False)
        (folder / PROOF_FILE).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"the model cannot be written: {error}", place=str(folder), mend="free some disk"
        ) from error
    refuse_unless_proven(proof)
    return proof


def _write_side_files(trained: Trained, plan: Plan, spec: GroundingSpec, folder: Path) -> None:
    shutil.copyfile(trained.folder / TOKENIZER, folder / TOKENIZER)
    prompt = {"prompt": trained.prompt.to_json(), "context_tokens": trained.context_tokens}
    (folder / PROMPT_FILE).write_text(json.dumps(prompt, indent=2, ensure_ascii=False), encoding="utf-8")
    write_plan(plan, spec, folder)
    begin = begin_text_of(trained.folder)
    text = modelfile(trained.prompt, num_ctx=trained.context_tokens, begin_text=begin)
    (folder / MODELFILE).write_text(text, encoding="utf-8", newline="\n")


def begin_text_of(folder: Path) -> str:
    """The token that a tokenizer sets before every text by itself; empty for none."""
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    plain = len(tokenizer.encode("a", add_special_tokens=False).ids)
    framed = tokenizer.encode("a", add_special_tokens=True)
    return framed.tokens[0] if len(framed.ids) > plain else ""
