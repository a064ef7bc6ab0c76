"""A tokenizer.json in llama.cpp's words: tokens, types, merges or scores, and the name of the way words are split.

Two kinds are described: byte-level BPE (Llama 3, SmolLM, Qwen, Phi-4, Mistral's tekken) and BPE over letters that falls back
on bytes, as SentencePiece makes it (Llama 2, Mistral, Phi-3, Gemma). llama.cpp knows no merges of the second kind but a
score a token; the order of the merges gives it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType
from tokenizers import Tokenizer

from microlith.errors import ArtifactError
from microlith.export.gguf_config import read_json
from microlith.inference.gguf_splits import split_name

_BLANK = "▁"
"""SentencePiece's sign for a blank."""
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_ADDED_SCORE, _PAD_SCORE = -1000.0, -10000.0
_SPEAKING = ("<|", "|>"), ("<｜", "｜>"), ("<unused", ">")
"""Begin and end of names that are control tokens though the tokenizer calls them ordinary."""
_ROLES = ("bos", "eos", "unk", "pad", "sep", "mask")


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A tokenizer as a GGUF file holds it."""

    model: str
    """"gpt2" for byte-level BPE, "llama" for SentencePiece's kind."""
    split: str
    """llama.cpp's name of how a text is split into words."""
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...]
    """Higher is merged sooner; empty for "gpt2"."""
    merges: tuple[str, ...]
    """Empty for "llama"."""
    roles: Mapping[str, int]
    """Token of "bos", "eos", "unk", "pad", "sep", "mask", "eot", "eom", where there is one."""
    adds_begin: bool
    """Does an encoded text begin with "bos"?"""
    adds_end: bool
    blank_first: bool
    """Does a text get a blank before it?"""
    chat_template: str | None
    notes: tuple[str, ...]
    """Where llama.cpp reads a text otherwise, a sentence each."""


def describe_tokenizer(folder: Path, *, rows: int, end_token: int | None = None) -> Vocabulary:
    """Describe the tokenizer of a model.

    Args:
        folder: Holds tokenizer.json, and tokenizer_config.json, generation_config.json, config.json where there are such.
        rows: Rows of the model's embeddings; as many tokens are described.
        end_token: Token that ends an answer, beside those that the folder names; None for none.

    Raises:
        ArtifactError: if it is missing, damaged, or of a kind that llama.cpp does not have.
    """
    path = folder / "tokenizer.json"
    data = read_json(path)
    try:
        byte_level = _is_byte_level(folder, data)
        return _described(
            folder, data, Tokenizer.from_file(str(path)), rows, end_token, byte_level=byte_level
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"tokenizer.json is damaged: {error!r}", place=str(path)) from error
    except ArtifactError:
        raise
    except Exception as error:  # tokenizers raises a plain Exception for a file that it cannot read
        raise ArtifactError(f"tokenizer.json is damaged: {error}", place=str(path)) from error


def add_vocabulary(writer: GGUFWriter, found: Vocabulary) -> None:
    """Add the keys that llama.cpp reads of a tokenizer."""
    writer.add_tokenizer_model(found.model)
    writer.add_tokenizer_pre(found.split)
    writer.add_token_list(list(found.tokens))
    if found.scores:
        writer.add_token_scores(list(found.scores))
    writer.add_token_types(list(found.types))
    if found.merges:
        writer.add_token_merges(list(found.merges))
    for role, token in found.roles.items():
        getattr(writer, f"add_{role}_token_id")(token)
    writer.add_add_bos_token(found.adds_begin)
    writer.add_add_eos_token(found.adds_end)
    if found.model == "llama":
        writer.add_add_space_prefix(found.blank_first)
    if found.chat_template is not None:
        writer.add_chat_template(found.chat_template)


def _is_byte_level(folder: Path, data: Mapping[str, Any]) -> bool:
    """Which of the two kinds is it? Asked before `tokenizers` reads the file, since some others make it stop the program."""
    model = data["model"]
    if model.get("type", "BPE") != "BPE":
        raise _beyond(folder, f"a tokenizer of type {model['type']!r}")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _beyond(folder, "a BPE that marks begin or end of a word")
    if any('"ByteLevel"' in json.dumps(data.get(part)) for part in ("pre_tokenizer", "decoder")):
        return True
    if not model.get("byte_fallback"):
        raise _beyond(folder, "a BPE over letters that does not fall back on bytes")
    return False


