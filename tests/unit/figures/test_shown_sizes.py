"""Sizes in the unit that is chosen, in each kind of chart: values, titles, hover texts, summary."""

import numpy as np
import polars as pl
import pytest

from kucoin_research.figures.account_traces import AccountTraces
from kucoin_research.figures.book_charts import LadderChart
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import PAST, Sketch, View
from kucoin_research.figures.heat_chart import HeatChart
from kucoin_research.figures.indicator import indicators_of
from kucoin_research.figures.line_charts import FlowChart, PriceChart
from kucoin_research.figures.run_chart import RunChart
from kucoin_research.figures.shown_sizes import NATIVE, ShownSizes
from kucoin_research.figures.summary import summary_of
from kucoin_research.model.records import Candle, Depth50, Trade
from kucoin_research.model.size_unit import SizeUnit, Unit
from tests.unit.figures.test_figures import at, frame, trade

CONTRACTS = SizeUnit(Unit.CONTRACTS, "contracts")
COINS = SizeUnit(Unit.COINS, "XBT", 0.001)
QUOTE = SizeUnit(Unit.QUOTE, "USDT", 0.001, power=1)
INVERSE_COINS = SizeUnit(Unit.COINS, "XBT", 1.0, power=-1)
TRADES = frame(Trade, [trade(0, 100.0, 3.0), trade(1, 110.0, 2.0, "sell"), trade(61, 105.0, 8.0)])
VOLUMES = (2, 3)  # traces of the volume: rising, falling
ESTIMATE = ",<br>an estimate at the candle's typical price"


def chart_of(kind, role, rows, unit, **options):
    options = options if unit is None else {"unit": unit, **options}
    chart = kind(View(), Sketch("XBTUSDTM", options=options, is_compact=True))
    chart.take(role, rows)
    return chart


def candle(minute, turnover, *, low=90.0, high=120.0, close=105.0, volume=10.0):
    begin, end = at(60 * minute), at(60 * minute + 60)
    return (begin, end, "XBTUSDTM", "1min", 100.0, high, low, close, volume, turnover)


def candles_of(*rows, unit=QUOTE):
    return chart_of(CandleChart, "candles", frame(Candle, list(rows)), unit)


def volumes(chart):
    """Return all volumes in order of time, with their words of an estimate."""
    drawing = chart.draw()
    found = {}
    for number in VOLUMES:
        texts = drawing.traces[f"{number}.text"]
        x, y = drawing.arrays[number, "x"].tolist(), drawing.arrays[number, "y"].tolist()
        assert len(texts) in (0, len(x))
        found.update(zip(x, zip(y, texts or [""] * len(x), strict=True), strict=True))
    return [found[each] for each in sorted(found)]


# -- candles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (None, [5.0, 8.0]),
        (CONTRACTS, [5.0, 8.0]),
        (COINS, [0.005, 0.008]),
        (QUOTE, [0.52, 0.84]),  # 3 at 100 and 2 at 110; 8 at 105
        (INVERSE_COINS, [3 / 100 + 2 / 110, 8 / 105]),
    ],
)
def test_the_volume_of_trades_is_that_of_each_at_its_own_price(unit, expected):
    chart = chart_of(CandleChart, "candles", TRADES, unit, every="1m")

    found = volumes(chart)

    assert [value for value, _ in found] == pytest.approx(expected)
    assert {text for _, text in found} == {""}
    assert "%{text}" not in chart.draw().traces["2.hovertemplate"]


def test_axis_hover_and_summary_name_the_unit_of_the_volume():
    for unit, title, hover in (
        (None, "volume", "volume %{y:,.15~r}<extra></extra>"),
        (CONTRACTS, "volume,<br>contracts", "volume %{y:,.15~r}<extra></extra>"),
        (QUOTE, "volume,<br>USDT", "volume %{y:,.9~r} USDT<extra></extra>"),
    ):
        chart = chart_of(CandleChart, "candles", TRADES, unit)
        spec = chart.spec()
        assert spec["layout"]["yaxis2"]["title"]["text"] == title
        assert spec["data"][2]["hovertemplate"] == hover

    text = summary_of(chart, chart.draw())
    assert text.endswith(", volume, rising 1.36 USDT")


def test_the_turnover_of_the_exchange_is_exact_where_it_is_in_the_unit():
    chart = candles_of(candle(0, 1.04), candle(1, 0.99))

    assert volumes(chart) == [(1.04, ""), (0.99, "")]


