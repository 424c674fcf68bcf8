"""History before live rows: nothing twice, nothing invented, and nothing missing unsaid."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research import figures
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.history_rows import HistoryRows, with_history
from kucoin_research.figures.indicator import indicators_of
from kucoin_research.figures.lag_chart import LagChart
from kucoin_research.figures.line_charts import FlowChart, PriceChart
from kucoin_research.figures.past import Past
from kucoin_research.figures.picture import Picture
from kucoin_research.figures.summary import summary_of
from kucoin_research.figures.tail import Tail
from kucoin_research.foundation import clocks
from kucoin_research.model.records import Candle, Trade, schema_of
from tests.unit.figures.past_market import (
    DAWN,
    MINUTE,
    SECOND,
    SYMBOL,
    AtOnce,
    JoinedStream,
    Market,
    trade,
)

WHOLE, VWAP, RISING, FALLING, PARTIAL = range(5)


def every(seconds, count, begin=DAWN):
    """Make a trade each few seconds; sequences skip numbers, as the exchange's do."""
    return [trade(begin + int(n * seconds * SECOND), 7 * n + 3, size=float(n % 9 + 1)) for n in
            range(count)]  # fmt: skip


class Page:
    """A chart of a market as a page shows it, of a stream that has joined at some trade."""

    def __init__(self, market, joined, kind=CandleChart, *, view=None, **options):
        self.market, self.clock = market, AtOnce()
        self.stream = JoinedStream()
        self.sent = joined
        market.now = market.trades[joined - 1].timestamp if joined else DAWN
        with clocks.use(self.clock):
            self.past = Past(market.history)
        channels = {role.name: "trade" for role in kind.roles if "trade" in role.channels}
        make = with_history(kind, lambda: Tail(self.stream, SYMBOL, channels), channels, self.past)
        self.picture = Picture(
            kind, Sketch(SYMBOL, options=options), make(), view or View(window_ns=3_600 * SECOND)
        )

    def go_to(self, upto):
        """Let trades come up to one, and draw."""
        if self.market.trades[self.sent : upto]:
            self.stream.put(*self.market.trades[self.sent : upto])
            self.market.now = self.market.trades[upto - 1].timestamp
        self.sent = max(self.sent, upto)
        return self.draw()

    def draw(self):
        for _ in range(6):  # each answer may show what else to ask for
            self.picture.frame(0.0)
        return self.picture.chart.draw()

    def look(self, begin, end):
        self.picture.look(View(1_000, (begin, end), 3_600 * SECOND))
        return self.draw()


def volumes(drawing, trace=None):
    """Give the volume of each candle drawn, by its open time."""
    found = {}
    for each in (RISING, FALLING):
        times = drawing.arrays[each, "x"] * 1e6
        found |= dict(zip(times.round(-6).astype(np.int64).tolist(),
                          drawing.arrays[each, "y"].tolist(), strict=True))  # fmt: skip
    if trace is None:
        return found
    wanted = (drawing.arrays[trace, "x"] * 1e6).round(-6).astype(np.int64).tolist()
    return {each: found[each] for each in wanted}


def true_volumes(market, length, upto):
    found = {}
    for each in market.trades[:upto]:
        opened = each.timestamp // length * length
        found[opened] = found.get(opened, 0.0) + each.size
    return found


def shapes(drawing, name):
    return [each for each in drawing.layout["shapes"] if name in each.get("name", "")]


# -- candles made of trades ------------------------------------------------------------------------


def test_candles_begin_with_those_of_the_exchange_and_the_seam_is_marked():
    market = Market(every(5, 900))
    page = Page(market, 700, every="1min")

    drawing = page.go_to(720)

    assert volumes(drawing, WHOLE) == true_volumes(market, MINUTE, 720)
    (line,) = shapes(drawing, "history before, live after")
    assert line["x0"] * 1e6 == market.trades[700].timestamp
    assert "history before, live after" in summary_of(page.picture.chart, drawing)


