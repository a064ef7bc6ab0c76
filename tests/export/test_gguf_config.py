"""config.json of transformers 4 and 5 in llama.cpp's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microlith.errors import ArtifactError
from microlith.export.gguf_config import long_factors, read_config, scaled_frequencies

PLAIN: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
    "vocab_size": 500, "max_position_embeddings": 512,
}  # fmt: skip
GEMMA = {**PLAIN, "model_type": "gemma3_text", "head_dim": 32, "query_pre_attn_scalar": 32}


def _folder(folder: Path, values: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_what_config_json_leaves_out_has_the_familys_defaults(tmp_path: Path) -> None:
    found = read_config(_folder(tmp_path, PLAIN))
    assert (found.key_heads, found.head_size, found.tied, found.rope["rope_theta"]) == (4, 16, False, 1e4)
    gemma = read_config(_folder(tmp_path, {**GEMMA, "head_dim": None, "query_pre_attn_scalar": 256}))
    assert (gemma.key_heads, gemma.head_size, gemma.tied, gemma.rope["rope_theta"]) == (4, 256, True, 1e6)


@pytest.mark.parametrize(
    "values",
    [
        {"rope_theta": 1e6, "rope_local_base_freq": 10000.0, "rope_scaling": {"type": "linear", "factor": 8.0}},
        {"rope_parameters": {"full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                             "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    ],
    ids=["transformers 4", "transformers 5"],
)  # fmt: skip
def test_both_spellings_of_gemmas_two_ropes_are_read(tmp_path: Path, values: dict[str, Any]) -> None:
    found = read_config(_folder(tmp_path, {**GEMMA, **values}))
    assert (found.rope["rope_type"], found.rope["rope_theta"], found.rope["factor"]) == ("linear", 1e6, 8.0)
    assert found.local_theta == 10000.0


def test_phis_factors_are_read_in_the_old_spelling(tmp_path: Path) -> None:
    rope = {"type": "su", "short_factor": [1.0] * 6, "long_factor": [2.0] * 6}
    values = {**PLAIN, "model_type": "phi3", "rope_scaling": rope, "partial_rotary_factor": 0.75}
    found = read_config(_folder(tmp_path, {**values, "original_max_position_embeddings": 128}))
    assert (found.original_tokens, found.turned_size) == (128, 12)
    factors = long_factors(found)
    assert {name: value.tolist() for name, value in factors.items()} == {
        "rope_factors_long.weight": [2.0] * 6, "rope_factors_short.weight": [1.0] * 6,
    }  # fmt: skip
    assert "num_ctx at 128" in found.notes()[0]


def test_factors_of_a_wrong_number_are_refused(tmp_path: Path) -> None:
    rope = {"type": "longrope", "short_factor": [1.0] * 6, "long_factor": [2.0] * 5}
    found = read_config(_folder(tmp_path, {**PLAIN, "model_type": "phi3", "rope_scaling": rope}))
    with pytest.raises(ArtifactError, match="has 5 factors, expected 8"):
        long_factors(found)


def test_frequencies_are_scaled_as_transformers_does(tmp_path: Path) -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64}  # fmt: skip
    found = scaled_frequencies(read_config(_folder(tmp_path, {**PLAIN, "rope_parameters": rope})))
    config = LlamaConfig(
        hidden_size=64, num_attention_heads=4, max_position_embeddings=512, rope_parameters=rope
    )
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 500000.0 ** (-np.arange(0, 16, 2) / 16)
    assert found is not None
    np.testing.assert_allclose(plain / found, scaled.numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "notes"),
    [
        ({"model_type": "mistral", "sliding_window": 128}, 1),
        ({"model_type": "mistral", "sliding_window": 512}, 0),
        ({"model_type": "qwen2", "sliding_window": 128, "use_sliding_window": False}, 0),
        ({"model_type": "qwen2", "sliding_window": 128, "use_sliding_window": True}, 1),
        ({"model_type": "gemma2", "sliding_window": 128, "head_dim": 16}, 0),
    ],
)
def test_a_window_that_llama_cpp_does_not_keep_is_said(
    tmp_path: Path, values: dict[str, Any], notes: int
) -> None:
    assert len(read_config(_folder(tmp_path, {**PLAIN, **values})).notes()) == notes


@pytest.mark.parametrize(
    ("text", "message"), [("[]", "JSON object"), ("{", "cannot be read"), (None, r"config\.json")]
)
def test_a_damaged_config_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=message):
        read_config(tmp_path)
