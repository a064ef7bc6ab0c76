from __future__ import annotations

import ipaddress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.data import words
from microlith.data.generators import GENERATORS
from microlith.data.values import value, with_casing_of
from microlith.errors import UsageError
from microlith.task.formats import FORMATS

NAMES = sorted(FORMATS)


def test_every_format_has_a_generator() -> None:
    assert sorted(GENERATORS) == NAMES


@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**32))
def test_a_generated_value_passes_the_formats_check(name: str, seed: int) -> None:
    assert FORMATS[name].check(value(name, Random(seed)))


@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**32))
def test_a_value_made_to_look_like_another_passes_the_check(name: str, seed: int) -> None:
    rng = Random(seed)
    assert FORMATS[name].check(value(name, rng, like=value(name, rng)))


@given(
    name=st.sampled_from([name for name in NAMES if name not in ("date", "integer", "number")]),
    like=st.text(min_size=1, max_size=20),
)
def test_any_text_may_be_the_model(name: str, like: str) -> None:
    assert FORMATS[name].check(value(name, Random(1), like=like))


def test_equal_states_give_equal_values() -> None:
    assert [value("password", Random(3)) for _ in range(3)] == [value("password", Random(3))] * 3


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UsageError, match="colour"):
        value("colour", Random(0))


LOOKS = [
    ("hostname", "*.corp.example", lambda made: made.startswith("*.")),
    ("hostname", "nas", lambda made: "." not in made),
    ("hostname", "NAS", lambda made: made.isupper() and "." not in made),
    ("hostname", "a.b.example.", lambda made: made.endswith(".")),
    ("hostname", "_dmarc.acme.example", lambda made: made.startswith("_dmarc.")),
    ("host", "10.0.0.5", FORMATS["ipv4"].check),
    ("host", "fe80::1", FORMATS["ipv6"].check),
    ("ip", "2001:db8::1", FORMATS["ipv6"].check),
    ("ip-or-cidr", "10.0.0.0/8", lambda made: "/" in made and ":" not in made),
    ("ip-or-cidr", "fe80::1/64", lambda made: "/" in made and ":" in made),
    ("ip-or-cidr", "10.0.0.1", lambda made: "/" not in made),
    ("username", "CORP\\weber", lambda made: "\\" in made),
    ("username", "a@b.example", lambda made: "@" in made),
    ("name", "Print Operators", lambda made: len(made.split()) == 2 and made.istitle()),
    ("name", "sales reps north", lambda made: len(made.split()) == 3 and made.islower()),
    ("text", "the life aquatic with steve", lambda made: len(made.split()) == 5),
    ("word", "lost.property@trams.example", lambda made: "@" in made),
    ("password", "correct horse battery", lambda made: " " in made),
    ("password", "Vespa?1964", lambda made: " " not in made),
    ("path", "/srv/x", lambda made: made.startswith("/")),
    ("path", "D:\\Shares", lambda made: made[1:3] == ":\\"),
    ("path", "D:/Shares", lambda made: made[1:3] == ":/"),
    ("path", "\\\\nas\\x", lambda made: made.startswith("\\\\")),
    ("path", "~/x", lambda made: made.startswith("~")),
    ("path", "a/b", lambda made: "/" in made and not made.startswith("/")),
    ("port", "443", str.isdecimal),
    ("port", "https", lambda made: not made.isdecimal()),
    ("integer", "+0042", lambda made: made.startswith("+") and len(made) == 5),
    ("number", "3,25", lambda made: made[1] == "," and len(made) == 4),
    ("interface", "Ethernet 2", lambda made: made[0].isupper() or made.startswith("vEthernet")),
    ("interface", "eth0", lambda made: made[0].islower() and " " not in made),
    ("date", "2024-01-09", lambda made: len(made) == 10 and made[4] == "-"),
    ("date", "3.7.24", lambda made: made.count(".") == 2 and len(made) <= 8),
    ("date", "9/24/2025", lambda made: made.count("/") == 2 and int(made.split("/")[0]) <= 12),
]


@pytest.mark.parametrize(("name", "like", "alike"), LOOKS, ids=[f"{name}-{like}" for name, like, _ in LOOKS])
def test_the_look_is_kept(name: str, like: str, alike: object) -> None:
    rng = Random(7)
    made = [value(name, rng, like=like) for _ in range(40)]
    assert [text for text in made if not alike(text)] == []  # type: ignore[operator]
    assert len(set(made)) > 3


@pytest.mark.parametrize(
    ("text", "like", "expected"),
    [("weber", "BOB", "WEBER"), ("weber", "Bob", "Weber"), ("Weber", "bob", "weber"), ("web ops", "Print Team", "Web Ops"),
     ("weber", "mcKay", "weber"), ("weber", "7", "weber")],
)  # fmt: skip
def test_the_casing_follows(text: str, like: str, expected: str) -> None:
    assert with_casing_of(text, like) == expected


def test_addresses_are_mostly_private_or_for_documentation() -> None:
    rng = Random(0)
    drawn = [ipaddress.ip_address(value("ipv4", rng)) for _ in range(500)]
    assert sum(address.is_private for address in drawn) > 350


def test_the_vocabulary_repeats_no_word() -> None:
    lists = {name: entries for name, entries in vars(words).items() if name.isupper()}
    assert {name: len(entries) - len(set(entries)) for name, entries in lists.items()} == dict.fromkeys(
        lists, 0
    )
