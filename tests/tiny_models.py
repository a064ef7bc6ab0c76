"""Tiny random language models of every supported family, made on the spot in the layout of the real ones.

Each `make_...` writes config.json, model.safetensors, tokenizer.json, tokenizer_config.json and generation_config.json
into a folder. The tokenizers are real ones of the family's kind, trained on a few lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TEXTS = (
    "Turn the lights in the kitchen off, please, and set the alarm for 07:30 tomorrow morning.",
    "Deploy the service billing to the cluster in production with three replicas and 512 MB of memory.",
    '{"action": "deploy", "service": "billing", "replicas": 3, "when": null, "force": false}',
    '{"intent": "list_files", "path": "/var/log", "flags": ["-l", "-a"], "limit": 10}',
    "Please answer with one JSON object. You turn a request into JSON.\n\nNo other text.\n",
    "Show me all the files that were changed since yesterday in the folder /home/user/projects.",
    "def main():\n    for index in range(10):\n        print(index)\n    return None\n",
    "The quick brown fox jumps over the lazy dog. Wie geht es Ihnen? Où est la gare ? ¿Dónde está?",
    "I'm sure we'll see what they've done; it's the user's request and the assistant's answer.",
)
"""What the tokenizers learn from."""
LLAMA3_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3_CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + "
    "message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL_CHAT = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
GEMMA_CHAT = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) "
    "+ '\n' + (system if loop.first else '') + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI3_CHAT = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
SHAPE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.12,
}  # fmt: skip
"""Every model's shape unless its family wants another."""


def make_llama(folder: Path) -> Path:
    """Llama 3.2: byte-level tokenizer, tied embeddings, RoPE scaled as `llama3`."""
    from transformers import LlamaConfig

    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>", "<|start_header_id|>",
             "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"]  # fmt: skip
    tokenizer = _byte_level(_split(LLAMA3_SPLIT), names, first=False, ignore_merges=True)
    _begins_with(tokenizer, "<|begin_of_text|>")
    ids = {name: tokenizer.token_to_id(name) for name in names}
    config = LlamaConfig(
        **SHAPE, vocab_size=tokenizer.get_vocab_size(), tie_word_embeddings=True,
        bos_token_id=ids["<|begin_of_text|>"], eos_token_id=[ids["<|end_of_text|>"], ids["<|eom_id|>"], ids["<|eot_id|>"]],
        rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
    )  # fmt: skip
    roles = {
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot_id|>",
        "pad_token": "<|finetune_right_pad_id|>",
    }
    return _write(folder, config, tokenizer, LLAMA3_CHAT, roles, "PreTrainedTokenizerFast")


def make_smollm(folder: Path) -> Path:
    """SmolLM2: Llama's architecture with GPT-2's words, digits apart."""
    from tokenizers import pre_tokenizers
    from transformers import LlamaConfig

    digits = pre_tokenizers.Digits(individual_digits=True)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "<file_sep>"]
    tokenizer = _byte_level([digits, words], names, first=True)
    config = LlamaConfig(
        **SHAPE, vocab_size=tokenizer.get_vocab_size(), tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
        pad_token_id=2, rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
    )  # fmt: skip
    roles = {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|im_end|>",
    }
    return _write(folder, config, tokenizer, CHATML, roles, "GPT2Tokenizer")


def make_smollm3(folder: Path) -> Path:
    """SmolLM3: Llama's architecture, every fourth layer without RoPE."""
    from transformers import SmolLM3Config

    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = _byte_level(_split(LLAMA3_SPLIT), names, first=False)
    config = SmolLM3Config(
        **{**SHAPE, "num_hidden_layers": 4}, vocab_size=tokenizer.get_vocab_size(), tie_word_embeddings=True,
        bos_token_id=_id(tokenizer, names[0]), eos_token_id=_id(tokenizer, names[3]), pad_token_id=_id(tokenizer, names[1]),
        rope_parameters={"rope_type": "default", "rope_theta": 5e6},
    )  # fmt: skip
    return _write(
        folder,
        config,
        tokenizer,
        CHATML,
        {"eos_token": names[3], "pad_token": names[1]},
        "PreTrainedTokenizerFast",
    )


def make_mistral(folder: Path) -> Path:
    """Mistral 7B v0.2: Llama's architecture, SentencePiece-like tokenizer, output apart from the embeddings."""
    from transformers import MistralConfig

    tokenizer = _sentencepiece(["<unk>", "<s>", "</s>"], blank_first=True)
    _begins_with(tokenizer, "<s>")
    config = MistralConfig(
        **SHAPE, vocab_size=tokenizer.get_vocab_size(), tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
        rms_norm_eps=1e-5, sliding_window=None, head_dim=16, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )  # fmt: skip
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return _write(folder, config, tokenizer, MISTRAL_CHAT, roles, "LlamaTokenizer")


