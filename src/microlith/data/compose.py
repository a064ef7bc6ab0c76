"""Composition: two or three one-step rows become one request for several steps.

The requests are joined as people join them (a connective, two sentences, a list), in their own language where it
is known, and now and then about the same subject: "create bob and add him to ops".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from microlith.data.example import Example
from microlith.data.slot_values import copy_json
from microlith.data.spans import Layout, Value, layout, places
from microlith.task.plan import Plan
from microlith.task.reading import read, variant_of

SHARE = 0.45
"""How often a later step is made to be about a value of the first one, where slots allow it, 0-1."""
PRONOUN = 0.5
"""How often a shared value is then spoken of as him, her, them or it, 0-1."""
LONGEST = 160
"""Requests of more characters are not joined: nobody types two letters in one."""

CONNECTIVES: Mapping[str, tuple[str, ...]] = {
    "en": (" and ", " and ", " and then ", ", then ", " then ", ", and ", ", also ", " and also ", ", after that ",
           " plus ", ", and afterwards ", ", and finally ", " as well as: ", " and when that's done ", ", next "),
    "de": (" und ", " und dann ", ", danach ", " sowie ", " und außerdem ", ", anschließend "),
    "fr": (" et ", " puis ", " et ensuite ", ", et aussi ", ", après "),
    "es": (" y ", " y luego ", ", después ", " y también ", " y además "),
    "it": (" e ", " e poi ", ", dopo ", " e anche "),
    "nl": (" en ", " en daarna ", ", vervolgens ", " en ook "),
    "pt": (" e ", " e depois ", ", em seguida ", " e também "),
    "": ("; ", " + ", " & ", ", ", " / ", " // ", " -> ", " | "),
}  # fmt: skip
"""Language -> what stands between two steps of one sentence; "" fits every language."""

SENTENCES = (
    ". ",
    ". Then ",
    ". Also, ",
    ". Also ",
    ".\n",
    "\n",
    "\n\n",
    "; then ",
    ". After that, ",
    ". And ",
    "! ",
)
"""What stands between two steps that keep their own sentences."""

_HINTS = {
    "en": "the to for from with please add remove create give user share should of on into is at now put set new",
    "de": "der die das und den dem bitte für von mit auf nicht soll ein eine aus",
    "fr": "le la les des pour avec dans sur une un du au supprime ajoute",
    "es": "el la los las para con del una un por crea quita añade al",
    "it": "il la lo gli per con del della una un di al rimuovi aggiungi",
    "nl": "de het een voor van met op en naar graag verwijder voeg",
    "pt": "o a os as para com do da uma um ao remova crie",
}
_WORDS_OF = {language: frozenset(hints.split()) for language, hints in _HINTS.items()}
_BEFORE_PRONOUN = re.compile(
    r"\b(?:add|give|put|let|make|remove|delete|drop|take|kick|move|to|for|of|from|with|revoke|grant|allow|into|disable)\s$",
    re.IGNORECASE,
)


def is_step(example: Example, plan: Plan) -> bool:
    """True for a row whose answer is one complete step, so that it can be part of a longer one.

    Raises:
        DataError: if the plan has no variant for the answer.
    """
    if plan.sequence is None or len(example.input) > LONGEST or "\n" in example.input.strip():
        return False
    special = [plan.sequence.tag] + ([plan.clarify.tag] if plan.clarify else [])
    if any(example.output.get(name) == tag for name, tag in special):
        return False
    return variant_of(plan.root, read(plan, example.output)[()][0]).role is None


def compose(examples: Sequence[Example], plan: Plan, rng: Random) -> Example | None:
    """Join one-step rows into one row of as many steps, in their order.

    Args:
        examples: Rows for which `is_step` holds.
        plan: The task's plan.
        rng: Source of all chance.

    Returns:
        The joined row; None where the plan has no sequence of that length, or two values of different rows
        would be taken for each other.

    Raises:
        DataError: if the plan has no variant for an answer.
    """
    return composed([layout(example, plan) for example in examples], plan, rng)


def composed(rows: Sequence[Layout], plan: Plan, rng: Random) -> Example | None:
    """`compose` for rows that are already taken apart."""
    if plan.sequence is None or not plan.sequence.min_count <= len(rows) <= plan.sequence.max_count:
        return None
    first = rows[0]
    parts = [first, *(_about(first, row, rng) for row in rows[1:])]
    if not _apart(parts):
        return None
    texts = [first.example.input, *(_spoken(first, part, rng) for part in parts[1:])]
    request = joined(
        texts, rng, starts_with_value=[bool(p.mentions) and p.mentions[0].start == 0 for p in parts]
    )
    if not _holds(request, parts):
        return None
    name, tag = plan.sequence.tag
    written = [source for row in rows for source in row.example.parents or (row.example.source,)]
    return replace(
        first.example,
        input=request,
        output={name: tag, plan.sequence.steps: [copy_json(part.example.output) for part in parts]},
        parents=tuple(dict.fromkeys(written)),
        group=None,
        made_by="compose",
        verified=False,
    )


def joined(texts: Sequence[str], rng: Random, *, starts_with_value: Sequence[bool] = ()) -> str:
    """Requests as one text: with a connective, as sentences, or as a list.

    Args:
        texts: Two or more requests.
        rng: Source of all chance.
        starts_with_value: For each request whether it begins with a copied value, whose casing must stay.
    """
    trimmed = [text.strip() for text in texts]
    draw = rng.random()
    if draw < 0.12:
        return _listed([_open(text) for text in trimmed], rng)
    if draw < 0.4:
        return _sentences(trimmed, rng)
    fixed = [*starts_with_value, *[False] * len(texts)]
    options = CONNECTIVES[_common_language(trimmed)] if rng.random() < 0.8 else CONNECTIVES[""]
    result = _open(trimmed[0])
    for text, is_value in zip(trimmed[1:], fixed[1:], strict=False):
        before = (
            ", " if len(texts) > 2 and text is not trimmed[-1] and rng.random() < 0.6 else rng.choice(options)
        )
        result = _open(result) + before + (text if is_value else _lowered(text))
    return result


def language_of(text: str) -> str:
    """The language a request is most likely written in: a key of `CONNECTIVES`, "" where nothing tells."""
    words = set(re.findall(r"\w+", text.lower()))
    scores = {language: len(words & known) for language, known in _WORDS_OF.items()}
    best = max(scores, key=lambda language: scores[language])
    return best if scores[best] else ""


def _common_language(texts: Sequence[str]) -> str:
    """The language all requests share; unaccented ones of no certain language pass for English, as jargon does."""
    languages = {language_of(text) or ("en" if text.isascii() else "") for text in texts}
    return languages.pop() if len(languages) == 1 else ""


def _listed(texts: Sequence[str], rng: Random) -> str:
    mark = rng.choice(("1. ", "1) ", "- ", "* ", "(1) ", "a) ", "• "))
    marks = [
        mark.replace("1", str(number)).replace("a", "abcdefghij"[number - 1])
        for number in range(1, len(texts) + 1)
    ]
    gap = rng.choice(("\n", "\n", " ", "; ")) if mark[0] not in "-*•" else "\n"
    head = rng.choice(("", "", "", "please:\n", "todo:\n", "Please do the following:\n"))
    return head + gap.join(mark + text for mark, text in zip(marks, texts, strict=True))


def _sentences(texts: Sequence[str], rng: Random) -> str:
    result = texts[0]
    for text in texts[1:]:
        joint = rng.choice(SENTENCES)
        ended = result.endswith((".", "!", "?")) and joint.startswith((".", ";", "!"))
        result = result + (joint[1:] if ended else joint) + text
    return result


def _open(text: str) -> str:
    """`text` without the punctuation that ends it."""
    return re.sub(r"(?<=[\w\"')\]])[.!?,;]+$", "", text)


def _lowered(text: str) -> str:
    if text[:2] in ("I ", "I'") or not text[1:2].islower():
        return text
    return text[:1].lower() + text[1:]


# ----------------------------------------------------------------------------------------------- shared subjects


def _about(first: Layout, part: Layout, rng: Random) -> Layout:
    """`part` with one of its values replaced by the first part's value of the same slot, or `part` itself."""
    if rng.random() >= SHARE:
        return part
    subjects = {
        binding.slot.key: value
        for value in first.values
        for binding in value.bindings
        if not binding.slot.secret
    }
    shared = [
        (index, subjects[binding.slot.key])
        for index, value in enumerate(part.values)
        for binding in value.bindings
        if value.movable and binding.slot.key in subjects
    ]
    if not shared:
        return part
    index, subject = rng.choice(shared)
    return part.rebuilt({index: subject.text}) or part


