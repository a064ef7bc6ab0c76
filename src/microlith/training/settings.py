"""Every value of the encoder recipe, and the one dial from which the rest follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from microlith.errors import UsageError
from microlith.training.base import DEFAULT_BASE
from microlith.training.overriding import check_bounds, overridden

SIZES: dict[str, float] = {"quick": 2.0, "standard": 4.0, "thorough": 12.0}
"""The dial: passes over the rows."""


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Settings of one training run. Equal settings, data, seed and machine give an equal artifact."""

    size: str = "standard"
    """The dial; a name of SIZES."""
    base: str = DEFAULT_BASE
    """Hub name or local folder of the pretrained encoder."""
    seed: int = 0
    passes: float = 4.0
    """Times every row is seen, in one of its variations."""
    least_rows: int = 4000
    """Rows seen at least, so that small tasks are passed over more often."""
    batch_size: int = 32
    encoder_rate: float = 2e-4
    """Peak learning rate of the encoder."""
    heads_rate: float = 2e-3
    """Peak learning rate of the heads."""
    layer_decay: float = 1.0
    """Factor on the rate for each layer further from the heads, 0-1."""
    weight_decay: float = 0.01
    warmup: float = 0.06
    """Share of the steps in which the rate rises."""
    label_smoothing: float = 0.05
    dropout: float = 0.1
    """On the token states that the heads read."""
    encoder_dropout: float = 0.0
    """Inside the encoder."""
    train_embeddings: bool = False
    """Also train the word embeddings (half of the default base's weights)."""
    rounded_share: float = 0.15
    """Share of the steps, at the end, in which the encoder computes on 8-bit integers as the runtime will, 0-1."""
    max_tokens: int = 192
    """Tokens of a request that are read, 8-512."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    precision: str = "auto"
    """"auto" (bf16 where the processor computes it), "bf16" or "float32"."""
    checkpoint_every_s: float = 60.0
    """Seconds between checkpoints."""
    validations: int = 4
    """Times the validation part is scored while training."""


def settings_of(size: str = "standard", overrides: Mapping[str, Any] | None = None) -> EncoderSettings:
    """The settings that `size` stands for, with single values overridden.

    Args:
        size: "quick", "standard" or "thorough".
        overrides: Field name -> value; text is converted to the field's type.

    Raises:
        UsageError: naming every unknown field or unusable value.
    """
    if size not in SIZES:
        raise UsageError(f"--size {size!r} is unknown", mend=f"choose one of {', '.join(SIZES)}")
    settings = EncoderSettings(size=size, passes=SIZES[size])
    settings = overridden(settings, overrides or {}, recipe="encoder")
    _check(settings)
    return settings


def _check(settings: EncoderSettings) -> None:
    bounds: dict[str, tuple[float, float]] = {
        "passes": (0.001, 1000), "least_rows": (1, 10**8), "batch_size": (1, 4096), "encoder_rate": (0.0, 1.0),
        "heads_rate": (0.0, 1.0), "layer_decay": (0.0, 1.0), "warmup": (0.0, 1.0), "label_smoothing": (0.0, 0.9),
        "dropout": (0.0, 0.95), "encoder_dropout": (0.0, 0.95), "rounded_share": (0.01, 1.0), "max_tokens": (8, 512), "threads": (0, 1024),
        "validations": (0, 1000),
    }  # fmt: skip
    check_bounds(settings, bounds)
    if settings.precision not in ("auto", "bf16", "float32"):
        raise UsageError(f"precision={settings.precision!r} is unknown", mend="choose auto, bf16 or float32")