def make_tinyllama(folder: Path) -> Path:
    """TinyLlama: Llama 2's architecture and tokenizer."""
    from transformers import LlamaConfig

    tokenizer = _sentencepiece(["<unk>", "<s>", "</s>"], blank_first=True)
    _begins_with(tokenizer, "<s>")
    config = LlamaConfig(
        **SHAPE, vocab_size=tokenizer.get_vocab_size(), tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
        rms_norm_eps=1e-5,
    )  # fmt: skip
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    chat = "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    chat += "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    return _write(folder, config, tokenizer, chat, roles, "LlamaTokenizer")


def make_qwen3(folder: Path) -> Path:
    """Qwen 3: heads with norms of a size of their own, byte-level tokenizer, more rows than tokens."""
    from transformers import Qwen3Config

    tokenizer, config = _qwen()
    shape = {**SHAPE, **config, "head_dim": 32}
    roles = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return _write(folder, Qwen3Config(**shape), tokenizer, CHATML, roles, "Qwen2Tokenizer")


def make_qwen2(folder: Path) -> Path:
    """Qwen 2.5: biases on queries, keys and values."""
    from transformers import Qwen2Config

    tokenizer, config = _qwen()
    roles = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return _write(folder, Qwen2Config(**{**SHAPE, **config}), tokenizer, CHATML, roles, "Qwen2Tokenizer")


def make_gemma3(folder: Path) -> Path:
    """Gemma 3 (text): five layers with a sliding window to one without, SentencePiece-like tokenizer."""
    from transformers import Gemma3TextConfig

    return _gemma(folder, Gemma3TextConfig, {"num_hidden_layers": 6, "num_key_value_heads": 1})


def make_gemma2(folder: Path) -> Path:
    """Gemma 2: soft-capped scores, every second layer with a sliding window."""
    from transformers import Gemma2Config

    return _gemma(folder, Gemma2Config, {})


def make_phi3(folder: Path) -> Path:
    """Phi-3 mini: fused projections, Llama 2's tokenizer with chat tokens added behind it."""
    return _phi(folder, _phi3_tokenizer(), {"sliding_window": 2047})


def make_phi35(folder: Path) -> Path:
    """Phi-3.5 mini: RoPE with a factor a dimension, short and long."""
    rope = {
        "rope_type": "longrope", "rope_theta": 10000.0,
        "short_factor": [1.0 + 0.05 * one for one in range(8)], "long_factor": [1.5 + 0.4 * one for one in range(8)],
    }  # fmt: skip
    return _phi(folder, _phi3_tokenizer(), {"sliding_window": 512, "rope_parameters": rope,
                                              "original_max_position_embeddings": 256})  # fmt: skip


def make_phi4(folder: Path) -> Path:
    """Phi-4 mini: byte-level tokenizer, tied embeddings, three quarters of a head turned by RoPE."""
    from tokenizers import pre_tokenizers

    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pattern = (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    names = ["<|endoftext|>", "<|system|>", "<|end|>", "<|user|>", "<|assistant|>"]
    tokenizer = _byte_level([_split(pattern)[0], words], names, first=False)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75}
    return _phi(folder, tokenizer, {"sliding_window": 512, "tie_word_embeddings": True, "rope_parameters": rope,
                                    "hidden_size": 128})  # fmt: skip


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llama": make_llama, "smollm": make_smollm, "mistral": make_mistral, "qwen3": make_qwen3, "qwen2": make_qwen2,
    "gemma3": make_gemma3, "phi3": make_phi3,
}  # fmt: skip
"""One model a family."""
VARIANTS: dict[str, Callable[[Path], Path]] = {
    "tinyllama": make_tinyllama, "gemma2": make_gemma2, "phi35": make_phi35, "phi4": make_phi4,
    "smollm3": make_smollm3,
}  # fmt: skip
"""Relatives that differ in some part."""


def _qwen() -> tuple[Any, dict[str, Any]]:
    from tokenizers import normalizers

    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = _byte_level(_split(QWEN_SPLIT), names, first=False)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([_added("<think>", special=False), _added("</think>", special=False)])
    config = {
        "vocab_size": tokenizer.get_vocab_size() + 5, "tie_word_embeddings": True,
        "bos_token_id": _id(tokenizer, "<|endoftext|>"), "eos_token_id": _id(tokenizer, "<|im_end|>"),
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    }  # fmt: skip
    return tokenizer, config


