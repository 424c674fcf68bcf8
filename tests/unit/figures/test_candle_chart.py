"""Candles: each spans its own time, is seen whole, and says what it lacks."""

import numpy as np
import pytest

import kucoin_research as kr
from kucoin_research import figures
from kucoin_research.errors import InvalidInput
from kucoin_research.figures.candle_bars import fitting, longer
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.line_charts import PriceChart
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.records import Candle, Status, Trade
from tests.unit.figures.test_figures import SECOND, at, frame, ms, status, trace, trade
from tests.unit.strategy.runs import fill, table

MINUTE = 60_000.0  # on the axis
BERLIN = Zone("Europe/Berlin")


def trades(*seconds):
    return frame(Trade, [trade(second, 100.0 + second % 7) for second in seconds])


def each_second(begin, end):
    return trades(*range(begin, end))


def candle(minute, close=10.5, interval="1min"):
    return (at(60 * minute), at(60 * minute + 60), "A", interval, 10.0, 11.0, 9.0, close, 5.0, None)


def followed(rows, window, *, px=1_000, kind=CandleChart, role="candles", **options):
    """Draw a live chart, which follows a window of this many seconds."""
    chart = kind(
        View(px, None, None if window is None else window * SECOND), Sketch(options=options)
    )
    chart.take(role, rows)
    return chart.draw()


def width_of(drawing):
    return drawing.traces["0.xperiod"]


def opens_of(drawing):
    """List the open times of all candles, whole and partial."""
    return np.sort(np.concatenate((drawing.arrays[0, "x"], drawing.arrays[4, "x"])))


# -- where a candle stands -------------------------------------------------------------------------


def test_a_candle_is_drawn_in_the_middle_of_its_time_and_says_when_it_opened():
    figure = figures.candles(each_second(0, 180), every="1m")

    for name in ("candles", "volume, rising", "VWAP since the first candle", "slot"):
        part = trace(figure, name)
        assert (part.xperiod, part.xperiodalignment) == (MINUTE, "middle")
        assert {(x - part.xperiod0) % MINUTE for x in part.x} == {0.0}
    assert trace(figure, "candles").x.tolist() == [ms(0), ms(60), ms(120)]


def test_candles_are_as_wide_as_their_interval_though_they_are_few_and_far_apart():
    figure = figures.candles(trades(0, 600), every="1m")

    first, second = trace(figure, "slot").x
    assert second - first == MINUTE  # plotly takes the least distance for the width
    assert set(trace(figure, "volume, rising").width) == {0.7 * MINUTE}


@pytest.mark.parametrize("window", [None, 300])
def test_the_first_and_the_running_candle_are_whole_within_the_axis(window):
    drawing = followed(each_second(17, 1_000), window, every="1min")

    low, high = drawing.window
    opens = opens_of(drawing)
    assert low <= opens[0]
    assert opens[-1] + MINUTE <= high
    assert opens[-1] == ms(960)


def test_the_only_candle_of_a_frame_has_the_width_of_some():
    figure = figures.candles(frame(Candle, [candle(0)]))

    low, high = figure.layout.xaxis.range
    assert (low, high) == (ms(-120), ms(60))


@pytest.mark.parametrize(("every", "minutes"), [("1hour", 60), ("15min", 15)])
def test_an_interval_that_is_longer_than_the_window_shows_candles_of_usual_width(every, minutes):
    drawing = followed(each_second(0, 4_000), 300, every=every)

    low, high = drawing.window
    assert high - low == 10 * minutes * MINUTE
    assert len(opens_of(drawing)) == 4_000 // (60 * minutes) + 1


def test_a_zoom_is_left_as_it_is():
    chart = CandleChart(View(1_000, (at(61), at(100)), None), Sketch(options={"every": "1min"}))
    chart.take("candles", each_second(0, 300))

    drawing = chart.draw()

    assert drawing.window == (ms(61), ms(100))
    assert opens_of(drawing).tolist() == [ms(60)]


