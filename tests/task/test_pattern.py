from __future__ import annotations

import contextlib
import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.task.pattern import PatternError, translate


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a$", "a\n", False),
        ("^a$", "a", True),
        ("b", "abc", True),
        (r"^\d$", "٣", False),
        (r"^\w$", "é", False),
        (r"^\W$", "é", True),
        (r"^\s$", "\u00a0", True),
        (r"^\S$", "\ufeff", False),
        (r"^[\S]$", "x", True),
        (r"^[^\S]$", "x", False),
        (r"^[\s\S]$", "\n", True),
        ("^.$", "\u2028", False),
        ("^.$", "😀", True),
        (r"^\cJ$", "\n", True),
        (r"^\u{1F600}$", "😀", True),
        (r"^\ud83d\ude00$", "😀", True),
        (r"^\u0041\x42$", "AB", True),
        (r"^\0$", "\0", True),
        (r"(?<year>\d{4})-\k<year>", "2024-2024", True),
        (r"(a)\1", "aa", True),
        (r"^\$\{\/\}$", "${/}", True),
        ("^[[]$", "[", True),
        ("^[a&&b]+$", "&", True),
        ("^[+--]$", ",", True),
        ("^[--a]$", "_", True),
        (r"^[\w-.]$", "-", True),
        (r"^[\w-.]$", "!", False),
        (r"^[a\-c]$", "b", False),
        ("^[]$", "", False),
        ("^[^]$", "\n", True),
        ("^{a}$", "{a}", True),
        ("^a{2}$", "aa", True),
        ("^a{,2}$", "a{,2}", True),
        (r"^[\b]$", "\b", True),
        ("^(?:a|b)+?$", "ab", True),
        ("(?<!a)b", "ab", False),
    ],
)
def test_means_the_same_as_in_ecma(pattern: str, text: str, found: bool) -> None:
    assert (re.search(translate(pattern), text) is not None) is found


@pytest.mark.parametrize(
    "pattern",
    [r"\p{L}", r"\Z", r"\a", "(?i)a", "(?P<a>b)", "a++", "(", "[a", "a**", "\\", "(?<=a+)b", r"[\1]", r"\u{110000}", "(?>a)"],
)  # fmt: skip
def test_what_cannot_be_checked_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        translate(pattern)


@given(st.text(alphabet="ab01\\dws.^$[](){}|*+?-,:=!<>&~ux/c", max_size=12))
def test_never_fails_in_another_way_nor_warns(pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(PatternError):
            re.compile(translate(pattern))
