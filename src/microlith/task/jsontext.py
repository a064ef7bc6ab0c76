"""JSON text with places: every value's line, and every mistake in the text at once.

The standard library's parser stops at the first mistake and forgets lines. This one goes on after a mistake, so that
a person mends a file in one round, and remembers the line of every JSON pointer for the messages that come later.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from microlith.errors import Problem, TaskError
from microlith.task.plan import Json

MAX_DEPTH = 100
"""Deeper nesting than this is refused; no schema of a narrow job comes near it."""
MAX_PROBLEMS = 50
"""After so many mistakes the rest of the text is not read."""

_BLANK = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|#[^\n]*", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])")
_WORD = re.compile(r"[^\s,:{}\[\]\"]+")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None}
_SPELLINGS = {"True": "true", "False": "false", "None": "null", "undefined": "null", "nil": "null"}


@dataclass(frozen=True, kw_only=True)
class JsonText:
    """A parsed text: its value, the line of every pointer, and what is wrong with it."""

    value: Json
    """The value; where the text is broken, what could be read of it."""
    lines: Mapping[str, int]
    """JSON pointer ("" is the whole) -> line from 1, for a member the line of its key."""
    problems: tuple[Problem, ...]
    """Every syntax error and duplicate key, in the order of the text."""


def parse_json(text: str, *, name: str) -> JsonText:
    """Parse `text`; never raises, mistakes are in `problems` with `name:line:column`."""
    reader = _Reader(text, name)
    value = reader.document()
    problems = tuple(sorted(reader.problems, key=_place_order))
    return JsonText(value=value, lines=reader.lines, problems=problems)


def read_text(path: Path, *, error: type[TaskError]) -> str:
    """The text of a UTF-8 file, a byte order mark left out.

    Raises:
        TaskError: of the given class, if the file is missing, unreadable or not UTF-8 (with the line of the first wrong byte).
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise error(
            f"{path.name} is missing", place=str(path), mend="create it, or name the right file"
        ) from None
    except OSError as reason:
        raise error(f"{path.name} cannot be read: {reason.strerror}", place=str(path)) from reason
    return _decoded(raw, path, error)


