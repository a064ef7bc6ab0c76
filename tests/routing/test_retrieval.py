from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlith.errors import UsageError
from microlith.routing.retrieval import LONGEST_PASSAGE, Nearest, passages_of

TEXTS = ("paint the fence green", "mow the lawn", "paint the wall", "call a doctor", "")


def test_the_text_that_shares_most_with_the_request_comes_first() -> None:
    assert list(Nearest(TEXTS).order("PAINT my fence, please"))[:2] == [0, 2]


def test_every_text_has_its_place_unless_only_like_ones_are_asked_for() -> None:
    near = Nearest(TEXTS)
    assert sorted(near.order("paint")) == [0, 1, 2, 3, 4]
    assert sorted(near.order("paint", like=True)) == [0, 2]
    assert list(near.order("zzz")) == [0, 1, 2, 3, 4]
    assert list(near.order("zzz", like=True)) == []


@pytest.mark.parametrize("texts", [(), ("",), ("!",)])
def test_nothing_to_be_near_to_does_no_harm(texts: tuple[str, ...]) -> None:
    assert list(Nearest(texts).order("paint", like=True)) == []


def test_paragraphs_stand_below_their_headings(tmp_path: Path) -> None:
    text = "Before.\n\n# A\r\n\r\none\ntwo\n\n## B\nthree\n\n#no heading\n\n# C\n\n\n\nfour\n"
    (tmp_path / "a.md").write_bytes(text.encode())
    assert passages_of([tmp_path / "a.md"]) == [
        "Before.", "A\none\ntwo", "A > B\nthree", "A > B\n#no heading", "C\nfour",
    ]  # fmt: skip


def test_every_text_below_a_folder_is_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, text in {"b.txt": "bee", "a.md": "ay", "in/c.rst": "sea", "d.png": "no"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert passages_of([str(tmp_path)]) == ["ay", "bee", "sea"]


@given(st.text(alphabet="ab \n", max_size=200).map(lambda text: text * 20))
def test_long_paragraphs_are_cut_and_nothing_of_them_is_lost(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.txt")
        path.write_text(text, encoding="utf-8", newline="")
        found = passages_of([path])
    assert all(0 < len(passage) <= LONGEST_PASSAGE for passage in found)
    assert "".join("".join(found).split()) == "".join(text.split())


@pytest.mark.parametrize("data", [None, b"\xff\xfe\x00"])
def test_a_document_that_cannot_be_read_is_named(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "x.md"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match="the document cannot be read") as error:
        passages_of([path])
    assert error.value.problems[0].place == str(path)
