"""Indicators as users write them, and what is not understood."""

import numpy as np
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.figures.candle_bars import COLUMNS, Candles
from kucoin_research.figures.indicator import indicators_of, joined, text_of

RANGE = pl.col("high") - pl.col("low")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ""),
        ("", ""),
        ("sma 20", "SMA 20"),
        ("SMA20,ema  50 , vwap", "SMA 20, EMA 50, VWAP"),
        (["RSI", "ATR"], "RSI 14, ATR 14"),
        (["VWAP 20", "VWAP 20"], "VWAP 20"),
        (("range", RANGE), "range"),
        ([("range", RANGE), "SMA 2"], "range, SMA 2"),
    ],
)
def test_they_are_read_from_texts_and_pairs(given, names):
    assert text_of(indicators_of(given)) == names


def test_an_expression_has_a_pane_of_its_own_unless_it_is_said_to_be_a_price():
    own, price = indicators_of([("range", RANGE), ("top", pl.col("high"), "price")])

    assert (own.pane, price.pane) == ("range", "price")


def test_one_with_a_name_that_is_there_takes_its_place():
    before = indicators_of([("range", RANGE), "SMA 20"])

    made = joined(before, indicators_of([("range", RANGE, "price")]))

    assert [(each.name, each.pane) for each in made] == [("range", "price"), ("SMA 20", "price")]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("SAM 20", "did you mean SMA"),
        ("SMA", "needs a number of candles, such as 'SMA 20'"),
        ("EMA 0", "takes 1 to 10,000 candles, not 0"),
        ("SMA 20 30", "no indicator is called 'SMA 20 30'"),
        (5, "texts such as 'SMA 20'"),
        ([5], "not 5"),
        ([("range", "high")], "a polars expression of candles, not 'high'"),
        ([("a, b", RANGE)], "without a comma"),
        ([("range", RANGE, "")], "the pane of an indicator"),
        ([("range", pl.col("hgh"))], "the indicator 'range' cannot be computed .* \"hgh\""),
        ([("range", pl.col("high").head(2))], "'range' cannot be computed"),
        ([("range", pl.lit("high"))], "'range' cannot be computed"),
        ([f"SMA {n}" for n in range(1, 10)], "room for 8 indicators, not 9"),
        (["ATR", "RSI", ("a", RANGE), ("b", RANGE)], "room for 3 panes of indicators, not 4"),
    ],
)
def test_one_that_is_not_understood_is_named_in_a_sentence(given, sentence):
    with pytest.raises(kr.InvalidInput, match=sentence):
        indicators_of(given)


@pytest.mark.parametrize("name", ["SMA 20", "EMA 9", "EMA 200", "ATR 14", "RSI 14", "RSI 105"])
def test_what_comes_before_the_lead_does_not_count(name):
    (indicator,) = indicators_of(name)
    count = indicator.lead + 1
    rises = np.concatenate((np.linspace(50.0, 150.0, 500), 150 + np.sin(np.arange(count))))
    opens = np.arange(rises.size)

    def last(prices):
        columns = dict.fromkeys(COLUMNS, prices)
        candles = Candles(opens[: prices.size], opens[: prices.size] + 1, 1, columns, prices)
        no = np.zeros(prices.size, bool)
        return indicator.values(candles, no, no)[0][-1]

    assert last(rises[-count:]) == pytest.approx(last(rises), rel=1e-6)


def test_an_expression_takes_a_page_and_the_vwap_of_the_day_what_there_is():
    assert [each.lead for each in indicators_of([("range", RANGE), "VWAP"])] == [200, 0]