@pytest.mark.parametrize("rows", [range(300), range(31, 93), range(1_000)])
@pytest.mark.parametrize("window", [300, None])
def test_candles_and_price_with_one_window_end_and_begin_at_the_same_time(rows, window):
    rows = trades(*rows)
    candles = followed(rows, window, every="5s")
    price = followed(rows, window, kind=PriceChart, role="trades")

    for ours, theirs in zip(candles.window, price.window, strict=True):
        assert abs(ours - theirs) <= 5_000


def test_days_keep_their_places_where_the_zone_changes_its_clocks():
    rows = [  # the last Sunday of March
        (at(86_400 * day), at(86_400 * day), "A", "1day", 1.0, 1.0, 1.0, 1.0, 1.0, None)
        for day in range(80, 90)
    ]

    figure = figures.candles(frame(Candle, rows), tz="Europe/Berlin")
    before = CandleChart(View(span=(at(86_400 * 80), at(86_400 * 82))), Sketch(zone=BERLIN))
    before.take("candles", frame(Candle, rows))

    part, zoomed = trace(figure, "candles"), before.draw()
    places = np.floor((part.x - part.xperiod0) / part.xperiod)
    assert np.diff(places).tolist() == [1.0] * 9
    apart = (zoomed.arrays[0, "x"] - zoomed.traces["0.xperiod0"]) / zoomed.traces["0.xperiod"]
    assert apart.tolist() == np.round(apart).tolist()


# -- the interval that suits -----------------------------------------------------------------------


def test_without_an_interval_the_data_there_are_decide_and_not_the_window():
    drawing = followed(each_second(0, 20), 3_600)

    assert width_of(drawing) == 5_000.0
    assert len(opens_of(drawing)) == 4


def test_the_interval_grows_with_the_data_and_never_goes_back():
    chart = CandleChart(View(1_000, None, 600 * SECOND), Sketch())
    widths = []
    for begin in range(0, 1_800, 10):
        chart.take("candles", trades(*(begin + step for step in (0, 3, 4, 9))))
        widths.append(width_of(chart.draw()))

    assert widths[0] == 1_000.0
    assert widths == sorted(widths)
    assert set(widths) == {1_000.0, 5_000.0}


def test_a_chosen_interval_does_not_flicker_where_trades_are_rare():
    chart = CandleChart(View(1_000, None, 300 * SECOND), Sketch(options={"every": "1s"}))
    chart.take("candles", each_second(0, 300))
    dense = width_of(chart.draw())

    chart.take("candles", trades(*range(300, 600, 20)))

    assert width_of(chart.draw()) == dense == 5_000.0


@pytest.mark.parametrize(
    ("seconds", "most", "width"),
    [(0, 60, 1), (60, 60, 1), (61, 60, 5), (86_400 * 100, 60, 172_800)],
)
def test_the_shortest_usual_interval_with_few_enough_candles_fits(seconds, most, width):
    assert fitting(seconds * SECOND, most) == width * SECOND


@pytest.mark.parametrize(
    ("own", "least", "width"),
    [
        (1, 30, 60), (1, 1, 1), (60, 61, 300), (7, 8, 14), (30, 31, 60), (120, 130, 3_600),
        (86_400, 86_401, 172_800), (3_600, 86_401, 172_800),
    ],
)  # fmt: skip
def test_a_longer_interval_is_a_usual_one_where_that_is_a_multiple(own, least, width):
    assert longer(own * SECOND, least * SECOND) == width * SECOND


@pytest.mark.parametrize("window", [14_400, None])
def test_too_many_chosen_candles_are_joined_to_those_of_a_usual_interval(window):
    drawing = followed(each_second(0, 14_400), window, every="1s", px=2_000)

    assert width_of(drawing) == 60_000.0
    assert drawing.layout["title.text"].endswith("1 min candles, volume and VWAP</b>")


# -- bars of somebody's own ------------------------------------------------------------------------


