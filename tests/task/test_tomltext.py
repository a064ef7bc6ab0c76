from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.task.tomltext import parse_toml


def test_reads_values_and_lines() -> None:
    parsed = parse_toml('name = "a"\n\n[data]\ntrain = [\n  "x",\n]\ntest = "y"\n', name="t.toml")
    assert parsed.problems == ()
    assert parsed.value == {"name": "a", "data": {"train": ["x"], "test": "y"}}
    assert parsed.lines == {("name",): 1, ("data",): 3, ("data", "train"): 4, ("data", "test"): 7}


def test_lines_of_dotted_quoted_and_multi_line_keys() -> None:
    parsed = parse_toml('a.b = 1\n"c" = """\nd = 2\n"""\ne = 3\r\n[x.y]\nz = 1', name="t.toml")
    assert parsed.lines == {("a", "b"): 1, ("c",): 2, ("e",): 5, ("x", "y"): 6, ("x", "y", "z"): 7}


def test_every_broken_line_is_named() -> None:
    parsed = parse_toml('name = infra\ninput = "text"\nroute = [1, \n\n[data\nx = 1\nx = 2', name="t.toml")
    assert [problem.place for problem in parsed.problems][:2] == ["t.toml:1", "t.toml:5"]
    assert parsed.value.get("input") == "text" or len(parsed.problems) > 2


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("name = infra", 'a text stands in quotes: name = "infra"'),
        ("just words", 'write key = "value" or [table]'),
        ("a = 1 2", None),
    ],
)
def test_says_how_to_mend_a_line(text: str, mend: str | None) -> None:
    assert parse_toml(text, name="t.toml").problems[0].mend == mend


@given(st.text(alphabet="ab=[]\"'\n .,1#{}", max_size=60))
def test_never_raises(text: str) -> None:
    parsed = parse_toml(text, name="t.toml")
    assert parsed.value is not None
