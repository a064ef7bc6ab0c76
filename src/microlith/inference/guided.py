"""A language model drives the walk through an answer.

Forced text is read in one go and never sampled. A pick goes down the tree of its options' tokens: where they part, the
model's probabilities of the tokens that lead on are all that counts. A text is written token by token from those that may
stand there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from microlith.inference.asks import SEPARATORS, DeadEnd, Forced, Pick, Walk, Walked, Write
from microlith.inference.grounding import Grounding
from microlith.inference.lettering import Lettering, is_broken, is_escaped, number_fits, text_fits, unescaped
from microlith.inference.notes import Guided, Notes, Taken, log_sum
from microlith.inference.prompt import Pieces, Prompt
from microlith.inference.spelling import Speller

Logits = npt.NDArray[np.float32]
RETRIES = 3
"""Times that a text is begun anew because it says what was said."""
ALIKE_WORDS = 4
"""Texts that begin with so many equal words say the same."""
ROOM = 4
"""Tokens that are kept free at the end of the context."""


class Readable(Protocol):
    """A language model that reads tokens: llama.cpp (`LlamaFile`), or the trained model in torch."""

    vocabulary_size: int
    context_tokens: int

    def forget(self, begin: int) -> None:
        """Drop what was read from place `begin` on."""

    def read(self, ids: Sequence[int], begin: int, *, wanted: Iterable[int] | None = None) -> Logits:
        """Logits after tokens that follow the first `begin` ones; see `LlamaFile.read`."""
        ...


class Reader:
    """Tokens that the model has read and is going to read; what requests have in common is read once."""

    def __init__(self, file: Readable) -> None:
        """Nothing is read yet."""
        self.file = file
        self._held: list[int] = []
        self._waiting: list[int] = []
        self._last: Logits | None = None
        """Logits after `_held`; None where they are not known (any more)."""
        self.tokens = 0

    def start(self, ids: Sequence[int]) -> None:
        """Begin with a prompt.

        Raises:
            DeadEnd: if it fills the context.
        """
        if len(ids) + ROOM >= self.file.context_tokens:
            raise DeadEnd(
                f"the request has {len(ids)} tokens, the model reads {self.file.context_tokens - ROOM}"
            )
        common = 0
        most = min(len(self._held), len(ids) - 1)
        while common < most and self._held[common] == ids[common]:
            common += 1
        self._cut(common)  # always, since another reader may have used the file meanwhile
        self._waiting = list(ids[common:])
        self.tokens = 0

    def add(self, ids: Sequence[int]) -> None:
        """What follows, as given."""
        self._waiting.extend(ids)

    @property
    def place(self) -> int:
        """Tokens so far."""
        return len(self._held) + len(self._waiting)

    def back(self, place: int) -> None:
        """Take back what came after the first `place` tokens."""
        if place < len(self._held):
            self._cut(place)
        self._waiting = self._waiting[: place - len(self._held)]

    def next(self) -> Logits:
        """(vocabulary,) logits of the next token.

        Raises:
            DeadEnd: if the answer fills the context.
        """
        if self.place + ROOM >= self.file.context_tokens:
            raise DeadEnd(
                f"prompt and answer fill the {self.file.context_tokens} tokens that the model reads"
            )
        if not self._waiting and self._last is not None:
            return self._last
        if not self._waiting:  # taken back to a place whose logits are gone
            self._waiting = [self._held[-1]]
            self._cut(len(self._held) - 1)
        found: Logits = self.file.read(self._waiting, len(self._held))[0]
        self.tokens += len(self._waiting)
        self._held += self._waiting
        self._waiting, self._last = [], found
        return found

    def _cut(self, place: int) -> None:
        """Forget what was read after the first `place` tokens."""
        self.file.forget(place)
        if place < len(self._held):
            del self._held[place:]
            self._last = None


class Guide:
    """Lets one model answer requests of one plan, one at a time."""

    def __init__(self, speller: Speller, pieces: Pieces, prompt: Prompt, file: Readable) -> None:
        """Work out what is the same for every request."""
        self._speller, self._pieces, self._prompt = speller, pieces, prompt
        self._reader = Reader(file)
        self._lettering = Lettering(_sized(pieces.vocabulary, file.vocabulary_size))
        self._quote = pieces.ids('"')[0]
        self._separators = tuple({pieces.ids(sign)[0] for sign in SEPARATORS})

    def answer(self, request: str, grounding: Grounding) -> Guided:
        """The answer to a request, with its decisions; `output` is None where there is no valid one."""
        notes = Notes()
        walk = self._speller.walk(request, grounding)
        try:
            self._reader.start(self._prompt.ids(self._pieces.ids(request)))
            walked = self._driven(walk, notes)
        except DeadEnd as error:
            return replace(notes.guided(None, self._reader.tokens), why=error.what)
        return notes.guided(walked, self._reader.tokens)

    def free(self, request: str, most: int = 512) -> str:
        """What the model says when nothing holds it: its most probable tokens up to its end of turn."""
        try:
            self._reader.start(self._prompt.ids(self._pieces.ids(request)))
            written: list[int] = []
            while len(written) < most:
                token = int(self._reader.next().argmax())
                if token == self._prompt.end:
                    break
                written.append(token)
                self._reader.add([token])
        except DeadEnd:
            return ""
        return self._pieces.spell([one for one in written if one < len(self._pieces.vocabulary)])

    def _driven(self, walk: Walk, notes: Notes) -> Walked:
        reply: object = None
        while True:
            try:
                ask = walk.send(reply)
            except StopIteration as stop:
                found: Walked = stop.value
                return found
            if isinstance(ask, Forced):
                self._add(ask.pieces)
                if ask.place is not None and ask.option is not None:
                    notes.picked(ask.place, ask.option, Taken())
                reply = None
            elif isinstance(ask, Pick):
                number, taken = self._pick(ask)
                notes.picked(ask.place, ask.options[number], taken)
                reply = number
            else:
                reply, taken = self._number(ask) if ask.number else self._text(ask)
                notes.written(ask, json.loads(str(reply)) if ask.number else reply, taken)

    def _add(self, pieces: Sequence[str]) -> None:
        for piece in pieces:
            self._reader.add(self._pieces.ids(piece))

    def _pick(self, ask: Pick) -> tuple[int, Taken]:
        """Go down the tree of the options' tokens, always to the most probable branch."""
        spelled = [
            tuple(token for piece in option.pieces for token in self._pieces.ids(piece))
            for option in ask.options
        ]
        live, depth, taken = list(range(len(spelled))), 0, Taken()
        while True:
            branches: dict[int, list[int]] = {}
            ended = -1
            for number in live:
                if len(spelled[number]) == depth:
                    ended = number
                else:
                    branches.setdefault(spelled[number][depth], []).append(number)
            if ended >= 0 and not branches:
                return ended, taken
            if ended < 0 and len(branches) == 1:
                token = next(iter(branches))
            else:
                token = self._branch(branches, taken, may_end=ended >= 0)
                if token < 0:
                    return ended, taken
            self._reader.add([token])
            live, depth = branches[token], depth + 1

    def _branch(self, branches: Mapping[int, list[int]], taken: Taken, *, may_end: bool) -> int:
        """The most probable token; -1 for the end of the value."""
        logits = self._reader.next()
        ends = [one for one in self._separators if one not in branches] if may_end else []
        best = max(branches, key=lambda one: float(logits[one]))
        chosen = [best]
        if ends and log_sum(logits[ends]) > float(logits[best]):
            best, chosen = -1, ends
        taken.add(logits, [*branches, *ends], chosen)
        return best

    def _text(self, ask: Write) -> tuple[str, Taken]:
        """The most probable text; one that was said before is begun otherwise, a few times."""
        begin, banned = self._reader.place, set[int]()
        while True:
            text, taken, first = self._worded(ask, banned)
            if len(banned) == RETRIES or not repeats(text, ask.said):
                return text, taken
            banned.add(first)
            self._reader.back(begin)

    def _worded(self, ask: Write, banned: Collection[int]) -> tuple[str, Taken, int]:
        """A text whose first token is none of `banned`, and that token."""
        written, taken, first = b"", Taken(), -1
        while True:
            logits = self._reader.next()
            scores = self._lettering.scores(logits, written)
            if not written:
                scores[list(banned)] = -np.inf
            ends = self._may_end(ask, written)
            if ends:
                scores[self._quote] = logits[self._quote]
            token = self._letter(ask, written, scores, may_end=ends)
            taken.wrote(logits, scores, token)
            first = token if first < 0 else first
            if token == self._quote and ends:
                return unescaped(written), taken, first
            written += self._lettering.vocabulary[token]
            self._reader.add([token])

    @staticmethod
    def _may_end(ask: Write, written: bytes) -> bool:
        return not is_escaped(written) and not is_broken(written) and len(unescaped(written)) >= ask.least

    def _letter(self, ask: Write, written: bytes, scores: Logits, *, may_end: bool) -> int:
        for token in self._lettering.ranked(scores):
            if (may_end and token == self._quote) or text_fits(
                written + self._lettering.vocabulary[token], ask
            ):
                return token
        raise DeadEnd("no text within its bounds can be written")

    def _number(self, ask: Write) -> tuple[str, Taken]:
        digits, taken = "", Taken()
        while True:
            logits = self._reader.next()
            fits = [
                token
                for token in np.flatnonzero(self._lettering.digits).tolist()
                if number_fits(digits + self._lettering.vocabulary[token].decode(), ask, whole=False)
            ]
            ends = list(self._separators) if digits and number_fits(digits, ask, whole=True) else []
            if not fits and not ends:
                raise DeadEnd(f"no number within its bounds begins with {digits!r}")
            best = max(fits, key=lambda one: float(logits[one]), default=-1)
            if ends and (best < 0 or log_sum(logits[ends]) > float(logits[best])):
                taken.add(logits, [*fits, *ends], ends)
                return digits, taken
            taken.add(logits, [*fits, *ends], [best])
            digits += self._lettering.vocabulary[best].decode()
            self._reader.add([best])


def repeats(text: str, said: Sequence[str]) -> bool:
    """Does a text say what another said: is it the same, or does it begin with the same words?"""
    words = text.casefold().split()
    return any(
        words == other or (len(words) >= ALIKE_WORDS and words[:ALIKE_WORDS] == other[:ALIKE_WORDS])
        for other in (one.casefold().split() for one in said)
    )


def _sized(vocabulary: Sequence[bytes], size: int) -> list[bytes]:
    """As many entries as the model has logits; what has no spelling is empty."""
    return [*vocabulary[:size], *([b""] * max(0, size - len(vocabulary)))]
