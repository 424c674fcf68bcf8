"""Indicators on the candles: right at the first, the running one and behind a gap."""

import numpy as np
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import figures
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.indicator import indicators_of
from kucoin_research.figures.line_charts import PriceChart
from kucoin_research.figures.summary import summary_of
from kucoin_research.model.records import Trade
from tests.unit.figures.test_figures import SECOND, at, frame, trace, trade

RANGE = pl.col("high") - pl.col("low")


def trades(begin, end):
    """A trade each second, at prices that wander."""
    return frame(Trade, [trade(n, 100.0 + (n * n) % 17 + n / 50) for n in range(begin, end)])


def chart_of(*given, window=None, every="10s", gaps=(), **options):
    view = View(1_000, None, None if window is None else window * SECOND)
    options = {"every": every, "indicators": indicators_of(list(given)), **options}
    chart = CandleChart(view, Sketch(options=options))
    chart.mark(gaps)
    return chart


def values(chart, name, drawing):
    """The places and the values of a trace."""
    place = [each["name"] for each in chart.spec()["data"]].index(name)
    return drawing.arrays[place, "x"], drawing.arrays[place, "y"]


def newest(chart, name):
    return values(chart, name, chart.draw())[1][-1]


def whole(rows):
    """The candles that the chart has: the first trade comes at the begin of one."""
    return kr.ohlcv(rows, "10s")


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("SMA 5", kr.analytics.sma(5)),
        ("EMA 5", kr.analytics.ema(5)),
        ("ATR 4", kr.analytics.atr(4)),
        ("RSI 4", kr.analytics.rsi(4)),
    ],
)
def test_a_line_is_the_measure_of_the_candles(name, measure):
    rows = trades(0, 600)

    figure = figures.candles(rows, every="10s", indicators=[name])

    wanted = whole(rows).select(measure).to_series().to_numpy()
    np.testing.assert_allclose(trace(figure, name).y, wanted)


def test_the_vwap_of_the_day_has_bands_and_says_since_when():
    rows = trades(0, 600)

    figure = figures.candles(rows, every="10s", indicators="VWAP")

    middle = np.array(trace(figure, "VWAP since 00:00:00").y)
    lower, upper = (np.array(trace(figure, f"VWAP {side} band").y) for side in ("lower", "upper"))
    wanted = kr.analytics.vwap_bands(rows)["vwap"].to_list()[9::10]  # at the end of each candle
    np.testing.assert_allclose(middle, wanted)
    np.testing.assert_allclose(upper - middle, middle - lower)
    assert (upper > middle)[1:].all()


def test_the_vwap_starts_anew_with_the_day():
    day = 86_400
    rows = frame(Trade, [trade(day - 20, 10.0), trade(day - 10, 20.0), trade(day, 50.0)])
    chart = chart_of("VWAP")
    chart.take("candles", rows)

    drawing = chart.draw()

    assert values(chart, "VWAP", drawing)[1].tolist() == [10.0, 15.0, 50.0]
    assert "VWAP since 00:00:00" in drawing.traces.values()


def test_candles_before_the_window_warm_an_indicator_up():
    rows = trades(0, 3_000)
    chart = chart_of("SMA 20", "EMA 20", "RSI 14", window=100)
    chart.take("candles", rows)

    drawing = chart.draw()

    candles = whole(rows)
    for name, measure in (
        ("SMA 20", kr.analytics.sma(20)),
        ("EMA 20", kr.analytics.ema(20)),
        ("RSI 14", kr.analytics.rsi(14)),
    ):
        found = values(chart, name, drawing)[1]
        wanted = candles.select(measure).to_series().to_numpy()
        assert 5 < found.size < 30
        np.testing.assert_allclose(found, wanted[-found.size :], rtol=1e-12)


def test_the_running_candle_counts_while_it_changes():
    chart = chart_of("SMA 2")
    chart.take("candles", trades(0, 15))

    assert newest(chart, "SMA 2") == whole(trades(0, 15))["close"].mean()

    chart.take("candles", trades(15, 18))

    assert newest(chart, "SMA 2") == whole(trades(0, 18))["close"].mean()