@settings(max_examples=60, deadline=None)
@given(
    gap_s=st.sampled_from([0.5, 1, 3, 7, 20, 90]),
    page=st.sampled_from([1, 5, 30]),
    joined=st.integers(0, 399),
    steps=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    width=st.sampled_from(["1min", "2min", "5min", "15min", "45min", "1hour", "1day"]),
)
def test_every_candle_is_the_exchanges_own_or_says_that_it_is_partial(
    gap_s, page, joined, steps, width
):
    market = Market(every(gap_s, 700, DAWN + 7 * SECOND), page=page)
    view = Page(market, joined, every=width, view=View(window_ns=2 * 3_600 * SECOND))
    length = {"min": 1, "our": 60, "day": 1440}[width[-3:]] * int(width.rstrip("minhourday"))
    upto = joined

    for step in steps:
        upto += step
        drawing = view.go_to(upto)
        truth, plain = true_volumes(market, length * MINUTE, upto), volumes(drawing)

        whole, partial = volumes(drawing, WHOLE), volumes(drawing, PARTIAL)
        assert whole == {each: truth[each] for each in whole}
        assert all(plain[each] <= truth[each] for each in partial)


def test_the_minute_in_which_the_stream_began_is_whole_once_it_is_over():
    market = Market(every(1, 400), page=5)
    page = Page(market, 90, every="1min", view=View(window_ns=600 * SECOND))
    minute = DAWN + MINUTE

    early = page.go_to(100)
    page.go_to(124)
    late = page.go_to(130)

    assert list(volumes(early, PARTIAL)) == [minute]
    (gap,) = shapes(early, "gap of")
    assert gap["x0"] * 1e6 == minute
    assert gap["name"].endswith("come with the candle of this minute, once that is over")
    assert not volumes(late, PARTIAL)
    assert not shapes(late, "gap")
    assert volumes(late, WHOLE)[minute] == true_volumes(market, MINUTE, 120)[minute]


def test_candles_below_a_minute_are_made_of_trades_alone():
    market = Market(every(1, 400), page=20)
    page = Page(market, 100, every="5s", view=View(window_ns=300 * SECOND))

    drawing = page.go_to(110)

    assert set(market.asked) == {"trades"}
    first = market.trades[110 - 20].timestamp
    assert min(volumes(drawing)) == first // (5 * SECOND) * 5 * SECOND
    truth = true_volumes(market, 5 * SECOND, 110)
    assert volumes(drawing, WHOLE) == {each: truth[each] for each in volumes(drawing, WHOLE)}


def test_panning_to_the_left_asks_for_more_until_the_range_is_full():
    market = Market(every(30, 9_000))
    page = Page(market, 8_900, every="1min", view=View(window_ns=600 * SECOND))
    page.go_to(8_950)
    asked = len(market.asked)

    begin = DAWN + 600 * MINUTE
    drawing = page.look(begin, begin + 100 * MINUTE)

    drawn = volumes(drawing)
    assert {each for each in drawn if begin <= each < begin + 100 * MINUTE} == set(
        range(begin, begin + 100 * MINUTE, MINUTE)
    )
    truth = true_volumes(market, MINUTE, 9_000)
    assert all(truth[each] == size for each, size in drawn.items())
    further = market.asked[asked:]
    page.look(begin, begin + 100 * MINUTE)
    assert market.asked[asked:] == further  # it is all there already
    assert 0 < len(further) <= 4


def test_a_range_of_many_short_candles_is_asked_for_in_bounds():
    market = Market(every(60, 8_000))
    page = Page(market, 7_900, every="1min", view=View(window_ns=600 * SECOND))
    page.go_to(7_950)

    page.look(DAWN - 400 * 1_440 * MINUTE, DAWN + 7_950 * MINUTE)

    assert len(market.asked) < 40


