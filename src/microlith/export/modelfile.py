"""What Ollama needs to serve an exported model: a Modelfile beside the GGUF file.

Ollama fills a template in Go's language with the system message and the request, and tokenizes the whole. Its Modelfile has
no way to write a quotation mark apart: a text stands between three of them, and ends at a line that ends in three.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from microlith.errors import StorageError, UsageError
from microlith.inference.prompt import Prompt

MODEL, ADAPTER, MODELFILE = "model.gguf", "adapter.gguf", "Modelfile"
_QUOTES = '"""'
_GO_SIGNS = {"{{": '{{ "{{" }}', _QUOTES: '""{{ "\\"" }}'}
"""What Go or the Modelfile would take for its own, and an action that prints it."""


def modelfile(
    prompt: Prompt,
    *,
    num_ctx: int,
    model: str = f"./{MODEL}",
    adapter: str | None = None,
    begin_text: str = "",
    stops: Sequence[str] = (),
    parameters: Mapping[str, str | int | float] | None = None,
) -> str:
    """The text of a Modelfile whose answers begin where the model's own do.

    Args:
        prompt: The fixed parts of a conversation; its instruction becomes the system message, which a caller may replace.
        num_ctx: Most tokens of prompt and answer together, at least 1.
        model: The GGUF file as Ollama is to find it: beside the Modelfile, or a name of its library.
        adapter: A LoRA adapter in GGUF; None for none.
        begin_text: The token that begins every text, where the GGUF file says that it is added by itself: it is taken off the
            template, since Ollama adds it too.
        stops: Texts that end an answer, beside `prompt.end_text`.
        parameters: More of Ollama's parameters.

    Raises:
        UsageError: if a value cannot stand in a Modelfile.
    """
    if num_ctx < 1:
        raise UsageError(f"num_ctx={num_ctx} is below 1")
    system, template = _template(prompt, begin_text)
    lines = [f"FROM {_name(model)}"]
    if adapter is not None:
        lines.append(f"ADAPTER {_name(adapter)}")
    lines.append(f"TEMPLATE {_quoted(template)}")
    if system:
        lines.append(f"SYSTEM {_quoted(system)}")
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in dict.fromkeys([prompt.end_text, *stops]) if stop]
    given: dict[str, str | int | float] = {"num_ctx": num_ctx, "temperature": 0, **(parameters or {})}
    lines += [f"PARAMETER {_name(key)} {_plain(value)}" for key, value in given.items()]
    return "\n".join(lines) + "\n"


def write_ollama_folder(folder: Path, model: Path, text: str, *, adapter: Path | None = None) -> Path:
    """Write the folder in which `ollama create NAME -f Modelfile` works.

    Args:
        folder: Made where it is absent.
        model: The GGUF file; linked into the folder where the disk allows it, copied elsewhere.
        text: What `modelfile` gave for `./model.gguf`, and `./adapter.gguf` where there is an adapter.
        adapter: The LoRA adapter; None for none.

    Returns:
        The Modelfile's path.

    Raises:
        StorageError: if the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _place(model, folder / MODEL)
        if adapter is not None:
            _place(adapter, folder / ADAPTER)
        (folder / MODELFILE).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise StorageError(
            f"the Ollama folder cannot be written: {error.strerror}", place=str(folder), mend="free some disk"
        ) from error
    return folder / MODELFILE


def _template(prompt: Prompt, begin_text: str) -> tuple[str, str]:
    """System message and Go template; no system message where it cannot stand by itself."""
    before = prompt.before_text.removeprefix(begin_text)
    head, found, tail = before.partition(prompt.instruction) if prompt.instruction else (before, "", "")
    if not found or _ends_early(prompt.instruction):
        return "", f"{_go(before)}{{{{ .Prompt }}}}{_go(prompt.after_text)}{{{{ .Response }}}}"
    parts = (
        f"{_go(head)}{{{{ .System }}}}{_go(tail)}{{{{ .Prompt }}}}{_go(prompt.after_text)}{{{{ .Response }}}}"
    )
    return prompt.instruction, parts


def _go(text: str) -> str:
    """Text as it stands between the actions of a Go template."""
    for sign, action in _GO_SIGNS.items():
        text = text.replace(sign, action)
    return (
        f'{text[:-1]}{{{{ "{{" }}}}' if text.endswith("{") else text
    )  # a brace must not touch the next action's


def _quoted(text: str) -> str:
    if _ends_early(text):
        raise UsageError(f"{text!r} cannot stand in a Modelfile: a line of it ends in three quotation marks")
    return f"{_QUOTES}{text}{_QUOTES}"


def _ends_early(text: str) -> bool:
    """Would a line inside the text be taken for its end?"""
    return any(line.rstrip().endswith(_QUOTES) for line in text.splitlines()[:-1])


def _name(text: str) -> str:
    if not text.strip() or any(sign in text for sign in "\r\n"):
        raise UsageError(f"{text!r} cannot stand in a Modelfile", mend="name it in one line")
    return text


def _plain(value: str | int | float) -> str:
    return _quoted(value) if isinstance(value, str) else str(value)


def _place(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
