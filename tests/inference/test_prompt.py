"""Prompts, and how pieces of text become tokens."""

from __future__ import annotations

import json
import threading
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.errors import ArtifactError
from microlith.inference.prompt import Pieces, Prompt
from tests.inference.tiny_gguf import MAKERS, pieces
from tests.odd_texts import ODD_TEXTS

PROMPT = Prompt(
    before=(1, 2), after=(3,), end=4, before_text="a", after_text="b", end_text="c", instruction="i"
)
NAMES = sorted(MAKERS)
SENTENCEPIECE = ("mistral", "tinyllama", "phi3", "phi35", "gemma3", "gemma2")
SIGNS = ('"', "{", "}", "[", "]", ",", ":", '{"', '":', '","')


def same(name: str, text: str) -> str:
    """The text as the tokenizer of a family normalizes it; SentencePiece writes a blank as a sign of its own."""
    if name in SENTENCEPIECE:
        return text.replace("▁", " ")
    return normalize("NFC", text) if name.startswith("qwen") else text


@pytest.mark.parametrize("name", NAMES)
def test_spelling_inverts_tokenizing(name: str) -> None:
    used = pieces(name)
    for text in ODD_TEXTS:
        assert used.spell(used.ids(text)) == same(name, text), repr(text)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_spelling_inverts_tokenizing_for_any_text(text: str) -> None:
    for name in ("llama", "mistral", "gemma3"):
        assert pieces(name).spell(pieces(name).ids(text)) == same(name, text)


@pytest.mark.parametrize("name", NAMES)
def test_no_piece_gets_a_blank_before_it(name: str) -> None:
    used = pieces(name)
    for text in ("a", "open", '"', "{", " a", "1", "漢", "\n"):
        spelled = b"".join(used.vocabulary[one] for one in used.ids(text))
        assert spelled == text.encode(), (text, spelled)


@pytest.mark.parametrize("name", NAMES)
def test_a_piece_has_the_same_tokens_whatever_was_asked_before(name: str) -> None:
    fresh, used = Pieces(tokenizer=pieces(name).tokenizer), pieces(name)
    for text in ("x", "port", *SIGNS, "x" * 500):
        used.ids(text + "y")
        assert used.ids(text) == fresh.ids(text) == used.ids(text)


@pytest.mark.parametrize("name", NAMES)
def test_signs_of_json_are_tokens(name: str) -> None:
    for sign in ('"', ",", "}", "]", "{", "["):
        assert len(pieces(name).ids(sign)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_spelled_control_tokens_are_letters(name: str) -> None:
    used = pieces(name)
    added = used.tokenizer.get_added_tokens_decoder()
    special = {number for number, token in added.items() if token.special}
    assert special
    for number in special:
        text = f"a {added[number].content} b"
        ids = used.ids(text)
        assert not special & set(ids)
        assert used.spell(ids) == text
        assert used.vocabulary[number] == b""


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_can_be_spelled(name: str) -> None:
    held = set(pieces(name).vocabulary)
    assert {bytes([one]) for one in range(256)} <= held


def test_what_is_no_text_is_a_question_mark() -> None:
    assert pieces("llama").spell(pieces("llama").ids("a\ud83db")) == "a?b"
    assert pieces("llama").ids("") == ()


def test_bytes_that_are_no_text_become_the_replacement_sign() -> None:
    used = pieces("llama")
    assert used.spell([used.vocabulary.index(b"\xe6")]) == "\ufffd"


def test_long_texts_are_not_kept() -> None:
    used = Pieces(tokenizer=pieces("llama").tokenizer)
    used.ids("x" * 5000)
    used.ids("short")
    assert used._cached.cache_info().currsize == 1


def test_threads_share_the_pieces() -> None:
    used, found = Pieces(tokenizer=pieces("mistral").tokenizer), []
    expected = [used.ids(text) for text in ODD_TEXTS]
    threads = [
        threading.Thread(target=lambda: found.append([used.ids(text) for text in ODD_TEXTS]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_a_prompt_stands_around_the_request() -> None:
    assert PROMPT.ids([7, 8]) == [1, 2, 7, 8, 3]


def test_a_prompt_comes_back_from_json() -> None:
    assert Prompt.from_json(json.loads(json.dumps(PROMPT.to_json()))) == PROMPT


@pytest.mark.parametrize("damage", [{"before": None}, {"after": 3}, {"unknown": 1}])
def test_a_damaged_prompt_is_an_artifact_error(damage: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match="the prompt is damaged"):
        Prompt.from_json({**PROMPT.to_json(), **damage})
    with pytest.raises(ArtifactError, match="the prompt is damaged"):
        Prompt.from_json({key: value for key, value in PROMPT.to_json().items() if key != "end"})
