"""Figures of frames: what is drawn, where lines break, and what wrong input is told."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import figures
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.gaps import GapMap, GapMark, gaps_of
from kucoin_research.figures.lag_chart import LagChart, lag_options
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.records import (
    STAMPED_AS_READ,
    Candle,
    Depth5,
    Depth50,
    FundingRate,
    Level2,
    MarkPrice,
    Status,
    Ticker,
    Trade,
    schema_of,
)  # fmt: skip
from tests.unit.browsers import Page

SECOND = 1_000_000_000
START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * SECOND
EVERY = ("price", "candles", "depth", "ladder", "heatmap", "spread", "mark", "flow", "lag")


def frame(record, rows):
    return pl.DataFrame(rows, schema=schema_of(record), orient="row")


def at(second):
    return START + round(second * SECOND)


def ticker(second, bid=100.0, ask=101.0, price=100.5, side="buy", symbol="XBTUSDTM", delay=0.05):
    local = at(second + delay)
    return (at(second), local, symbol, 1, price, 2.0, side, bid, 30.0, ask, 10.0)


def trade(second, price=100.0, size=1.0, side="buy", symbol="XBTUSDTM"):
    return (at(second), at(second + 0.05), symbol, 1, "id", side, price, size)


def status(event, begin, end, channel=None, symbol=None):
    return (at(begin), at(end), symbol, event, channel, "why", None, None)


def axes(figure):
    return [*figure.select_xaxes(), *figure.select_yaxes()]


def ms(second):
    return at(second) / 1e6


def trace(figure, name):
    return next(each for each in figure.data if each.name == name)


def shades(figure):
    """List the shapes of gaps, without the lines of days."""
    return [each for each in figure.layout.shapes if each.type == "rect"]


def test_the_price_figure_has_quotes_mid_and_trades_in_milliseconds():
    tickers = frame(Ticker, [ticker(0), ticker(1, bid=102.0, ask=104.0, side="sell", price=102.0)])

    figure = figures.price(tickers)

    assert trace(figure, "best bid").y.tolist() == [100.0, 102.0]
    assert trace(figure, "mid").y.tolist() == [100.5, 103.0]
    assert trace(figure, "mid").x.tolist() == [ms(0), ms(1)]
    assert trace(figure, "sell trades").y.tolist() == [102.0]
    assert trace(figure, "buy trades").customdata.tolist() == [[2.0, 1.0]]
    assert figure.layout.xaxis.type == "date"
    assert figure.layout.xaxis.title.text == "time (UTC)"


def test_a_larger_trade_is_a_larger_bubble():
    figure = figures.price(frame(Trade, [trade(0, size=1.0), trade(1, size=90.0)]))

    small, large = trace(figure, "buy trades").marker.size
    assert small < large


def test_a_line_breaks_at_an_outage_and_the_outage_is_shaded():
    tickers = frame(Ticker, [ticker(second) for second in (0, 1, 2, 8, 9)])
    rows = frame(Status, [status("disconnected", 2.5, 2.5), status("connected", 7.9, 7.9)])

    figure = figures.price(tickers, status=rows)

    mid = trace(figure, "mid")
    assert np.isnan(mid.y).tolist() == [False, False, False, True, False, False]
    (shape,) = shades(figure)
    assert (shape.x0, shape.x1) == (ms(2), ms(8))
    assert shape.label.text == "outage 6.0 s"
    (mark,) = [each for each in figure.layout.annotations if each.hovertext]
    assert mark.hovertext.startswith("outage of 6.0 s")
    band = trace(figure, "spread")
    assert np.isnan(band.y).sum() == 1


def test_gaps_of_another_symbol_or_channel_are_not_shaded():
    rows = frame(
        Status,
        [
            status("gap", 1, 2, "trade", "ETHUSDTM"),
            status("gap", 3, 4, "level2", "XBTUSDTM"),
            status("gap", 5, 6, "trade", "XBTUSDTM"),
        ],
    )

    assert [gap.begin for gap in gaps_of(rows, ["trade"], "XBTUSDTM")] == [at(5)]


def test_an_outage_that_was_filled_is_shaded_but_breaks_no_line():
    trades = frame(Trade, [trade(second) for second in (0, 1, 4, 8, 9)])
    rows = frame(
        Status,
        [
            status("disconnected", 2, 2),
            status("connected", 7, 7),
            status("gap", 2, 7, "trade", "XBTUSDTM"),
            status("filled", 7, 7.1, "trade", "XBTUSDTM"),
        ],
    )

    figure = figures.flow(trades, status=rows)

    assert not np.isnan(trace(figure, "cumulative volume delta").y).any()
    assert len(shades(figure)) == 1


def outage(*told):
    """Give the status rows of trades that were out of reach from second 2 to 7."""
    begun = [status("disconnected", 2, 2), status("connected", 7, 7)]
    return frame(Status, [*begun, *told])


def told(event, first=None, last=None, channel="trade", *, begin=7.0, end=7.1, behind_ns=0):
    return (at(begin), at(end) + behind_ns, "XBTUSDTM", event, channel, "why", first, last)


GAP = status("gap", 2, 7, "trade", "XBTUSDTM")


def test_an_outage_of_which_rest_brought_only_a_part_breaks_the_line():
    trades = frame(Trade, [trade(second) for second in (0, 1, 6, 8, 9)])
    rows = outage(GAP, told("filled"), told("not_filled", 5, 9, behind_ns=1))

    figure = figures.flow(trades, status=rows)

    assert [gap.kind for gap in gaps_of(rows, ["trade"])] == ["outage", "gap"]
    assert np.isnan(trace(figure, "cumulative volume delta").y).any()


def test_a_filled_gap_is_that_of_its_own_channel():
    ticker_gap = status("gap", 2, 6, "ticker", "XBTUSDTM")
    rows = outage(GAP, ticker_gap, told("filled"))

    gaps = {(gap.kind, gap.end) for gap in gaps_of(rows, ["ticker", "trade"])}

    assert {("filled", at(7)), ("gap", at(6))} <= gaps


def test_a_time_without_a_subscription_is_shaded_and_breaks_the_line():
    trades = frame(Trade, [trade(second) for second in (0, 1, 8, 9)])
    gone = status("unsubscribed", 2, 2, "trade", "XBTUSDTM")
    back = status("subscribed", 7, 7, "trade", "XBTUSDTM")
    lasting = frame(Status, [gone])
    over = frame(Status, [gone, back, GAP])
    filled = frame(Status, [gone, back, GAP, told("filled")])

    assert [(gap.kind, gap.end) for gap in gaps_of(lasting, ["trade"])] == [("unsubscribed", None)]
    assert gaps_of(lasting, ["ticker"]) == gaps_of(lasting, ["trade"], "ETHUSDTM") == []
    assert {gap.kind for gap in gaps_of(over, ["trade"])} == {"unsubscribed", "gap"}
    assert {gap.kind for gap in gaps_of(filled, ["trade"])} == {"filled"}
    figure = figures.flow(trades, status=over)
    assert np.isnan(trace(figure, "cumulative volume delta").y).any()
    (shape,) = shades(figure)
    assert shape.label.text.startswith("unsubscribed 7.0 s")


def test_candles_are_shaded_for_their_own_interval():
    detail = "candle:5min of XBTUSDTM is not subscribed to from here on"
    row = (*status("unsubscribed", 2, 2, "candle", "XBTUSDTM")[:5], detail, None, None)
    lost = told("gap", channel="candle", begin=2, end=7)
    lost = (*lost[:5], "candle:5min unsubscribed for 5.0 s", None, None)

    for rows in (frame(Status, [row]), frame(Status, [lost])):
        assert gaps_of(rows, ["candle:5min"])
        assert gaps_of(rows, ["candle"])
        assert not gaps_of(rows, ["candle:1min", "trade"])
    (both,) = gaps_of(
        frame(Status, [told("gap", channel="candle", begin=2, end=7)]), ["candle:1min"]
    )
    assert both.kind == "gap"  # of a lost connection, which concerns all intervals


@pytest.mark.parametrize(("last", "kinds"), [(9, {"filled"}), (6, {"filled", "gap"})])
def test_changes_of_a_book_that_came_late_fill_no_more_than_they_are(last, kinds):
    gap = told("gap", 5, 9, "level2", begin=2, end=7)
    rows = frame(Status, [gap, told("filled", 5, last, "level2")])

    assert {gap.kind for gap in gaps_of(rows, ["level2"])} == kinds


def test_a_gap_is_placed_by_what_arrived_around_it_whatever_the_two_clocks_say():
    year = 365 * 86_400 * SECOND
    events = np.array([at(0), at(60), at(120)])
    places = GapMap([GapMark("gap", at(1.5) + year, at(1.8) + year, "")])

    places.feed(events[:2] * 0 + np.array([at(0), at(1)]) + year, events[:2])
    assert places.found[0].end is None  # until a row behind it has come
    places.feed(np.array([at(2)]) + year, events[2:])

    assert (places.found[0].begin, places.found[0].end) == (at(60), at(120))


@pytest.mark.parametrize(("kind", "end"), [("gap", 60), ("outage", 60), ("filled", 120)])
def test_a_gap_ends_with_the_first_row_behind_it_though_it_was_told_later(kind, end):
    places = GapMap([GapMark(kind, at(1.0), at(1.8), "")])

    places.feed(np.array([at(1)]), np.array([at(30)]))
    places.feed(np.array([at(1.4), at(1.6), at(2)]), np.array([at(60), at(90), at(120)]))

    assert (places.found[0].begin, places.found[0].end) == (at(30), at(end))


def test_candles_of_trades_have_volume_and_a_cumulative_average():
    trades = frame(
        Trade,
        [trade(0, 10.0, 1.0), trade(1, 12.0, 3.0), trade(60, 20.0, 4.0), trade(61, 18.0, 0.0)],
    )

    figure = figures.candles(trades, every="1m")

    bars = figure.data[0]
    assert bars.open.tolist() == [10.0, 20.0]
    assert bars.high.tolist() == [12.0, 20.0]
    assert bars.close.tolist() == [12.0, 18.0]
    assert figure.data[1].y.tolist() == [46.0 / 4, 126.0 / 8]
    assert figure.data[2].y.tolist() == [4.0]
    assert "1 min candles" in figure.layout.title.text


def test_the_last_push_of_a_candle_counts():
    def push(second, opened, close):
        return (at(opened), at(second), "XBTUSDTM", "1min", 1.0, 9.0, 0.5, close, 5.0, None)

    figure = figures.candles(frame(Candle, [push(1, 0, 2.0), push(2, 0, 3.0), push(61, 60, 4.0)]))

    assert figure.data[0].close.tolist() == [3.0, 4.0]


def test_depth_is_cumulative_on_both_sides():
    book = pl.DataFrame(
        {
            "bid_price": [99.0, 98.0], "bid_size": [1.0, 2.0],
            "ask_price": [101.0, None], "ask_size": [5.0, None],
        }
    )  # fmt: skip

    figure = figures.depth(book)

    assert figure.data[0].y.tolist() == [1.0, 3.0]
    assert figure.data[1].x.tolist() == [101.0]
    assert "spread 2.0 (200.00 bps)" in figure.layout.annotations[0].text


def level(second, side, price, size, is_snapshot=False):
    return (at(second), at(second), "XBTUSDTM", 1, is_snapshot, side, price, size)


def test_a_book_is_rebuilt_from_its_last_snapshot_and_the_changes():
    rows = frame(
        Level2,
        [
            level(0, "buy", 90.0, 7.0, True), level(1, "buy", 91.0, 1.0),
            level(2, "buy", 98.0, 1.0, True), level(2, "sell", 102.0, 2.0, True),
            level(3, "buy", 99.0, 4.0), level(4, "buy", 98.0, 0.0),
        ],
    )  # fmt: skip

    figure = figures.depth(rows)

    assert figure.data[0].x.tolist() == [99.0]
    assert figure.data[1].x.tolist() == [102.0]


def depth50(second, mid):
    bids, asks = [mid - 1 - n for n in range(3)], [mid + 1 + n for n in range(3)]
    return (at(second), at(second), "XBTUSDTM", 1, bids, [100.0] * 3, asks, [10.0] * 3)


def test_the_heat_map_tells_the_logarithm_of_the_size_over_time():
    figure = figures.heatmap(frame(Depth50, [depth50(n, 100.0) for n in range(5)]))

    heat = figure.data[0]
    assert heat.transpose
    assert np.nanmax(heat.z) == pytest.approx(2.0)  # 100 lots
    assert np.nanmin(heat.z) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("size", "label"), [(1.0, "1"), (1e-3, "0.001"), (4e-3, "0.01"), (5e4, "100k"), (1e17, "100P")]
)
def test_the_colours_of_a_heat_map_have_a_label_whatever_the_sizes(size, label):
    row = (at(0), at(0), "XBTUSDTM", 1, [99.0], [size], [101.0], [size])

    heat = figures.heatmap(frame(Depth50, [row])).data[0]

    bar = heat.colorbar
    labels = dict(zip(bar.tickvals, bar.ticktext, strict=True))
    assert label in [labels[each] for each in labels if heat.zmin <= each <= heat.zmax]
    assert heat.zmin < heat.zmax


def test_both_ways_to_a_heat_map_agree():
    rows = [
        level(0, "buy", 99.0, 100.0, True), level(0, "buy", 97.0, 100.0, True),
        level(0, "sell", 101.0, 10.0, True),
        level(1, "sell", 101.0, 10.0), level(2, "buy", 98.0, 1_000.0),
    ]  # fmt: skip

    heat = figures.heatmap(frame(Level2, rows)).data[0]

    assert np.nanmax(heat.z[-1]) == pytest.approx(3.0)
    assert np.nanmax(heat.z[0]) == pytest.approx(2.0)


def test_spread_is_in_basis_points_and_imbalance_a_share():
    figure = figures.spread(frame(Ticker, [ticker(0, bid=99.995, ask=100.005)]))

    assert figure.data[0].y.tolist() == pytest.approx([1.0])
    assert figure.data[1].y.tolist() == [0.5]  # (30 - 10) / 40


def test_mark_and_funding_share_a_figure():
    marks = frame(MarkPrice, [(at(0), at(0), "XBTUSDTM", 100.01, 100.0)])
    funding = frame(FundingRate, [(at(0), at(0), "XBTUSDTM", 0.0002, 28_800_000)])

    figure = figures.mark(marks, funding=funding)

    assert trace(figure, "mark − index").y.tolist() == pytest.approx([1.0])
    assert trace(figure, "funding rate").y.tolist() == pytest.approx([2.0])


def test_flow_accumulates_what_takers_bought_less_what_they_sold():
    trades = [trade(0, size=5.0), trade(1, size=2.0, side="sell"), trade(2, size=1.0)]

    figure = figures.flow(frame(Trade, trades))

    assert trace(figure, "cumulative volume delta").y.tolist() == [5.0, 3.0, 4.0]
    assert trace(figure, "sold by takers").y.sum() == -2.0


def test_lag_is_arrival_minus_event_in_milliseconds_plus_the_clock_offset():
    figure = figures.lag(frame(Ticker, [ticker(0, delay=0.05)]), offset_ms=7.0)

    assert figure.data[0].y.tolist() == pytest.approx([57.0])
    assert figure.data[1].y.sum() == pytest.approx(100.0)


def test_lags_are_those_that_the_stream_knows_and_rows_without_one_are_left_out():
    told = pl.Series([5.0, None, 7.0])
    chart = LagChart(View(1_000, None, None), Sketch(options={"lags": lambda _: told}))
    chart.take("rows", frame(Ticker, [ticker(0), ticker(1), ticker(2)]))
    arrays = chart.draw().arrays

    assert arrays[0, "y"].tolist() == [5.0, 7.0]
    assert arrays[1, "y"].sum() == pytest.approx(100.0)


def test_a_stream_is_asked_for_lags_unless_its_clock_is_virtual():
    asked = SimpleNamespace(lags=lambda rows: rows, simulation=None)

    assert lag_options(asked) == {"lags": asked.lags}
    assert lag_options(SimpleNamespace(lags=asked.lags, simulation=60.0)) == {}
    assert lag_options(frame(Ticker, [])) == {}


@pytest.mark.parametrize(
    ("name", "record"),
    [("price", Ticker), ("candles", Trade), ("heatmap", Depth50), ("spread", Ticker),
     ("mark", MarkPrice), ("flow", Trade), ("lag", Ticker), ("depth", Depth50), ("ladder", Level2)],
)  # fmt: skip
def test_an_empty_frame_gives_a_figure_without_axes_that_says_so(name, record):
    figure = getattr(figures, name)(frame(record, []))

    (note,) = figure.layout.annotations
    assert re.fullmatch(r"no [a-z ]+ to show", note.text)
    assert not any(axis.visible for axis in axes(figure))


# -- rows that lack something --------------------------------------------------------------------

OVER_TIME = {
    "price": ticker, "spread": ticker, "flow": trade, "lag": ticker, "candles": trade,
    "heatmap": lambda second: depth50(second, 100.0),
    "mark": lambda second: (at(second), at(second), "XBTUSDTM", 100.0, 99.0),
}  # fmt: skip
RECORDS = {
    "price": Ticker, "spread": Ticker, "flow": Trade, "lag": Ticker, "candles": Trade,
    "heatmap": Depth50, "mark": MarkPrice,
}  # fmt: skip
TIMES = ["timestamp", "local_timestamp"]


def rows_of(name, *, apart=timedelta(), without=()):
    """Give ten rows, whose arrival is so far from their time, of which the fifth lacks some."""
    rows = frame(RECORDS[name], [OVER_TIME[name](second) for second in range(10)])
    is_fifth = pl.int_range(pl.len()) == 5
    return rows.with_columns(pl.col("local_timestamp") + apart).with_columns(
        pl.when(~is_fifth).then(pl.col(column)).alias(column) for column in without
    )


@pytest.mark.parametrize("without", [TIMES[:1], TIMES], ids=["event", "both"])
@pytest.mark.parametrize("name", sorted(OVER_TIME))
def test_a_row_without_a_time_of_its_own_is_drawn_among_its_neighbours_or_not_at_all(name, without):
    figure = getattr(figures, name)(
        rows_of(name, apart=timedelta(days=400), without=without), window="all"
    )

    drawn = [each.x for each in figure.data if each.x is not None and each.xaxis != "x2"]
    assert any(len(each) for each in drawn) or name == "lag"  # 400 days are no lag
    for x in drawn:
        assert all(ms(-60) <= each <= ms(70) for each in x)


@pytest.mark.parametrize("without", [TIMES[:1], TIMES[1:]], ids=["event", "arrival"])
def test_a_row_that_lacks_a_time_has_no_lag(without):
    figure = figures.lag(rows_of("lag", without=without))

    assert trace(figure, "lag of each row").y.tolist() == [50.0] * 9


def test_rows_that_were_stamped_as_they_were_read_have_a_lag_though_they_waited():
    ticks = [ticker(n) for n in range(6)]
    begin, end = ticks[1][1], ticks[5][1]
    told = [
        (begin, end, "XBTUSDTM", "filled", "ticker", "1 rows came by REST", None, None),
        (begin, end, "XBTUSDTM", "released", "ticker",
         f"3 rows waited for what belongs before them, up to 4.0 s: {STAMPED_AS_READ}", None, None),
    ]  # fmt: skip

    figure = figures.lag(frame(Ticker, ticks), status=frame(Status, told))

    assert trace(figure, "lag of each row").y.size == 5  # all but the one that REST brought


@pytest.mark.parametrize("event", ["filled", "released"])
def test_a_row_that_did_not_come_when_it_was_stamped_has_no_lag(event):
    ticks = [ticker(0), *(ticker(n, delay=9 - n + n / 100) for n in range(1, 5)), ticker(9)]
    tickers = frame(Ticker, ticks)
    begin, end = ticks[1][1], ticks[4][1] + 1  # of their stamps
    rows = frame(Status, [(begin, end, "XBTUSDTM", event, "ticker", "4 rows", None, None)])

    figure = figures.lag(tickers, status=rows)

    assert trace(figure, "lag of each row").y.tolist() == [50.0, 50.0]


@pytest.mark.parametrize("name", ["depth", "ladder", "heatmap"])
@pytest.mark.parametrize(
    "broken",
    [(None, 103.0, 1.0), ("sell", None, 1.0), ("sell", 103.0, None), ("sell", np.inf, 1.0)],
    ids=["side", "price", "size", "infinite"],
)
def test_a_change_that_does_not_say_all_of_itself_changes_no_book(name, broken):
    whole = [
        level(0, "buy", 98.0, 1.0, True), level(0, "sell", 102.0, 2.0, True),
        level(1, "buy", 99.0, 4.0),
    ]  # fmt: skip
    flawed = [*whole[:2], level(0.5, *broken), whole[2]]

    expected, figure = (getattr(figures, name)(frame(Level2, rows)) for rows in (whole, flawed))

    assert figure.to_json() == expected.to_json()


def test_a_heat_map_of_books_that_are_empty_waits():
    empty = (at(0), at(0), "XBTUSDTM", 1, [], [], [], [])

    figure = figures.heatmap(frame(Depth50, [empty]))

    assert len(figure.data[0].x) == 0
    assert not figure.data[0].showscale
    assert figure.layout.annotations[0].text == "no books of XBTUSDTM to show"


def test_the_only_book_of_a_heat_map_stands_to_the_end_of_the_axis():
    figure = figures.heatmap(frame(Depth50, [depth50(1, 100.0)]))

    begin, end = figure.data[0].x
    assert begin == pytest.approx(ms(1), abs=10)
    assert end == pytest.approx(figure.layout.xaxis.range[1])


@pytest.mark.parametrize("name", ["price", "spread", "mark", "flow", "lag"])
def test_an_axis_of_a_single_row_spans_a_second_and_shows_it(name):
    rows = rows_of(name)[:1]

    figure = getattr(figures, name)(rows)

    low, high = figure.layout.xaxis.range
    assert 1_000 <= high - low < 1_100
    assert low < rows["timestamp"][0].timestamp() * 1_000 < high
    lines = [each for each in figure.data if each.type == "scatter" and each.fill is None]
    shown = [each.mode for each in lines if each.y is not None and len(each.y)]
    assert shown
    assert all("markers" in mode for mode in shown)


def test_flow_shows_its_first_and_last_bar_whole_and_as_wide_as_their_time():
    figure = figures.flow(frame(Trade, [trade(second) for second in (0.3, 7.0, 61.7)]))

    low, high = figure.layout.xaxis.range
    bars = trace(figure, "bought by takers")
    assert len(set(bars.width)) == 1
    assert bars.width[0] < 2_000  # and not as wide as the bars are apart
    assert low <= bars.x[0] - bars.width[0] / 2
    assert bars.x[-1] + bars.width[0] / 2 <= high


def test_both_sides_differ_also_without_colour():
    price = figures.price(frame(Ticker, [ticker(0)]), trades=frame(Trade, [trade(0)]))
    ladder = figures.ladder(frame(Depth50, [depth50(0, 100.0)]))
    depth = figures.depth(frame(Depth50, [depth50(0, 100.0)]))
    flow = figures.flow(frame(Trade, [trade(0)]))

    def look(figure, name):
        part = trace(figure, name)
        if part.type == "scatter":
            return part.line.dash, part.marker.symbol
        return part.marker.color == "rgba(0,0,0,0)"

    assert look(price, "buy trades") != look(price, "sell trades")
    assert look(price, "best bid") != look(price, "best ask")
    assert look(ladder, "bids") != look(ladder, "asks")
    assert look(flow, "bought by takers") != look(flow, "sold by takers")
    assert look(depth, "bids, cumulative") != look(depth, "asks, cumulative")


@pytest.mark.parametrize("name", EVERY)
def test_a_frame_without_the_columns_is_refused_in_one_sentence(name):
    with pytest.raises(kr.ColumnMissing, match=r"the frame has 'a'|this has 'a'") as caught:
        getattr(figures, name)(pl.DataFrame({"a": [1]}))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("empty", [pl.DataFrame(), pl.DataFrame({"a": []})], ids=["bare", "a"])
def test_a_frame_without_the_columns_is_refused_though_it_has_no_rows(name, empty):
    with pytest.raises(kr.ColumnMissing, match=f"^{name} .*cannot be drawn without"):
        getattr(figures, name)(empty)


def outcome(name, rows):
    """Return why a figure cannot be made, or nothing where it can."""
    try:
        getattr(figures, name)(rows)
    except kr.KucoinResearchError as error:
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("record", [Candle, Depth50, FundingRate, Level2, MarkPrice, Ticker, Trade])
@pytest.mark.parametrize("name", EVERY)
def test_columns_alone_decide_whether_a_frame_is_drawn(name, record):
    schema = schema_of(record)
    for gone in (None, *schema):
        rows = pl.DataFrame([[None] * len(schema)], schema=schema, orient="row")
        rows = rows if gone is None else rows.drop(gone)

        assert outcome(name, rows) == outcome(name, rows.clear()), gone


@pytest.mark.parametrize("name", ["depth", "ladder", "heatmap"])
def test_a_book_that_lacks_a_column_is_refused_by_its_name(name):
    for record, gone in ((Depth50, "ask_sizes"), (Depth5, "bid_price_3"), (Level2, "side")):
        rows = pl.DataFrame(schema=schema_of(record)).drop(gone)

        with pytest.raises(kr.ColumnMissing, match=f"cannot be drawn without '{gone}'; the frame"):
            getattr(figures, name)(rows)


@pytest.mark.parametrize("name", EVERY)
def test_what_is_no_frame_is_refused(name):
    with pytest.raises(kr.InvalidInput, match="polars frame or a stream"):
        getattr(figures, name)([1, 2, 3])


def test_several_symbols_have_to_be_told_apart():
    rows = frame(Ticker, [ticker(0), ticker(1, symbol="ETHUSDTM", bid=5.0)])

    with pytest.raises(kr.InvalidInput, match="name one"):
        figures.price(rows)
    assert trace(figures.price(rows, "ETHUSDTM"), "best bid").y.tolist() == [5.0]


@pytest.mark.parametrize(
    "wrong", [{"theme": "pink"}, {"tz": "Mars/Base"}, {"window": "soon"}, {"window": -1}]
)
def test_an_argument_that_means_nothing_is_refused(wrong):
    with pytest.raises(kr.InvalidInput):
        figures.price(frame(Ticker, [ticker(0)]), **wrong)


def test_themes_differ_in_their_colours_and_leave_no_token_behind():
    rows = frame(Ticker, [ticker(0)])

    light, dark = figures.price(rows), figures.price(rows, theme="dark")

    assert light.layout.paper_bgcolor != dark.layout.paper_bgcolor
    assert '"$' not in light.to_json() + dark.to_json()


def test_the_axis_shows_the_zone_asked_for():
    figure = figures.price(frame(Ticker, [ticker(0)]), tz="Asia/Tokyo")

    assert trace(figure, "mid").x.tolist() == [ms(9 * 3_600)]
    assert figure.layout.xaxis.title.text == "time (Asia/Tokyo)"


def test_times_survive_the_way_to_the_axis_and_back_across_summer_time():
    zone = Zone("Europe/Berlin")
    change = int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()) * SECOND
    times = np.array([change - 7_200 * SECOND, change + 7_200 * SECOND])

    shown = zone.to_axis(times)

    assert np.diff(shown).tolist() == [5 * 3_600_000.0]
    assert [zone.to_ns(each) for each in shown] == times.tolist()


def many_marks(count):
    seconds = np.arange(count) * 1_000_000 + START
    return pl.DataFrame(
        {"timestamp": seconds, "local_timestamp": seconds, "mark_price": np.arange(count) * 1.0,
         "index_price": np.arange(count) * 1.0}
    ).cast(dict.fromkeys(("timestamp", "local_timestamp"), pl.Datetime("ns", "UTC")))  # fmt: skip


def test_a_million_rows_make_a_small_figure_that_uses_its_points():
    count = 1_000_000

    figure = figures.mark(many_marks(count))

    assert 1_000 <= len(figure.data[0].x) <= 2_000
    assert figure.data[0].y.max() == count - 1


def test_a_figure_of_a_frame_can_be_had_as_one_that_shows_every_row_where_it_is_zoomed_into():
    widget = figures.mark(many_marks(100_000)).zoomable()
    widget._ticket.cancel()  # here, the test is the refresh thread
    page = Page(widget)
    widget.send = lambda message, buffers=None: page.take(message, buffers or [], 0.0)
    begin = ms(20)

    page.look()
    widget.refresh(1.0)
    page.move_to(1.0)
    assert page.arrays[0, "x"].size <= 1_000
    page.look(bounds=[begin, begin + 500])  # half a second of a row per millisecond
    widget.refresh(2.0)
    page.move_to(2.0)

    x = page.arrays[0, "x"]
    assert ((x >= begin) & (x <= begin + 500)).sum() == 501
    widget.close()


def test_a_figure_that_does_not_know_its_rows_says_so():
    figure = figures.Figure(figures.mark(many_marks(10)))

    with pytest.raises(kr.InvalidInput, match="does not know its rows"):
        figure.zoomable()


def test_no_lag_is_told_of_a_venue_whose_clock_is_virtual():
    figure = figures.lag(frame(Ticker, [ticker(0, delay=86_400.0), ticker(1, delay=86_399.0)]))

    assert len(figure.data[0].y) == len(figure.data[1].y) == 0
    assert "24 h away" in figure.layout.annotations[-1].text
    assert not any(axis.visible for axis in axes(figure))


def test_a_figure_is_written_to_a_file_that_needs_no_network(tmp_path):
    path = tmp_path / "price.html"

    text = figures.price(frame(Ticker, [ticker(0)])).to_html(path)

    assert path.read_text(encoding="utf-8") == text
    assert "cdn.plot.ly" not in text.split("plotly.js v")[0]
    assert len(text) > 1_000_000  # plotly.js is inside


def test_a_png_that_cannot_be_made_is_explained(tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise ValueError("no kaleido")

    figure = figures.price(frame(Ticker, [ticker(0)]))
    monkeypatch.setattr(type(figure), "write_image", fail)

    with pytest.raises(figures.ExportUnavailable, match="pip install kaleido"):
        figure.to_png(tmp_path / "price.png")


@pytest.mark.parametrize("kind", ["price", "candles", "flow", "lag"])
def test_rows_of_the_last_moment_that_there_is_are_drawn(kind):
    at = pl.Series([0, (1 << 63) - 1]).cast(pl.Datetime("ns", "UTC"))
    columns = {"timestamp": at, "local_timestamp": at, "sequence": [1, 2], "trade_id": ["1", "2"]}
    more = {"symbol": ["A", "A"], "side": ["buy", "buy"], "price": [1.0, 2.0], "size": [1.0, 1.0]}
    frame = pl.DataFrame(columns | more)

    assert getattr(kr.figures, kind)(frame).data