def test_bars_are_joined_to_an_interval_that_is_a_multiple_of_theirs():
    bars = frame(Candle, [candle(n) for n in range(10)])

    for rows in (bars, bars.drop("interval"), bars.drop("interval")[::5]):
        figure = figures.candles(rows, every="5m")

        assert "5 min candles" in figure.layout.title.text
        assert trace(figure, "candles").x.tolist() == [ms(0), ms(300)]
    assert trace(figures.candles(bars, every="5m"), "volume, rising").y.tolist() == [25.0, 25.0]


def test_the_only_bar_may_have_any_interval():
    figure = figures.candles(frame(Candle, [candle(0)]).drop("interval"), every="10s")

    assert "10 s candles" in figure.layout.title.text


@pytest.mark.parametrize("every", ["90s", "10s"])
def test_an_interval_that_is_no_multiple_of_the_bars_own_is_refused(every):
    with pytest.raises(InvalidInput, match=f"every='{every}' is no multiple .* interval, 1 min"):
        figures.candles(frame(Candle, [candle(n) for n in range(10)]), every=every)


def test_an_interval_of_bars_by_volume_is_refused():
    with pytest.raises(InvalidInput, match="bars of 'volume:2' have no fixed length"):
        figures.candles(kr.ohlcv(each_second(0, 60), volume=2), every="5s")


def test_months_are_drawn_over_their_own_time():
    days = trades(*(86_400 * n for n in range(90)))  # from 5 January on
    figure = figures.candles(kr.ohlcv(days, "1mo"))

    assert figure.layout.title.text == "<b>XBTUSDTM</b> 1 month candles, volume and VWAP"
    begins = np.array([-4, 27, 55, 86]) * 86_400
    x = np.sort(np.concatenate([trace(figure, f"volume, {w}").x for w in ("rising", "falling")]))
    assert (
        x.tolist() == [ms(second) for second in (begins[:-1] + begins[1:]) / 2][:3] + x[3:].tolist()
    )
    widths = {w for name in ("rising", "falling") for w in trace(figure, f"volume, {name}").width}
    assert {round(w / 0.7 / 86_400e3) for w in widths} <= {28, 30, 31}
    assert (
        trace(figure, "candles").hovertext[0] == "from 2026-01-01 00:00:00 to 2026-02-01 00:00:00"
    )
    assert len(trace(figure, "body, rising").x) == len(trace(figure, "body, falling").x) == 0


def test_a_single_month_has_its_length():
    figure = figures.candles(kr.ohlcv(trades(0, 86_400), "1mo"))

    first, second = trace(figure, "slot").x
    assert second - first == 31 * 86_400e3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"volume": 3}, "bars by volume of 3"),
        ({"notional": 300}, "bars by turnover of 300"),
        ({"ticks": 3}, "bars of 3 trades"),
    ],
)
def test_bars_by_an_amount_say_so_and_fill_the_time_until_the_next(given, words):
    seconds = (0, 1, 2, 10, 11, 12, 100, 101, 102, 110)
    rows = [trade(s, 100.0 + n % 2, symbol="BTC-USDT") for n, s in enumerate(seconds)]
    figure = figures.candles(kr.ohlcv(frame(Trade, rows), **given))

    bodies = [trace(figure, f"body, {how}") for how in ("rising", "falling")]
    widths = dict(pair for each in bodies for pair in zip(each.x, each.width, strict=True))
    assert f"</b> {words}, volume and VWAP" in figure.layout.title.text
    if "notional" not in given:
        assert [round(width / 0.7) for _, width in sorted(widths.items())] == [
            10_000, 90_000, 10_000, 10_000,
        ]  # fmt: skip
        assert sorted(widths) == [ms(5), ms(55), ms(105), ms(115)]
    low, high = figure.layout.xaxis.range
    assert all(low <= x - width / 2 and x + width / 2 <= high for x, width in widths.items())


