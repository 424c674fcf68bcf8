"""Tags on the axis of prices: the newest price and quote, whatever part of the time is shown."""

import numpy as np
import pytest

from kucoin_research.figures.axis_tags import PriceTags
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.line_charts import PriceChart
from kucoin_research.figures.static import still
from kucoin_research.model.records import Candle, Ticker, Trade
from tests.unit.figures.test_candle_chart import candle, each_second, trades
from tests.unit.figures.test_figures import SECOND, at, frame, ms, ticker, trade

TAGS, CANDLE = "meta.tags", "meta.candle"


def drawn(*batches, kind=PriceChart, view=None, gaps=(), **options):
    chart = kind(view or View(), Sketch("XBTUSDTM", options=options))
    chart.mark(gaps)
    for role, rows in batches:
        chart.take(role, rows)
    return chart.draw().layout


def texts(layout):
    return [(kind, text, tone) for kind, _, text, tone in layout[TAGS]["rows"]]


def prices(*values, begin=0.0):
    return frame(Trade, [trade(begin + n, price) for n, price in enumerate(values)])


def test_the_price_chart_has_tags_of_the_last_price_and_of_both_best_prices():
    tickers = frame(Ticker, [ticker(0, 99.0, 101.0), ticker(1, 100.0, 100.5)])

    layout = drawn(("quotes", tickers), ("trades", prices(100.0, 100.5)))

    assert texts(layout) == [("ask", "100.5", ""), ("last", "100.5", "up"), ("bid", "100.0", "")]
    assert not layout[TAGS]["is_out"]


@pytest.mark.parametrize("cut", range(5))
@pytest.mark.parametrize(
    ("values", "tone"),
    [("55555", ""), ("56666", "up"), ("57666", "down"), ("54445", "up")],
)
def test_the_tone_is_that_of_the_last_move_whatever_the_batches(values, tone, cut):
    rows = prices(*map(float, values))

    layout = drawn(("trades", rows[:cut]), ("trades", rows[cut:]))

    assert texts(layout) == [("last", values[-1], tone)]


def test_tags_are_of_now_also_where_an_earlier_span_is_shown():
    view = View(1_000, (at(0), at(2)), 60 * SECOND)

    layout = drawn(("trades", prices(*range(100, 200))), view=view)

    assert texts(layout) == [("last", "199", "up")]


def test_a_side_without_a_price_has_no_tag():
    nothing = float("nan")

    layout = drawn(("quotes", frame(Ticker, [ticker(0), ticker(1, bid=nothing)])))

    assert texts(layout) == [("ask", "101", "")]


def test_rows_of_before_that_come_late_change_no_tag():
    tags = PriceTags()
    new, old = np.array([at(10), at(11)]), np.array([at(3), at(4)])

    tags.take_prices(new, np.array([5.0, 6.0]))
    tags.take_quotes(new, np.array([5.0, 5.5]), np.array([6.0, 6.5]))
    tags.take_prices(old, np.array([9.0, 8.0]))
    tags.take_quotes(old, np.array([8.0, 8.0]), np.array([9.0, 9.0]))

    rows = tags.parts(is_out=False)[TAGS]["rows"]
    assert [row[1] for row in rows] == [6.5, 6.0, 5.5]


def test_prices_without_a_value_are_no_last_price():
    layout = drawn(("trades", prices(5.0, float("nan"))))

    assert texts(layout) == [("last", "5", "")]


def test_the_tags_are_old_while_rows_are_missing_and_new_after_that():
    rows = prices(5.0, 6.0)
    gap = GapMark("outage", at(1.5), None, "the peer closed")

    assert drawn(("trades", rows), gaps=[gap])[TAGS]["is_out"]
    ended = gap._replace(end=at(3))
    assert drawn(("trades", rows), gaps=[ended])[TAGS]["is_out"]
    later = ("trades", prices(7.0, begin=4.0))
    assert not drawn(("trades", rows), later, gaps=[ended])[TAGS]["is_out"]


def test_a_gap_that_was_filled_makes_no_tag_old():
    filled = GapMark("filled", at(1.5), at(2), "by REST")

    assert not drawn(("trades", prices(5.0, 6.0)), gaps=[filled])[TAGS]["is_out"]


def test_a_chart_without_rows_has_no_tags():
    assert drawn()[TAGS] == {"rows": [], "is_out": False}


def test_a_static_figure_has_no_tags_which_are_of_now():
    chart = PriceChart(View(), Sketch())
    chart.take("trades", prices(5.0))

    assert still(chart).layout.meta is None


# -- the running candle ----------------------------------------------------------------------------


def running(rows, **options):
    return drawn(("candles", rows), kind=CandleChart, **options)[CANDLE]


def test_the_time_left_is_counted_from_the_newest_trade():
    found = running(each_second(0, 78), every="1min")

    assert (found["end"], found["length"], found["now"]) == (ms(120), 60_000.0, ms(77))
    assert (found["low"], found["high"]) == (ms(60), ms(120))


def test_a_candle_of_the_exchange_is_counted_from_its_arrival():
    rows = frame(Candle, [(at(60), at(75), "A", "1min", 1.0, 1.0, 1.0, 1.0, 1.0, None)])

    found = running(rows)

    assert (found["end"], found["now"]) == (ms(120), ms(75))


@pytest.mark.parametrize("arrival", [-90_000, 59, 200, 10**7])
def test_arrivals_on_another_clock_than_the_exchanges_count_nothing(arrival):
    rows = frame(Candle, [(at(60), at(arrival), "A", "1min", 1.0, 1.0, 1.0, 1.0, 1.0, None)])

    assert running(rows) is None


def test_joined_candles_end_with_the_longer_interval():
    rows = frame(Candle, [candle(n) for n in range(8)])

    found = running(rows, every="5min")

    assert (found["end"], found["length"]) == (ms(600), 300_000.0)


def test_bars_of_a_volume_have_no_time_left():
    rows = frame(Candle, [candle(0, interval="volume:5"), candle(3, interval="volume:5")])

    assert running(rows) is None


def test_the_candle_chart_has_the_last_price_with_its_move():
    of_trades = drawn(("candles", trades(0, 1, 2, 8)), kind=CandleChart)
    of_candles = drawn(
        ("candles", frame(Candle, [candle(0, close=10.5), candle(1, close=9.5)])), kind=CandleChart
    )

    assert texts(of_trades) == [("last", "101", "down")]
    assert texts(of_candles) == [("last", "9.5", "down")]
