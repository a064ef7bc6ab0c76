from __future__ import annotations

import pytest

from microlith.data.strict_json import NotStrictJson, loads


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "-Infinity"),
        ("1e999", "too large"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"a": {"b": 1, "b": 1}}', "'b' stands twice"),
        ('"\\ud800"', "surrogate"),
        ('{"\\ud800": 1}', "surrogate"),
        ("{'a': 1}", "Expecting"),
        ("[1,]", "Expecting"),
        ("1 2", "more after"),
        ("", "the end"),
        ("[" * 100_000 + "]" * 100_000, "nested"),
        ("1" * 5000, "digits"),
        ('"a\x01b"', "control character"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(NotStrictJson, match=told):
        loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' {"a": [1, 2.5, true, null]} \r\n', {"a": [1, 2.5, True, None]}),
        ('"\\ud83d\\ude00"', "😀"),
        ("0", 0),
    ],
)
def test_strict_json_is_read(text: str, value: object) -> None:
    assert loads(text) == value
