"""What is known and like a request: the nearest labelled rows, the nearest passages of documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from microlith.errors import UsageError
from microlith.inference.word_index import WordIndex

LONGEST_PASSAGE = 1200
"""Characters of one passage; a longer paragraph is cut between words."""
SUFFIXES = frozenset({".md", ".txt", ".rst"})
"""Files of a folder that are read as documentation."""


class Nearest:
    """Orders texts by how like a request they are."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Index `texts`, which may be none.

        Raises:
            MissingExtra: if bm25s is not installed.
        """
        self.texts = tuple(texts)
        self._index = WordIndex(texts) if texts else None

    def order(self, request: str, *, like: bool = False) -> Iterator[int]:
        """Numbers of the texts, the nearest first, equal ones as they were given.

        Args:
            request: What they are compared with.
            like: True to leave out texts that share no word with the request.
        """
        if self._index is None:
            return
        scores = self._index.scores(request)
        if scores is None:
            yield from () if like else range(len(self.texts))
            return
        for place in (-scores).argsort(kind="stable"):
            if like and scores[place] <= 0:
                return
            yield int(place)


def passages_of(documents: Sequence[Path | str]) -> list[str]:
    """The paragraphs of text and Markdown files, each under the headings that it stands below.

    Args:
        documents: Files, and folders of which every .md, .txt and .rst file below is read.

    Raises:
        UsageError: if one cannot be read as UTF-8 text.
    """
    return [passage for path in _files(documents) for passage in _passages(_text(path))]


def _files(documents: Sequence[Path | str]) -> Iterator[Path]:
    for path in map(Path, documents):
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file())
        else:
            yield path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the document cannot be read: {error}", place=str(path), mend="name a text file in UTF-8"
        ) from error


def _passages(text: str) -> Iterator[str]:
    headings: list[str] = []
    for block in "\n".join(line.rstrip() for line in text.splitlines()).split("\n\n"):
        body = []
        for line in block.strip("\n").split("\n"):
            if level := _level(line):
                headings[level - 1 :] = [line.lstrip("# ")]
            else:
                body.append(line)
        if paragraph := "\n".join(body).strip():
            head = " > ".join(headings)
            yield from (f"{head}\n{piece}" if head else piece for piece in _pieces(paragraph))


def _level(line: str) -> int:
    """Depth of a Markdown heading, 1-6; 0 for any other line."""
    depth = len(line) - len(line.lstrip("#"))
    return depth if 1 <= depth <= 6 and line[depth : depth + 1] == " " else 0


def _pieces(paragraph: str) -> Iterator[str]:
    while len(paragraph) > LONGEST_PASSAGE:
        cut = max(paragraph.rfind(sign, 1, LONGEST_PASSAGE) for sign in "\n ")
        cut = cut if cut > 0 else LONGEST_PASSAGE
        yield paragraph[:cut].rstrip()
        paragraph = paragraph[cut:].lstrip()
    if paragraph:
        yield paragraph
