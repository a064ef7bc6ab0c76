"""Noise: the same request as a hurried, polite, shouting or sloppy person types it.

No kind of noise reaches into a copied value, with one exception: when a whole request changes its casing, values
whose casing means nothing may change along with it, and then the answer changes too, so that it stays a slice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from microlith.data.example import Example
from microlith.data.resample import child_of
from microlith.data.spans import Layout, layout
from microlith.task.plan import Choice, Plan

NEIGHBOURS = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "ryg", "y": "tuh", "u": "yij", "i": "uok", "o": "ipl",
    "p": "ol", "a": "qsz", "s": "adwx", "d": "sfec", "f": "dgrv", "g": "fhtb", "h": "gjyn", "j": "hkum", "k": "jli",
    "l": "kop", "z": "axs", "x": "zcsd", "c": "xvdf", "v": "cbfg", "b": "vngh", "n": "bmhj", "m": "njk",
}  # fmt: skip
"""Letters beside each letter on a QWERTY keyboard."""

BEFORE = (
    "please ", "pls ", "hi, ", "hello, ", "hey, ", "hi there, ", "ok, ", "so, ", "ok so ", "quick one: ", "hey team, ",
    "good morning, ", "sorry to bother you, ", "when you get a minute: ", "next: ", "also, ", "- ", "> ", "* ", "#1 ",
    "todo: ", "ticket: ", "request: ", "bitte ", "hallo, ", "bonjour, ", "hola, ", "ciao, ", "one more thing: ",
)  # fmt: skip
AFTER = (
    " please", " pls", ", please", ", thanks", " thanks", " thx", ", thank you", " ty", " asap", " today", " now", "!",
    " - thanks in advance", ", cheers", ", danke", ", merci", " :)", " 🙏", "\n\nThanks", "\n\nKind regards", " when you can",
    ", much appreciated", " by tonight", ", no rush",
)  # fmt: skip

CASING_SHARE = 0.25
"""How often the casing of the whole request changes, 0-1."""
WORDS_FOR_WRAPPING = 3
"""A request of fewer words gets no polite wrapping: `/help` and `exit` would become something else."""

_WORD = re.compile(r"[A-Za-z]{4,}")


def add_noise(example: Example, plan: Plan, rng: Random) -> Example | None:
    """One or two kinds of noise on a row.

    Args:
        example: A labelled row; it is not changed.
        plan: The task's plan; option names of its choices are never misspelt.
        rng: Source of all chance.

    Returns:
        The noisy row, None where the noise changed nothing or made a value ambiguous.

    Raises:
        DataError: if the plan has no variant for the answer.
    """
    made = noisy(layout(example, plan), plan, rng)
    return None if made is None else made.example


def noisy(parts: Layout, plan: Plan, rng: Random) -> Layout | None:
    """`add_noise` for a row that is already taken apart."""
    cased = with_casing(parts, rng.choice(CASINGS), rng) if rng.random() < CASING_SHARE else parts
    if cased is None:
        return None
    gaps, kept = cased.gaps, _option_words(plan)
    for _ in range(rng.choice((1, 1, 2)) if cased is parts else rng.choice((0, 1))):
        gaps = rng.choice(_KINDS)(gaps, rng, kept)
    made = cased.rebuilt({}, gaps)
    if made is None or made.example.input == parts.example.input or not made.example.input.strip():
        return None
    return replace(made, example=child_of(parts.example, made.example, made_by="noise"))


def _option_words(plan: Plan) -> frozenset[str]:
    return frozenset(
        str(option).casefold()
        for group in plan.groups
        for slot in group.slots.values()
        if isinstance(slot.decision, Choice)
        for option in slot.decision.options
    )


# ------------------------------------------------------------------------------------------------------- casing

Casing = Callable[[str], str]


def sentence_case(text: str) -> str:
    """The first letter upper, the rest as it is."""
    return text[:1].upper() + text[1:]


CASINGS: tuple[Casing, ...] = (str.lower, str.lower, str.upper, str.title, sentence_case)


def with_casing(parts: Layout, casing: Casing, rng: Random) -> Layout | None:
    """The row in another casing; every second time the values whose casing is free go along.

    Returns:
        The row, or None where two values would become one.
    """
    if casing is sentence_case:
        first, *others = parts.gaps
        return parts.rebuilt({}, [sentence_case(first), *others])
    whole = rng.random() < 0.5
    texts = {
        index: casing(value.text) for index, value in enumerate(parts.values) if whole and value.caseless
    }
    changed = {index: text for index, text in texts.items() if text != parts.values[index].text}
    return parts.rebuilt(changed, [casing(gap) for gap in parts.gaps])


# ---------------------------------------------------------------------------------- typing, punctuation, wrapping


def _typo(gaps: list[str], rng: Random, kept: Iterable[str]) -> list[str]:
    places = [
        (index, match.start(), match.end())
        for index, gap in enumerate(gaps)
        for match in _WORD.finditer(gap)
        if match.group().casefold() not in kept and not (index == 0 and _in_command(gap, match.end()))
    ]
    if not places:
        return gaps
    index, start, end = rng.choice(places)
    gap = gaps[index]
    return _with(gaps, index, gap[:start] + misspelt(gap[start:end], rng) + gap[end:])


def _in_command(text: str, end: int) -> bool:
    """True when `text[:end]` is still inside a first word such as `/help` or `--all`."""
    start = text.lstrip()
    return start[:1] in ("/", "-", "$", "`") and not re.search(r"\s", text[:end].lstrip())


def misspelt(word: str, rng: Random) -> str:
    """`word` (at least two letters) with one slip: a neighbouring key, two letters swapped, one lost or doubled."""
    at, kind = rng.randrange(1, len(word)), rng.randrange(4)
    letter = word[at]
    if kind == 0:
        return word[:at] + rng.choice(NEIGHBOURS.get(letter.lower(), letter)) + word[at + 1 :]
    if kind == 1:
        return word[: at - 1] + letter + word[at - 1] + word[at + 1 :]
    return word[:at] + word[at + 1 :] if kind == 2 else word[:at] + letter + word[at:]


def _punctuation(gaps: list[str], rng: Random, kept: Iterable[str]) -> list[str]:
    last = gaps[-1]
    if last.endswith((".", "!", ",")) or rng.random() < 0.3:
        return _with(gaps, len(gaps) - 1, last.rstrip(".!, ") if len(gaps) > 1 or len(last) > 2 else last)
    if rng.random() < 0.5:
        return [gap.replace(", ", " ") for gap in gaps]
    return (
        gaps
        if last.endswith(("?", ":", "\n"))
        else _with(gaps, len(gaps) - 1, last + rng.choice((".", "!", " .", "...")))
    )


def _blanks(gaps: list[str], rng: Random, kept: Iterable[str]) -> list[str]:
    draw = rng.random()
    if draw < 0.25:
        return _with(gaps, 0, " " + gaps[0])
    if draw < 0.55:
        return _with(gaps, len(gaps) - 1, gaps[-1] + rng.choice((" ", "  ", "\n")))
    index = rng.randrange(len(gaps))
    holes = [match.start() for match in re.finditer(" ", gaps[index])]
    if not holes:
        return gaps
    at = rng.choice(holes)
    return _with(gaps, index, gaps[index][:at] + "  " + gaps[index][at + 1 :])


def _wrap(gaps: list[str], rng: Random, kept: Iterable[str]) -> list[str]:
    first, last = gaps[0], gaps[-1]
    words = sum(len(gap.split()) for gap in gaps) + len(gaps) - 1
    if words < WORDS_FOR_WRAPPING or (first and not (first.lstrip()[:1].isalpha())):
        return gaps
    if rng.random() < 0.5:
        lower = (
            first[:1].lower() + first[1:] if first[1:2].islower() and first[:2] not in ("I ", "I'") else first
        )
        return _with(gaps, 0, rng.choice(BEFORE) + lower)
    return (
        _with(gaps, len(gaps) - 1, last.rstrip(" .,") + rng.choice(AFTER))
        if not last.endswith(("?", "\n"))
        else gaps
    )


def _with(gaps: list[str], index: int, gap: str) -> list[str]:
    return [*gaps[:index], gap, *gaps[index + 1 :]]


_KINDS = (_typo, _typo, _punctuation, _blanks, _wrap, _wrap)
