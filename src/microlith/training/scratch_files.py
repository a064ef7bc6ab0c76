"""A small language model as the files that transformers and the GGUF writer read."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer

from microlith.errors import StorageError
from microlith.training.scratch_net import EPSILON, ROPE_BASE, ScratchNet
from microlith.training.scratch_settings import ScratchSettings
from microlith.training.scratch_tokenizer import ANSWER, END, REQUEST

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}" + REQUEST + "{{ message['content'] }}" + ANSWER
    + "{% elif message['role'] == 'assistant' %}{{ message['content'] }}" + END + "{% endif %}{% endfor %}"
)  # fmt: skip


def write_scratch(net: ScratchNet, tokenizer: Tokenizer, settings: ScratchSettings, folder: Path) -> None:
    """Write config, 16-bit weights and tokenizer into `folder`, which is made where it is not there.

    Raises:
        StorageError: if the disk refuses.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": net.words.shape[0],
        "hidden_size": settings.width, "num_hidden_layers": settings.layers, "num_attention_heads": settings.heads,
        "num_key_value_heads": settings.heads, "head_dim": settings.width // settings.heads, "intermediate_size": settings.inner,
        "max_position_embeddings": settings.context_tokens, "rms_norm_eps": EPSILON, "rope_theta": ROPE_BASE,
        "hidden_act": "silu", "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
        "bos_token_id": None, "eos_token_id": tokenizer.token_to_id(END), "torch_dtype": "float16",
    }  # fmt: skip
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "pad_token": END, "chat_template": CHAT_TEMPLATE,
        "model_max_length": settings.context_tokens, "clean_up_tokenization_spaces": False,
        "add_bos_token": False, "add_eos_token": False,
    }  # fmt: skip
    weights = {name: value.to(torch.float16).contiguous() for name, value in net.llama_weights().items()}
    try:
        folder.mkdir(exist_ok=True)
        save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
        (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
        (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(described, indent=2), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"the model cannot be written: {error}", place=str(folder), mend="free some disk"
        ) from error
