"""Indicators, against numbers worked by hand, their definitions, and pandas."""

import math
from itertools import pairwise
from statistics import fmean

import numpy as np
import pandas as pd
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import analytics
from kucoin_research.frames.moving_values import exponential_average, relative_strength
from tests.unit.frames.measured import (
    START,
    agrees,
    is_causal,
    is_the_same_in_every_context,
    random_bars,
    random_trades,
    second,
    trades,
)


def candles_of(*rows):
    """Candles from (high, low, close), one a minute."""
    return pl.DataFrame(rows, schema=["high", "low", "close"], orient="row").cast(pl.Float64)


def closes(*values):
    return pl.DataFrame({"close": values}, schema={"close": pl.Float64})


def with_ranges(frame):
    return frame.with_columns(high=pl.col("close") + 0.3, low=pl.col("close") - 0.2)


def run_of(rows, name="close"):
    """The newest values without a missing one among them."""
    found = []
    for row in reversed(rows):
        if row[name] is None:
            break
        found.append(row[name])
    return found[::-1]


def smoothed(values, window, factor):
    if len(values) < window:
        return None
    made = fmean(values[:window])
    for value in values[window:]:
        made += factor * (value - made)
    return made


def sma(rows):
    found = run_of(rows)[-5:]
    return fmean(found) if len(found) == 5 else None


def ema(rows):
    return smoothed(run_of(rows), 5, 2 / 6)


def atr(rows):
    values = run_of(rows)
    ranges = [
        max(value + 0.3, before) - min(value - 0.2, before) for before, value in pairwise(values)
    ]
    return smoothed(ranges, 4, 1 / 4)


def rsi(rows):
    values = run_of(rows)
    changes = [value - before for before, value in pairwise(values)]
    gain = smoothed([max(each, 0) for each in changes], 4, 1 / 4)
    loss = smoothed([max(-each, 0) for each in changes], 4, 1 / 4)
    return 100 * gain / (gain + loss) if gain or loss else None


MEASURES = [
    (analytics.sma(5), sma),
    (analytics.ema(5), ema),
    (analytics.atr(4), atr),
    (analytics.rsi(4), rsi),
]
IDS = ["sma", "ema", "atr", "rsi"]


@pytest.mark.parametrize(("measure", "define"), MEASURES, ids=IDS)
def test_it_agrees_with_its_definition(measure, define):
    agrees(with_ranges(random_bars(3)), measure, define)


@pytest.mark.parametrize("measure", [each for each, _ in MEASURES], ids=IDS)
def test_it_depends_on_past_rows_only(measure):
    is_causal(with_ranges(random_bars(4)), measure)


@pytest.mark.parametrize("measure", [each for each, _ in MEASURES], ids=IDS)
def test_it_is_the_same_in_every_context(measure):
    is_the_same_in_every_context(with_ranges(random_bars(5)), measure)


def test_a_moving_average_is_null_until_its_window_is_full():
    made = closes(1, 2, 3, 4, 10).select(analytics.sma(3))

    assert made["sma"].to_list() == [None, None, 2.0, 3.0, pytest.approx(17 / 3)]


def test_an_exponential_average_starts_as_a_plain_one():
    made = closes(2, 4, 6, 8, 8).select(analytics.ema(3))  # the factor is a half

    assert made["ema"].to_list() == [None, None, 4.0, 6.0, 7.0]


def test_a_true_range_reaches_to_the_close_before():
    rows = candles_of((10, 8, 9), (12, 11, 11.5), (11, 9, 9.5), (14, 13, 14))

    made = rows.select(analytics.atr(2))

    # Ranges: 12 - 9, 11.5 - 9, 14 - 9.5; then (2.75 + 4.5) / 2.
    assert made["atr"].to_list() == [None, None, 2.75, 3.625]


def test_strength_is_that_of_wilders_averages():
    made = closes(10, 11, 10.5, 10.5, 11.5).select(analytics.rsi(2))

    # Gains 1, 0, 0, 1 and losses 0, 0.5, 0, 0: averages 0.5 and 0.25, then 0.25 and 0.125, ….
    assert made["rsi"].to_list() == [
        None, None, pytest.approx(200 / 3), pytest.approx(200 / 3),
        pytest.approx(100 * 0.625 / 0.6875),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("prices", "strength"), [((1, 2, 3), 100.0), ((3, 2, 1), 0.0), ((2, 2, 2), None)]
)
def test_strength_at_its_ends_and_without_any_change(prices, strength):
    assert closes(*prices).select(analytics.rsi(2))["rsi"][-1] == strength


