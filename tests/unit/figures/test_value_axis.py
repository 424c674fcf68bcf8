"""Axes of values that do not move, which plotly would show from 1 below them to 1 above."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research import figures
from kucoin_research.figures.value_axis import last_place, steady
from kucoin_research.model.records import Depth50, MarkPrice, Ticker, Trade, schema_of

SECOND = 1_000_000_000
START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * SECOND
PRICES = (1e-9, 1.2e-8, 1.234e-5, 0.012, 0.1 + 0.2, 1.0, 100.0, 65432.1, 123456.78, 1e6)


def frame(record, row, count=61):
    times = [START + second * SECOND for second in range(count)]
    rows = [(time, time, "PEPE-USDT", *row(second)) for second, time in enumerate(times)]
    return pl.DataFrame(rows, schema=schema_of(record), orient="row")


def trades(price, count=61, size=0.7):
    return frame(Trade, lambda second: (second, "id", "buy", price, size), count)


def tickers(bid, ask, count=61):
    return frame(Ticker, lambda second: (second, ask, 1.0, "buy", bid, 3.0, ask, 1.0), count)


def book(bids, asks):
    return frame(Depth50, lambda _: (1, bids, [5.0] * len(bids), asks, [5.0] * len(asks)), 3)


def marks(mark, index):
    return frame(MarkPrice, lambda second: (mark(second), index(second)))


def of_one_price(name, price):
    """Make a figure of a price that does not move."""
    rows = {
        "price": lambda: trades(price),
        "price of quotes": lambda: tickers(price, price),
        "candles": lambda: trades(price),
        "candles of one trade": lambda: trades(price, 1),
        "candles of mids": lambda: kr.mid_bars(tickers(price, price, 1)),
        "depth": lambda: book([price], []),
        "ladder": lambda: book([price], []),
        "ladder of asks": lambda: book([], [price]),
        "heatmap": lambda: book([price], []),
        "mark": lambda: marks(lambda _: price, lambda _: price),
    }[name]()
    return getattr(figures, name.split()[0])(rows)


def bounds(figure, axis="yaxis"):
    """Return what an axis is told to show, whatever plotly's own range would be."""
    options = figure.layout[axis].autorangeoptions
    low, high = options.include
    assert (options.clipmin, options.clipmax) == (low, high)
    assert figure.layout[axis].range is None  # which a double click could not restore
    return low, high


@pytest.mark.parametrize("price", PRICES)
@pytest.mark.parametrize(
    "name",
    ["price", "price of quotes", "candles", "candles of one trade", "candles of mids", "depth",
     "ladder", "ladder of asks", "mark"],
)  # fmt: skip
def test_a_price_that_does_not_move_is_in_the_middle_of_a_range_of_its_own_size(name, price):
    low, high = bounds(of_one_price(name, price), "xaxis" if name == "depth" else "yaxis")

    assert low + (high - low) / 2 == pytest.approx(price, rel=1e-9)
    assert 1e-8 * price < high - low <= 0.05 * price


@pytest.mark.parametrize("price", PRICES)
def test_a_heat_map_of_one_price_has_rows_of_the_prices_size(price):
    rows = of_one_price("heatmap", price).data[0].y

    assert len(rows) > 1  # plotly draws a single one as high as 1
    assert abs(rows[0] / price - 1) <= 0.05
    assert abs(rows[-1] / price - 1) <= 0.05


@given(st.integers(1, 99_999_999), st.integers(-12, 4))
def test_a_price_is_a_whole_number_of_its_last_places_of_which_it_has_a_hundred(digits, exponent):
    price = float(f"{digits}e{exponent}")

    steps = price / last_place(price)

    assert steps == pytest.approx(round(steps), rel=1e-9)
    assert 100 * (1 - 1e-9) <= steps < 1e9


@pytest.mark.parametrize("price", PRICES)
def test_a_price_that_moves_by_one_digit_of_eight_is_left_to_plotly(price):
    moving = np.array([price, np.nan, price * (1 + 1e-8)])

    assert steady("yaxis", [moving]) == {"yaxis.autorangeoptions": {}}


@pytest.mark.parametrize("price", PRICES)
def test_the_rounding_of_an_average_is_no_movement(price):
    rng = np.random.default_rng(1)
    sizes = rng.random(100_000)
    averages = np.cumsum(sizes * price) / np.cumsum(sizes)

    low, high = steady("yaxis", [averages])["yaxis.autorangeoptions"]["include"]

    assert price == 1.0 or averages.min() < averages.max()
    assert 1e-8 * price < high - low <= 0.05 * price


def test_nothing_to_show_is_left_to_plotly():
    for values in ([], [np.empty(0)], [np.full(3, np.nan)]):
        assert steady("yaxis", values) == {"yaxis.autorangeoptions": {}}


@pytest.mark.parametrize(("bid", "ask"), [(1.2e-8, 1.21e-8), (1.0, 1.01), (65432.1, 65432.2)])
def test_a_ladder_of_one_level_a_side_shows_them_where_they_are(bid, ask):
    figure = figures.ladder(book([bid], [ask]))

    asks, bids = figure.data
    assert asks.y.tolist() == pytest.approx([ask], rel=1e-9)
    assert bids.y.tolist() == pytest.approx([bid], rel=1e-9)
    low, high = bounds(figure)
    assert low < bid < ask < high
    assert high - low < 6 * (ask - bid)


def test_a_ladder_whose_sides_differ_shows_no_more_than_its_rungs():
    bids = [1.2e-8 - rung * 1e-10 for rung in range(20)]

    figure = figures.ladder(book(bids, [1.21e-8]))

    low, high = bounds(figure)
    assert 0 < low < bids[-1]
    assert 1.21e-8 < high < 1.25e-8


@pytest.mark.parametrize("price", PRICES)
def test_a_basis_that_is_constant_up_to_rounding_has_labels_of_few_digits(price):
    def mark(second):
        return price * (1 + second / 1e4)

    figure = figures.mark(marks(mark, lambda second: mark(second) * 1.0001))

    premium = next(each for each in figure.data if each.name == "mark − index").y
    assert len(set(premium.tolist())) > 1
    low, high = bounds(figure, "yaxis2")
    assert low < premium.min() <= premium.max() < high
    assert 0.001 < high - low < 0.1


def test_a_basis_of_nothing_but_rounding_is_zero():
    index = [100.0, np.nextafter(100.0, 101.0)]

    figure = figures.mark(marks(lambda _: 100.0, lambda second: index[second % 2]))

    assert bounds(figure, "yaxis2") == (-1.0, 1.0)


@pytest.mark.parametrize("size", [1e-8, 0.01, 1 / 3, 1.0, 276e9])
def test_the_flow_of_one_trade_is_in_a_range_of_its_own_size(size):
    low, high = bounds(figures.flow(trades(1.0, 1, size)))

    assert low < size < high
    assert 0.001 * size < high - low <= 0.05 * size


def test_bars_without_volume_have_an_axis_that_begins_at_zero():
    figure = figures.candles(kr.mid_bars(tickers(1.0, 1.1)))

    assert figure.layout.yaxis2.rangemode == "tozero"
