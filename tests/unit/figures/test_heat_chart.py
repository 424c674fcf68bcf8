"""The heat map in a zoomed view: where its columns end, and which book stands in them."""

import numpy as np
import pytest

from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.heat_chart import HeatChart
from kucoin_research.model.records import Depth50, Level2
from tests.unit.figures.test_figures import SECOND, at, depth50, frame, level, ms


def zoomed(begin, end, *batches, px=1_000, window=300):
    chart = HeatChart(View(px, (at(begin), at(end)), window * SECOND), Sketch())
    for rows in batches:
        chart.take("book", rows)
    return chart.draw()


def books(*seconds):
    return frame(Depth50, [depth50(second, 100.0) for second in seconds])


def changes(*seconds):
    """One snapshot of two levels at each time."""
    rows = []
    for n, second in enumerate(seconds):
        for side, price in (("buy", 99.0), ("sell", 101.0)):
            stamps = (at(second), at(second), "XBTUSDTM", n + 1)
            rows.append((*stamps, n == 0, side, price, 5.0 + n))
    return frame(Level2, rows)


def extent(drawing):
    """Say from when to when the map has colours, on the axis."""
    x, z = drawing.arrays[0, "x"], drawing.arrays[0, "z"]
    known = np.isfinite(z).any(axis=1)
    if x.size == len(z) + 1:
        return x[0], x[-1]
    half = (x[1] - x[0]) / 2
    return x[known][0] - half, x[known][-1] + half


def test_a_view_of_hours_shows_no_book_after_the_newest():
    drawing = zoomed(-20_000, 20_000, books(*range(30)))

    assert drawing.arrays[0, "z"].shape[0] == 1  # all of them fall into one column
    begin, end = extent(drawing)
    column = end - begin
    assert column < 40_000e3 / 100
    assert begin <= ms(0)
    assert ms(29) <= end <= ms(29) + column


@pytest.mark.parametrize("rows", [books, changes])
@pytest.mark.parametrize("is_split", [False, True])
def test_between_two_books_the_earlier_one_stands(rows, is_split):
    there = rows(0, 10, 11)
    half = there.height // 3 * 2

    drawing = zoomed(10.3, 10.7, *([there[:half], there[half:]] if is_split else [there]))

    begin, end = extent(drawing)
    assert begin <= ms(10.3)
    assert end >= ms(10.7)
    assert drawing.layout["annotations"] == []


def test_a_book_stands_no_longer_in_a_zoomed_view_than_in_the_whole():
    drawing = zoomed(500, 500.5, books(0, 1_000))

    assert drawing.arrays[0, "z"].size == 0


def test_a_book_far_before_a_short_view_takes_no_columns():
    drawing = zoomed(3_600, 3_600.1, books(0, 3_600.05, 9_000), px=300)

    assert drawing.arrays[0, "z"].shape[0] < 80


def shown(rows):
    """The heat map of rows: prices, sizes (0: none rest), and whether the book is known there."""
    chart = HeatChart(View(1_000, None, 300 * SECOND), Sketch(options={"bins": 20}))
    chart.take("book", rows)
    arrays = chart.draw().arrays
    sizes = np.nan_to_num(10.0 ** arrays[0, "z"].astype(float))
    return arrays[0, "y"], sizes, np.isnan(arrays[3, "z"])


def test_beyond_the_last_level_of_a_feed_the_book_is_not_known():
    prices, sizes, is_known = shown(frame(Depth50, [depth50(0, 100.0), depth50(1, 110.0)]))

    first, second = is_known[0], is_known[-1]
    assert first[(prices > 97) & (prices < 103)].all()
    assert not first[prices > 104].any()
    assert second[(prices > 107) & (prices < 113)].all()
    assert not second[prices < 106].any()
    assert not sizes[~is_known].any()


def ladder(size=1.0, count=300):
    """A snapshot of levels one apart, of as many bids as asks."""
    bids = [level(0, "buy", 1_000.0 - n, size, True) for n in range(count)]
    return bids + [level(0, "sell", 1_001.0 + n, size, True) for n in range(count)]