def test_nothing_is_computed_across_a_gap():
    rows = pl.concat([trades(0, 50), trades(85, 150)])
    gap = GapMark("gap", at(49) + SECOND // 2, at(85), "lost")
    chart = chart_of("SMA 3", gaps=[gap])
    chart.take("candles", rows)

    x, y = values(chart, "SMA 3", chart.draw())

    # Those at 40 and 80 s lack a part, so the first three whole ones behind it end at 120 s.
    known = [int(place / 1e3) % 1_000 for place in (x - x[0])[np.isfinite(y)]]
    assert known == [20, 30, 110, 120, 130, 140]
    closes = dict(
        whole(rows).select(pl.col("timestamp").cast(int) // SECOND % 1_000, "close").rows()
    )
    assert y[np.isfinite(y)][2] == pytest.approx(
        np.mean([closes[(at(0) // SECOND + n) % 1_000] for n in (90, 100, 110)])
    )


def test_a_line_breaks_where_only_the_candles_of_a_gap_are_missing():
    rows = pl.concat([trades(0, 50), trades(80, 130)])
    chart = chart_of("VWAP", gaps=[GapMark("gap", at(49) + SECOND // 2, at(80), "lost")])
    chart.take("candles", rows)

    _, y = values(chart, "VWAP", chart.draw())

    assert np.isnan(y).any()


def test_expressions_see_every_candle_and_have_a_pane_unless_they_are_prices():
    rows = trades(0, 300)
    own = [("range", RANGE), ("top", pl.col("high").rolling_max(3), "price")]

    figure = figures.candles(rows, every="10s", indicators=own)

    candles = whole(rows)
    assert list(trace(figure, "range").y) == (candles["high"] - candles["low"]).to_list()
    np.testing.assert_array_equal(trace(figure, "top").y, candles["high"].rolling_max(3))
    assert (trace(figure, "range").yaxis, trace(figure, "top").yaxis) == ("y10", "y")
    assert figure.layout.yaxis10.title.text == "range"


def test_panes_lie_below_the_volume_and_do_not_overlap():
    rows = trades(0, 300)

    layout = figures.candles(rows, every="10s", indicators=["ATR 5", "ATR 9", "RSI"]).layout

    shares = [layout[name].domain for name in ("yaxis11", "yaxis10", "yaxis2", "yaxis")]
    edges = [edge for share in shares for edge in share]
    assert edges == sorted(edges)
    assert layout.xaxis.anchor == "y11"
    assert layout.yaxis11.range == (0, 100)
    assert (layout.yaxis10.title.text, layout.yaxis11.title.text) == ("ATR", "RSI 14")


def test_panes_of_the_user_lie_below_those_of_indicators():
    chart = chart_of("RSI 3", hides_future=False)
    chart.take("candles", trades(0, 300))
    lines = {"slot": [0], "name": ["equity"], "pane": ["equity"], "is_ahead": [False]}
    chart.take("user_lines", pl.DataFrame(lines))
    chart.take("user_points", pl.DataFrame({"slot": [0], "at": [at(100)], "value": [1.0]}))

    layout = chart.draw().layout

    names = ("yaxis6", "yaxis10", "yaxis2", "yaxis")
    edges = [edge for name in names for edge in layout[f"{name}.domain"]]
    assert edges == sorted(edges)
    assert layout["xaxis.anchor"] == "y6"


def test_a_chart_without_a_value_yet_shows_no_pane():
    chart = chart_of("RSI 14")
    chart.take("candles", trades(0, 30))

    layout = chart.draw().layout

    assert layout["yaxis10.visible"] is False


def test_an_expression_that_fails_on_these_candles_is_named():
    chart = chart_of(("odd", pl.when(pl.col("high") > 50).then(pl.lit("x")).otherwise(None)))
    chart.take("candles", trades(0, 30))

    with pytest.raises(kr.InvalidInput, match="'odd' cannot be computed"):
        chart.draw()


def test_the_price_chart_has_them_at_the_end_of_candles_of_its_trades():
    rows = trades(0, 600)

    figure = figures.price(rows, every="10s", indicators=["SMA 5", "RSI 4"])

    candles = whole(rows)
    line, strength = trace(figure, "SMA 5 · 10 s"), trace(figure, "RSI 4 · 10 s")
    np.testing.assert_allclose(line.y, candles.select(kr.analytics.sma(5))["sma"].to_numpy())
    np.testing.assert_allclose(strength.y, candles.select(kr.analytics.rsi(4))["rsi"].to_numpy())
    apart = np.diff(np.array(line.x, "datetime64[ms]").astype(float))
    assert apart.tolist() == [10_000.0] * 58 + [9_000.0]  # the last one ends with its newest trade
    assert figure.layout.yaxis.domain[0] > figure.layout.yaxis10.domain[1]


def test_names_on_the_price_chart_say_the_interval_which_may_change():
    given = indicators_of(["SMA 3", "VWAP 3", "VWAP", "RSI 2"])
    chart = PriceChart(View(400), Sketch(options={"indicators": given}))

    def names(upto):
        chart.take("trades", trades(upto - 100, upto))
        drawing = chart.draw()
        first = [each["name"] for each in chart.spec()["data"]].index("SMA 3")
        count = sum(each.lines for each in given)
        shown = [drawing.traces[f"{first + n}.name"] for n in range(count)]
        hovers = [drawing.traces[f"{first + n}.hovertemplate"] for n in range(count)]
        assert [each.partition(" %{y")[0] for each in hovers] == shown  # the line of values, too
        return shown

    assert names(100) == [
        "SMA 3 · 5 s",
        *(f"VWAP 3{band} · 5 s" for band in ("", " lower band", " upper band")),
        "VWAP since 00:00:00 · 5 s",
        *(f"VWAP {side} band · 5 s" for side in ("lower", "upper")),
        "RSI 2 · 5 s",
    ]
    assert names(2_000)[0] == "SMA 3 · 1 min"
    summary = summary_of(chart, chart.draw())
    assert "SMA 3 · 1 min" in summary


def test_a_pane_of_the_price_chart_has_its_interval_in_the_legend():
    figure = figures.price(trades(0, 600), every="10s", indicators="RSI 4")

    assert trace(figure, "RSI 4 · 10 s").showlegend is not False
    assert figure.layout.yaxis10.title.text == "RSI 4"


def test_the_price_chart_warms_up_before_its_window():
    chart = PriceChart(
        View(1_000, None, 100 * SECOND),
        Sketch(options={"every": "10s", "indicators": indicators_of("SMA 20")}),
    )
    rows = trades(0, 1_000)
    chart.take("trades", rows)

    found = values(chart, "SMA 20", chart.draw())[1]

    wanted = whole(rows).select(kr.analytics.sma(20))["sma"].to_numpy()
    np.testing.assert_allclose(found, wanted[-found.size :])
    assert chart.needs_past
    assert not PriceChart.needs_past


@pytest.mark.parametrize(
    "options", [{"indicators": indicators_of("SMA 5")}, {"hides_future": True}]
)
def test_the_change_in_the_summary_is_that_of_the_market(options):
    touch = {"best_bid_price": pl.col("price"), "best_ask_price": pl.col("price") + 1}
    sizes = {"best_bid_size": pl.lit(1.0), "best_ask_size": pl.lit(1.0)}
    rows = frame(Trade, [trade(n, 100.0 + n / 50) for n in range(300)])
    chart = PriceChart(View(), Sketch(options=options))
    chart.take("trades", rows)
    chart.take("quotes", rows.with_columns(**touch, **sizes))

    text = summary_of(chart, chart.draw())

    assert "mid 106.48, up 5.95 % in 5 min" in text
