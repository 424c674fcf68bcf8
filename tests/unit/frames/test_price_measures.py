"""Measures of prices over windows, against their definitions, row by row."""

import math
from itertools import pairwise
from statistics import fmean, stdev

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import analytics
from tests.unit.frames.measured import (
    agrees,
    is_causal,
    is_the_same_in_every_context,
    random_bars,
    random_trades,
)


def newest(values, window):
    """The newest values; none if one of them is missing, or if they are fewer than the window."""
    if window is None:  # all so far that are there, if the last one is
        found = [each for each in values if each is not None]
        return found if values and values[-1] is not None else []
    found = values[-window:]
    return found if len(found) == window and None not in found else []


def prices_of(rows, name):
    return [row[name] for row in rows]


def pairs(values, function):
    """A function of each value and the one before it; None if one is missing."""
    made = [None]
    for before, value in pairwise(values):
        made.append(None if before is None or value is None else function(before, value))
    return made


def roll(window):
    def define(rows):
        changes = pairs(prices_of(rows, "price"), lambda before, price: price - before)
        products = newest(pairs(changes, lambda a, b: a * b), window and window - 1)
        covariance = fmean(products) if products else 0
        return 2 * math.sqrt(-covariance) if covariance < -1e-12 else None

    return define


def amihud(window):
    def define(rows):
        moves = pairs(prices_of(rows, "close"), lambda before, close: abs(close / before - 1))
        ratios = [
            None if move is None or not row["turnover"] else move / row["turnover"]
            for move, row in zip(moves, rows, strict=True)
        ]
        found = newest(ratios, window)
        return fmean(found) if found else None

    return define


def kyle(window, *, intercept):
    def define(rows):
        changes = pairs(prices_of(rows, "price"), lambda before, price: price - before)
        signs = {"buy": 1, "sell": -1}
        points = [
            None if change is None else (signs[row["side"]] * row["size"], change)
            for change, row in zip(changes, rows, strict=True)
        ]
        found = newest(points, window)
        v0, y0 = (fmean(each) for each in zip(*found, strict=True)) if found else (0, 0)
        if not intercept:
            v0 = y0 = 0
        square = sum((v - v0) ** 2 for v, _ in found)
        return sum((v - v0) * (y - y0) for v, y in found) / square if square > 1e-9 else None

    return define


def returns(rows):
    return pairs(prices_of(rows, "close"), lambda before, close: math.log(close / before))


def variance(window):
    def define(rows):
        found = newest(returns(rows), window)
        return math.fsum(r * r for r in found) if found else None

    return define


def bipower(window):
    def define(rows):
        products = pairs(returns(rows), lambda a, b: abs(a) * abs(b))
        found = newest(products, window and window - 1)
        return math.pi / 2 * math.fsum(found) if found else None

    return define


def jumps(window):
    def define(rows):
        all_, smooth = variance(window)(rows), bipower(window)(rows)
        return None if all_ is None or smooth is None else max(all_ - smooth, 0)

    return define


def score(rows):
    found = newest(prices_of(rows, "price"), 5)
    varies = len(set(found)) > 1
    return (found[-1] - fmean(found)) / stdev(found) if varies else None


TRADES = {
    "roll": (analytics.roll_spread(5), roll(5)),
    "roll of 2": (analytics.roll_spread(2), roll(2)),
    "roll so far": (analytics.roll_spread(), roll(None)),
    "kyle": (analytics.kyle_lambda(6), kyle(6, intercept=True)),
    "kyle through 0": (
        analytics.kyle_lambda(6, intercept=False), kyle(6, intercept=False),
    ),
    "kyle so far": (analytics.kyle_lambda(), kyle(None, intercept=True)),
    "score": (analytics.z_score("price", 5), score),
}  # fmt: skip
BARS = {
    "amihud": (analytics.amihud(2), amihud(2)),
    "amihud so far": (analytics.amihud(), amihud(None)),
    "variance": (analytics.realised_variance(4), variance(4)),
    "variance so far": (analytics.realised_variance(), variance(None)),
    "bipower": (analytics.bipower_variation(4), bipower(4)),
    "bipower so far": (analytics.bipower_variation(), bipower(None)),
    "jumps": (analytics.jump_variation(4), jumps(4)),
    "jumps so far": (analytics.jump_variation(), jumps(None)),
}
MEASURES = {
    **{name: (random_trades, *each) for name, each in TRADES.items()},
    **{name: (random_bars, *each) for name, each in BARS.items()},
}
every_measure = pytest.mark.parametrize("name", MEASURES)


@every_measure
@pytest.mark.parametrize("seed", range(3))
def test_a_measure_is_its_definition(name, seed):
    make, measure, define = MEASURES[name]

    agrees(make(seed), measure, define)


@every_measure
def test_no_later_row_changes_a_value(name):
    make, measure, _ = MEASURES[name]

    is_causal(make(7), measure)


@every_measure
def test_a_measure_is_the_same_lazily_and_in_groups(name):
    make, measure, _ = MEASURES[name]

    is_the_same_in_every_context(make(8), measure)


def last(measure, **columns):
    return pl.DataFrame(columns, strict=False).select(measure.last()).item()


CLOSES = [math.exp(each) for each in (0, 0.01, -0.01, 0.005, 0.01)]  # log returns: see below


