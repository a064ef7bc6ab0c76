"""What a language model reads before it answers, and how texts become tokens.

A prompt is fixed text, the request, fixed text. An answer is a chain of pieces. Every piece is tokenized by itself, in
training as in answering, so that forced text and a choice have the same tokens wherever they stand, and a request that
spells a control token is read as letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from microlith.errors import ArtifactError

MARKERS = ("\n", "|", "~")
"""One of these stands before a piece where the tokenizer would add a blank to the start of a text; its tokens are dropped
again. The first that does not grow together with the piece is taken."""
_KEPT = 200
"""Characters of a piece whose tokens are remembered; requests are longer and seldom come twice."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The fixed parts of a conversation of one turn."""

    before: tuple[int, ...]
    """Tokens before the request: begin of text, system message, head of the user's turn."""
    after: tuple[int, ...]
    """Tokens between the request and the answer."""
    end: int
    """Token that ends the answer."""
    before_text: str
    after_text: str
    end_text: str
    instruction: str = ""
    """The instruction as it stands in `before_text`; empty where the model knows its job by heart."""

    def ids(self, request: Sequence[int]) -> list[int]:
        """The tokens of the whole prompt around those of a request."""
        return [*self.before, *request, *self.after]

    def to_json(self) -> dict[str, Any]:
        """The prompt as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Prompt:
        """Read what `to_json` wrote.

        Raises:
            ArtifactError: if a key is missing or unknown.
        """
        try:
            return cls(**{**data, "before": tuple(data["before"]), "after": tuple(data["after"])})
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"the prompt is damaged: {error}", mend="train again") from error


@dataclass(kw_only=True)
class Pieces:
    """Tokenizes pieces of text. Safe to share between threads."""

    tokenizer: Tokenizer
    special: bool = False
    """True to read spelled control tokens as such: for fixed text, never for requests."""
    vocabulary: list[bytes] = field(init=False)
    """Token -> the bytes that it spells; empty for control tokens."""

    def __post_init__(self) -> None:
        """Find out whether a text gets a blank before it."""
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.tokenizer.encode_special_tokens = not self.special
        self.vocabulary = spelled(self.tokenizer)
        prefixed = b"".join(self.vocabulary[one] for one in self._encode("a")).startswith(b" ")
        self._markers = [(sign, self._encode(sign)) for sign in MARKERS] if prefixed else []
        self._cached = lru_cache(maxsize=65536)(self._ids)

    @classmethod
    def of_file(cls, path: Path) -> Pieces:
        """The pieces of the tokenizer in a file."""
        return cls(tokenizer=Tokenizer.from_file(str(path)))

    def ids(self, text: str) -> tuple[int, ...]:
        """Tokens of one piece; empty for no text."""
        if not text:
            return ()
        return self._cached(text) if len(text) <= _KEPT else self._ids(text)

    def spell(self, ids: Sequence[int]) -> str:
        """The text that tokens spell; what is no UTF-8 becomes the replacement sign."""
        return b"".join(self.vocabulary[one] for one in ids).decode("utf-8", "replace")

    def _ids(self, text: str) -> tuple[int, ...]:
        if not self._markers:
            return tuple(self._encode(text))
        wanted = text.replace("▁", " ")
        for sign, marked in self._markers:
            ids = self._after(sign, marked, text)
            if self.spell(ids) == wanted:
                return ids
        return self._after(*self._markers[0], text)

    def _after(self, sign: str, marked: Sequence[int], text: str) -> tuple[int, ...]:
        return tuple(self._encode(sign + text)[len(marked) :])

    def _encode(self, text: str) -> list[int]:
        readable = text.encode("utf-8", "replace").decode("utf-8")
        found: list[int] = self.tokenizer.encode(readable, add_special_tokens=False).ids
        return found


def spelled(tokenizer: Tokenizer) -> list[bytes]:
    """Bytes of every token of a byte-level or SentencePiece-like vocabulary, in the order of their ids."""
    vocabulary, known = tokenizer.get_vocab(), tokenizer.get_added_tokens_decoder()
    added = {one: token.content for one, token in known.items()}
    special = {one for one, token in known.items() if token.special}
    decoder = tokenizer.decoder
    byte_level = decoder is not None and b'"ByteLevel"' in decoder.__getstate__()
    found = [b""] * (max(vocabulary.values(), default=-1) + 1)
    for word, one in vocabulary.items():
        if one in special:
            continue
        if one in added:
            found[one] = added[one].encode()
        elif byte_level:
            found[one] = (
                bytes(_BYTES[sign] for sign in word) if all(s in _BYTES for s in word) else word.encode()
            )
        elif len(word) == 6 and word.startswith("<0x") and word.endswith(">"):
            found[one] = bytes([int(word[3:5], 16)])
        else:
            found[one] = word.replace("▁", " ").encode()
    return found


def _byte_letters() -> dict[str, int]:
    """The letter that stands for each byte in a byte-level vocabulary (Radford et al. 2019, `bytes_to_unicode`)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [one for one in range(256) if one not in plain]
    return {chr(one): one for one in plain} | {chr(256 + place): one for place, one in enumerate(others)}


_BYTES = _byte_letters()
