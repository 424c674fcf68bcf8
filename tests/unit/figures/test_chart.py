"""Zoomed charts: a value stands from the row before the view, up to the newest row."""

import pytest

from kucoin_research.figures.book_charts import LadderChart
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.lag_chart import LagChart
from kucoin_research.figures.line_charts import FlowChart, MarkChart, PriceChart, SpreadChart
from kucoin_research.model.records import FundingRate, MarkPrice, Ticker, Trade
from tests.unit.figures.test_figures import SECOND, at, frame, ms, ticker, trade

TICKERS = frame(Ticker, [ticker(second, bid=100.0 + second / 100) for second in range(100)])
TRADES = frame(Trade, [trade(second) for second in range(100)])
LINES = {PriceChart: "quotes", SpreadChart: "quotes"}


def zoomed(kind, begin, end, *batches, role="quotes", px=1_000):
    chart = kind(View(px, (at(begin), at(end)), 60 * SECOND), Sketch("XBTUSDTM"))
    for rows in batches:
        chart.take(role, rows)
    return chart.draw()


def notes(drawing):
    return [note["text"] for note in drawing.layout["annotations"]]


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("cut", [100, 51, 50])
def test_between_two_quotes_the_earlier_one_stands(kind, cut):
    drawing = zoomed(kind, 50.3, 50.7, TICKERS[:cut], TICKERS[cut:])

    line = 1 if kind is PriceChart else 0
    assert drawing.arrays[line, "x"].tolist() == [ms(50), ms(51)]
    assert notes(drawing) == []


@pytest.mark.parametrize("cut", [100, 52, 51, 50, 10])
def test_the_row_before_the_range_is_there_whatever_the_batches(cut):
    drawing = zoomed(PriceChart, 50.3, 53.7, TICKERS[:cut], TICKERS[cut:])

    assert drawing.arrays[1, "x"].tolist() == [ms(second) for second in (50, 51, 52, 53, 54)]
    assert drawing.arrays[1, "y"].tolist() == [100.5, 100.51, 100.52, 100.53, 100.54]


def test_each_row_by_itself_makes_the_same_line():
    alone = [TICKERS[n : n + 1] for n in range(TICKERS.height)]

    drawing = zoomed(PriceChart, 50.3, 53.7, *alone)

    assert drawing.arrays[1, "x"].tolist() == [ms(second) for second in (50, 51, 52, 53, 54)]


@pytest.mark.parametrize("span", [(200, 210), (-20, -10)])
def test_beyond_the_rows_there_is_no_line_but_a_note(span):
    drawing = zoomed(PriceChart, *span, TICKERS)

    assert drawing.arrays[1, "x"].size == 0
    assert notes(drawing) == ["no quotes or trades of XBTUSDTM in this range"]


def test_a_funding_rate_stands_between_its_payments():
    rates = frame(FundingRate, [(at(s), at(s), "XBTUSDTM", 1e-4, 28_800_000) for s in (0, 28_800)])
    marks = frame(MarkPrice, [(at(s), at(s), "XBTUSDTM", 100.0, 99.0) for s in range(100, 110)])
    chart = MarkChart(View(1_000, (at(104), at(106)), 60 * SECOND), Sketch())

    chart.take("funding", rates)
    chart.take("mark", marks)

    assert chart.draw().arrays[3, "x"].tolist() == [ms(0), ms(28_800)]


def test_trades_outside_the_range_are_no_bubbles_and_no_bars():
    bubbles = zoomed(PriceChart, 50.3, 50.7, TRADES, role="trades")
    flow = zoomed(FlowChart, 50.3, 50.7, TRADES, role="trades")

    assert bubbles.arrays[4, "x"].size == 0
    assert notes(bubbles) == ["no quotes or trades of XBTUSDTM in this range"]
    assert flow.arrays[1, "x"].size == 0
    assert flow.arrays[0, "y"].tolist() == [51.0, 52.0]


def test_a_lag_is_its_rows_own():
    assert zoomed(LagChart, 50.3, 50.7, TRADES, role="rows").arrays[0, "x"].size == 0


def test_a_row_far_before_the_range_leaves_the_others_fine():
    times = [0.0, *(3_600 + n / 4_000 for n in range(4_000))]
    rows = frame(Ticker, [ticker(second, bid=100 + n % 7) for n, second in enumerate(times)])

    drawing = zoomed(PriceChart, 3_600, 3_601, rows, px=400)

    assert 200 <= drawing.arrays[1, "x"].size <= 400


@pytest.mark.parametrize("size", [None, float("nan"), float("inf")])
def test_trades_without_a_size_make_no_flow(size):
    bare = frame(Trade, [trade(n, size=size) for n in range(3)])
    chart = FlowChart(View(), Sketch("XBTUSDTM", is_complete=True))

    chart.take("trades", bare)
    empty = chart.draw()
    chart.take("trades", frame(Trade, [trade(5, size=2.0)]))

    assert notes(empty) == ["no trades of XBTUSDTM to show"]
    assert chart.draw().arrays[0, "y"].tolist() == [2.0]


@pytest.mark.parametrize(
    ("px", "lines"),
    [(1_000, ["waiting for a book of XBTUSDTM"]), (140, ["waiting for a", "book of XBTUSDTM"])],
)
def test_a_note_is_broken_where_the_plot_is_narrow(px, lines):
    drawing = LadderChart(View(px), Sketch("XBTUSDTM")).draw()

    assert notes(drawing)[0].split("<br>") == lines


@pytest.mark.parametrize(("is_compact", "title"), [(True, ""), (False, "<b>A</b> candles")])
def test_an_empty_compact_chart_has_no_title_beside_its_note(is_compact, title):
    drawing = CandleChart(View(), Sketch("A", is_compact=is_compact)).draw()

    assert drawing.layout["title.text"] == title