def test_bars_without_an_interval_and_of_unequal_length_say_so():
    bars = kr.ohlcv(trades(0, 2, 5, 100), ticks=1).drop("interval")

    assert "candles of unequal length" in figures.candles(bars).layout.title.text


def test_too_many_bars_by_volume_are_joined_by_time():
    drawing = followed(kr.ohlcv(trades(*(n * n for n in range(200))), ticks=1), None, px=480)

    assert width_of(drawing) == 900_000.0
    assert drawing.layout["title.text"] == "<b>15 min candles, volume and VWAP</b>"
    assert drawing.arrays[7, "x"].size == 0


def test_a_bar_that_began_long_before_the_range_is_shown():
    chart = CandleChart(View(1_000, (at(40), at(60)), None), Sketch())
    chart.take("candles", kr.ohlcv(trades(0, 1, 2, 100, 101), ticks=1))

    assert opens_of(chart.draw()).tolist() == [ms(51)]


# -- candles that lack something -------------------------------------------------------------------


def test_a_candle_whose_begin_is_not_known_is_partial():
    figure = figures.candles(each_second(17, 180), every="1m")

    assert trace(figure, "candles").x.tolist() == [ms(60), ms(120)]
    partial = trace(figure, "partial candles")
    assert partial.x.tolist() == [ms(0)]
    assert partial.hovertext == ("partial: trades since 00:00:17",)
    assert trace(figure, "candles").hovertext == ("", "not over: trades until 00:02:59")
    assert partial.increasing.line.color != trace(figure, "candles").increasing.line.color


def test_a_candle_over_a_gap_is_partial_and_its_volume_pale():
    rows = trades(*range(100), *range(190, 300))
    lost = frame(Status, [status("disconnected", 99.5, 99.5), status("connected", 99.5, 189.5)])

    figure = figures.candles(rows, every="1m", status=lost)

    partial = trace(figure, "partial candles")
    assert partial.x.tolist() == [ms(60), ms(180)]
    assert partial.hovertext == ("partial: outage from 00:01:39 to 00:03:10",) * 2
    bars = [trace(figure, f"volume, {how}") for how in ("rising", "falling")]
    opacity = {x: each for bar in bars for x, each in zip(bar.x, bar.marker.opacity, strict=True)}
    assert [opacity[ms(60 * n)] for n in (0, 1, 3, 4)] == [1.0, 0.4, 0.4, 1.0]


def test_candles_of_the_exchange_are_whole_though_the_first_one_came_late():
    figure = figures.candles(frame(Candle, [candle(0), candle(1), candle(2)]))

    assert len(trace(figure, "candles").x) == 3
    assert trace(figure, "candles").hovertext == ("", "", "")


def test_the_last_candle_before_a_gap_of_candles_may_not_be_the_whole_one():
    gap = GapMark("gap", at(125), at(305), "why")
    chart = CandleChart(View(), Sketch())
    chart.mark([gap])
    chart.take("candles", frame(Candle, [candle(0), candle(1), candle(5), candle(6)]))

    assert chart.draw().arrays[4, "x"].tolist() == [ms(60)]


# -- form, marks, and empty panels -----------------------------------------------------------------


def test_rising_candles_are_hollow_and_falling_ones_filled():
    figure = figures.candles(frame(Candle, [candle(0), candle(1, close=9.5)]))

    part = trace(figure, "candles")
    assert part.increasing.fillcolor == "rgba(0,0,0,0)"
    assert part.decreasing.fillcolor == part.decreasing.line.color
    hollow, filled = (trace(figure, f"volume, {how}").marker for how in ("rising", "falling"))
    assert (hollow.color, filled.line.width) == ("rgba(0,0,0,0)", 0)