def _gemma(folder: Path, kind: Any, changes: dict[str, Any]) -> Path:
    from tokenizers import pre_tokenizers

    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer = _sentencepiece(names, blank_first=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    _begins_with(tokenizer, "<bos>")
    config = kind(
        **{**SHAPE, "head_dim": 32, **changes}, vocab_size=tokenizer.get_vocab_size(), pad_token_id=0, bos_token_id=2,
        eos_token_id=[1, _id(tokenizer, "<end_of_turn>")], query_pre_attn_scalar=32, sliding_window=32,
        tie_word_embeddings=True,
    )  # fmt: skip
    roles = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return _write(folder, config, tokenizer, GEMMA_CHAT, roles, "GemmaTokenizer")


def _phi3_tokenizer() -> Any:
    tokenizer = _sentencepiece(["<unk>", "<s>", "</s>"], blank_first=True)
    names = ["<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"]
    tokenizer.add_special_tokens(
        [_added(name, special=True, rstrip=name != "<|endoftext|>") for name in names]
    )
    return tokenizer


def _phi(folder: Path, tokenizer: Any, changes: dict[str, Any]) -> Path:
    from transformers import Phi3Config

    end, stop = _id(tokenizer, "<|endoftext|>"), _id(tokenizer, "<|end|>")
    shape = {**SHAPE, "num_key_value_heads": 4, "tie_word_embeddings": False, **changes}
    config = Phi3Config(
        **shape, vocab_size=tokenizer.get_vocab_size(), bos_token_id=1, eos_token_id=end, pad_token_id=end, rms_norm_eps=1e-5,
    )  # fmt: skip
    roles = {"bos_token": "<|endoftext|>" if tokenizer.token_to_id("<s>") is None else "<s>",
             "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}  # fmt: skip
    kind = "GPT2Tokenizer" if tokenizer.token_to_id("<s>") is None else "LlamaTokenizer"
    return _write(folder, config, tokenizer, PHI3_CHAT, roles, kind, stops=[end, stop])


def _split(pattern: str) -> list[Any]:
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


def _added(name: str, *, special: bool, rstrip: bool = False) -> Any:
    from tokenizers import AddedToken

    return AddedToken(name, special=special, normalized=False, rstrip=rstrip)


def _id(tokenizer: Any, name: str) -> int:
    found = tokenizer.token_to_id(name)
    assert found is not None
    return int(found)


def _byte_level(parts: list[Any], names: Sequence[str], *, first: bool, ignore_merges: bool = False) -> Any:
    """A byte-level BPE; `first` puts the special tokens before the others instead of behind them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    specials = [_added(name, special=True) for name in names]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=specials if first else [], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens(specials)
    return tokenizer


def _sentencepiece(names: list[str], *, blank_first: bool) -> Any:
    """A BPE over letters with bytes to fall back on, in SentencePiece's order: special, bytes, merged, letters."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    words = [text.replace(" ", "▁") for text in TEXTS]
    letters, merged = _learnt(["▁" + one for text in words for one in text.split("▁") if one], 260)
    pieces = [*names, *(f"<0x{byte:02X}>" for byte in range(256)), *merged, *letters]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    merges = sorted(
        ((one[:cut], one[cut:]) for one in merged for cut in range(1, len(one))
         if one[:cut] in vocabulary and one[cut:] in vocabulary),
        key=lambda pair: vocabulary[pair[0] + pair[1]],
    )  # fmt: skip
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    steps = [normalizers.Prepend("▁")] if blank_first else []
    replaced = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([*steps, replaced]) if blank_first else replaced
    back = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*back, decoders.Strip(" ", 1, 0)] if blank_first else back)
    tokenizer.add_special_tokens([_added(name, special=True) for name in names])
    return tokenizer


def _learnt(words: list[str], pieces: int) -> tuple[list[str], list[str]]:
    """The letters of `words` and `pieces` merged pieces in the order in which BPE finds them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    letters = sorted({sign for word in words for sign in word})
    trainer = trainers.BpeTrainer(vocab_size=len(letters) + pieces, show_progress=False)
    tokenizer.train_from_iterator(words, trainer)
    ordered = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return letters, [piece for piece, _ in ordered if len(piece) > 1]


def _begins_with(tokenizer: Any, name: str) -> None:
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{name} $A", pair=f"{name} $A {name} $B:1", special_tokens=[(name, _id(tokenizer, name))]
    )


def _write(
    folder: Path, config: Any, tokenizer: Any, chat: str, roles: dict[str, str], kind: str,
    stops: list[int] | None = None,
) -> Path:  # fmt: skip
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    begins = tokenizer.encode("a").ids != tokenizer.encode("a", add_special_tokens=False).ids
    facts = {**roles, "add_bos_token": begins, "chat_template": chat, "model_max_length": 512, "tokenizer_class": kind,
             "clean_up_tokenization_spaces": False}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(
        json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8"
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight += 0.1 * torch.randn_like(weight)
    ends = stops or config.eos_token_id
    model.generation_config = GenerationConfig(bos_token_id=config.bos_token_id, eos_token_id=ends)
    model.save_pretrained(folder)
    return folder
