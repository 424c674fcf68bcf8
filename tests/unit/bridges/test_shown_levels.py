"""Events of snapshots: after each row the book shows what the row shows."""

import numpy as np
import polars as pl
import pytest

from kucoin_research.bridges.hft_events import DEPTH, DEPTH_CLEAR, DEPTH_SNAPSHOT, in_both_orders
from kucoin_research.bridges.missing_spans import MissingSpan
from kucoin_research.bridges.shown_levels import level_events
from kucoin_research.model.records import BestBidOffer, Depth5, Depth50, schema_of
from tests.unit.bridges.played import books
from tests.unit.strategy.tapes import SECOND, U, at, bbo, depth5, depth50, tape

MOST = {"depth50": 50, "depth5": 5, "bbo": 1}
RECORDS = {"depth50": Depth50, "depth5": Depth5, "bbo": BestBidOffer}


def played(rows, channel="depth5", spans=()):
    return list(books(in_both_orders([level_events(rows, channel, spans)])))


def test_only_differences_become_events():
    rows = tape(
        depth5(0, [(99.0, 1.0), (98.0, 2.0)], [(101.0, 3.0)]),
        depth5(1, [(99.0, 1.0), (98.0, 5.0)], [(101.0, 3.0)]),
        depth5(2, [(99.0, 1.0)], [(100.0, 4.0), (101.0, 3.0)]),
    )["depth5"]

    events = level_events(rows, "depth5", [])

    assert [(int(row["ev"]) & 0xFF, row["px"], row["qty"]) for row in events] == [
        (DEPTH_CLEAR, 0.0, 0.0), (DEPTH_SNAPSHOT, 99.0, 1.0), (DEPTH_SNAPSHOT, 98.0, 2.0),
        (DEPTH_SNAPSHOT, 101.0, 3.0), (DEPTH, 98.0, 5.0), (DEPTH, 98.0, 0.0), (DEPTH, 100.0, 4.0),
    ]  # fmt: skip


def test_a_level_beyond_the_last_one_shown_stays_until_a_row_reaches_it():
    best = [(99.0 - tick, 1.0) for tick in range(5)]
    better = [(100.0 - tick, 1.0) for tick in range(5)]
    worse = [(98.5 - tick, 1.0) for tick in range(5)]
    rows = tape(depth5(0, best), depth5(1, better), depth5(2, worse))["depth5"]

    (_, first, _), (_, second, _), (_, third, _) = played(rows)

    assert first == dict(best)
    assert second == dict(best) | dict(better)
    assert third == dict(worse)  # reaches 94.5, so that 95.0 would be shown


def test_an_empty_side_is_empty_and_null_prices_are_no_levels():
    rows = tape(bbo(0), bbo(1, bid=None), bbo(2, bid=None, ask=None))["bbo"]

    assert [(bids, asks) for _, bids, asks in played(rows, "bbo")] == [
        ({99.9: 100.0}, {100.1: 100.0}), ({}, {100.1: 100.0}), ({}, {}),
    ]  # fmt: skip


def test_the_book_is_empty_in_a_gap():
    rows = tape(*(depth50(second, [(99.0, 1.0)], [(101.0, 1.0)]) for second in (0, 1, 5, 6)))
    spans = [MissingSpan(at(1) + 7, at(4))]

    found = played(rows["depth50"], "depth50", spans)

    assert [(time - at(0), sorted(bids)) for time, bids, _ in found] == [
        (0, [99.0]), (SECOND + 7, []), (5 * SECOND, [99.0]),
    ]  # fmt: skip


def test_exchange_times_never_go_back():
    rows = tape(bbo(1), bbo(2, bid=(99.8, 1))._replace(timestamp=at(0)))["bbo"]

    events = level_events(rows, "bbo", [])

    assert np.diff(events["exch_ts"]).min() >= 0


@pytest.mark.parametrize("channel", list(MOST))
@pytest.mark.parametrize("batch", [3, 100_000])
def test_the_book_is_what_row_by_row_arithmetic_keeps(channel, batch, monkeypatch):
    monkeypatch.setattr("kucoin_research.bridges.shown_levels._BATCH", batch)
    choose = np.random.default_rng(len(channel))
    rows = random_rows(channel, choose, 200)

    found = {time: (bids, asks) for time, bids, asks in played(frame(channel, rows), channel)}

    book, last = ({}, {}), ({}, {})
    for when, *sides in rows:
        for levels, shown, sign in zip(book, sides, (-1, 1), strict=True):
            keep(levels, shown, sign, MOST[channel])
        last = found.get(when, last)  # a row without differences makes no event
        assert last == book


def keep(levels, shown, sign, most):
    """Apply a row to a side: lower prices times sign are better."""
    reach = max((sign * price for price, _ in shown), default=np.inf)
    if len(shown) < most:
        reach = np.inf
    for price in [each for each in levels if sign * each <= reach]:
        del levels[price]
    levels.update(shown)


def random_rows(channel, choose, count):
    mid, rows = 200, []
    for number in range(count):
        mid += int(choose.integers(-2, 3))
        sides = []
        for sign in (-1, 1):
            many = (
                MOST[channel] if choose.random() < 0.8 else int(choose.integers(0, MOST[channel]))
            )
            ticks = np.sort(choose.choice(np.arange(1, 2 * MOST[channel] + 2), many, replace=False))
            sides.append([(mid / 2 + sign * int(tick) / 4, float(choose.integers(1, 4)))
                          for tick in ticks])  # fmt: skip
        rows.append((at(number), *sides))
    return rows


def frame(channel, rows):
    made = []
    for when, *sides in rows:
        columns = [[pair[place] for pair in side] for side in sides for place in (0, 1)]
        if channel != "depth50":
            columns = [
                value
                for values in columns
                for value in values + [None] * (MOST[channel] - len(values))
            ]
        made.append([when, when, U, None, *columns])
    return pl.DataFrame(made, schema=schema_of(RECORDS[channel]), orient="row")
