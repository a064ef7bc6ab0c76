"""Tiny random language models as GGUF files, and whole exported folders around them."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer

from microlith.export.gguf_write import write_gguf
from microlith.inference.grounding import spec_of
from microlith.inference.prompt import Pieces, Prompt
from microlith.task.plan import Plan
from tests.tiny_models import FAMILIES, VARIANTS

_FOLDER = tempfile.TemporaryDirectory(prefix="tiny-gguf-")
MAKERS = {**FAMILIES, **VARIANTS}


@cache
def base(name: str) -> Path:
    """A folder as it is downloaded: weights, configuration, tokenizer."""
    return MAKERS[name](Path(_FOLDER.name) / name)


@cache
def gguf(name: str) -> Path:
    """The model as one GGUF file of 32-bit numbers."""
    target = Path(_FOLDER.name) / f"{name}.gguf"
    write_gguf(base(name), target, name=name, file_type="f32")
    return target


@cache
def pieces(name: str) -> Pieces:
    """The tokenizer of a family."""
    return Pieces(tokenizer=Tokenizer.from_file(str(base(name) / "tokenizer.json")))


def prompt_of(used: Pieces) -> Prompt:
    return Prompt(
        before=used.ids("Answer with JSON.\n"), after=used.ids("\n"), end=1, before_text="Answer with JSON.\n",
        after_text="\n", end_text="</s>",
    )  # fmt: skip


def artifact(plan: Plan, folder: Path, *, name: str = "llama", context_tokens: int = 1024) -> Path:
    """An exported model that was never trained."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.gguf").write_bytes(gguf(name).read_bytes())
    (folder / "tokenizer.json").write_bytes((base(name) / "tokenizer.json").read_bytes())
    prompt = {"prompt": prompt_of(pieces(name)).to_json(), "context_tokens": context_tokens}
    (folder / "prompt.json").write_text(json.dumps(prompt))
    (folder / "schema.json").write_text(json.dumps(plan.schema))
    (folder / "grounding.json").write_text(json.dumps(asdict(spec_of(plan))))
    return folder
