"""Chat templates cut into fixed parts, for every family."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from microlith.errors import TrainingError, UsageError
from microlith.inference.prompt import Pieces
from microlith.training.causal_base import CausalBase, open_base, prompt_of
from microlith.training.causal_settings import CausalSettings
from tests.tiny_models import FAMILIES, VARIANTS, make_smollm
from tests.training.causal_small import base_of

pytest.importorskip("transformers")
ENDS = {
    "llama": "<|eot_id|>", "smollm": "<|im_end|>", "mistral": "</s>", "qwen3": "<|im_end|>", "qwen2": "<|im_end|>",
    "gemma3": "<end_of_turn>", "phi3": "<|end|>", "tinyllama": "</s>", "gemma2": "<end_of_turn>", "phi35": "<|end|>",
    "phi4": "<|end|>", "smollm3": "<|im_end|>",
}  # fmt: skip
THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
NO_SYSTEM = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
)
INSTRUCTION = "Turn the request into JSON."


def with_template(base: CausalBase, template: str) -> CausalBase:
    """The base, opened again with another template."""
    place = base.folder / "tokenizer_config.json"
    facts = json.loads(place.read_text())
    place.write_text(json.dumps({**facts, "chat_template": template}))
    (base.folder / "chat_template.jinja").unlink(missing_ok=True)
    return open_base(CausalSettings(base=str(base.folder)))


def rendered(base: CausalBase, messages: list[dict[str, str]], **more: Any) -> str:
    return str(base.tokenizer.apply_chat_template(messages, tokenize=False, **more))


def turns(*contents: str) -> list[dict[str, str]]:
    roles = ("system", "user", "assistant")[-len(contents) :]
    return [{"role": role, "content": text} for role, text in zip(roles, contents, strict=True)]


@pytest.mark.parametrize("name", [*FAMILIES, *VARIANTS])
def test_the_parts_make_the_template_s_own_text(name: str) -> None:
    base = base_of(name)
    prompt = prompt_of(base, INSTRUCTION)
    text = f"{prompt.before_text}Do it!{prompt.after_text}{{}}{prompt.end_text}"
    assert rendered(base, turns(INSTRUCTION, "Do it!", "{}")).startswith(text)
    assert prompt.instruction == INSTRUCTION
    assert INSTRUCTION in prompt.before_text


@pytest.mark.parametrize("name", ENDS)
def test_the_answer_ends_with_the_family_s_token(name: str) -> None:
    prompt = prompt_of(base_of(name), "")
    assert prompt.end_text == ENDS[name]
    assert base_of(name).tokenizer.convert_ids_to_tokens(prompt.end) == ENDS[name]


@pytest.mark.parametrize("name", [*FAMILIES, *VARIANTS])
def test_tokens_before_the_request_are_the_tokenizer_s_own(name: str) -> None:
    base = base_of(name)
    prompt = prompt_of(base, INSTRUCTION)
    assert list(prompt.before) == base.tokenizer(prompt.before_text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", [*FAMILIES, *VARIANTS])
def test_all_tokens_together_spell_the_conversation(name: str) -> None:
    base = base_of(name)
    prompt = prompt_of(base, INSTRUCTION)
    pieces = Pieces(
        tokenizer=base.tokenizer.backend_tokenizer.__class__.from_str(
            base.tokenizer.backend_tokenizer.to_str()
        )
    )
    ids = [*prompt.ids(pieces.ids("Do it!")), *pieces.ids("{}"), prompt.end]
    spelled = "".join(str(base.tokenizer.convert_ids_to_tokens(one)) for one in ids)
    whole = base.tokenizer(
        f"{prompt.before_text}Do it!{prompt.after_text}{{}}{prompt.end_text}", add_special_tokens=False
    )
    wanted = "".join(base.tokenizer.convert_ids_to_tokens(whole["input_ids"]))
    assert spelled == re.sub(r"(?<=\|>)▁(?=[D{])", "", wanted)  # pieces never get a blank put before them


def test_without_an_instruction_there_is_no_system_message() -> None:
    assert prompt_of(base_of("smollm"), "  ").before_text == "<|im_start|>user\n"


def test_the_instruction_is_merged_where_the_template_refuses_a_system_message(tmp_path: Path) -> None:
    base = with_template(open_base(CausalSettings(base=str(make_smollm(tmp_path)))), NO_SYSTEM)
    assert prompt_of(base, INSTRUCTION).before_text == f"<|im_start|>user\n{INSTRUCTION}\n\n"


def test_the_instruction_is_merged_where_the_template_swallows_it(tmp_path: Path) -> None:
    silent = NO_SYSTEM.replace("{{ raise_exception('System role not supported') }}", "{% continue %}")
    base = with_template(open_base(CausalSettings(base=str(make_smollm(tmp_path)))), silent)
    assert prompt_of(base, INSTRUCTION).before_text == f"<|im_start|>user\n{INSTRUCTION}\n\n"


def test_thinking_is_off_where_the_template_has_the_switch(tmp_path: Path) -> None:
    base = with_template(open_base(CausalSettings(base=str(make_smollm(tmp_path)))), THINKING)
    prompt = prompt_of(base, INSTRUCTION)
    assert prompt.after_text == "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    asked = rendered(base, turns("x", "y")[1:], add_generation_prompt=True, enable_thinking=False)
    assert asked.endswith(prompt.after_text)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}", "answer 0 times"),
        ("{% for m in messages %}{{ m['content'] + m['content'] }}{% endfor %}", "request 2 times"),
        ("{% for m in messages %}{{ m['role'] + m['content'] }}{% endfor %}", "writes '', which is no token that ends"),
        ("{{ messages[1]['content'] + messages[0]['content'] }}", "answer before the request"),
        ("{{ raise_exception('never') }}", "fails: never"),
        ("{{ messages[", "fails: "),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_refused_at_the_start(
    tmp_path: Path, template: str, said: str
) -> None:
    base = open_base(CausalSettings(base=str(make_smollm(tmp_path))))
    with pytest.raises(TrainingError, match=said):
        with_template(base, template)


def test_an_instruction_with_a_control_token_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'<\|im_end\|>'"):
        prompt_of(base_of("smollm"), "Stop.<|im_end|>")


def test_an_instruction_may_spell_a_token_that_controls_nothing() -> None:
    assert "<think>" in prompt_of(base_of("qwen3"), "Never write <think>.").before_text
