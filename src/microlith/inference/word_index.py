"""How like a request known texts are, by the words that they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from microlith.errors import MissingExtra
from microlith.inference.stored import READABLE


class WordIndex:
    """BM25 over the words of texts (Robertson and Zaragoza 2009). Safe to share between threads."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Index `texts`, at least one.

        Raises:
            MissingExtra: if bm25s is not installed.
        """
        try:
            import bm25s
        except ImportError as error:
            raise MissingExtra("finding the nearest example needs bm25s", mend="pip install bm25s") from error
        self._index: Any = bm25s.BM25()
        self._index.index([words(text[:READABLE]) or [""] for text in texts], show_progress=False)

    def scores(self, request: str) -> Any | None:
        """(texts) scores, 0 for a text that shares no word; None where the request has no word of any text."""
        known = [word for word in words(request[:READABLE]) if word in self._index.vocab_dict]
        return self._index.get_scores(known) if known else None


def words(text: str) -> list[str]:
    """Lower-case words of a text, numbers included, each once in the order of first appearance."""
    cleaned = "".join(sign if sign.isalnum() else " " for sign in text.casefold())
    return list(dict.fromkeys(cleaned.split()))
