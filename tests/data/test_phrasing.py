from __future__ import annotations

from random import Random

import pytest

from microlith.data.phrasing import BadPhrasing, Hole, expand, holes, joined, parse


def ways(text: str) -> set[str]:
    phrase, made = parse(text), set()
    for seed in range(300):
        pieces = expand(phrase, Random(seed))
        made.add(joined([piece if isinstance(piece, str) else f"<{piece.name}>" for piece in pieces]))
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("add {user}", {"add <user>"}),
        ("(add|make) [the] {user}", {"add <user>", "add the <user>", "make <user>", "make the <user>"}),
        ("[please ](go[ on]|stop)", {"go", "go on", "stop", "please go", "please go on", "please stop"}),
        ("a [b|c]", {"a", "a b", "a c"}),
        ("x (|very) y", {"x y", "x very y"}),
        (r"port {p} \(tcp\) a\|b \{x\} \[y\] \\", {r"port <p> (tcp) a|b {x} [y] " + "\\"}),
        ("a | b", {"a | b"}),
        ("stop [now] , {x} !", {"stop, <x>!", "stop now, <x>!"}),
        (r"C:\dir", {r"C:\dir"}),
    ],
)
def test_a_phrasing_says_what_it_should(text: str, expected: set[str]) -> None:
    assert ways(text) == expected


@pytest.mark.parametrize(
    ("text", "column"), [("(add", 1), ("add [x", 5), ("a)", 2), ("a]", 2), ("(a]", 3), ("{a b}", 1), ("{}", 1), ("a { b", 3), ("a }", 3)]
)  # fmt: skip
def test_a_broken_phrasing_names_its_column(text: str, column: int) -> None:
    with pytest.raises(BadPhrasing) as error:
        parse(text)
    assert error.value.column == column


def test_holes_that_may_be_missing_are_known() -> None:
    assert holes(parse("{a} [{b}] ({c}|{c} {d})")) == ({"a", "c"}, {"a", "b", "c", "d"})


def test_a_hole_may_name_its_format() -> None:
    assert parse("{when:date}") == (Hole(name="when", format="date"),)
