"""Does a GGUF file in llama.cpp answer as the trained model did?

Four questions: has a text the same tokens, are the scores of the next token close, is the most probable token the same all
along the trained model's own answers, and are the decisions of the answers equal. Where an answer holds free text, two
tokens of nearly the same probability may change places and everything after them; so texts are judged token by token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from microlith.data.example import Example
from microlith.export.changes import ChangedRow, confidence_shift
from microlith.inference.decode import Decided
from microlith.inference.grounding import GroundingSpec
from microlith.inference.guided import Guide, Readable
from microlith.inference.llama_cpp import LlamaFile
from microlith.inference.notes import Guided
from microlith.inference.prompt import Pieces, Prompt
from microlith.inference.spelling import Speller
from microlith.task.plan import Json, Plan
from microlith.training.answer_rows import spelled_ids

TIED = 0.02
"""Scores that differ by less, in nats, are of equally probable tokens: which of them is the greater is rounding."""


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What a number format may change."""

    answers: float
    """Share of answers with other decisions, 0-1; one answer always may, since few rows cannot show a small share."""
    tokens: float
    """Share of an answer's tokens whose most probable token is another, 0-1."""


ALLOWANCES = {
    "f32": Allowance(answers=0.0, tokens=0.001), "f16": Allowance(answers=0.005, tokens=0.005),
    "q8_0": Allowance(answers=0.02, tokens=0.02), "q6_k": Allowance(answers=0.03, tokens=0.03),
    "q5_k_m": Allowance(answers=0.04, tokens=0.05), "q4_k_m": Allowance(answers=0.06, tokens=0.08),
    "q4_0": Allowance(answers=0.08, tokens=0.10),
}  # fmt: skip
"""By number format. What is refused at one format passes at a larger one."""


@dataclass(frozen=True, kw_only=True)
class GenerativeProof:
    """What the proof found."""

    rows_total: int
    changed: int
    """Answers with another decision that the trained model took with a lead of `TIED` or more; texts are left out."""
    tied: int
    """Answers with another decision where the trained model's lead over the next option was below `TIED`."""
    texts_changed: int
    """Answers with other words but the same decisions."""
    tokens_total: int
    """Tokens of the trained model's answers."""
    tokens_changed: int
    """Of them, those whose most probable token is another, and was more probable by more than `TIED`."""
    tokenized_otherwise: int
    """Requests that llama.cpp's own tokenizer reads as other tokens; must be 0."""
    largest_gap: float
    """Greatest absolute difference of two scores of a next token."""
    spread: float
    """Standard deviation of the scores, beside which the gap is to be seen."""
    confidence_shift: float
    """Mean absolute change of a decision's probability, 0-1."""
    exact_trained: int
    exact_exported: int
    allowance: Allowance
    notes: tuple[str, ...]
    """Where llama.cpp is known to work otherwise."""
    rows: tuple[ChangedRow, ...]

    @property
    def passed(self) -> bool:
        """Within every bound?"""
        return (
            self.tokenized_otherwise == 0
            and self.changed <= max(1.0, self.allowance.answers * self.rows_total)
            and self.tokens_changed <= max(1.0, self.allowance.tokens * self.tokens_total)
        )

    @property
    def summary(self) -> str:
        """The proof in a line."""
        tied = f", {self.tied} more between equally probable options" if self.tied else ""
        texts = f", {self.texts_changed} other words" if self.texts_changed else ""
        other = f", {self.tokenized_otherwise} requests have other tokens" if self.tokenized_otherwise else ""
        return (
            f"{self.changed} of {self.rows_total} answers changed (allowed {self.allowance.answers:.1%}){tied}{texts}; "
            f"{self.tokens_changed} of {self.tokens_total:,} tokens (allowed {self.allowance.tokens:.1%}){other}; "
            f"exact {self.exact_trained} -> {self.exact_exported}; scores differ by at most {self.largest_gap:.3g} "
            f"(spread {self.spread:.3g})"
        )

    def to_json(self) -> dict[str, Any]:
        """The proof as a JSON object."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How both models are asked."""

    plan: Plan
    spec: GroundingSpec
    prompt: Prompt
    tokenizer: Path


