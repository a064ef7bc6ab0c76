"""Guess which words of a request are secrets, where no answer says so.

A guess leans towards hiding too much: a hidden word costs a reviewer a look, a shown password costs its owner an account.
It is a best effort all the same: of "reset bob to hunter2" nothing is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 128
"""Longer words, in characters, are no passwords."""

_CUE = (
    r"(?<![^\W_])(?:initial|temp|start|new|my|user|root|wifi|login)?[-_ ]?"
    r"(?:pass?w(?:or|ro)?[dt]|passwor[dt]|pass|passwd|pwd?|passwort|kennwort|passphrase|passcode|pin|secret|creds|"
    r"credentials?|mot de passe|contraseña|senha|wachtwoord|hasło|lösenord)s?(?![^\W_])"
)
"""Words that a secret stands beside, in the languages and the spellings that people type."""
_OWNER = r"(?:(?:for|of|von|für|on|at|the|user|account|his|her|their)\s+){1,3}[\w.@'’-]+?(?=\s)"
"""Whose secret it is: "password for bob to ..."."""
_LINK = (
    r"(?:=>|->|→|[=:/,(-]|(?:is|are|was|be|to|into|as|auf|ist|lautet|sei|mit|will|would|should|shall|must|can|could|has|have|"
    r"soll|now|reads?|viz\.?|namely|with|set|being|we|ask|the|following|new|one|value|for now)(?=[\s\"'`“„«=:]))"
)
"""What may stand between a cue and its secret."""
_QUOTED = (
    rf"\"[^\"\n]{{1,{LONGEST}}}\"|(?<!\w)'[^'\n]{{1,{LONGEST}}}'(?!\w)|`[^`\n]{{1,{LONGEST}}}`|"
    rf"“[^”\n]{{1,{LONGEST}}}”|„[^“”\n]{{1,{LONGEST}}}[“”]|«[^»\n]{{1,{LONGEST}}}»"
)
_AFTER = re.compile(rf"{_CUE}[\"']?(?:\s+{_OWNER})?(?:\s*{_LINK})*\s*(?P<value>{_QUOTED}|\S+)", re.IGNORECASE)
_BEFORE = re.compile(
    rf"(?P<value>{_QUOTED}|(?<!\S)\S++)\s+(?:as|for|is|als|(?:would|will|shall|should) be)\s+(?:\w+\s+){{0,2}}{_CUE}",
    re.IGNORECASE,
)
_ANY_CUE = re.compile(_CUE, re.IGNORECASE)
_ANY_QUOTED = re.compile(_QUOTED)
_LETTER, _SIGN = r"(?=.*[^\W\d_])", r"[!#$%^&*+~|<>{}?@]"
_MIXED = re.compile(rf"{_LETTER}(?=.*\d|.*[^\w.,:;/'’\"()\[\]-]).{{4,}}")
"""Letters beside digits or signs: what people call a good password, and many names of hosts."""
_STRONG = re.compile(rf"{_LETTER}(?=.*{_SIGN}[^\W_]).{{6,}}|{_LETTER}(?=.*\d).{{4,}}[!%#&*+]+")
"""A sign within or behind a word: a password even where no cue is near."""
_NO_SECRET = re.compile(r"\S+@[\w-]+\.[\w.-]+|.*://.*|\*\..*|.*[\\@].*\$")
"""Addresses, wildcards and hidden Windows shares."""
_FILLER = re.compile(
    r"all?|also|an|and|any|as|at|a|back|but|by|do|for|from|ha[ds]|have|he|her|his|i|if|in|is|it|its|me|my|no|not|of|off|on|or|"
    r"our|out|she|so|that|the|their|them|then|there|they|this|to|until|up|was|we|when|who|will|with|you|your|und|der|die|das|"
    r"den|für|von|ist|bitte|please",
    re.IGNORECASE,
)
"""Small words that may follow a cue and are no secret."""
_EDGES = "\"'`“”„«»()[],.;:!?"
_ENDS = ",.;:)"


def guessed(request: str) -> tuple[str, ...]:
    """Words and quoted texts of `request` that may be secrets, as they stand there and without the marks around them."""
    texts = (one for text in _texts(request) for one in (text, text.rstrip(_ENDS), text.strip(_EDGES)))
    return tuple(dict.fromkeys(text for text in texts if _may_be_secret(text)))


def _texts(request: str) -> Iterator[str]:
    words = [word for word in request.split() if len(word) <= LONGEST]
    yield from (word for word in words if _is_strong(word))
    if not _ANY_CUE.search(request):
        return
    for beside in (_AFTER, _BEFORE):
        yield from (match["value"] for match in beside.finditer(request))
    yield from _ANY_QUOTED.findall(request)
    yield from (word for word in words if _MIXED.fullmatch(word.strip(_EDGES)))


def _is_strong(word: str) -> bool:
    bare = word.strip(_EDGES)
    if _NO_SECRET.fullmatch(bare):
        return False
    return bool(_STRONG.fullmatch(bare) or _STRONG.fullmatch(word.rstrip(_ENDS)))


def _may_be_secret(text: str) -> bool:
    return any(map(str.isalnum, text)) and not _FILLER.fullmatch(text.strip(_EDGES))
