"""The result of a run: how it prints, draws, saves and compares itself."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from kucoin_research.errors import ColumnMissing, InvalidInput, UnknownSymbol
from kucoin_research.strategy.result import Result
from kucoin_research.strategy.result_text import span_text, text_of, value_text
from kucoin_research.strategy.run_facts import RUN_COLUMNS, Failure
from tests.unit.figures.test_markup import HOSTILE, structure
from tests.unit.strategy.runs import (
    SCHEMAS,
    day,
    equity_rows,
    facts,
    fill,
    position,
    price,
    result,
    table,
    whole_run,
)


def widest(text):
    return max(map(len, text.splitlines()))


# -- frames ----------------------------------------------------------------------------------------


def test_the_frames_are_those_of_the_run():
    run = whole_run()

    for name in ("fills", "orders", "equity", "trades", "positions", "funding", "notes"):
        assert tuple(getattr(run, name).columns) == RUN_COLUMNS[name] == tuple(SCHEMAS[name])
    assert run.assumptions["subject"].to_list() == ["latency", "lacked"]
    assert run.fingerprint == whole_run().fingerprint


def test_a_frame_without_a_column_is_refused():
    with pytest.raises(ColumnMissing, match=r"made of fills without 'price'"):
        facts(fills=table("fills", fill(1)).drop("price"))
    with pytest.raises(InvalidInput, match="both a start and an end"):
        facts(start_ns=None)


# -- print -----------------------------------------------------------------------------------------


def test_it_prints_each_figure_with_its_unit_and_its_meaning():
    text = str(whole_run())

    assert text.startswith(
        "mean reversion: PLAYED TO THE END, 2026-01-05 00:00:00 to 2026-02-14 00:00:00 UTC (40 d)\n"
    )
    assert "Equity: 10,000.00 USDT became 11,600.00 USDT." in text
    assert "Ratios are of 40 returns, each over 1 d" in text
    assert re.search(r"^sharpe +2\.22 ± 3\.06  mean return", text, re.MULTILINE)
    assert re.search(r"^expectancy +10\.00 USDT  mean profit", text, re.MULTILINE)
    assert re.search(r"^latency +0\.05 s each way +An order takes it\.$", text, re.MULTILINE)
    assert text.endswith("The data lacked:\n- books: Fills are of tickers.")
    assert repr(whole_run()) == text


def test_it_says_why_a_figure_is_missing():
    text = str(result(end_ns=day(12 / 1_440), equity=equity_rows([10_000.0])))

    assert "n/a (12 returns; 30 are needed)" in text
    assert "Nothing is known to be missing from the data." in text


def test_an_early_end_cannot_be_missed():
    run = whole_run(
        ended="the strategy raised ValueError", failure=Failure({"price": 1}, "ValueError: <no>")
    )

    first = str(run).split("\n\n")[0]
    assert not run.complete
    assert run.ended == "the strategy raised ValueError"
    assert first.startswith("mean reversion: ENDED EARLY, 2026-01-05")
    assert "\nWhy: the strategy raised ValueError\n" in first
    assert "The strategy raised ValueError: <no>, called with {'price': 1}." in first
    assert "✗ ENDED EARLY" in run._repr_html_()
    assert "ValueError: &lt;no&gt;" in run._repr_html_()


def test_gaps_are_stated():
    assert "The record covers 36 d: 1 gap of 4 d in all make" in str(
        whole_run(gaps=[(day(10), day(14))])
    )


def test_a_drawdown_that_is_not_over_is_marked():
    assert "40 d, not recovered" in str(result(equity=equity_rows([9_000.0])))


@pytest.mark.parametrize("long", ["x" * 300, "many words " * 40, "\n\tlines\nin it"])
def test_text_is_never_wider_than_100_columns(long):
    row = {"subject": long, "choice": long, "detail": long}
    run = whole_run(
        name=long,
        ended=long,
        currency="USDT",
        assumptions=[row, {**row, "subject": "lacked"}],
        fills=[fill(1, fee_currency=f"C{each}") for each in range(40)],
    )

    assert widest(str(run)) <= 100


def test_an_empty_run_prints():
    text = str(result(start_ns=None, end_ns=None, records=0))

    assert text.startswith("mean reversion: PLAYED TO THE END, no record was played\n")
    assert "n/a (no record was played)" in text


@pytest.mark.parametrize(
    ("name", "value", "currency", "expected"),
    [
        ("fees", 1_234_567.891, "USDT", "1,234,567.89 USDT"),
        ("fees", -0.0, "USDT", "0.00 USDT"),
        ("fees", 0.00012, "USDT", "0.00012 USDT"),
        ("fees", 0.00012, "XBT", "0.00012 XBT"),
        ("fees", 2.0, "XBT", "2 XBT"),
        ("return_pct", -0.001, "USDT", "0.00 %"),
        ("annual_return_pct", 1.5e200, "USDT", "1.500e+200 %"),
        ("orders", 12_345, "USDT", "12,345"),
        ("sharpe", None, "USDT", "n/a"),
    ],
)
def test_numbers_are_readable(name, value, currency, expected):
    assert value_text(name, value, currency) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.08, "80 ms"),
        (1.5, "1.5 s"),
        (59.9996, "60 s"),
        (60, "1 min"),
        (725, "12 min 5 s"),
        (86_400 * 3 + 4 * 3_600, "3 d 4 h"),
        (86_400 * 1_200, "1,200 d"),
    ],
)
def test_spans_are_readable(seconds, expected):
    assert span_text(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_page_shows_every_text_of_the_user_as_it_is(hostile):
    def made(text):
        return whole_run(
            name=text,
            ended=text,
            failure=Failure(text, text),
            currency=text,
            assumptions=[
                {"subject": text, "choice": text, "detail": text},
                {"subject": "lacked", "choice": text, "detail": text},
            ],
        )._repr_html_()

    page = made(hostile)

    assert structure(page) == structure(made("plain"))
    assert hostile in html.unescape(re.sub(r"<[^>]*>", "", page))


# -- draw ------------------------------------------------------------------------------------------


def test_the_figure_shows_the_symbol_with_the_most_fills():
    run = result(
        prices=[price(0, 1.0), price(0, 2.0, "ETHUSDTM"), price(1, 3.0, "SOLUSDTM")],
        fills=[fill(1), fill(2, symbol="ETHUSDTM"), fill(3, symbol="ETHUSDTM")],
    )

    assert run.figure().data[0].y.tolist() == [2.0, 2.0]  # and until the end
    assert run.figure("SOLUSDTM").data[0].y.tolist() == [3.0, 3.0]
    with pytest.raises(UnknownSymbol, match="has: ETHUSDTM, XBTUSDTM, SOLUSDTM"):
        run.figure("XRPUSDTM")


def test_the_drawdown_is_that_of_the_equity():
    run = result(equity=equity_rows([9_000, 11_000, 5_500]), prices=[price(0, 1.0)])

    drawdown = next(each for each in run.figure().data if each.name == "drawdown")
    assert drawdown.y.tolist() == pytest.approx([-10, 0, -50, -50])


class Sources(HTMLParser):
    """What a page loads from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href")]