def _decoded(raw: bytes, path: Path, error: type[TaskError]) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise error("the file is UTF-16, expected UTF-8", place=f"{path.name}:1", mend="save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        line = raw.count(b"\n", 0, reason.start) + 1
        byte = raw[reason.start]
        raise error(
            f"byte 0x{byte:02x} is not UTF-8", place=f"{path.name}:{line}", mend="save the file as UTF-8"
        ) from reason


def pointer_of(parts: tuple[str | int, ...] | list[str | int]) -> str:
    """The JSON pointer (RFC 6901) of property names and item numbers; "" for none."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _place_order(problem: Problem) -> tuple[int, int]:
    numbers = (problem.place or "").rsplit(":", 2)[-2:]
    return int(numbers[0]), int(numbers[1])


class _Reader:
    """Recursive descent over the text; a mistake is noted and stepped over."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []

    def document(self) -> Json:
        self._skip()
        if self._at >= len(self._text):
            self._note("the file is empty, expected a JSON value", "write {}")
            return None
        value = self._value("", 0)
        self._skip()
        if self._at < len(self._text) and not self._given_up():
            self._note("text after the end of the JSON value", "remove it")
        return value

    def _value(self, pointer: str, depth: int) -> Json:
        self.lines.setdefault(pointer, self._line(self._at))
        sign = self._peek()
        if depth > MAX_DEPTH:
            self._note(f"nested deeper than {MAX_DEPTH} levels", "make it flatter")
            self._at = len(self._text)
            return None
        if sign == "{":
            return self._object(pointer, depth)
        if sign == "[":
            return self._array(pointer, depth)
        if sign in ('"', "'"):
            return self._string()
        return self._literal()

    def _object(self, pointer: str, depth: int) -> dict[str, Json]:
        opened, members = self._at, dict[str, Json]()
        self._at += 1
        while self._more("}", opened, bool(members)):
            key_at = self._at
            key = self._key()
            child = f"{pointer}{pointer_of((key,))}"
            if key in members:
                first = self.lines[child]
                self._note(f'key "{key}" is given twice, first in line {first}', "keep one", key_at)
            self.lines[child] = self._line(key_at)
            self._skip()
            if self._peek() == ":":
                self._at += 1
                self._skip()
            else:
                self._note(f'expected ":" after key "{key}"')
            if self._peek() in (",", "}", ""):
                self._note(f'key "{key}" has no value')
                members.setdefault(key, None)
            else:
                members[key] = self._value(child, depth + 1)
        return members

    def _array(self, pointer: str, depth: int) -> list[Json]:
        opened, items = self._at, list[Json]()
        self._at += 1
        while self._more("]", opened, bool(items)):
            items.append(self._value(f"{pointer}/{len(items)}", depth + 1))
        return items

    def _more(self, close: str, opened: int, begun: bool) -> bool:
        """Step to the next member; False at the end of the object or array."""
        self._skip()
        comma_at, commas = self._at, 0
        while self._peek() == ",":
            self._at += 1
            commas += 1
            self._skip()
        if self._peek() == "" or self._given_up():
            if not self._given_up():
                mark, line = self._text[opened], self._line(opened)
                self._note(f'"{mark}" of line {line} is never closed', f'add "{close}"')
            return False
        if self._peek() in ("}", "]"):
            return self._closed(close, opened, comma_at if commas else None)
        if commas > begun:
            self._note('"," without a value before it', "remove it", comma_at)
        elif begun and not commas:
            self._note('expected "," before the next value')
        return True

    def _closed(self, close: str, opened: int, comma_at: int | None) -> bool:
        if comma_at is not None:
            self._note(f'"," before "{self._peek()}"', "remove it", comma_at)
        if self._peek() != close:
            mark, line = self._text[opened], self._line(opened)
            self._note(f'"{self._peek()}" closes the "{mark}" of line {line}, expected "{close}"')
        self._at += 1
        return False

    def _key(self) -> str:
        if self._peek() in ('"', "'"):
            return self._string()
        begin = self._at
        match = _WORD.match(self._text, self._at)
        word = match.group() if match else self._peek()
        self._at += len(word)
        self._note(f"expected a key in double quotes, found {word!r}", f'write "{word}"', begin)
        return word

    def _string(self) -> str:
        begin = self._at
        match = _STRING.match(self._text, begin)
        if match:
            self._at = match.end()
            return self._unescaped(match.group(), begin)
        quote = self._text[begin]
        line_end = self._text.find("\n", begin)
        line_end = len(self._text) if line_end < 0 else line_end
        end = self._text.find(quote, begin + 1, line_end) if quote == "'" else -1
        if end >= 0:
            self._note("a string stands in single quotes", "use double quotes", begin)
            self._at = end + 1
            return self._text[begin + 1 : end]
        self._note("a string is never closed", 'add the closing "', begin)
        self._at = line_end
        return self._text[begin + 1 : line_end].rstrip().rstrip(",")

    def _unescaped(self, token: str, begin: int) -> str:
        try:
            return str(json.loads(token))
        except json.JSONDecodeError as error:
            self._note(f"in a string: {error.msg[0].lower()}{error.msg[1:]}", None, begin + error.pos)
            return token[1:-1]

    def _literal(self) -> Json:
        begin = self._at
        number = _NUMBER.match(self._text, begin)
        if number:
            self._at = number.end()
            return self._number(number.group(), begin)
        match = _WORD.match(self._text, begin)
        word = match.group() if match else self._peek()
        self._at += len(word)
        if word in _WORDS:
            return _WORDS[word]
        right = _SPELLINGS.get(word)
        mend = f"write {right}" if right else f'write "{word}" if it is text'
        self._note(f"{word!r} is no JSON value", mend, begin)
        return _WORDS[right] if right else word

    def _number(self, token: str, begin: int) -> Json:
        value = json.loads(token) if len(token) <= 400 else float("inf")
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            self._note("a number is too large to be kept exactly", None, begin)
            return 0
        return value

    def _skip(self) -> None:
        """Step over blanks; a comment is noted and stepped over as well."""
        while True:
            match = _BLANK.match(self._text, self._at)
            self._at = match.end() if match else self._at
            comment = _COMMENT.match(self._text, self._at)
            if comment is None:
                return
            self._note("JSON has no comments", 'remove it, or use "$comment"')
            self._at = comment.end()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _line(self, at: int) -> int:
        return bisect_right(self._starts, at)

    def _given_up(self) -> bool:
        return len(self.problems) >= MAX_PROBLEMS

    def _note(self, what: str, mend: str | None = None, at: int | None = None) -> None:
        at = self._at if at is None else at
        line = self._line(at)
        column = at - self._starts[line - 1] + 1
        if self._given_up():
            return
        self.problems.append(Problem(what=what, place=f"{self._name}:{line}:{column}", mend=mend))
        if self._given_up():
            self._at = len(self._text)