@pytest.mark.parametrize("window", [None, 1])
def test_without_a_window_all_rows_so_far_are_measured(window):
    count = None if window is None else 4
    flow = {"price": [100, 100.02, 100.01, 100.04, 100.02], "volume": [0, 10, -5, 20, -15]}

    assert last(analytics.realised_variance(count), close=CLOSES) == pytest.approx(0.00075)
    kyle_lambda = analytics.kyle_lambda(count, volume="volume")
    assert last(kyle_lambda, **flow) == pytest.approx(0.00151724, rel=1e-5)


def test_the_worked_figures():
    roll_prices = [100, 101, 100, 101, 101, 100, 101]
    assert last(analytics.roll_spread(6), price=roll_prices) == pytest.approx(1.5492, rel=1e-4)
    ratios = {"close": [100.0, 101.0, 98.98, 99.4749], "turnover": [1, 1e6, 2e6, 5e5]}
    assert last(analytics.amihud(3), **ratios) == pytest.approx(1e-8)
    flow = {"price": [100, 100.02, 100.01, 100.04, 100.02], "volume": [0, 10, -5, 20, -15]}
    through_0 = analytics.kyle_lambda(4, volume="volume", intercept=False)
    assert last(through_0, **flow) == pytest.approx(0.00153333, rel=1e-5)
    # Log returns .01, -.02, .015, .005.
    assert last(analytics.bipower_variation(4), close=CLOSES) == pytest.approx(0.000903208)
    assert last(analytics.jump_variation(4), close=CLOSES) == 0
    jump = [math.exp(each) for each in (0, 0.001, 0.101, 0.102)]
    wanted = 0.010002 - math.pi / 2 * 0.0002
    assert last(analytics.jump_variation(3), close=jump) == pytest.approx(wanted)


PLAIN = [
    analytics.roll_spread(3), analytics.kyle_lambda(3), analytics.z_score("price", 3),
    analytics.kyle_lambda(3, intercept=False), analytics.amihud(3, price="price"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(PLAIN)))
def test_of_equal_prices_behind_a_huge_jump_no_rounding_is_measured(number):
    prices = [1e12, 0.1, 1e9, 0.3, 0.2] + [0.7] * 8
    columns = {"price": prices, "side": ["buy"] * 13, "size": [2.0] * 13, "turnover": [0.0] * 13}

    found = pl.DataFrame(columns).select(PLAIN[number]).to_series().to_list()

    wanted = 0 if number == 3 else None  # through 0: no move of the price is a slope of 0
    assert found[-4:] == [pytest.approx(wanted, abs=1e-6)] * 4


def test_sizes_of_0_have_no_slope():
    columns = {"price": [1.0, 2.0, 3.0, 1.0], "side": ["buy"] * 4, "size": [0.0] * 4}

    for intercept in (True, False):
        for window in (None, 3):
            assert last(analytics.kyle_lambda(window, intercept=intercept), **columns) is None


def test_prices_that_have_no_logarithm_count_as_missing():
    columns = {"close": [1.0, 0.0, -1.0, math.nan, math.inf, 2.0, 2.0, 4.0]}

    found = pl.DataFrame(columns).select(analytics.realised_variance(1)).to_series().to_list()

    assert found == [None] * 6 + [0.0, pytest.approx(math.log(2) ** 2)]


def test_the_last_value_of_a_group_is_the_groups():
    bars = random_bars(4)

    found = bars.group_by("symbol", maintain_order=True).agg(analytics.realised_variance().last())

    for symbol, value in found.rows():
        closes = bars.filter(pl.col("symbol") == symbol).select(analytics.realised_variance())
        assert value == closes["realised_variance"][-1]


def test_slopes_are_of_the_mid_where_it_is_asked_for():
    columns = {"best_bid_price": [1.0, 2.0, 4.0], "best_ask_price": [2.0, 3.0, 5.0],
               "side": ["buy", "buy", "buy"], "size": [1.0, 1.0, 2.0]}  # fmt: skip

    slope = analytics.kyle_lambda(2, price=analytics.mid())

    assert last(slope, **columns) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "measure",
    [analytics.roll_spread, analytics.kyle_lambda, analytics.bipower_variation,
     analytics.jump_variation, lambda window: analytics.z_score("price", window)],
)  # fmt: skip
@pytest.mark.parametrize("wrong", [0, 1, -3, 2.5, "5", True])
def test_a_window_that_is_too_short_is_refused(measure, wrong):
    with pytest.raises(kr.InvalidInput, match="window must be a whole number of rows from 2 on"):
        measure(wrong)


@pytest.mark.parametrize("measure", [analytics.amihud, analytics.realised_variance])
def test_a_window_of_0_is_refused(measure):
    with pytest.raises(kr.InvalidInput, match="window must be a whole number of rows above 0"):
        measure(0)


def test_other_mistakes_are_answered_in_a_sentence():
    with pytest.raises(kr.InvalidInput, match="price must be the name of a column or a polars exp"):
        analytics.realised_variance(price=5)
    with pytest.raises(kr.InvalidInput, match="values must be the name of a column or a polars"):
        analytics.z_score(None, 5)
    with pytest.raises(kr.InvalidInput, match="z_score lacks window; it takes values, window"):
        analytics.z_score("price")
    with pytest.raises(kr.InvalidInput, match="intercept must be True or False, not 0"):
        analytics.kyle_lambda(5, intercept=0)
    with pytest.raises(kr.InvalidInput, match="volume must be the name of a column or a polars"):
        analytics.kyle_lambda(5, volume=3)