def test_the_page_needs_no_network_and_has_tables_and_chart(tmp_path):
    run = whole_run(name="<b>bold</b>")

    path = run.to_html(tmp_path / "run.html")

    page = path.read_text(encoding="utf-8")
    reader = Sources()
    reader.feed(page)
    assert reader.found == []
    assert "<title>&lt;b&gt;bold&lt;/b&gt;</title>" in page
    assert page.index("max_drawdown_pct") < page.index("Plotly.newPlot")
    assert len(page) > 3_000_000  # plotly.js


def test_an_empty_run_is_drawn_and_saved(tmp_path):
    run = result(start_ns=None, end_ns=None, records=0)

    (words,) = run.figure().layout.annotations
    assert words.text == "no record was played"
    assert run.to_html(tmp_path / "run.html").stat().st_size > 0
    (words,) = result().figure().layout.annotations
    assert words.text == "no records to show"


# -- compare ---------------------------------------------------------------------------------------


def test_a_comparison_lists_each_figure_and_the_first_different_fill():
    ours = whole_run()
    theirs = whole_run(slippage=2.0, end_ns=day(41), fills=[fill(2, price=102.0), fill(6)])

    frame = ours.compare(theirs)

    rows = {row["figure"]: row for row in frame.iter_rows(named=True)}
    assert frame.columns == ["figure", "this", "other", "difference"]
    assert rows["slippage"]["difference"] == -0.75
    assert rows["duration"]["difference"] == -86_400
    assert rows["fills"]["difference"] == 1
    differing = rows["first different fill"]
    assert differing["this"].startswith("1: ")
    assert "order-5.5" in differing["this"]
    assert "order-6" in differing["other"]


def test_equal_runs_have_no_different_fill_and_a_shorter_one_ends():
    run = whole_run()

    same = run.compare(whole_run())
    shorter = run.compare(whole_run(fills=run.fills[:2]))

    assert same.row(-1) == ("first different fill", None, None, None)
    assert set(same["difference"].drop_nulls()) == {0.0}
    assert shorter.row(-1)[2] == "2: none"
    with pytest.raises(InvalidInput, match="another Result"):
        run.compare(run.stats)


def test_positions_of_other_symbols_are_drawn_too():
    run = result(positions=[position(1, 1.0), position(2, 2.0, "ETHUSDTM")])

    assert [each.name for each in run.figure().data[6:]] == [
        "position ETHUSDTM", "position XBTUSDTM",
    ]  # fmt: skip
    assert isinstance(run, Result)
    assert text_of(run._facts, run._figures) == str(run)
