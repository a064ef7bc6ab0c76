"""Which tokens may go on a text or a number."""

from __future__ import annotations

import json
import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.inference.asks import Place, Write
from microlith.inference.lettering import (
    Lettering,
    is_broken,
    is_escaped,
    is_text,
    number_fits,
    text_fits,
    unescaped,
)
from microlith.task.plan import Number

PLACE = Place(group=(), step=0, key="a", kind="text")
VOCABULARY = [
    b"", b"a", b"bc", b" ", b'"', b'",', b"\\", b"\\n", b'\\"', b"x\\", b"n", b"n}", b"\xe6", b"\xbc\xa2", b"\xbc", b"\xa2 x",
    "漢".encode(), b"\n", b"\x7f", b"-", b"-1", b"1", b"12", b".", b"\\u", b'"b',
]  # fmt: skip


def text_of(most: int = 20, *forbidden: str) -> Write:
    return Write(place=PLACE, least=0, most=most, forbidden=forbidden)


def number_of(low: float, high: float, *, integer: bool = True) -> Write:
    number = Number(integer=integer, minimum=low, maximum=high)
    return Write(place=PLACE, least=low, most=high, number=number)


def allowed(written: bytes) -> set[bytes]:
    return {VOCABULARY[one] for one in np.flatnonzero(Lettering(VOCABULARY).allowed(written))}


# ------------------------------------------------------------------------------------------- texts


def test_a_text_goes_on_with_letters_and_escapes() -> None:
    begins = allowed(b"so")
    assert {
        b"a",
        b"bc",
        b" ",
        b"\\",
        b"\\n",
        b'\\"',
        b"x\\",
        b"n",
        b"n}",
        b"\xe6",
        "漢".encode(),
        b"1",
    } <= begins
    assert not {b"", b'"', b'",', b'"b', b"\n", b"\xbc", b"\xbc\xa2", b"\\u"} & begins


def test_a_broken_character_goes_on_with_its_rest() -> None:
    assert allowed(b"so \xe6") == {b"\xbc\xa2", b"\xbc", b"\xa2 x"}
    assert not text_fits(b"so \xe6\xa2 x", text_of())
    assert text_fits(b"so \xe6\xbc\xa2 x", text_of())


def test_an_unfinished_escape_goes_on_with_its_rest() -> None:
    assert allowed(b"so\\") == {b'"', b'",', b'"b', b"\\", b"\\n", b"\\u", b"n", b"n}"}
    assert allowed(b"so\\\\") == allowed(b"so")


@pytest.mark.parametrize(
    ("written", "broken", "escaped", "text"),
    [
        (b"", False, False, ""),
        (b"abc", False, False, "abc"),
        (b"a\xc3", True, False, "a"),
        (b"a\xc3\xa9", False, False, "aé"),
        (b"\xf0\x9f\x99", True, False, ""),
        (b"\xf0\x9f\x99\x82", False, False, "🙂"),
        (b"a\\", False, True, "a"),
        (b"a\\\\", False, False, "a\\"),
        (b"a\\\\\\", False, True, "a\\"),
        (b'a\\"\\n', False, False, 'a"\n'),
    ],
)
def test_what_has_only_begun_is_left_out(written: bytes, broken: bool, escaped: bool, text: str) -> None:
    assert (is_broken(written), is_escaped(written), unescaped(written)) == (broken, escaped, text)


@pytest.mark.parametrize(
    "written",
    [
        b"\x80",
        b"\xc0",
        b"\xc1\x80",
        b"\xf5",
        b"\xff",
        b"\xe0\x80",
        b"\xed\xa0",
        b"\xf0\x80",
        b"\xf4\x90",
        b"a\xe6a",
        b"\xc3\xc3",
    ],
)
def test_bytes_that_no_character_begins_with_are_no_text(written: bytes) -> None:
    assert not is_text(written)
    assert not text_fits(written, text_of())


@settings(max_examples=200)
@given(st.text(max_size=6))
def test_every_beginning_of_a_text_is_one(text: str) -> None:
    raw = text.encode()
    assert all(is_text(raw[:end]) for end in range(len(raw) + 1))