def _described(
    folder: Path,
    data: Mapping[str, Any],
    tokenizer: Tokenizer,
    rows: int,
    end_token: int | None,
    *,
    byte_level: bool,
) -> Vocabulary:
    model = data["model"]
    notes = list(_normalizer_notes(folder, data.get("normalizer"), byte_level=byte_level))
    tokens, types = _tokens(folder, data, rows, byte_level=byte_level)
    merges = [pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"]]
    settings = (
        read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    )
    roles = _roles(
        folder,
        settings,
        {one["content"]: one["id"] for one in data.get("added_tokens", [])},
        tokens,
        end_token,
    )
    begins, ends = _framed(folder, tokenizer, roles)
    blank_first = not byte_level and _blank_first(tokenizer)
    if not byte_level:
        notes += _merge_notes(model["vocab"], merges)
    if blank_first and _spelled(tokenizer, " a") == _spelled(tokenizer, "a"):
        notes.append(
            "llama.cpp puts a blank before every text, the tokenizer not before one that begins with a blank"
        )
    return Vocabulary(
        model="gpt2" if byte_level else "llama",
        split=split_name(data, place=str(folder / "tokenizer.json")) if byte_level else "default",
        tokens=tuple(tokens), types=tuple(int(one) for one in types),
        scores=() if byte_level else tuple(_scores(tokens, types, merges)),
        merges=tuple(" ".join(part.replace(" ", "Ġ") for part in pair) for pair in merges) if byte_level else (),
        roles=roles, adds_begin=begins, adds_end=ends, blank_first=blank_first,
        chat_template=chat_template(folder, settings), notes=tuple(notes),
    )  # fmt: skip


def _tokens(
    folder: Path, data: Mapping[str, Any], rows: int, *, byte_level: bool
) -> tuple[list[str], list[TokenType]]:
    tokens = [f"[PAD{place}]" for place in range(rows)]
    types = [TokenType.UNUSED] * rows
    unknown = None if byte_level else data["model"].get("unk_token")
    for token, place in data["model"]["vocab"].items():
        if place >= rows:
            raise _beyond(folder, f"a token {token!r} of number {place} for {rows} rows of embeddings")
        tokens[place] = token
        is_byte = not byte_level and _BYTE.fullmatch(token)
        types[place] = (
            TokenType.BYTE if is_byte else TokenType.UNKNOWN if token == unknown else TokenType.NORMAL
        )
    for added in data.get("added_tokens", []):
        place, token = added["id"], added["content"]
        if place >= rows or token == unknown:
            continue
        if added.get("special") or _speaks(token):
            tokens[place], types[place] = token, TokenType.CONTROL
        elif token not in data["model"]["vocab"] or _BLANK not in token:
            tokens[place], types[place] = token.replace(_BLANK, " "), TokenType.USER_DEFINED
    if len(set(tokens)) < rows:
        twice = next(token for place, token in enumerate(tokens) if token in tokens[:place])
        raise _beyond(folder, f"a token {twice!r} that stands twice")
    if not byte_level and types.count(TokenType.BYTE) != 256:
        raise _beyond(folder, f"{types.count(TokenType.BYTE)} tokens of single bytes, expected 256,")
    return tokens, types


def _speaks(token: str) -> bool:
    return token in ("<mask>", "<pad>") or any(
        token.startswith(begin) and token.endswith(end) for begin, end in _SPEAKING
    )


def _scores(tokens: list[str], types: list[TokenType], merges: list[list[str]]) -> Iterator[float]:
    """A score a token: what is merged sooner has a higher one; letters come last, in the order of their numbers."""
    order = {token: place for place, token in enumerate(dict.fromkeys("".join(pair) for pair in merges))}
    letters = len(order)
    for token, kind in zip(tokens, types, strict=True):
        if kind in (TokenType.BYTE, TokenType.UNKNOWN):
            yield 0.0
        elif kind == TokenType.UNUSED:
            yield _PAD_SCORE
        elif kind != TokenType.NORMAL:
            yield _ADDED_SCORE
        elif token in order:
            yield -float(order[token])
        else:
            yield -float(letters)
            letters += 1


def _merge_notes(vocabulary: Mapping[str, int], merges: list[list[str]]) -> Iterator[str]:
    """Does the tokenizer lack merges that llama.cpp would take, since it looks at what two tokens make only?"""
    known = {(left, right) for left, right in merges}
    lacking = sum(
        1 for whole in {left + right for left, right in known} for cut in range(1, len(whole))
        if whole[:cut] in vocabulary and whole[cut:] in vocabulary and (whole[:cut], whole[cut:]) not in known
    )  # fmt: skip
    if lacking:
        yield f"llama.cpp may split rare words otherwise: it merges {lacking:,} pairs that the tokenizer does not"


def _normalizer_notes(
    folder: Path, normalizer: Mapping[str, Any] | None, *, byte_level: bool
) -> Iterator[str]:
    for step in (normalizer or {}).get("normalizers", [normalizer]) if normalizer else []:
        kind = step["type"]
        replaces = (
            kind == "Replace" and step.get("pattern") == {"String": " "} and step.get("content") == _BLANK
        )
        prepends = kind == "Prepend" and step.get("prepend") == _BLANK
        if kind == "NFC":
            yield "llama.cpp does not compose letters and their marks (NFC) before it reads a text, the base does"
        elif byte_level or not (replaces or prepends):
            raise _beyond(folder, f"a tokenizer that changes texts by {kind}")


def _blank_first(tokenizer: Tokenizer) -> bool:
    return "".join(_spelled(tokenizer, "a")).startswith(_BLANK)


def _spelled(tokenizer: Tokenizer, text: str) -> list[str]:
    return list(tokenizer.encode(text, add_special_tokens=False).tokens)


def _framed(folder: Path, tokenizer: Tokenizer, roles: dict[str, int]) -> tuple[bool, bool]:
    """Does the tokenizer put "bos" before and "eos" behind a text? Found out by encoding one."""
    bare, framed = (tokenizer.encode("a", add_special_tokens=one).ids for one in (False, True))
    place = next((one for one in range(len(framed)) if framed[one : one + len(bare)] == bare), 0)
    before, behind = framed[:place], framed[place + len(bare) :]
    if len(before) > 1 or len(behind) > 1:
        raise _beyond(folder, f"a tokenizer that frames a text by {len(before)} and {len(behind)} tokens")
    if before:
        roles["bos"] = before[0]
    if behind:
        roles["eos"] = behind[0]
    return bool(before), bool(behind)


def _roles(
    folder: Path,
    settings: Mapping[str, Any],
    added: Mapping[str, int],
    tokens: list[str],
    end_token: int | None,
) -> dict[str, int]:
    facts = {**read_json(folder / "config.json")} if (folder / "config.json").is_file() else {}
    path = folder / "generation_config.json"
    generation = read_json(path) if path.is_file() else {}
    found: dict[str, int] = {}
    for role in _ROLES:
        given = settings.get(f"{role}_token")
        name = given.get("content") if isinstance(given, dict) else given
        number = added.get(name) if isinstance(name, str) else None
        numbers = _ids(facts.get(f"{role}_token_id"))
        if number is None and numbers:
            number = numbers[0]
        if number is not None and number < len(tokens):
            found[role] = number
    stops = [*_ids(end_token), *_ids(generation.get("eos_token_id")), *_ids(facts.get("eos_token_id"))]
    others = [one for one in dict.fromkeys(stops) if one != found.get("eos") and one < len(tokens)]
    if "eos" not in found and others:
        found["eos"] = others.pop(0)
    return found | dict(zip(("eot", "eom"), others, strict=False))


def _ids(value: Any) -> list[int]:
    """One number, several or none as a list."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)]


def chat_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The chat template of a folder: a file of its own, or in tokenizer_config.json; None where there is none."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    given = settings.get("chat_template")
    if isinstance(given, list):
        named = {one.get("name"): one.get("template") for one in given if isinstance(one, dict)}
        given = named.get("default")
    return given if isinstance(given, str) else None


def _beyond(folder: Path, what: str) -> ArtifactError:
    return ArtifactError(
        f"llama.cpp has no words for {what}", place=str(folder / "tokenizer.json"),
        mend="choose a base of the Llama, Mistral, SmolLM, Qwen, Gemma or Phi families with its own tokenizer",
    )  # fmt: skip
