"""Charts of the order book: what the pointer reads of the depth, in which unit."""

import numpy as np
import polars as pl
import pytest

from kucoin_research.figures.book_charts import DepthChart, LadderChart
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.model.size_unit import SizeUnit, Unit

BOOK = pl.DataFrame(
    {
        "bid_price": [100.0, 99.9, 99.0],
        "bid_size": [3.0, 4.0, 1.0],
        "ask_price": [100.1, 100.2, 101.0],
        "ask_size": [1.0, 2.0, 5.0],
    }
)


def depth_of(symbol, **options):
    chart = DepthChart(View(), Sketch(symbol, options=options))
    chart.take("book", BOOK)
    return chart.spec(), chart.draw().arrays


def test_the_hover_of_the_depth_has_size_total_worth_and_distance():
    coins, quote = SizeUnit(Unit.COINS, "XBT", 0.001), SizeUnit(Unit.QUOTE, "USDT", 0.001, power=1)

    spec, arrays = depth_of("XBTUSDTM", unit=coins, worth=quote)

    assert arrays[0, "y"].tolist() == [0.003, 0.007, 0.008]
    size, percent, bp, worth = arrays[0, "customdata"][1]
    assert (size, worth) == (0.004, 0.6996)  # 3 at 100.0 and 4 at 99.9
    assert bp == pytest.approx((99.9 / 100.05 - 1) * 1e4)
    assert percent == pytest.approx(bp / 100)
    hover = spec["data"][0]["hovertemplate"]
    assert "cumulated %{y:,.15~r} XBT" in hover
    assert "worth %{customdata[3]:,.4~f} USDT" in hover


def test_a_pair_is_worth_its_quote_currency_and_an_unknown_contract_has_no_worth():
    pair, pairs = depth_of("BTC-USDT")
    contract, contracts = depth_of("XBTUSDTM")

    assert "USDT" in pair["data"][1]["hovertemplate"]
    assert pairs[1, "customdata"][:, 3].tolist() == [100.1, 300.5, 805.5]
    assert "worth" not in contract["data"][1]["hovertemplate"]
    assert contracts[1, "customdata"].shape == (3, 3)


def test_the_depth_of_one_side_has_no_distance_from_a_mid():
    chart = DepthChart(View(), Sketch("BTC-USDT"))
    chart.take("book", BOOK.with_columns(ask_price=pl.lit(None, pl.Float64)))

    assert np.isnan(chart.draw().arrays[0, "customdata"][:, 1]).all()


def test_the_bars_of_the_levels_are_in_the_unit_at_each_price():
    quote = SizeUnit(Unit.QUOTE, "USDT", 0.001, power=1)
    chart = LadderChart(View(), Sketch("XBTUSDTM", options={"unit": quote}))
    chart.take("book", BOOK)

    assert chart.draw().arrays[0, "x"][0] == pytest.approx(0.1001)
    assert chart.spec()["layout"]["xaxis"]["title"]["text"] == "size per step, USDT"
