"""The fast grounding equals the plain one, and shows every format's values as candidates."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.inference.grounding import FEATURES, Grounding, GroundingSpec, ground
from microlith.task.formats import FORMATS
from microlith.task.packs import pack_folder
from tests.inference import plain_grounding

ATOMS = ("cidr", "ip-or-cidr", "email", "ip", "ipv6", "ipv4")
EVERY = tuple(sorted(FORMATS))
HAND_WRITTEN = (
    "", " ", "a", "add api.local to 10.0.0.5", "Point 'Nas.LAN' at fe80::1/64, please!", "mount C:\\My Files\\x and ~/a b",
    "mail bob@x.co\nand carla@x.co\tnow", "one  two\u00a0three\u2003four\r\nfive", "x" * 400, "a-b_c." * 60,
    "set eth0:1 to 10.0.0.0/24 255.255.255.0", "the the the", "ping 1.2.3.4 1.2.3.4 and 999.1.1.1", "ΑΣ İ ǅ ² ４ 中文 👍🏽",
    "\x00\x1c\x1f", "\ud83d lone", "::1 : :: 12:30 aa:bb:cc:dd:ee:ff", "2024-01-02 1/2/03", "https://x.y/z?q=1#a",
    "p4$$w0rd!? \"quoted one\" (in) [brackets] {braces} <angles>", "5gb 10Mbit v2 2x",
    '{"op":"add","user":"b.lee","in":["a-b","c_d"],"n":12,"x":{"y":"' + "z-" * 30 + '"}} {"a":1} then,' + "k=v;" * 20,
)  # fmt: skip
VALUES = (
    "10.0.0.5", "fe80::1/64", "/srv/my files", "a@b.co", "1.2.3.4/24", "x" * 90, "a-b-" * 20, "..\\y", "$x%", "bob,", "O'Brien", "*.lan",
)  # fmt: skip


@lru_cache(maxsize=1)
def pack_requests() -> list[str]:
    files = sorted((pack_folder("infra") / "data").glob("train*.jsonl"))
    return [json.loads(line)["input"] for file in files for line in file.read_text("utf-8").splitlines()]


def mixed_requests(count: int) -> Iterator[str]:
    """Words of real requests, values and odd signs in any order."""
    rng = random.Random(11)
    signs = ",.:;'\"()/\\-_@#~=|!?\n\t *%+"
    for _ in range(count):
        words = rng.choice(pack_requests()).split(" ")
        parts = rng.sample([*words, *VALUES], rng.randrange(1, min(len(words), 9) + 1))
        yield "".join(part + rng.choice([" ", " ", "", rng.choice(signs)]) for part in parts)


def assert_equal(found: Grounding, expected: Grounding) -> None:
    assert found.shown == expected.shown
    for name in ("starts", "ends", "candidates", "features", "allowed"):
        mine, plain = getattr(found, name), getattr(expected, name)
        assert (mine.dtype, mine.shape) == (plain.dtype, plain.shape), name
        assert np.array_equal(mine, plain), (found.request, name, np.argwhere(mine != plain)[:3])


def spec(formats: tuple[str, ...] = EVERY, max_words: int = 4, max_pieces: int = 160) -> GroundingSpec:
    atoms = tuple(name for name in ATOMS if name in formats)
    return GroundingSpec(formats=formats, atoms=atoms, max_words=max_words, max_pieces=max_pieces)


@pytest.mark.parametrize("max_words", [1, 3, 14])
@pytest.mark.parametrize("formats", [EVERY, ("host", "ip", "text", "word"), ("interface", "path"), ()])
def test_equals_the_plain_version_on_odd_requests(formats: tuple[str, ...], max_words: int) -> None:
    asked = spec(formats, max_words)
    for request in (*HAND_WRITTEN, *mixed_requests(25)):
        assert_equal(ground(request, asked), plain_grounding.ground(request, asked))


def test_equals_the_plain_version_on_many_requests() -> None:
    asked = spec()
    rng = random.Random(3)
    for request in (*rng.sample(pack_requests(), 120), *mixed_requests(120)):
        assert_equal(ground(request, asked), plain_grounding.ground(request, asked))


@settings(max_examples=150, deadline=None)
@given(request=st.text(max_size=80), max_words=st.integers(1, 5), max_pieces=st.integers(1, 40))
def test_equals_the_plain_version_on_any_text(request: str, max_words: int, max_pieces: int) -> None:
    asked = spec(max_words=max_words, max_pieces=max_pieces)
    assert_equal(ground(request, asked), plain_grounding.ground(request, asked))


@settings(max_examples=150, deadline=None)
@given(request=st.text("0123456789abcdefABCDEF.:/-@ xyz~\\%\n\t", max_size=40))
def test_equals_the_plain_version_near_addresses(request: str) -> None:
    asked = spec()
    assert_equal(ground(request, asked), plain_grounding.ground(request, asked))


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("ipv4", "10.0.0.5"), ("ipv6", "fe80::1"), ("ip", "::1"), ("cidr", "10.0.0.0/24"), ("ip-or-cidr", "10.0.0.7"),
        ("email", "bob.lee@x.co"), ("hostname", "*.api.local"), ("host", "nas"), ("path", "/srv/My Files"),
        ("path", "C:\\Users\\x"), ("path", "~"), ("interface", "vmbr0.20"), ("interface", "Ethernet 2"), ("port", "8080"),
        ("password", "p4$$ w0rd!"), ("name", "Team Files"), ("text", "the old blues"), ("username", "DOM\\bob"),
        ("mac", "aa:bb:cc:dd:ee:ff"), ("url", "https://x.y/z?q=1"), ("date", "2024-01-31"), ("number", "2.5"), ("integer", "-3"),
    ],
)  # fmt: skip
def test_every_format_finds_its_value(form: str, value: str) -> None:
    found = ground(f'set "{value}" now', spec((form,)))
    texts = {found.text(row) for row in range(len(found.candidates)) if found.allowed[row, 0]}
    assert value in texts


def test_features_have_their_names_columns() -> None:
    found = ground("say (Hi there), Hi", spec())
    rows = {found.text(row): found.features[row] for row in range(len(found.candidates))}
    on = {name for name, value in zip(FEATURES, rows["Hi"], strict=True) if value}
    assert {"has upper case", "stands twice"} <= on
    assert "several words" in {name for name, value in zip(FEATURES, rows["Hi there"], strict=True) if value}


@pytest.mark.parametrize(
    ("request_text", "slice_text", "name"),
    [
        ("see payroll.corp.lan", "corp.lan", "joint before"), ("see payroll.corp.lan", "payroll", "joint after"),
        ("ask anna_k now", "k", "joint before"), ("keep it 30d", "30", "inside a word after"), ("keep it 30d", "d", "inside a word before"),
    ],
)  # fmt: skip
def test_a_part_of_a_value_is_told_from_a_whole(request_text: str, slice_text: str, name: str) -> None:
    found = ground(request_text, spec())
    rows = {found.text(row): found.features[row] for row in range(len(found.candidates))}
    column = FEATURES.index(name)
    assert rows[slice_text][column] == 1
    assert rows[request_text.split()[-1]][column] == 0


def test_a_long_request_is_read_up_to_the_limit() -> None:
    found = ground("word " * 100_000, spec())
    assert len(found.shown) == 160
    assert len(found.candidates) < 1000


def test_every_value_of_json_without_blanks_is_a_candidate() -> None:
    request = (
        '{"op":"group.join","user":"n.ferreira","group":"ml-platform","by":"x","at":"10.1.0.0/16","ttl":3600}'
    )
    found = ground(request, spec())
    texts = {found.text(row) for row in range(len(found.candidates))}
    assert {"n.ferreira", "ml-platform", "10.1.0.0/16", "3600"} <= texts
    assert len(texts) < 1000


def test_a_long_word_has_few_candidates() -> None:
    found = ground("a-" * 80, spec())
    assert len(found.shown) == 160
    assert len(found.candidates) < 2000
