"""Down-sampling keeps extremes, and what is kept is bounded, however rows arrive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research.figures.delta import difference, patched
from kucoin_research.figures.thin import Extremes, Largest, Sums, broken, bucket_width, thin

SECOND = 1_000_000_000


@st.composite
def rows(draw, most=400):
    count = draw(st.integers(1, most))
    steps = draw(st.lists(st.integers(0, 5 * SECOND), min_size=count, max_size=count))
    values = draw(st.lists(st.floats(-1e6, 1e6), min_size=count, max_size=count))
    return np.cumsum(np.array(steps, np.int64)), np.array(values)


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


@settings(deadline=None)
@given(rows(), st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_a_line_fed_in_batches_is_bounded_and_has_the_extremes(data, sizes):
    times, values = data
    line = Extremes(buckets=5)
    start = 0
    for size in [*sizes, times.size]:
        line.add(times[start : start + size], values[start : start + size])
        start += size

    assert line.times.size <= line.limit
    assert line.values.min() == values.min()
    assert line.values.max() == values.max()
    assert line.values[0] == values[0]
    assert (np.diff(line.times) >= 0).all()


def test_a_million_rows_leave_no_more_points_than_the_limit():
    line = Extremes(buckets=500)
    values = np.sin(np.arange(1_000_000) / 999)
    values[123_456] = 42.0

    line.add(np.arange(1_000_000) * 1_000_000, values)

    assert line.times.size <= line.limit
    assert line.values.max() == 42.0


def test_late_rows_find_their_place_and_missing_values_are_left_out():
    line = Extremes(buckets=50)

    line.add(np.array([10, 30]), np.array([1.0, 3.0]))
    line.add(np.array([20, 40]), np.array([2.0, np.nan]))

    assert line.times.tolist() == [10, 20, 30]
    assert line.values.tolist() == [1.0, 2.0, 3.0]


def test_what_left_the_window_is_forgotten_but_for_where_the_line_comes_from():
    line = Extremes(buckets=50, span_ns=100)
    line.add(np.array([0, 10, 20, 30]), np.array([1.0, 2.0, 3.0, 4.0]))

    line.drop_before(15)

    assert line.times.tolist() == [10, 20, 30]


def test_the_largest_trade_of_a_bucket_is_kept():
    trades = Largest(buckets=10)
    times = np.arange(10_000)
    sizes = np.ones(10_000)
    sizes[7_777] = 99.0

    trades.add(times, times.astype(float), sizes)

    assert trades.times.size <= trades.limit
    assert 7_777 in trades.times


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