@pytest.mark.parametrize(
    "turnover",
    [
        None,
        1_040.0,  # in another unit: price times contracts
        1.3,  # above the volume at the high
    ],
)
def test_a_volume_without_a_turnover_in_the_unit_is_an_estimate_and_says_so(turnover):
    chart = candles_of(candle(0, turnover), candle(1, 0.99))

    (value, text), exact = volumes(chart)

    assert value == pytest.approx(0.001 * 10 * (120 + 90 + 105) / 3)
    assert text == ESTIMATE
    assert exact == (0.99, "")
    drawing = chart.draw()
    assert drawing.traces["2.hovertemplate"] == "volume %{y:,.9~r} USDT%{text}<extra></extra>"
    assert "volume, rising about 2.04 USDT" in summary_of(chart, drawing)


def test_coins_of_a_candle_need_no_price_so_that_none_is_an_estimate():
    assert volumes(candles_of(candle(0, None), unit=COINS)) == [(0.01, "")]


def test_the_turnover_of_an_inverse_contract_is_in_coins():
    exact, estimate = candle(0, 0.1), candle(1, None)

    (value, text), (other, words) = volumes(candles_of(exact, estimate, unit=INVERSE_COINS))

    assert (value, text) == (0.1, "")
    assert (other, words) == (pytest.approx(10 / 105), ESTIMATE)


def test_a_candle_of_which_a_part_is_an_estimate_is_one():
    rows = frame(Candle, [candle(0, None)])
    chart = CandleChart(View(), Sketch("XBTUSDTM", options={"unit": QUOTE, "every": "5m"}))
    chart.take(PAST, rows)
    chart.take("candles", frame(Trade, [trade(61, 100.0, 5.0)]))

    assert volumes(chart) == [(pytest.approx(0.001 * 10 * 105 + 0.5), ESTIMATE)]


def test_a_candle_without_trades_has_no_volume_to_estimate():
    still = candle(0, None, low=100.0, high=100.0, close=100.0, volume=0.0)

    assert volumes(candles_of(still)) == [(0.0, "")]


@pytest.mark.parametrize("unit", [COINS, QUOTE])
def test_vwap_and_indicators_are_the_same_in_any_unit(unit):
    # With another turnover than price times size, which the VWAP leaves out.
    rows = frame(Candle, [candle(n, 1.04, close=100.0 + n) for n in range(4)])
    own = {"indicators": indicators_of(["VWAP", ("half", pl.col("volume") / 2)])}

    native, other = (
        chart_of(CandleChart, "candles", rows, each, **own).draw() for each in (None, unit)
    )

    assert native.arrays.keys() == other.arrays.keys()
    for (number, path), values in native.arrays.items():
        if number not in VOLUMES:
            np.testing.assert_array_equal(other.arrays[number, path], values)


# -- flow ------------------------------------------------------------------------------------------


def test_order_flow_counts_each_trade_at_its_own_price():
    chart = chart_of(FlowChart, "trades", TRADES, QUOTE)
    arrays, spec = chart.draw().arrays, chart.spec()

    assert arrays[0, "y"] == pytest.approx([0.3, 0.08, 0.92])
    assert arrays[1, "y"].sum() == pytest.approx(0.3 + 0.84)
    assert arrays[2, "y"].sum() == pytest.approx(-0.22)
    titles = [spec["layout"][name]["title"]["text"] for name in ("yaxis", "yaxis2")]
    assert [each.replace("<br>", " ") for each in titles] == [
        "cumulative delta, USDT",
        "size per bar, USDT",
    ]
    assert [each["hovertemplate"].removesuffix("<extra></extra>") for each in spec["data"]] == [
        "delta %{y:+,.9~r} USDT",
        "bought %{y:,.9~r} USDT",
        "sold %{y:,.9~r} USDT",
    ]
    assert summary_of(chart, chart.draw()).endswith(
        "cumulative volume delta 0.92 USDT, bought by takers 1.14 USDT, sold by takers -0.22 USDT"
    )


def test_order_flow_without_a_unit_names_none():
    chart = chart_of(FlowChart, "trades", TRADES, None)

    assert chart.draw().arrays[0, "y"].tolist() == [3.0, 1.0, 9.0]
    titles = [chart.spec()["layout"][name]["title"]["text"] for name in ("yaxis", "yaxis2")]
    assert [each.replace("<br>", " ") for each in titles] == [
        "cumulative delta (size)",
        "size per bar",
    ]


# -- prices, books and own trades ------------------------------------------------------------------