def test_a_free_interval_becomes_a_minute_where_a_range_lies_before_the_trades():
    market = Market(every(1, 4_000), page=50)
    page = Page(market, 3_800, view=View(window_ns=300 * SECOND))
    begin = DAWN + 20 * MINUTE

    live = page.go_to(3_900)
    back = page.look(begin, begin + 5 * MINUTE)

    assert live.layout["title.text"].startswith("<b>XBTUSDTM</b> 1 s ")
    assert back.layout["title.text"].startswith("<b>XBTUSDTM</b> 1 min ")
    assert len(volumes(back)) >= 5


def test_longer_candles_are_asked_for_as_such():
    market = Market(every(60, 3_000))
    page = Page(market, 2_900, every="15min", view=View(window_ns=6 * 3_600 * SECOND))

    drawing = page.go_to(2_950)

    intervals = {each[0] for each in market.asked if each != "trades"}
    assert intervals <= {"15min", "5min", "1min"}
    truth = true_volumes(market, 15 * MINUTE, 2_950)
    assert volumes(drawing, WHOLE) == {each: truth[each] for each in volumes(drawing, WHOLE)}
    assert len(volumes(drawing, WHOLE)) >= 24


def indicator_of(picture, name):
    """The values of an indicator."""
    place = [each["name"] for each in picture.chart.spec()["data"]].index(name)
    return picture.chart.draw().arrays[place, "y"]


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("SMA 20", kr.analytics.sma(20)),
        ("EMA 50", kr.analytics.ema(50)),
        ("RSI 14", kr.analytics.rsi(14)),
        ("ATR 14", kr.analytics.atr(14)),
        ("top", pl.col("high").rolling_max(50)),
    ],
)
@pytest.mark.parametrize("zoom_s", [0, 900])
def test_an_indicator_in_a_short_window_is_that_of_the_candles_before_it(name, measure, zoom_s):
    count = 2 * 60 * 60 * 12
    steps = np.random.default_rng(4).normal(0.03, 1, count).cumsum()
    market = Market(
        [trade(DAWN + n * 5 * SECOND, n, price=9_000 + step) for n, step in enumerate(steps)]
    )
    given = indicators_of([(name, measure, "price")] if name == "top" else name)
    view = View(1_000, None, 300 * SECOND)
    page = Page(market, count - 30, view=view, every="1min", indicators=given)

    page.go_to(count)
    if zoom_s:
        end = market.now + SECOND
        page.look(end - zoom_s * SECOND, end)

    rows = pl.DataFrame(market.trades, schema=schema_of(Trade), orient="row")
    wanted = kr.ohlcv(rows, "1m").select(measure).to_series().to_numpy()
    found = indicator_of(page.picture, name)
    np.testing.assert_allclose(found, wanted[-found.size :], rtol=1e-6)
    assert found.size in (10, 11, 15, 16)  # the axis is as it is without the indicator


# -- candles of the exchange -----------------------------------------------------------------------


def pushed_candles(market, window_s, **options):
    """A picture of candles of a minute, of which the exchange has pushed the 150th only."""
    stream = JoinedStream("candle:1min", Candle)
    (pushed,) = market.candles("1min", DAWN + 149 * MINUTE, DAWN + 149 * MINUTE)
    stream.put(pushed)
    with clocks.use(AtOnce()):
        past = Past(market.history)
    channels = {"candles": "candle:1min"}
    make = with_history(CandleChart, lambda: Tail(stream, SYMBOL, channels), channels, past)
    view = View(window_ns=window_s * SECOND)
    picture = Picture(CandleChart, Sketch(SYMBOL, options=options), make(), view)
    for _ in range(4):
        picture.frame(0.0)
    return picture


def test_candles_that_the_exchange_pushes_follow_those_of_before():
    market = Market(every(10, 900))

    picture = pushed_candles(market, 3_600, every="1min")

    drawn = volumes(picture.chart.draw())
    truth = true_volumes(market, MINUTE, 900)
    assert drawn == {each: truth[each] for each in drawn}
    assert len(drawn) >= 60
    assert "trades" not in market.asked


