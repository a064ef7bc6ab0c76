"""Names and order of tensors and rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.export.gguf_config import Config, read_config
from microlith.export.gguf_tensors import gguf_name, turned_heads, turned_rows
from tests.export.test_gguf_config import PLAIN


def _config(folder: Path, kind: str) -> Config:
    (folder / "config.json").write_text(
        json.dumps({**PLAIN, "model_type": kind, "head_dim": 16}), encoding="utf-8"
    )
    return read_config(folder)


@given(st.integers(1, 8), st.integers(1, 16))
def test_halves_of_a_head_become_neighbours(heads: int, half: int) -> None:
    rows = turned_rows(heads * 2 * half, heads).reshape(heads, half, 2)
    assert (rows[:, :, 1] - rows[:, :, 0] == half).all()
    assert sorted(rows.ravel()) == list(range(heads * 2 * half))
    assert (np.diff(rows[:, :, 0], axis=1) == 1).all()


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("llama", "model.layers.11.self_attn.q_proj.weight", "blk.11.attn_q.weight"),
        ("llama", "model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"),
        ("gemma2", "model.layers.0.post_attention_layernorm.weight", "blk.0.post_attention_norm.weight"),
        ("qwen2", "model.layers.1.self_attn.k_proj.bias", "blk.1.attn_k.bias"),
        ("qwen3", "model.layers.1.self_attn.k_norm.weight", "blk.1.attn_k_norm.weight"),
        ("phi3", "model.layers.1.mlp.gate_up_proj.weight", "blk.1.ffn_up.weight"),
        ("llama", "model.embed_tokens.weight", "token_embd.weight"),
        ("llama", "lm_head.weight", "output.weight"),
        ("gemma3", "language_model.model.norm.weight", "output_norm.weight"),
        ("llama", "model.layers.0.block_sparse_moe.gate.weight", None),
        ("llama", "score.weight", None),
    ],
)
def test_every_weight_has_llama_cpps_name(tmp_path: Path, kind: str, name: str, expected: str | None) -> None:
    assert gguf_name(_config(tmp_path, kind), name) == expected


@pytest.mark.parametrize(
    ("kind", "name", "heads"),
    [("llama", "blk.0.attn_q.weight", 4), ("llama", "blk.0.attn_k.bias", 4), ("llama", "blk.0.attn_v.weight", 0),
     ("qwen2", "blk.0.attn_q.weight", 0), ("mistral", "blk.0.attn_q.weight", 4)],
)  # fmt: skip
def test_only_llamas_queries_and_keys_are_turned(tmp_path: Path, kind: str, name: str, heads: int) -> None:
    assert turned_heads(_config(tmp_path, kind), name) == heads
