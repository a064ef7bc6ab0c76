"""Cutting a model's own chat template into the fixed parts of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from microlith.errors import TrainingError, UsageError
from microlith.inference.prompt import Pieces, Prompt

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""For models that know ChatML's tokens and bring no template."""
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
_INSTRUCTION, _REQUEST, _ANSWER = "XINSTRUCTIONX", "XREQUESTX", "XANSWERX"
_CONSTANTS = {"enable_thinking": False, "date_string": "26 Jul 2024"}
"""What templates may ask for: no thinking before the answer, and a date that does not change from day to day."""
_MEND = "name an instruction-tuned base, or put its chat template into the folder as chat_template.jinja"


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A tokenizer with its chat template."""

    tokenizer: Any
    """A `transformers` tokenizer that has a chat template."""
    end_token: str | None
    """The token that must end an answer; None takes the one that the template writes."""
    place: str
    """Where the template comes from, for errors."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The texts around request and answer."""

    before: str
    after: str
    tail: str
    """What the template writes after the answer."""


def cut_prompt(chat: Chat, instruction: str) -> Prompt:
    """The fixed parts of a conversation of one turn, as the chat template writes them.

    The instruction is the system message; where the template has no place for one, it stands at the head of the
    user's turn, with an empty line after it. White space around it is dropped.

    Args:
        chat: Tokenizer and template.
        instruction: What the model is to do; may be empty.

    Raises:
        UsageError: if the instruction spells a control token.
        TrainingError: if the template swallows request or answer, or writes no token after the answer.
    """
    instruction = instruction.strip()
    _refuse_control_tokens(chat, instruction)
    cut = _cut(chat, with_instruction=bool(instruction))
    end = _end_of(chat, cut.tail)
    tokenizer = Tokenizer.from_str(chat.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    before = cut.before.replace(_INSTRUCTION, instruction)
    return Prompt(
        before=tuple(tokenizer.encode(before, add_special_tokens=False).ids),
        after=Pieces(tokenizer=tokenizer, special=True).ids(cut.after), end=int(chat.tokenizer.convert_tokens_to_ids(end)),
        before_text=before, after_text=cut.after, end_text=end, instruction=instruction,
    )  # fmt: skip


def _refuse_control_tokens(chat: Chat, instruction: str) -> None:
    held = [name for name in _added_tokens(chat.tokenizer, special=True) if name in instruction]
    if held:
        raise UsageError(
            f"the instruction spells the control token {held[0]!r} of the base",
            mend="take it out of the instruction",
        )


def _added_tokens(tokenizer: Any, *, special: bool = False) -> list[str]:
    """Tokens that stand beside the learnt vocabulary, the longest first; blanks alone are none."""
    added = tokenizer.added_tokens_decoder.values()
    names = [str(token.content) for token in added if token.special or not special]
    return sorted((name for name in names if name.strip()), key=len, reverse=True)


def _cut(chat: Chat, *, with_instruction: bool) -> Cut:
    """Cut the template: instruction as a system message if that stays in front of the request, else merged."""
    if not with_instruction:
        return _parts(chat, [_message("user", _REQUEST)])
    try:
        cut = _parts(chat, [_message("system", _INSTRUCTION), _message("user", _REQUEST)])
        if cut.before.count(_INSTRUCTION) == 1:
            return cut
    except _Refused:
        pass
    return _parts(chat, [_message("user", f"{_INSTRUCTION}\n\n{_REQUEST}")])


def _parts(chat: Chat, messages: Sequence[dict[str, str]]) -> Cut:
    whole = _render(chat, [*messages, _message("assistant", _ANSWER)])
    for mark, what in ((_REQUEST, "request"), (_ANSWER, "answer")):
        if whole.count(mark) != 1:
            raise _Refused(
                f"the chat template of the base writes the {what} {whole.count(mark)} times instead of once",
                place=chat.place, mend=_MEND,
            )  # fmt: skip
    before, _, rest = whole.partition(_REQUEST)
    after, answer, tail = rest.partition(_ANSWER)
    if not answer:
        raise _Refused(
            "the chat template of the base writes the answer before the request", place=chat.place, mend=_MEND
        )
    if "enable_thinking" in str(chat.tokenizer.get_chat_template()):
        after = _render(chat, messages, answer_next=True).partition(_REQUEST)[2]
    return Cut(before=before, after=after, tail=tail)


class _Refused(TrainingError):
    """The template cannot write these messages."""


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _render(chat: Chat, messages: Sequence[dict[str, str]], *, answer_next: bool = False) -> str:
    from jinja2 import TemplateError

    try:
        return str(
            chat.tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=answer_next, **_CONSTANTS
            )
        )
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        raise _Refused(
            f"the chat template of the base fails: {error}", place=chat.place, mend=_MEND
        ) from error


def _end_of(chat: Chat, tail: str) -> str:
    """The token that the template writes after the answer."""
    text = tail.lstrip()
    names = _added_tokens(chat.tokenizer)
    found = next((name for name in names if text.startswith(name)), None)
    if found is None:
        raise TrainingError(
            f"after an answer the chat template of the base writes {tail[:20]!r}, which is no token that ends a turn",
            place=chat.place, mend=_MEND,
        )  # fmt: skip
    if chat.end_token is not None and found != chat.end_token:
        raise TrainingError(
            f"the chat template of the base ends an answer with {found!r}, expected {chat.end_token!r}",
            place=chat.place, mend="take the tokenizer files of the original model",
        )  # fmt: skip
    return found