def test_an_indicator_of_pushed_candles_that_are_joined_has_those_before_the_window():
    market = Market(every(10, 900))

    picture = pushed_candles(market, 300, every="5min", indicators=indicators_of("SMA 15"))

    found = indicator_of(picture, "SMA 15")
    assert found.size == 10
    assert np.isfinite(found).all()


# -- trades by themselves --------------------------------------------------------------------------


def test_the_price_begins_with_the_newest_trades_and_none_of_them_twice():
    market = Market(every(1, 400), page=50)
    page = Page(market, 100, PriceChart)

    drawing = page.go_to(120)

    counts = drawing.arrays[4, "customdata"]
    assert counts[:, 1].sum() == 50
    assert not shapes(drawing, "gap")
    assert len(shapes(drawing, "history before")) == 1


def test_what_lies_between_the_history_and_the_first_live_trade_is_a_gap():
    market = Market(every(1, 400), page=10)
    page = Page(market, 100, PriceChart)
    page.draw()  # the exchange answers before the first live trade comes
    market.failing = kr.Unreachable("the exchange does not answer")

    page.sent = 150
    drawing = page.go_to(160)

    (gap,) = shapes(drawing, "gap of")
    assert gap["x0"] * 1e6 == market.trades[99].timestamp
    assert gap["x1"] * 1e6 == market.trades[150].timestamp
    assert "neither the history nor the stream" in gap["name"]


def test_flow_counts_the_trades_of_history_once():
    market = Market(every(1, 400), page=50)
    page = Page(market, 100, FlowChart)

    drawing = page.go_to(130)

    bought = drawing.arrays[1, "y"].sum()
    assert bought == sum(each.size for each in market.trades[80:130])


def test_history_waits_for_a_first_live_trade_and_then_reaches_it():
    market = Market(every(1, 400), page=50)
    page = Page(market, 100, PriceChart)

    before = page.draw()
    after = page.go_to(105)

    assert before.arrays[4, "customdata"][:, 1].sum() == 50
    assert not shapes(before, "history before")
    assert not shapes(after, "gap")
    assert len(shapes(after, "history before")) == 1
    assert market.asked == ["trades", "trades"]


# -- when it is asked, and when it fails -----------------------------------------------------------


def test_nothing_is_asked_for_a_picture_that_no_page_shows():
    market = Market(every(1, 400))
    page = Page(market, 100, PriceChart)

    page.picture.update()

    assert not market.asked


def test_a_failure_is_said_in_the_chart_and_tried_again_later():
    market = Market(every(1, 400))
    page = Page(market, 100, PriceChart)
    market.failing = kr.Unreachable("the exchange does not answer")

    failed = page.go_to(110)
    tries = len(market.asked)
    market.failing = None
    page.go_to(112)
    assert len(market.asked) == tries == 1  # too soon
    page.clock.now = 6.0
    healed = page.go_to(115)

    (note,) = (each["text"] for each in failed.layout["annotations"])
    assert note == "history: the exchange does not answer; it is tried again"
    assert healed.layout["annotations"] == []
    assert healed.arrays[4, "customdata"][:, 1].sum() == 100


def test_rows_of_history_are_not_in_the_stream():
    market = Market(every(1, 400))
    page = Page(market, 100, PriceChart)

    page.go_to(110)

    assert page.stream.frame("trade").height == 10


@pytest.mark.parametrize(
    ("kind", "channels"),
    [(LagChart, {"rows": "trade"}), (PriceChart, {"quotes": "ticker", "trades": "ticker"})],
)
def test_charts_that_have_no_use_for_history_get_none(kind, channels):
    made = with_history(kind, lambda: Tail(JoinedStream(), SYMBOL, channels), channels, None)

    assert not isinstance(made(), HistoryRows)


@pytest.mark.parametrize("make", [figures.price, figures.candles, figures.flow])
def test_a_switch_that_is_none_is_refused(make):
    with pytest.raises(kr.InvalidInput, match="history must be True or False"):
        make(JoinedStream().frame("trade"), history="no")