def test_the_averages_are_those_of_pandas():
    prices = 100 + np.cumsum(np.random.default_rng(7).normal(size=500))
    window = 20

    found = exponential_average(prices, window)

    seeded = pd.Series([*[np.nan] * (window - 1), prices[:window].mean(), *prices[window:]])
    wanted = seeded.ewm(span=window, adjust=False).mean().to_numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    mine = pl.DataFrame({"close": prices}).select(analytics.sma(window))["sma"].to_numpy()
    theirs = pd.Series(prices).rolling(window).mean().to_numpy()
    np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_strength_is_that_of_pandas():
    prices = pd.Series(100 + np.cumsum(np.random.default_rng(8).normal(size=400)))
    changes = prices.diff()

    def wilder(values):
        seeded = values.copy()
        seeded.iloc[:14] = np.nan
        seeded.iloc[14] = values.iloc[1:15].mean()
        return seeded.ewm(alpha=1 / 14, adjust=False).mean()

    gain, loss = wilder(changes.clip(lower=0)), wilder(-changes.clip(upper=0))

    found = relative_strength(prices.to_numpy(), 14)

    np.testing.assert_allclose(found, 100 - 100 / (1 + gain / loss), rtol=1e-9)


def test_a_break_starts_each_anew():
    rows = closes(1, 2, 3, 10, 20, 30).with_columns(gap=pl.Series([0, 0, 0, 1, 0, 0]) == 1)

    made = rows.select(analytics.sma(3, breaks="gap"), analytics.ema(3, breaks=pl.col("gap")))

    for name in ("sma", "ema"):
        assert made[name].to_list() == [None, None, 2.0, None, None, 20.0]


def test_a_missing_value_starts_each_anew():
    made = closes(1, 2, 3, None, 20, 30).select(analytics.ema(2))

    assert made["ema"].to_list() == [None, 1.5, 2.5, None, None, 25.0]


def test_bands_are_deviations_by_size_around_the_average():
    rows = trades(("buy", 10, 1), ("sell", 20, 3), ("buy", 15, 0))

    made = kr.analytics.vwap_bands(rows, deviations=2)

    assert made["vwap"].to_list() == [10.0, 17.5, 17.5]
    deviation = math.sqrt((1 * 7.5**2 + 3 * 2.5**2) / 4)
    assert made["vwap_deviation"].to_list() == pytest.approx([0, deviation, deviation])
    assert made["vwap_lower"][1] == pytest.approx(17.5 - 2 * deviation)
    assert made["vwap_upper"][1] == pytest.approx(17.5 + 2 * deviation)


def test_a_session_starts_on_a_round_time_and_each_symbol_has_its_own():
    rows = trades(("buy", 10, 1), ("buy", 20, 1), ("buy", 30, 1), ("buy", 40, 1)).with_columns(
        timestamp=pl.Series([second(n) for n in (0, 40, 80, 100)]).cast(pl.Datetime("ns", "UTC"))
    )
    both = pl.concat([rows, rows.with_columns(symbol=pl.lit("ETHUSDTM"), price=pl.lit(5.0))])

    made = kr.analytics.vwap_bands(both, session="1min")

    assert made["vwap"].to_list() == [10, 15, 30, 35, 5, 5, 5, 5]


def test_a_window_of_the_vwap_is_null_until_it_is_full():
    rows = trades(("buy", 10, 1), ("buy", 20, 1), ("buy", 40, 3))

    made = kr.analytics.vwap_bands(rows, window=2)

    assert made["vwap"].to_list() == [None, 15.0, 35.0]


def test_candles_count_by_their_typical_price():
    rows = pl.DataFrame(
        {"timestamp": [START], "high": [12.0], "low": [9.0], "close": [9.0], "volume": [4.0]}
    )

    assert kr.analytics.vwap_bands(rows)["vwap"].to_list() == [10.0]


def test_bands_agree_with_a_plain_sum_over_many_trades():
    rows = random_trades(9).filter(pl.col("symbol") == "XBTUSDTM").drop_nulls()

    made = kr.analytics.vwap_bands(rows, session="1d")

    price, size = rows["price"].to_numpy(), rows["size"].to_numpy()
    for n in range(rows.height):
        part, weights = price[: n + 1], size[: n + 1]
        if not weights.sum():
            assert made["vwap"][n] is None
            continue
        mean = np.average(part, weights=weights)
        spread = math.sqrt(np.average((part - mean) ** 2, weights=weights))
        assert made["vwap"][n] == pytest.approx(mean, rel=1e-12)
        assert made["vwap_deviation"][n] == pytest.approx(spread, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window": 0}, "window"),
        ({"deviations": -1}, "deviations"),
        ({"session": "soon"}, "soon"),
    ],
)
def test_a_wrong_argument_is_named(options, sentence):
    with pytest.raises(kr.InvalidInput, match=sentence):
        kr.analytics.vwap_bands(trades(("buy", 1, 1)), **options)


def test_rows_without_prices_or_with_bands_already_are_refused():
    rows = trades(("buy", 1, 1))

    with pytest.raises(kr.ColumnMissing, match="high"):
        kr.analytics.vwap_bands(rows.drop("price"))
    with pytest.raises(kr.InvalidInput, match="already"):
        kr.analytics.vwap_bands(kr.analytics.vwap_bands(rows))
    with pytest.raises(kr.InvalidInput, match="window"):
        kr.analytics.sma(0)
