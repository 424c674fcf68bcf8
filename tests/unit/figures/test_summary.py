"""What is read out of each kind of chart."""

import polars as pl
import pytest

from kucoin_research.figures.book_charts import DepthChart, LadderChart
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.heat_chart import HeatChart
from kucoin_research.figures.lag_chart import LagChart
from kucoin_research.figures.line_charts import FlowChart, MarkChart, PriceChart, SpreadChart
from kucoin_research.figures.run_chart import RunChart
from kucoin_research.figures.summary import summary_of
from kucoin_research.model.records import Depth50, MarkPrice, Ticker, Trade
from tests.unit.figures.test_figures import at, frame, ticker, trade

TICKERS = frame(Ticker, [ticker(0), ticker(150, bid=101.0, ask=102.0, price=102.0)])
TRADES = frame(Trade, [trade(0), trade(1, 101.0, 2.5, "sell"), trade(90, 102.0, 1234.5)])
BOOK = frame(
    Depth50,
    [(at(0), at(0), "XBTUSDTM", 1, [99.5, 99.0], [10.0, 5.0], [100.0, 101.0], [1.0, 2.0])],
)


def read(kind, role, rows, *, gaps=(), **sketch):
    chart = kind(View(), Sketch("XBTUSDTM", **sketch))
    chart.mark(gaps)
    if rows is not None:
        chart.take(role, rows)
    return summary_of(chart, chart.draw())


@pytest.mark.parametrize("is_compact", [False, True])
def test_prices_are_read_with_their_change(is_compact):
    text = read(PriceChart, "quotes", TICKERS, is_compact=is_compact)

    assert text == (
        "XBTUSDTM, best bid and ask, trades by size: best bid 101, best ask 102, mid 101.5, "
        "up 1.00 % in 2 min"
    )


def test_trades_are_counted():
    text = read(PriceChart, "trades", TRADES)

    assert text.endswith(": last price 102, up, 2 buy trades, 1 sell trade")


def test_gaps_are_counted():
    gaps = [GapMark("gap", at(begin + 0.05), at(begin + 20.05), "lost") for begin in (20, 60)]

    text = read(
        PriceChart, "quotes", frame(Ticker, [ticker(s) for s in (0, 45, 55, 90)]), gaps=gaps
    )

    assert text.endswith(", 2 gaps")


def test_candles_are_read_with_the_newest_one():
    text = read(CandleChart, "rows", TRADES, options={"every": "1min"})

    assert text == (
        "XBTUSDTM, 1 min candles, volume and VWAP: 2 candles, the newest one open 102, high 102, "
        "low 102, close 102, up 2.00 % in 60 s, VWAP since the first candle 101.996365, "
        "volume, rising 1,238"
    )


def test_the_flow_is_read_in_sums():
    text = read(FlowChart, "trades", TRADES)

    assert text == (
        "XBTUSDTM, order flow: cumulative volume delta 1,233, bought by takers 1,235.5, "
        "sold by takers -2.5"
    )


def test_small_values_are_read_in_few_digits_and_with_their_unit():
    assert "spread 98.52 bps, imbalance of best sizes 0.5" in read(SpreadChart, "quotes", TICKERS)


def test_mark_and_index_are_read():
    rows = [MarkPrice(at(s), at(s), "XBTUSDTM", 100.0 + s, 100.0) for s in (0, 60)]
    text = read(MarkChart, "mark", frame(MarkPrice, rows))

    assert text == (
        "XBTUSDTM, mark, index and funding: mark price 160, index price 100, unchanged in 60 s, "
        "mark − index 6,000 bps"
    )


def test_the_percentiles_of_the_lag_are_read():
    text = read(LagChart, "rows", TRADES)

    assert text == (
        "XBTUSDTM, arrival − event time: lag of each row 50, p50 50.0 · p95 50.0 · p99 50.0 ms"
    )


def test_both_sides_of_a_book_are_read_from_the_best_price():
    assert read(DepthChart, "book", BOOK) == (
        "XBTUSDTM, depth: bids from 99.5 to 99, size 15 in all, asks from 100 to 101, "
        "size 3 in all, mid 99.75 · spread 0.50 (50.13 bps)"
    )
    assert read(LadderChart, "book", BOOK).startswith(
        "XBTUSDTM, price ladder: asks from 100 to 101, size 3 in all, bids at 99, size 15 in all, "
    )


def test_the_heat_map_is_read_by_its_prices():
    text = read(HeatChart, "books", BOOK)

    assert text.startswith("XBTUSDTM, order book over time: resting size at prices from 9")
    assert text.endswith("best bid 99.5, best ask 100")


def test_a_run_is_read_by_its_equity_and_position():
    times = pl.Series([at(0), at(120)], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC"))
    rows = pl.DataFrame({"timestamp": times, "equity": [1000.0, 1010.0]})

    text = read(RunChart, "equity", rows, options={"currency": "USDT"})

    assert text == ("XBTUSDTM, equity and position: equity 1,010, up 1.00 % in 2 min, position 0")


def test_an_empty_chart_says_what_it_waits_for():
    assert read(FlowChart, "trades", None) == (
        "XBTUSDTM, order flow: waiting for the first trade of XBTUSDTM"
    )


def test_a_foreign_symbol_is_read_as_it_is():
    chart = FlowChart(View(), Sketch("A<b>&$C"))

    assert (
        summary_of(chart, chart.draw())
        == "A<b>&$C, order flow: waiting for the first trade of A<b>&$C"
    )


def test_times_are_read_in_words():
    late = frame(Ticker, [ticker(0), ticker(9 * 3_600, bid=50.0, ask=51.0)])

    assert read(PriceChart, "quotes", late).endswith("mid 50.5, down 49.75 % in 9.0 h")
