from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from microlith.evaluation import wording as say
from microlith.evaluation.intervals import share


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (lambda value: say.percent(value, 1), 0.9749, "97.5 %"),
        (lambda value: say.percent(value, 1), 0.9999, "99.9 %"),
        (lambda value: say.percent(value, 1), 0.0001, "0.1 %"),
        (lambda value: say.percent(value, 1), 1.0, "100.0 %"),
        (lambda value: say.percent(value, 1), 0.0, "0.0 %"),
        (lambda value: say.percent(value, 1), None, "–"),
        (say.milliseconds, 0.004, "< 0.01 ms"),
        (say.milliseconds, 2.414, "2.41 ms"),
        (say.milliseconds, 24.14, "24.1 ms"),
        (say.milliseconds, 241.4, "241 ms"),
        (say.milliseconds, 2414.0, "2.41 s"),
        (say.milliseconds, None, "–"),
        (say.megabytes, 22_640_000, "22.6 MB"),
        (say.megabytes, 1_200_000_000, "1,200 MB"),
        (say.rate, 5123.4, "5,123 / s"),
        (say.rate, 2.34, "2.3 / s"),
        (say.p_text, 0.03125, "0.0312"),
        (say.p_text, 1e-9, "< 0.0001"),
        (say.points, 0.032, "+3.2"),
        (say.points, -0.032, "−3.2"),
        (say.compact, None, "–"),
        (say.compact, {"a": ["ü", 1]}, '{"a": ["ü", 1]}'),
        (say.interval, share(81, 263), "25.5–36.6 %"),
        (say.interval, share(0, 0), "–"),
        (say.of, share(1680, 2000), "1,680 of 2,000"),
        (lambda text: say.shortened(text, 5), "abcdef", "abcd…"),
        (lambda text: say.shortened(text, 6), "abcdef", "abcdef"),
    ],
)
def test_numbers_are_written_for_people(write: Callable[[Any], str], value: Any, text: str) -> None:
    assert write(value).replace("\u202f", " ") == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain ä 漢 🙂\ttab\nline", "plain ä 漢 🙂\ttab\nline"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("a\u202egnp", "a\\u202egnp"),
        ("\ud800", "\\ud800"),
        ("zero\x00", "zero\\u0000"),
    ],
)
def test_what_nobody_can_see_is_spelled_out(text: str, seen: str) -> None:
    assert say.visible(text) == seen
