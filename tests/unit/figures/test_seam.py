"""Where history ends and live rows begin."""

import polars as pl

from kucoin_research.figures.columns import nanoseconds
from kucoin_research.figures.seam import NO_SEAM, Seam, before_live, join_trades, seam_line
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.records import Trade, schema_of
from tests.unit.figures.past_market import DAWN, SECOND, trade


def frame(*numbers, apart=0):
    rows = [trade(DAWN + n * SECOND, None if apart is None else n + apart) for n in numbers]
    return pl.DataFrame(rows, schema=schema_of(Trade), orient="row")


def times(rows):
    return [(each - DAWN) // SECOND for each in nanoseconds(rows["timestamp"]).tolist()]


def test_a_page_that_reaches_into_the_live_trades_leaves_nothing_out():
    joined = join_trades(frame(1, 4, 7, 9), frame(7, 9, 12))

    assert times(joined.rows) == [1, 4, 7, 9, 12]
    assert joined.whole_from == DAWN + SECOND
    assert joined.seam == Seam(DAWN + 7 * SECOND)


def test_a_page_that_ends_before_them_leaves_a_gap():
    joined = join_trades(frame(1, 4), frame(7, 9))

    assert times(joined.rows) == [1, 4, 7, 9]
    assert joined.whole_from == DAWN + 7 * SECOND
    assert joined.seam.missing == (DAWN + 4 * SECOND, DAWN + 7 * SECOND)
    assert [gap.kind for gap in joined.seam.gaps] == ["gap"]


def test_a_page_of_live_trades_alone_is_no_history():
    assert join_trades(frame(7, 9), frame(7, 9, 12)).seam == NO_SEAM
    assert join_trades(None, frame(7)).whole_from == DAWN + 7 * SECOND
    assert join_trades(None, frame()).whole_from is None


def test_without_live_trades_there_is_no_seam_yet():
    joined = join_trades(frame(1, 4), frame())

    assert (times(joined.rows), joined.seam) == ([1, 4], NO_SEAM)


def test_trades_without_numbers_are_compared_by_time_and_prove_nothing():
    joined = join_trades(frame(1, 4, 7, apart=None), frame(7, 9, apart=None))

    assert times(joined.rows) == [1, 4, 7, 9]
    assert joined.seam.missing is not None


def test_rows_of_history_are_stamped_as_if_they_had_arrived_before():
    live = frame(7, 9)

    stamps = nanoseconds(before_live(frame(1, 4), live)["local_timestamp"])

    assert (stamps[1:] > stamps[:-1]).all()
    assert stamps[-1] < nanoseconds(live["local_timestamp"])[0]


def test_the_line_is_drawn_within_the_range_only():
    seam = Seam(DAWN)

    (line,) = seam_line(seam, (DAWN - SECOND, DAWN + SECOND), Zone())

    assert (line["name"], line["x0"]) == ("history before, live after", line["x1"])
    assert seam_line(seam, (DAWN + 1, DAWN + SECOND), Zone()) == []
    assert seam_line(NO_SEAM, (DAWN, DAWN + SECOND), Zone()) == []