def test_bubbles_of_trades_have_their_size_at_their_own_price():
    chart = chart_of(PriceChart, "trades", TRADES, QUOTE)

    arrays, spec = chart.draw().arrays, chart.spec()

    assert arrays[4, "customdata"][:, 0] == pytest.approx([0.3, 0.84])
    assert arrays[5, "customdata"][:, 0] == pytest.approx([0.22])
    assert spec["data"][4]["hovertemplate"].startswith(
        "buy %{customdata[0]:,.9~r} USDT at %{y:,.15~r}<br>"
    )


def test_the_heat_map_and_its_colours_are_in_the_unit():
    rows = frame(
        Depth50,
        [(at(0), at(0), "XBTUSDTM", 1, [100.0, 50.0], [10.0, 200.0], [101.0], [1.0])],
    )
    native, quote = (chart_of(HeatChart, "book", rows, each) for each in (CONTRACTS, QUOTE))

    def sizes(chart):
        z = chart.draw().arrays[0, "z"]
        return sorted((10.0 ** z[np.isfinite(z)]).tolist())

    assert sizes(native) == pytest.approx([1.0, 10.0, 200.0], rel=1e-5)
    assert sizes(quote) == pytest.approx([0.101, 1.0, 10.0], rel=1e-5)
    map_ = quote.spec()["data"][0]
    assert map_["colorbar"]["title"]["text"] == "size, USDT"
    assert map_["hovertemplate"].startswith("10<sup>%{z:.1f}</sup> USDT at ")


def test_the_levels_of_a_book_name_the_unit_under_the_pointer_and_read_out():
    book = pl.DataFrame(
        {"bid_price": [100.0], "bid_size": [3.0], "ask_price": [101.0], "ask_size": [1.0]}
    )
    chart = chart_of(LadderChart, "book", book, QUOTE)

    assert chart.spec()["data"][0]["hovertemplate"].startswith("%{x:,.9~r} USDT at ")
    assert "bids at 100, size 0.3 USDT in all" in summary_of(chart, chart.draw())


FILLS = pl.DataFrame(
    {
        "timestamp": [at(0), at(1)],
        "side": ["buy", "buy"],
        "price": [100.0, 110.0],
        "size": [3.0, 2.0],
        "liquidity": ["taker", "maker"],
        "order_id": ["a", "b"],
    },
    schema_overrides={"timestamp": pl.Datetime("ns", "UTC")},
)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (NATIVE, ["buy 3 at 100", "buy 2 at 110"]),
        (ShownSizes(CONTRACTS), ["buy 3 at 100", "buy 2 at 110"]),
        (ShownSizes(QUOTE), ["buy 0.3 USDT at 100", "buy 0.22 USDT at 110"]),
    ],
)
def test_own_fills_are_in_the_unit(sizes, expected):
    traces = AccountTraces(View(), 0, sizes)
    traces.take("account_fills", FILLS)
    chart = chart_of(PriceChart, "trades", TRADES, None)

    texts, _ = traces.draw(chart, {})

    assert [text.partition("<br>")[0] for text in texts["0.text"]] == [
        f"filled: {each}" for each in expected
    ]


def test_fills_drawn_as_one_mark_add_up_in_the_unit():
    many = pl.concat(
        [FILLS.with_columns(pl.col("timestamp").dt.offset_by(f"{n}ns")) for n in range(400)]
    )
    traces = AccountTraces(View(100), 0, ShownSizes(QUOTE))
    traces.take("account_fills", many.sort("timestamp"))

    texts, _ = traces.draw(chart_of(PriceChart, "trades", TRADES, None), {})

    sums = [text.split(" fills, ") for text in texts["0.text"] if " fills, " in text]
    assert sums
    for count, rest in sums:
        total = float(rest.partition(" USDT in all")[0])
        assert 0.22 * int(count) <= total * (1 + 1e-9)
        assert total <= 0.3 * int(count) * (1 + 1e-9)


def test_a_large_size_is_written_without_an_exponent():
    assert ShownSizes(QUOTE).written_at(123_456_789.0, 65_432.1) == "8,078,036,960 USDT"
    assert ShownSizes(COINS).written_at(1.0, 1.0) == "0.001 XBT"


def test_a_position_says_that_it_is_in_the_unit_of_the_exchange():
    chart = RunChart(View(), Sketch(options={"currency": "USDT", "unit": "contracts"}))

    assert chart.spec()["layout"]["yaxis2"]["title"]["text"] == "position, contracts"
