"""Regular expressions of JSON Schema (ECMA-262) as Python's `re` reads them.

Both look alike and differ in small things that change verdicts: what `$`, `.`, `\\d`, `\\w` and `\\s` match, how groups
are named, what may be escaped. A pattern is translated where it has the same meaning, and refused where it has none.
"""

from __future__ import annotations

import re

_SPACES = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_NO_SPACES = (
    "\0-\x08\x0e-\x1f!-\x9f\u00a1-\u167f\u1681-\u1fff\u200b-\u2027\u202a-\u202e\u2030-\u205e\u2060-\u2fff"
    "\u3001-\ufefe\uff00-\U0010ffff"
)
_KEPT = frozenset("dDwWbBtnvfr")
_GROUPS = re.compile(r"\((?:\?(?::|=|!|<=|<!|<(?P<name>[A-Za-z_$][\w$]*)>))?")
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\??")
_ESCAPE = re.compile(
    r"\\(?:u\{(?P<code>[0-9A-Fa-f]{1,6})\}"
    r"|u(?P<high>[dD][89abAB][0-9A-Fa-f]{2})\\u(?P<low>[dD][c-fC-F][0-9A-Fa-f]{2})"
    r"|u(?P<unit>[0-9A-Fa-f]{4})|x(?P<byte>[0-9A-Fa-f]{2})|c(?P<control>[A-Za-z])"
    r"|k<(?P<group>[A-Za-z_$][\w$]*)>|(?P<number>[1-9]\d*)|(?P<nul>0)(?!\d)|(?P<letter>[A-Za-z])|(?P<sign>[\s\S]))"
)


class PatternError(ValueError):
    """A pattern that has no meaning in ECMA-262 or none that `re` can give it."""


def translate(pattern: str) -> str:
    """The Python pattern that matches the same texts as an ECMA-262 `pattern` (with its `u` flag).

    Raises:
        PatternError: if it is malformed, or uses what `re` lacks (`\\p{...}`, look-behind of varying length).
    """
    made = "(?a)" + _Translation(pattern).text()
    try:
        re.compile(made)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"not a regular expression that can be checked: {error}") from error
    return made


class _Translation:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._parts: list[str] = []

    def text(self) -> str:
        while self._at < len(self._pattern):
            self._parts.append(self._next())
        return "".join(self._parts)

    def _next(self) -> str:
        sign = self._pattern[self._at]
        if sign == "\\":
            return self._escape(in_class=False)
        if sign == "[":
            return self._class()
        if sign == "(":
            return self._group()
        quantifier = _QUANTIFIER.match(self._pattern, self._at)
        if quantifier:
            return self._quantifier(quantifier.group())
        self._at += 1
        return {"$": r"\Z", ".": r"[^\n\r\u2028\u2029]", "{": r"\{", "}": r"\}", "]": r"\]"}.get(sign, sign)

    def _quantifier(self, text: str) -> str:
        self._at += len(text)
        if self._pattern[self._at : self._at + 1] in ("*", "+", "?"):
            raise PatternError(f"{text}{self._pattern[self._at]} repeats what is already repeated")
        return text

    def _group(self) -> str:
        match = _GROUPS.match(self._pattern, self._at)
        opened = match.group() if match else "("
        if opened == "(" and self._pattern.startswith("(?", self._at):
            raise PatternError(f"{self._pattern[self._at : self._at + 4]!r} opens no group of ECMA-262")
        self._at += len(opened)
        name = match.group("name") if match else None
        return f"(?P<{_python_name(name)}>" if name else opened

    def _class(self) -> str:
        if self._pattern.startswith("[]", self._at):
            self._at += 2
            return "(?!)"
        if self._pattern.startswith("[^]", self._at):
            self._at += 3
            return "(?s:.)"
        begin, parts = self._at, ["["]
        self._at += 1
        if self._pattern.startswith("^", self._at):
            self._at += 1
            parts.append("^")
        while not self._pattern.startswith("]", self._at):
            if self._at >= len(self._pattern):
                raise PatternError(f"the class opened at character {begin + 1} is never closed")
            parts.append(self._members())
        self._at += 1
        return "".join(parts) + "]"

    def _members(self) -> str:
        """One member of a class, or a range; a "-" beside \\d, \\s or \\w stands for itself."""
        low = self._member()
        if self._pattern[self._at : self._at + 1] != "-" or self._pattern[self._at + 1 : self._at + 2] in (
            "]",
            "",
        ):
            return low
        self._at += 1
        high = self._member()
        several = any(_is_set(member) for member in (low, high))
        return f"{low}\\-{high}" if several else f"{low}-{high}"

    def _member(self) -> str:
        sign = self._pattern[self._at]
        if sign == "\\":
            return self._escape(in_class=True)
        self._at += 1
        return "\\" + sign if sign in "[&|~^-" else sign

    def _escape(self, *, in_class: bool) -> str:
        match = _ESCAPE.match(self._pattern, self._at)
        if match is None:
            raise PatternError("the pattern ends in a backslash")
        self._at = match.end()
        kind = str(match.lastgroup)
        if kind == "low":
            high, low = int(match["high"], 16), int(match["low"], 16)
            return re.escape(chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)))
        found = match[kind]
        if kind in ("code", "unit", "byte"):
            return _character(int(found, 16))
        if kind == "control":
            return re.escape(chr(ord(found.upper()) - 64))
        if kind == "nul":
            return r"\x00"
        if kind == "sign":
            return re.escape(found)
        return (
            self._letter(found, in_class=in_class)
            if kind == "letter"
            else _back_reference(kind, found, in_class)
        )

    def _letter(self, letter: str, *, in_class: bool) -> str:
        if letter in "sS":
            members = _SPACES if letter == "s" else _NO_SPACES
            return members if in_class else f"[{members}]"
        if letter not in _KEPT or (in_class and letter == "B"):
            raise PatternError(f"\\{letter} means nothing that can be checked here")
        return "\\" + letter


def _is_set(member: str) -> bool:
    return member in (_SPACES, _NO_SPACES) or member in ("\\d", "\\D", "\\w", "\\W")


def _back_reference(kind: str, found: str, in_class: bool) -> str:
    if in_class:
        raise PatternError(f"a reference to group {found} cannot stand in a class")
    return f"(?P={_python_name(found)})" if kind == "group" else f"(?:\\{found})"


def _character(code: int) -> str:
    if code > 0x10FFFF:
        raise PatternError(f"{code:x} is no character")
    return re.escape(chr(code))


def _python_name(name: str) -> str:
    return name.replace("$", "_dollar_")
