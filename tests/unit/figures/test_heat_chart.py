"""The heat map in a zoomed view: where its columns end, and which book stands in them."""

import numpy as np
import pytest

from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.heat_chart import HeatChart
from kucoin_research.model.records import Depth50, Level2
from tests.unit.figures.test_figures import SECOND, at, depth50, frame, ms


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
