"""Every value of the scratch recipe, and the one dial from which the rest follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from microlith.errors import UsageError
from microlith.training.overriding import check_bounds, overridden

SIZES: dict[str, dict[str, Any]] = {
    "quick": {
        "layers": 4,
        "width": 192,
        "heads": 3,
        "inner": 512,
        "vocabulary": 2048,
        "passes": 12.0,
        "most_tokens": 1_000_000,
    },
    "standard": {"layers": 6, "width": 256, "heads": 4, "inner": 704, "vocabulary": 4096, "passes": 20.0},
    "thorough": {
        "layers": 8,
        "width": 384,
        "heads": 6,
        "inner": 1024,
        "vocabulary": 6144,
        "passes": 30.0,
        "most_tokens": 10_000_000,
    },
}
"""The dial: about 2, 6 and 17 million parameters, and how often every row is seen."""


@dataclass(frozen=True, kw_only=True)
class ScratchSettings:
    """Settings of one training run. Equal settings, data, seed and machine give an equal artifact."""

    size: str = "standard"
    """The dial; a name of SIZES."""
    seed: int = 0
    layers: int = 6
    width: int = 256
    """Dimensions of a token's state; a multiple of `heads` times 2."""
    heads: int = 4
    inner: int = 704
    """Dimensions inside a feed-forward block."""
    vocabulary: int = 4096
    """Tokens at most, control tokens included."""
    longest_token: int = 16
    """A token has fewer bytes than this, 3-64, so that rare words are spelled by parts that others share."""
    passes: float = 20.0
    """Times every row is seen, in one of its variations."""
    least_rows: int = 20_000
    """Rows seen at least, so that small tasks are passed over more often."""
    most_tokens: int = 2_500_000
    """Tokens seen at most, prompts included."""
    batch_tokens: int = 8192
    """Tokens of one step, padding included."""
    matrix_rate: float = 0.02
    """Peak learning rate of the matrices, which Muon moves."""
    other_rate: float = 2e-3
    """Peak learning rate of embeddings and gains, which AdamW moves."""
    weight_decay: float = 0.1
    warmup: float = 0.03
    """Share of the steps in which the rate rises."""
    cooldown: float = 0.5
    """Share of the steps, at the end, in which the rate falls to zero."""
    dropout: float = 0.1
    """On the outputs of attention and feed-forward blocks."""
    word_dropout: float = 0.1
    """Share of a request's tokens that are hidden in training, since a small model knows few of them well."""
    label_smoothing: float = 0.0
    context_tokens: int = 1024
    """Tokens of prompt and answer at most, 32-8192."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    precision: str = "auto"
    """"auto" (bf16 where the processor computes it), "bf16" or "float32"."""
    file_type: str = "f16"
    """How the weights are stored: "f32", "f16", "q8_0" or "q4_0"."""
    checkpoint_every_s: float = 60.0
    """Seconds between checkpoints."""
    validations: int = 4
    """Times the loss on the validation part is measured while training."""

    @property
    def parameters(self) -> int:
        """Weights of the model, about."""
        block = 4 * self.width**2 + 3 * self.width * self.inner + 2 * self.width
        return self.vocabulary * self.width + self.layers * block + self.width


def scratch_settings_of(
    size: str = "standard", overrides: Mapping[str, Any] | None = None
) -> ScratchSettings:
    """The settings that `size` stands for, with single values overridden.

    Raises:
        UsageError: naming every unknown field or unusable value.
    """
    if size not in SIZES:
        raise UsageError(f"--size {size!r} is unknown", mend=f"choose one of {', '.join(SIZES)}")
    settings = overridden(ScratchSettings(size=size, **SIZES[size]), overrides or {}, recipe="scratch")
    check_bounds(
        settings,
        {
            "layers": (1, 64), "width": (16, 4096), "heads": (1, 64), "inner": (16, 16384), "vocabulary": (300, 65536),
            "longest_token": (3, 64), "passes": (0.001, 10_000), "least_rows": (1, 10**8), "most_tokens": (1, 10**12),
            "batch_tokens": (64, 10**6), "matrix_rate": (0.0, 1.0), "other_rate": (0.0, 1.0), "weight_decay": (0.0, 1.0),
            "warmup": (0.0, 1.0), "cooldown": (0.0, 1.0), "dropout": (0.0, 0.9), "word_dropout": (0.0, 0.9),
            "label_smoothing": (0.0, 0.9), "context_tokens": (32, 8192), "threads": (0, 1024), "validations": (0, 1000),
            "checkpoint_every_s": (0.0, 10**7),
        },
    )  # fmt: skip
    if settings.width % (2 * settings.heads):
        raise UsageError(
            f"width={settings.width} cannot be shared by {settings.heads} heads",
            mend="make it a multiple of twice the heads",
        )
    for name, known in (
        ("precision", ("auto", "bf16", "float32")),
        ("file_type", ("f32", "f16", "q8_0", "q4_0")),
    ):
        if getattr(settings, name) not in known:
            raise UsageError(
                f"{name}={getattr(settings, name)!r} is unknown", mend=f"choose one of {', '.join(known)}"
            )
    return settings