@pytest.mark.parametrize(
    ("written", "fits"),
    [
        (b"abc", True), (b"abcd", False), (b"ab\xc3", True), (b"abc\xc3", False), (b"ab\\", True), (b"abc\\", False), (b"ab\\n", True),
        ("漢漢漢".encode(), True), ("漢漢漢漢".encode(), False),
    ],
)  # fmt: skip
def test_what_has_begun_counts_as_a_character(written: bytes, fits: bool) -> None:
    assert text_fits(written, text_of(3)) == fits


@pytest.mark.parametrize("written", [b"a\x7f", b"a\xc2\x85", b"a\x01", b"a\\b", b"a\\f"])
def test_control_signs_do_not_fit(written: bytes) -> None:
    assert not text_fits(written, text_of())


def test_line_ends_and_tabs_fit() -> None:
    assert text_fits(b"a\\n\\t\\r", text_of())


@pytest.mark.parametrize(
    ("written", "fits"),
    [(b"so n", True), (b"so no", False), (b"SO NO", False), ("Straße".encode(), False), (b'say \\"x', False)],
)
def test_phrases_are_forbidden_in_any_case_and_unescaped(written: bytes, fits: bool) -> None:
    assert text_fits(written, text_of(20, "so no", "strasse", '"x')) == fits


def test_tokens_come_the_most_probable_first() -> None:
    lettering = Lettering([b"a", b"b", b"c", b'"'])
    scores = lettering.scores(np.array([1.0, 3.0, 2.0, 9.0], dtype=np.float32), b"a")
    assert list(lettering.ranked(scores)) == [1, 2, 0]
    assert list(lettering.ranked(np.full(4, -np.inf, dtype=np.float32))) == []


# ------------------------------------------------------------------------------------------- numbers

BOUNDS = [
    (5000, 9999, True), (-70_000, 99_999, True), (-9999, -5000, True), (0, math.inf, True), (-math.inf, -3, True),
    (-math.inf, math.inf, True), (0.5, 0.75, False), (-1.5, -0.25, False), (-math.inf, math.inf, False), (1.05, 1.06, False),
    (100, 5000.5, False), (-0.003, -0.001, False), (0.1, 0.1, False), (5e15, math.inf, True), (-2, 3.5, False),
]  # fmt: skip


@pytest.mark.parametrize(("low", "high", "integer"), BOUNDS)
def test_no_beginning_of_a_number_leads_nowhere(low: float, high: float, integer: bool) -> None:
    ask, rng = number_of(low, high, integer=integer), Random(0)
    for _ in range(60):
        digits = ""
        while True:
            more = [one for one in "-.0123456789" if number_fits(digits + one, ask, whole=False)]
            done = number_fits(digits, ask, whole=True)
            assert more or done, digits
            if done and (not more or rng.random() < 0.3):
                break
            digits += rng.choice(more)
        value = json.loads(digits)
        assert low <= value <= high
        assert isinstance(value, int) or not integer


@pytest.mark.parametrize(("low", "high"), [(12, 3456), (-345, -12), (-30, 40), (0, 3000)])
def test_every_number_within_the_bounds_can_be_written(low: int, high: int) -> None:
    ask = number_of(low, high)
    for value in range(low - 20, high + 21):
        digits, inside = str(value), low <= value <= high
        assert number_fits(digits, ask, whole=True) == inside
        if inside:
            assert all(number_fits(digits[:end], ask, whole=False) for end in range(1, len(digits) + 1))


@pytest.mark.parametrize("digits", ["", "-", "01", "-01", "1.", "1.5", "--1", "1-", "+1", " 1", "1e5", "."])
def test_what_is_no_whole_number_does_not_fit(digits: str) -> None:
    assert not number_fits(digits, number_of(-math.inf, math.inf), whole=True)


@pytest.mark.parametrize("digits", ["", "-", "1.", ".5", "1..5", "1.2.3", "00.5", "1.2345678"])
def test_what_is_no_number_does_not_fit(digits: str) -> None:
    assert not number_fits(digits, number_of(-math.inf, math.inf, integer=False), whole=True)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("the same the same", False),
        ("Two weeks, two", True),
        ("very Very", False),
        ("20 20", True),
        ("wait........", False),
        ("wait...", True),
    ],
)
def test_a_text_does_not_go_round_in_circles(text: str, fits: bool) -> None:
    assert text_fits(text.encode(), Write(place=PLACE, least=0, most=100)) is fits