def test_fills_stand_at_their_own_time_also_before_a_window_that_is_short():
    chart = CandleChart(
        View(1_000, None, 300 * SECOND), Sketch(options={"every": "15min", "is_marked": True})
    )
    chart.take("candles", each_second(0, 4_000))
    chart.take("fills", table("fills", fill(0, timestamp=at(1_234))))

    drawing = chart.draw()

    assert drawing.arrays[6, "x"].tolist() == [ms(1_234)]
    assert drawing.window[0] <= ms(1_234)


def test_bars_of_the_mid_have_no_panel_for_a_volume():
    bars = frame(Candle, [candle(0), candle(1)]).drop("volume", "turnover")

    layout = figures.candles(bars).layout

    assert (layout.yaxis.visible, layout.yaxis2.visible) == (True, False)
    assert layout.yaxis.domain == (0, 1)


@pytest.mark.parametrize("price", [None, float("nan"), float("inf")])
def test_candles_without_prices_are_none(price):
    rows = [(at(60 * n), at(60 * n + 60), "A", "1min", *[price] * 4, 5.0, None) for n in range(3)]

    empty = figures.candles(frame(Candle, rows))
    some = figures.candles(frame(Candle, [*rows, candle(3)]))

    assert empty.layout.annotations[0].text == "no candles of A to show"
    assert trace(some, "candles").x.tolist() == [ms(180)]
    assert trace(some, "VWAP since the first candle").y.tolist() == [pytest.approx(10.1666667)]


def test_a_candle_without_a_volume_leaves_the_average_of_the_others():
    bare = (at(0), at(60), "A", "1min", 1.0, 1.0, 1.0, 1.0, None, None)

    figure = figures.candles(frame(Candle, [bare, candle(1)]))

    assert trace(figure, "VWAP since the first candle").y[-1] == pytest.approx(10.1666667)


def test_a_live_chart_waits_for_its_first_candle_without_axes():
    drawing = CandleChart(View(), Sketch("XBTUSDTM", Zone())).draw()

    assert drawing.layout["annotations"][0]["text"] == "waiting for the first candle of XBTUSDTM"
    names = ("xaxis", "yaxis", "yaxis2")
    assert not any(drawing.layout[f"{name}.visible"] for name in names)


def test_a_range_without_candles_says_so_and_keeps_its_time_axis():
    chart = CandleChart(View(1_000, (at(500), at(600)), None), Sketch(options={"every": "1min"}))
    chart.take("candles", each_second(0, 60))

    layout = chart.draw().layout

    assert layout["annotations"][0]["text"] == "no candles in this range"
    assert (layout["xaxis.visible"], layout["yaxis.visible"]) == (True, False)


# -- history ---------------------------------------------------------------------------------------


def test_candles_of_before_and_trades_share_one_row_of_candles_and_one_vwap():
    chart = CandleChart(View(window_ns=600 * SECOND), Sketch(options={"every": "1min"}))

    chart.take("past", frame(Candle, [candle(0), candle(1)]))
    chart.take("candles", each_second(120, 180))

    drawing = chart.draw()
    assert opens_of(drawing).tolist() == [ms(0), ms(60), ms(120)]
    assert drawing.arrays[4, "x"].size == 0
    assert 9.0 < drawing.arrays[1, "y"][0] < 11.0


def test_longer_candles_of_before_make_the_candles_of_trades_as_long():
    chart = CandleChart(View(window_ns=600 * SECOND), Sketch(options={"every": "1min"}))

    chart.take("past", frame(Candle, [candle(0, interval="5min")]))
    chart.take("candles", each_second(300, 400))

    assert width_of(chart.draw()) == 5 * MINUTE


def test_a_turnover_in_other_units_than_the_prices_is_not_used_for_the_vwap():
    rows = [(*candle(0)[:-1], 5.0 * 10.2), (*candle(1)[:-1], 5.0 * 10.2 * 0.001)]

    vwap = followed(frame(Candle, rows), None).arrays[1, "y"]

    assert vwap[0] == pytest.approx(10.2)
    assert vwap[1] == pytest.approx((10.2 + (11.0 + 9.0 + 10.5) / 3) / 2)