def prove(
    asked: Asked, examples: Sequence[Example], trained: Readable, file: LlamaFile, allowance: Allowance,
    *, notes: Sequence[str] = (),
) -> GenerativeProof:  # fmt: skip
    """Ask both models all examples.

    Args:
        asked: Plan, prompt and tokenizer.
        examples: Rows, at least one.
        trained: The reference.
        file: The GGUF file in llama.cpp.
        allowance: What may differ.
        notes: What the writer of the file knows to differ.
    """
    pieces, speller = Pieces.of_file(asked.tokenizer), Speller(asked.plan, asked.spec)
    before = _answers(Guide(speller, pieces, asked.prompt, trained), speller, examples)
    after = _answers(Guide(speller, pieces, asked.prompt, file), speller, examples)
    tally = _Tally()
    other: dict[int, int] = {}
    for place, (example, one) in enumerate(zip(examples, before, strict=True)):
        if one.output is not None:
            begun, said = spelled_ids(speller, pieces, asked.prompt, example.input, one.output)
            other[place] = tally.compare([*begun, *said], len(begun), trained, file)
    kept = (
        [_decisions(asked.plan, one.output) for one in before],
        [_decisions(asked.plan, one.output) for one in after],
    )
    differing = [place for place, (one, two) in enumerate(zip(*kept, strict=True)) if one != two]
    changed = [place for place in differing if not _tied(before[place])]
    worded = [
        place for place, (one, other) in enumerate(zip(before, after, strict=True))
        if place not in differing and one.output != other.output
    ]  # fmt: skip
    astray = _tokenized_otherwise(asked.tokenizer, file, examples)
    shift = confidence_shift(_taken(before), _taken(after))
    rows = [_changed(examples[place], before[place], after[place]) for place in (*differing, *worded)]
    rows += [
        ChangedRow(source=examples[place].source, what=f"{count} tokens of its answer are other ones")
        for place, count in other.items() if count and place not in (*differing, *worded)
    ]  # fmt: skip
    return GenerativeProof(
        rows_total=len(examples), changed=len(changed), tied=len(differing) - len(changed), texts_changed=len(worded), tokens_total=tally.tokens,
        tokens_changed=tally.changed, tokenized_otherwise=len(astray), largest_gap=tally.gap, spread=tally.spread,
        confidence_shift=shift, exact_trained=_exact(examples, before), exact_exported=_exact(examples, after),
        allowance=allowance, notes=tuple(notes), rows=(*astray, *rows),
    )  # fmt: skip


def _tied(one: Guided) -> bool:
    """Did the trained model take a decision between two equally probable options?"""
    return min((item.margin for item in one.decoded.decisions), default=TIED) < TIED


def _answers(guide: Guide, speller: Speller, examples: Sequence[Example]) -> list[Guided]:
    return [guide.answer(one.input, speller.ground(one.input)) for one in examples]


class _Tally:
    """Scores of both models along the same tokens."""

    def __init__(self) -> None:
        self.tokens = self.changed = 0
        self.gap = self.spread = 0.0

    def compare(self, ids: Sequence[int], begin: int, trained: Readable, file: LlamaFile) -> int:
        """Count one answer, which follows the first `begin` of the tokens; returns how many of its tokens are other ones."""
        wanted = range(begin - 1, len(ids))
        found = []
        for model in (trained, file):
            model.forget(0)
            found.append(model.read(ids, 0, wanted=wanted))
        one, other = found[0], found[1][:, : found[0].shape[1]]
        self.tokens += len(one)
        lost = one.max(1) - np.take_along_axis(one, other.argmax(1)[:, None], 1)[:, 0]
        changed = int((lost > TIED).sum())
        self.changed += changed
        self.gap = max(self.gap, float(np.abs(one - other).max()))
        self.spread = max(self.spread, float(one.std()))
        return changed


def _decisions(plan: Plan, output: Json) -> Json:
    """The answer without its texts, and without how many there are."""
    texts = {
        (*group.path, *slot.path)
        for group in plan.groups
        for slot in group.slots.values()
        if slot.kind == "text"
    }
    return _without(output, texts, ())


def _without(node: Json, texts: set[tuple[str, ...]], path: tuple[str, ...]) -> Json:
    if path in texts:
        return None
    if isinstance(node, dict):
        return {name: _without(child, texts, (*path, name)) for name, child in node.items()}
    if isinstance(node, list):
        return [_without(child, texts, path) for child in node]
    return node


def _tokenized_otherwise(path: Path, file: LlamaFile, examples: Sequence[Example]) -> list[ChangedRow]:
    """Requests whose tokens differ between the tokenizer's file and the GGUF file's vocabulary."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    found = []
    for one in examples:
        text = one.input.encode("utf-8", "replace").decode("utf-8")
        if tokenizer.encode(text, add_special_tokens=False).ids != file.tokenize(text):
            found.append(ChangedRow(source=one.source, what="llama.cpp reads other tokens"))
    return found


def _changed(example: Example, before: Guided, after: Guided) -> ChangedRow:
    return ChangedRow(
        source=example.source, what=f"trained {str(before.output)[:300]}, exported {str(after.output)[:300]}"
    )


def _taken(answers: Sequence[Guided]) -> list[tuple[Decided, ...]]:
    return [tuple(one.decoded.decisions) for one in answers]


def _exact(examples: Sequence[Example], answers: Sequence[Guided]) -> int:
    return sum(one.output == example.output for one, example in zip(answers, examples, strict=True))