def test_a_book_is_drawn_as_far_as_its_snapshot_reaches():
    rows = [*ladder(), level(1, "buy", 600.0, 5.0), level(2, "buy", 1_000.0, 2.0)]
    rows += [level(3, "sell", 1_001.0 + n, 0.0) for n in range(200)]
    rows += [level(4, "sell", 1_400.0, 9.0)]  # beyond the snapshot: its neighbours are unknown

    prices, sizes, is_known = shown(frame(Level2, rows))

    assert sizes[0][is_known[0]].all()  # each price has its level, also beyond the 200th
    newest = is_known[-1]
    assert newest[prices < 1_295].all()
    assert not newest[prices > 1_305].any()
    assert not sizes[-1][prices > 1_305].any()
    assert not sizes[-1][(prices > 1_010) & (prices < 1_195)].any()  # known: no orders


def test_a_side_that_was_not_cut_off_is_known_to_its_end():
    rows = [*ladder(count=60), level(0, "buy", 940.0, 1.0, True), level(1, "buy", 1_000.0, 0.0)]
    rows += [level(2, "sell", 1_001.0 + n, 0.0) for n in range(20)]
    # The 60 asks are all there are: what comes beyond the last of them is known as well.
    rows += [level(3, "sell", 1_090.0, 7.0)]

    prices, sizes, is_known = shown(frame(Level2, rows))

    assert is_known[-1][prices > 945].all()
    assert sizes[-1][np.abs(prices - 1_090) < 6].max() == pytest.approx(7.0)


def test_changes_without_a_snapshot_leave_the_rest_unknown():
    rows = [level(0, "buy", 90.0, 4.0), level(0, "sell", 110.0, 4.0)]

    _, sizes, is_known = shown(frame(Level2, rows))

    assert (is_known == (sizes > 0)).all()
    assert is_known.sum() == 2


def test_a_market_that_leaves_its_snapshot_is_drawn_where_it_is_known():
    # Spot snapshots have 100 levels of a side. The price falls below the lowest bid.
    rows = ladder(count=100)
    rows += [level(1, "buy", 1_000.0 - n, 0.0) for n in range(100)]
    rows += [level(1, "sell", 880.0 + n, 3.0) for n in range(100)]
    rows += [level(1, "buy", 879.0, 3.0)]  # whether others stand near it is not known
    chart = HeatChart(View(1_000, None, 300 * SECOND), Sketch(options={"bins": 40}))
    chart.take("book", frame(Level2, rows[:200]))
    chart.take("book", frame(Level2, rows[200:]))
    chart.take("book", frame(Level2, [level(20, "sell", 881.0, 4.0)]))

    arrays = chart.draw().arrays
    prices, is_known = arrays[0, "y"], np.isnan(arrays[3, "z"][-1])
    step = prices[1] - prices[0]

    assert is_known[prices > 880 + step].all()
    assert not is_known[prices < 880 - step].any()
    assert np.isfinite(arrays[0, "z"][-1])[(prices > 880 + step) & (prices < 970)].all()
    asks, bids = arrays[2, "y"], arrays[1, "y"]
    assert asks[-1] == 880.0
    assert arrays[2, "x"][-1] == ms(20)
    # The line of bids ends: it is not drawn on to a price that is not known.
    assert bids[np.isfinite(bids)].tolist() == [1_000.0]
    chart.take("book", frame(Level2, [level(40, "buy", 950.0, 1.0), level(41, "sell", 950.0, 1.0)]))
    assert np.isnan(chart.draw().arrays[1, "y"]).any()


def test_of_two_snapshots_in_a_row_the_second_one_is_the_book():
    def snapshot(second, middle, sequence):
        return [
            (at(second), at(second), "XBTUSDTM", sequence, True, side, middle + step, 5.0)
            for side, step in (("buy", -1.0), ("sell", 1.0))
        ]

    rows = [*snapshot(0, 100.0, 7), *snapshot(1, 110.0, 9)]

    prices, sizes, _ = shown(frame(Level2, rows))

    newest = prices[sizes[-1] > 0]
    assert newest.min() == pytest.approx(109.0, abs=1.0)


def test_no_book_stands_where_rows_are_missing():
    chart = HeatChart(View(1_000, None, 300 * SECOND), Sketch())
    chart.mark([GapMark("gap", at(3), at(9), "lost")])
    chart.take("book", books(0, 1, 2, 3, 9, 10, 11))

    arrays = chart.draw().arrays
    inside = (arrays[0, "x"] > ms(4)) & (arrays[0, "x"] < ms(8.5))

    assert inside.any()
    assert not np.isfinite(arrays[0, "z"][inside]).any()
    assert np.isfinite(arrays[3, "z"][inside]).all()  # grey: not known
