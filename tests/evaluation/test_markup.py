from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from microlith.evaluation.markup import folded, key, pair, safe, section, table


@settings(deadline=None)
@given(st.text())
def test_safe_text_holds_no_markup_and_can_be_written(text: str) -> None:
    found = safe(text)
    assert not set("<>\"'\x00") & set(found)
    found.encode("utf-8")


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Zl", "Zp", "Cn"])))
def test_a_browser_shows_safe_text_as_it_was(text: str) -> None:
    class Reader(HTMLParser):
        seen = ""

        def handle_data(self, data: str) -> None:
            self.seen += data

    reader = Reader()
    reader.feed(safe(text))
    reader.close()
    assert reader.seen == text


def test_a_section_without_parts_is_nothing() -> None:
    assert section("Title", "", "", note="a note") == ""
    assert pair("", "") == ""
    assert folded("more", "") == ""


def test_a_single_series_needs_no_key() -> None:
    assert key(["one"], 6) == ""
    assert key(["one", "<b>"], 6).count("<li") == 2


def test_a_row_of_one_cell_spans_the_table() -> None:
    assert 'colspan="3"' in table(["a", "b", "c"], [["part"], ["x", "1", "2"]])
