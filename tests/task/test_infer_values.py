from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.errors import DataError
from microlith.task.infer_values import Seen, infer_scalar, is_closed, stands_in
from microlith.task.validate import Validator


def verdict(pairs: list[tuple[str, Any]], name: str = "field") -> Any:
    seen = [Seen(value=value, row=row) for row, (_, value) in enumerate(pairs)]
    return infer_scalar(seen, [text for text, _ in pairs], name)


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        ("nas.lan", "add nas.lan now", True),
        ("nas", "add nas.lan", True),
        ("lan", "plan", False),
        ("a b", "x a b y", True),
        ("Bob", "bob", False),
        ("", "x", False),
        (" a", "x a", False),
        ("30", "30d", True),
        ("p@ss", "set p@ss!", True),
        (443, "port 443", True),
        (44, "port 443", False),
        (8, "8GB", True),
        (-3, "to -3 degrees", True),
        (2.5, "2,5 litres", True),
        (True, "true", False),
        (None, "null", False),
        ("a", "ba a", True),
    ],
)
def test_stands_in(value: Any, text: str, expected: bool) -> None:
    assert stands_in(value, text) is expected


@given(st.text(max_size=8), st.text(max_size=8), st.text(min_size=1, max_size=6))
def test_what_stands_in_a_text_is_a_slice_of_it(before: str, after: str, value: str) -> None:
    text = before + value + after
    if stands_in(value, text):
        assert value in text
    assert stands_in(value, f"{before} {value} {after}") is (value == value.strip())


@pytest.mark.parametrize(
    ("values", "closed"),
    [
        (["a", "b", "a", "b"], True),
        (["a"], False),
        (["a", "b", "c"], False),
        ([f"v{n}" for n in range(100)] * 3, True),
        ([f"v{n}" for n in range(500)] * 3, False),
        (list(range(25)) * 9, False),
        ([1, 2, 4] * 9, True),
        (["two words", "more words here"] * 9, True),
        (["two words"] * 5 + ["some more words"], False),
        (["label_a"] * 4 + ["label_b"], True),
    ],
)
def test_is_closed(values: list[Any], closed: bool) -> None:
    assert is_closed(values) is closed


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["10.0.0.1", "10.0.0.2"], "ipv4"),
        (["::1", "fe80::2"], "ipv6"),
        (["10.0.0.1", "::1"], "ip"),
        (["10.0.0.0/8", "::/0"], "cidr"),
        (["10.0.0.0/8", "::1"], "ip-or-cidr"),
        (["a@x.org", "b@x.org"], "email"),
        (["https://x.org/a", "http://y.org"], "url"),
        (["00:1a:2b:3c:4d:5e", "00-1a-2b-3c-4d-5f"], "mac"),
        (["/srv/a", "C:\\b"], "path"),
        (["nas.lan", "db.lan", "mail"], "hostname"),
        (["nas.lan", "10.0.0.1"], "host"),
        (["bob", "amy"], "text"),
        ([f"bob{n}" for n in range(30)], "word"),
        ([f"bob {n}" for n in range(30)], "text"),
        ([str(n) for n in range(30)], "integer"),
        (["1", "2"], "text"),
    ],
)
def test_the_tightest_format_that_the_values_prove(texts: list[str], name: str) -> None:
    found = verdict([(f"use {text} please", text) for text in texts])
    assert found.kind == "slice"
    assert found.schema == {"type": "string", "x-source": "input", "x-format": name}


def test_numbers_that_stand_in_the_input_are_copied() -> None:
    found = verdict([(f"wait {n} days", n) for n in range(3)])
    assert found.schema == {"type": "integer", "x-source": "input", "x-format": "integer", "minimum": 0}


def test_integers_and_names_together_can_be_a_port() -> None:
    found = verdict([("open 443", 443), ("open ssh", "ssh"), ("open 22", 22)])
    assert found.schema == {"type": ["integer", "string"], "x-source": "input", "x-format": "port"}


def test_numbers_that_do_not_stand_in_the_input_are_decided_between_bounds() -> None:
    found = verdict([("soon", 3), ("later", 40), ("much later", 77)])
    assert found.schema == {"type": "integer", "minimum": 3, "maximum": 77}
    assert found.doubts


def test_a_closed_set_keeps_the_order_of_first_sight() -> None:
    found = verdict([("x", "low"), ("y", "high"), ("z", "low"), ("w", "high")])
    assert found.schema == {"enum": ["low", "high"]}


def test_a_value_seen_once_is_doubted() -> None:
    found = verdict([("x", "low")] * 9 + [("y", "high")])
    assert "seen once (high)" in found.doubts[0]


def test_one_value_for_all_is_a_constant() -> None:
    assert verdict([("x", "v1"), ("y", "v1")]).schema == {"const": "v1"}


def test_free_text_gets_a_length_and_a_doubt() -> None:
    found = verdict([("x", "Check the cable first."), ("y", "Ask your provider today.")])
    assert found.schema == {"type": "string", "maxLength": 40}
    assert "encoder cannot write it" in found.doubts[0]


def test_values_in_other_case_are_doubted() -> None:
    found = verdict([(f"room number{n}", f"Number{n}") for n in range(9)])
    assert "in other case" in found.doubts[1]


def test_a_slip_in_the_data_is_doubted_and_still_validates() -> None:
    pairs = [(f"ping 10.0.0.{n}", f"10.0.0.{n}") for n in range(40)] + [("ping it", "the nas")]
    found = verdict(pairs)
    assert found.kind == "slice"
    assert "row 41" in found.doubts[0]
    assert all(Validator(found.schema).is_valid(value) for _, value in pairs)


def test_a_secret_is_known_by_its_name_and_never_shown() -> None:
    pairs = [(f"password is hunter{n}", f"hunter{n}") for n in range(40)] + [("as before", "s3same")]
    found = verdict(pairs, "user_password")
    assert found.schema["x-secret"] is True
    assert found.schema["x-format"] == "password"
    assert not any("s3same" in doubt for doubt in found.doubts)


def test_few_different_slices_are_doubted() -> None:
    assert "an enum would do" in verdict([("by tcp", "tcp"), ("by udp", "udp")] * 30).doubts[0]


def test_kinds_that_no_decision_covers_are_refused() -> None:
    with pytest.raises(DataError, match="write one kind of value"):
        verdict([("a", 1.5), ("b", "some text, here"), ("c", 2.5)])
