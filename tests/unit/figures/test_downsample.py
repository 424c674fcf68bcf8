"""Down-sampling keeps extremes, and what is kept is bounded, however rows arrive."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.delta import difference, patched
from kucoin_research.figures.downsample import Bubbles, Extremes, Sums, broken, bucket_width, thin
from kucoin_research.figures.heat_chart import HeatChart
from kucoin_research.figures.lag_chart import LagChart
from kucoin_research.figures.line_charts import FlowChart, MarkChart, PriceChart, SpreadChart

SECOND = 1_000_000_000
# A busy machine draws examples slowly, which says nothing of them.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def rows(draw, most=150):
    count = draw(st.integers(1, most))
    steps = draw(st.lists(st.integers(0, 5 * SECOND), min_size=count, max_size=count))
    values = draw(st.lists(st.floats(-1e6, 1e6), min_size=count, max_size=count))
    return np.cumsum(np.array(steps, np.int64)), np.array(values)


@patient
@given(rows(), st.integers(1, 60 * SECOND))
def test_thinning_keeps_first_last_and_extremes_of_every_bucket(data, width):
    times, values = data

    kept = thin(times, values, width)

    for key in np.unique(times // width):
        inside = np.flatnonzero(times // width == key)
        chosen = values[kept[times[kept] // width == key]]
        assert chosen.min() == values[inside].min()
        assert chosen.max() == values[inside].max()
        assert inside[0] in kept
        assert inside[-1] in kept
        assert len(chosen) <= 4


@patient
@given(rows(), st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_a_line_fed_in_batches_is_bounded_and_has_the_extremes(data, sizes):
    times, values = data
    line = Extremes(most=20)
    start = 0
    for size in [*sizes, times.size]:
        line.add(times[start : start + size], values[start : start + size])
        start += size

    assert line.times.size <= line.most
    assert line.values.min() == values.min()
    assert line.values.max() == values.max()
    assert line.values[0] == values[0]
    assert (np.diff(line.times) >= 0).all()


def test_a_million_rows_leave_no_more_points_than_the_limit():
    line = Extremes(most=2_000)
    values = np.sin(np.arange(1_000_000) / 999)
    values[123_456] = 42.0

    line.add(np.arange(1_000_000) * 1_000_000, values)

    assert line.times.size <= line.most
    assert line.values.max() == 42.0


def test_late_rows_find_their_place_and_missing_values_are_left_out():
    line = Extremes(most=200)

    line.add(np.array([10, 30]), np.array([1.0, 3.0]))
    line.add(np.array([20, 40]), np.array([2.0, np.nan]))

    assert line.times.tolist() == [10, 20, 30]
    assert line.values.tolist() == [1.0, 2.0, 3.0]


def test_what_left_the_window_is_forgotten_but_for_where_the_line_comes_from():
    line = Extremes(most=200)
    line.add(np.array([0, 10, 20, 30]), np.array([1.0, 2.0, 3.0, 4.0]))

    line.drop_before(15)

    assert line.times.tolist() == [10, 20, 30]


def trades_of(data):
    times, values = data
    return times, np.round(values), 1.0 + np.abs(values) % 7


def batches(count, sizes):
    start = 0
    for size in [*sizes, count]:
        yield slice(start, start + size)
        start += size


@settings(patient, max_examples=40)
@given(rows(), st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_bubbles_add_up_and_keep_the_largest_the_highest_and_the_lowest(data, sizes):
    times, prices, traded = trades_of(data)
    bubbles = Bubbles(most=20)
    for part in batches(times.size, sizes):
        bubbles.add(times[part], prices[part], traded[part])

    assert bubbles.times.size <= bubbles.most
    assert bubbles.sizes.sum() == pytest.approx(traded.sum())
    assert bubbles.counts.sum() == times.size
    assert bubbles.prices.min() == prices.min()
    assert bubbles.prices.max() == prices.max()
    assert times[np.argmax(traded)] in bubbles.times
    assert (np.diff(bubbles.times) >= 0).all()
    assert set(zip(bubbles.times, bubbles.prices, strict=True)) <= set(
        zip(times, prices, strict=True)
    )


@settings(patient, max_examples=40)
@given(rows(), st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_what_is_drawn_does_not_depend_on_how_the_rows_came(data, sizes):
    times, prices, traded = trades_of(data)
    some, all_at_once = (Extremes(50), Bubbles(50)), (Extremes(50), Bubbles(50))
    for made, parts in ((some, sizes), (all_at_once, ())):
        for part in batches(times.size, parts):
            made[0].add(times[part], prices[part])
            made[1].add(times[part], prices[part], traded[part])

    for one, other in zip(some, all_at_once, strict=True):
        if one._width == other._width:
            np.testing.assert_array_equal(one.times, other.times)
    if some[1]._width == all_at_once[1]._width:
        np.testing.assert_allclose(some[1].sizes, all_at_once[1].sizes)


@pytest.mark.parametrize("made", [Extremes(2_000), Bubbles(2_000)], ids=["line", "bubbles"])
def test_a_million_rows_use_at_least_half_of_the_points_there_may_be(made):
    values = np.random.default_rng(1).standard_normal(1_000_000).cumsum()

    made.add(np.arange(1_000_000) * 1_000_000, values, *([values**2] * isinstance(made, Bubbles)))

    assert 1_000 <= made.times.size <= 2_000


# -- density -----------------------------------------------------------------------------------

CHARTS = {
    "price": (PriceChart, ("quotes", "trades")),
    "spread": (SpreadChart, ("quotes",)),
    "flow": (FlowChart, ("trades",)),
    "lag": (LagChart, ("rows",)),
    "mark": (MarkChart, ("mark",)),
    "heatmap": (HeatChart, ("book",)),
}


def market(seed, rate, seconds):
    """Give quotes, trades and marks that come at a constant rate, at random prices."""
    random = np.random.default_rng(seed)
    count = int(rate * seconds)
    times = (np.arange(count) * (SECOND / rate)).astype(np.int64) + 1_767_571_200 * SECOND
    price = 100 + random.standard_normal(count).cumsum() * 0.01
    frame = pl.DataFrame(
        {
            "timestamp": times, "local_timestamp": times + random.integers(1, 10**8, count),
            "price": price, "size": random.exponential(5, count) + 1,
            "side": (["buy", "sell"] * count)[:count],
            "best_bid_price": price - random.random(count),
            "best_bid_size": random.random(count) + 1,
            "best_ask_price": price + random.random(count),
            "best_ask_size": random.random(count) + 1,
            "mark_price": price, "index_price": price + random.random(count),
        }
    )  # fmt: skip
    books = {
        f"{side}_{part}_{level}": price + sign * level if part == "price" else 1.0 + 0 * price
        for side, sign in (("bid", -0.1), ("ask", 0.1))
        for part in ("price", "size")
        for level in range(1, 6)
    }
    return frame.with_columns(**{name: pl.Series(values) for name, values in books.items()}).cast(
        dict.fromkeys(("timestamp", "local_timestamp"), pl.Datetime("ns", "UTC"))
    )


def densities(chart, begin, end):
    """Count what is drawn of each trace in each tenth of what is shown."""
    edges = np.linspace(begin, end, 11)
    drawing = chart.draw()
    return {
        trace: np.histogram(values, edges)[0]
        for (trace, path), values in drawing.arrays.items()
        if path == "x" and not (isinstance(chart, LagChart) and trace)
    }


@settings(patient, max_examples=15, derandomize=True)
@given(
    st.sampled_from(sorted(CHARTS)),
    st.sampled_from([2.0, 7.0, 40.0, 150.0]),
    st.sampled_from([30, 60, 120, None]),
    st.integers(0, 2**32),
)
def test_at_a_constant_rate_the_picture_is_as_dense_at_its_edge_as_elsewhere(
    name, rate, window, seed
):
    kind, roles = CHARTS[name]
    chart = kind(View(1_000, None, window and window * SECOND), Sketch())
    rows = market(seed, rate, 3.4 * (window or 60))
    step = max(rows.height // 24, 1)
    for start in range(0, rows.height, step):
        for role in roles:
            chart.take(role, rows[start : start + step])
        shown_from, newest = chart._in_view()
        shown_from = max(shown_from, chart._oldest)
        for trace, found in densities(chart, shown_from / 1e6, newest / 1e6).items():
            if found.mean() < 15:  # a row more or less is a tenth
                continue
            assert np.abs(found / found.mean() - 1).max() <= 0.2, (trace, found)


@patient
@given(rows(), st.integers(1, 40))
def test_sums_lose_nothing_when_buckets_grow_wider(data, batch):
    times, values = data
    sums = Sums(1, buckets=7)

    for start in range(0, times.size, batch):
        sums.add(times[start : start + batch], values[np.newaxis, start : start + batch])

    assert sums.keys.size <= 8
    assert sums.sums.sum() == pytest.approx(values.sum(), abs=1e-3)
    assert (np.diff(sums.keys) > 0).all()


def test_a_line_breaks_only_where_a_break_lies_between_points():
    times, values = broken(np.array([10, 20, 30]), np.array([1.0, 2.0, 3.0]), np.array([5, 25, 99]))

    assert times.tolist() == [10, 20, 25, 30]
    assert np.isnan(values[2])


@pytest.mark.parametrize(("span", "buckets"), [(1, 1), (1_000, 7), (10**12, 500)])
def test_buckets_cover_the_span(span, buckets):
    width = bucket_width(span, buckets)

    assert width * buckets >= span
    assert width & (width - 1) == 0


@patient
@given(rows(60), rows(60))
def test_the_browser_has_the_new_picture_after_a_difference(old, new):
    before = {(0, "x"): old[0].astype(float), (0, "y"): old[1]}
    after = {(0, "x"): new[0].astype(float), (0, "y"): new[1]}

    held = dict(before)
    for part in difference(before, after):
        key = (part.trace, part.path)
        held[key] = patched(held.get(key), part)

    for key, array in after.items():
        np.testing.assert_array_equal(held[key], array)


def test_only_the_new_end_of_a_moving_line_is_sent():
    times, values = np.arange(1_000.0), np.random.default_rng(1).random(1_000)
    before = {(0, "x"): times[:900], (0, "y"): values[:900]}

    parts = difference(before, {(0, "x"): times[10:905], (0, "y"): values[10:905]})

    assert [(part.drop, part.keep, part.tail.size) for part in parts] == [(10, 890, 5)] * 2


def test_nothing_is_sent_when_nothing_changed_missing_values_included():
    arrays = {(0, "x"): np.array([1.0, 2.0]), (0, "y"): np.array([np.nan, 2.0])}

    assert difference(arrays, arrays) == []


def test_columns_of_a_matrix_are_sent_once():
    z = np.random.default_rng(1).random((50, 30)).astype(np.float32)
    x = np.arange(50.0)
    before = {(0, "x"): x[:48], (0, "z"): z[:48]}

    parts = difference(before, {(0, "x"): x[2:], (0, "z"): z[2:]})

    assert [(part.path, part.drop, len(part.tail)) for part in parts] == [("x", 2, 2), ("z", 2, 2)]
