"""The rows of a ladder: exact sums of groups that never cross the spread."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.dashboards.ladder_rows import GROUPS, LadderRows
from kucoin_research.figures.book_levels import Levels
from kucoin_research.model.size_unit import SizeUnit, Unit, native_unit

CONTRACTS = native_unit("XBTUSDTM")


def book(bids, asks):
    """Make a book of ``{price: size}``, each side best first."""
    sides = (sorted(bids.items(), reverse=True), sorted(asks.items()))
    return Levels(*(np.array([e[n] for e in side], float) for side in sides for n in (0, 1)))


BOOK = book({100.0: 3, 99.9: 2, 99.7: 5}, {100.2: 4, 100.3: 1, 100.9: 6})


def texts(side):
    return [(row.price, row.size, row.cumulated) for row in side.rows]


def test_rows_are_the_levels_best_first_with_what_they_add_up_to():
    ladder = LadderRows(CONTRACTS, 0.1).make(BOOK, 10)

    assert texts(ladder.bids) == [("100.0", "3", "3"), ("99.9", "2", "5"), ("99.7", "5", "10")]
    assert texts(ladder.asks) == [("100.2", "4", "4"), ("100.3", "1", "5"), ("100.9", "6", "11")]
    assert [row.share for row in ladder.asks.rows] == [67, 17, 100]
    assert (ladder.spread, ladder.mid) == ("0.2 · 19.98 bp", "100.10")


def test_a_side_has_as_many_rows_as_there_is_room_for():
    ladder = LadderRows(CONTRACTS, 0.1).make(BOOK, 2)

    assert texts(ladder.asks) == [("100.2", "4", "4"), ("100.3", "1", "5")]
    assert ladder.asks.reach == "100.9"


def test_bids_are_rounded_down_and_asks_up():
    ladder = LadderRows(CONTRACTS, 0.1).make(BOOK, 10, group=5)

    assert texts(ladder.bids) == [("100.0", "3", "3"), ("99.5", "≥7", "≥10")]
    assert texts(ladder.asks) == [("100.5", "5", "5"), ("101.0", "≥6", "≥11")]


def test_a_group_that_ends_at_the_last_level_is_whole():
    ladder = LadderRows(CONTRACTS, 0.1).make(book({99.5: 1}, {100.5: 2}), 10, group=5)

    assert texts(ladder.bids) == [("99.5", "1", "1")]
    assert texts(ladder.asks) == [("100.5", "2", "2")]


@given(
    st.dictionaries(st.integers(1, 500), st.integers(1, 10**9), min_size=1),
    st.dictionaries(st.integers(501, 1_000), st.integers(1, 10**9), min_size=1),
    st.sampled_from(GROUPS),
    st.integers(0, 8),
)
def test_no_group_crosses_the_spread_and_nothing_is_lost(bids, asks, group, places):
    scale = 10**places
    levels = book(
        {price / 10: size / scale for price, size in bids.items()},
        {price / 10: size / scale for price, size in asks.items()},
    )
    rows = LadderRows(native_unit("BTC-USDT"), 0.1)

    ladder = rows.make(levels, 1_000, group=group)

    for side, given_sizes in ((ladder.bids, bids), (ladder.asks, asks)):
        found = sum(side.sizes.values())
        assert found * scale == sum(given_sizes.values()) * 10**rows._size_places
    assert max(ladder.bids.sizes) <= max(bids)
    assert min(ladder.asks.sizes) >= min(asks)


def test_sizes_of_eight_decimals_are_added_exactly():
    levels = book({0.1: 0.1, 0.09: 0.2, 0.08: 0.00000003}, {0.2: 1.0})
    ladder = LadderRows(native_unit("BTC-USDT"), 0.01).make(levels, 5)

    assert [row.size for row in ladder.bids.rows] == ["0.10000000", "0.20000000", "0.00000003"]
    assert [row.cumulated for row in ladder.bids.rows] == ["0.10000000", "0.30000000", "0.30000003"]


def test_a_long_total_goes_without_its_last_decimals():
    levels = book({0.1: 123.00000004, 0.09: 0.00005}, {0.2: 1.0})
    ladder = LadderRows(native_unit("BTC-USDT"), 0.01).make(levels, 5)

    assert [row.size for row in ladder.bids.rows] == ["123.00000004", "0.00005000"]
    assert [row.cumulated for row in ladder.bids.rows] == ["123.00000", "123.00005"]


def test_prices_of_a_hundred_millionth_are_written_out():
    levels = book({0.00001233: 1e9}, {0.00001234: 2e9})
    ladder = LadderRows(native_unit("SHIB-USDT"), 1e-8).make(levels, 5)

    assert texts(ladder.asks) == [("0.00001234", "2,000,000,000", "2,000,000,000")]
    assert ladder.mid == "0.000012335"


def test_coins_are_exact_multiples_of_contracts():
    coins = SizeUnit(Unit.COINS, "XBT", 0.001)
    ladder = LadderRows(coins, 0.1).make(BOOK, 10)

    assert texts(ladder.bids)[-1] == ("99.7", "0.005", "0.010")


def test_each_level_is_worth_its_own_price():
    quote = SizeUnit(Unit.QUOTE, "USDT", 0.001, power=1)
    ladder = LadderRows(quote, 0.1).make(BOOK, 10, group=10)

    # 3 at 100.0 is a group; 2 at 99.9 and 5 at 99.7 are the next.
    assert texts(ladder.bids) == [("100.0", "0.3000", "0.3000"), ("99.0", "≥0.6983", "≥0.9983")]


def test_own_orders_stand_at_the_row_of_their_price():
    rows = LadderRows(CONTRACTS, 0.1)

    ladder = rows.make(BOOK, 10, group=5, own={99.9: 2.0, 99.6: 1.0, 100.3: 4.0})

    assert [row.own for row in ladder.bids.rows] == ["", "3"]
    assert [row.own for row in ladder.asks.rows] == ["4", ""]


def test_prices_off_the_tick_are_grouped_by_their_last_decimal_place():
    rows = LadderRows(CONTRACTS, 0.5)

    ladder = rows.make(BOOK, 10, group=1)

    assert texts(ladder.bids)[1] == ("99.9", "2", "5")
    assert rows.group_names[:3] == ["0.1", "0.2", "0.5"]


@pytest.mark.parametrize(("bids", "asks"), [({}, {1.0: 1}), ({1.0: 1}, {}), ({}, {})])
def test_a_side_may_be_empty(bids, asks):
    ladder = LadderRows(CONTRACTS, 0.1).make(book(bids, asks), 5)

    assert (len(ladder.bids.rows), len(ladder.asks.rows)) == (len(bids), len(asks))
    assert ladder.spread == ""
