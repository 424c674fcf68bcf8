"""Tables of texts for a terminal and a notebook."""

from __future__ import annotations

from kucoin_research.model.printed_tables import badge, html_table, text_table


def test_numbers_are_aligned_at_the_right_and_texts_at_the_left():
    assert text_table(("name", "rows"), {1}, [("a", "1"), ("long one", "1,000")]).splitlines() == [
        "name       rows",
        "a             1",
        "long one  1,000",
    ]
    assert text_table(("name",), {}, []) == ""


def test_a_page_shows_texts_as_they_are():
    page = html_table(("<b>",), {0}, [("a & <i>",)])

    assert '<th style="text-align: right">&lt;b&gt;</th>' in page
    assert '<td style="text-align: right">a &amp; &lt;i&gt;</td>' in page
    assert badge("<x>", "#fff").endswith(">&lt;x&gt;</span>")


def test_a_cell_may_be_made_by_its_column():
    page = html_table(("a", "b"), (), [("1", "2")], lambda column, text: f"{column}:{text}")

    assert "0:1" in page
    assert "1:2" in page