def _spoken(first: Layout, part: Layout, rng: Random) -> str:
    """The part's request, a value it shares with the first one now and then as a pronoun."""
    text = part.example.input
    known = {value.text for value in first.values}
    for mention in part.mentions:
        value = part.values[mention.value]
        alone = sum(other.value == mention.value for other in part.mentions) == 1
        if (
            value.text in known
            and alone
            and _BEFORE_PRONOUN.search(text[: mention.start])
            and rng.random() < PRONOUN
        ):
            end = re.match(r"(?=$|[\s,.;!?])", text[mention.end :])
            return text[: mention.start] + _pronoun(value, rng) + text[mention.end :] if end else text
    return text


def _pronoun(value: Value, rng: Random) -> str:
    person = value.bindings[0].span.format in ("username", "email")
    return rng.choice(("him", "her", "them")) if person else "it"


def _apart(parts: Sequence[Layout]) -> bool:
    """False when one text is a value of two rows without being the same slot's: it would be ambiguous."""
    owners: dict[str, set[str]] = {}
    for part in parts:
        for value in part.values:
            owners.setdefault(value.text.casefold(), set()).add(value.bindings[0].slot.key)
    return all(len(keys) == 1 for keys in owners.values())


def _holds(request: str, parts: Sequence[Layout]) -> bool:
    """True when every value stands in the joined request, and none more often than in its own rows."""
    often: Counter[str] = Counter()
    for part in parts:
        for mention in part.mentions:
            often[part.values[mention.value].text.casefold()] += 1
    return all(
        0 < len(places(request, value.text, caseless=value.caseless)) <= often[value.text.casefold()]
        for part in parts
        for value in part.values
    )
