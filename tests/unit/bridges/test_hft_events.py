"""The order of events for two clocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.bridges.hft_events import (
    EXCH_EVENT,
    LOCAL_EVENT,
    in_both_orders,
    new_events,
)
from tests.unit.bridges.played import seen

BOTH = EXCH_EVENT | LOCAL_EVENT


def events(*times):
    made = new_events(len(times))
    for row, (sent, arrived) in zip(made, times, strict=True):
        row["exch_ts"], row["local_ts"] = sent, arrived
    made["qty"] = np.arange(len(made))
    return made


def written(merged):
    return [(int(row["ev"]), int(row["qty"])) for row in merged]


def test_events_in_one_order_are_one_row_each():
    merged = in_both_orders([events((1, 5), (2, 6), (3, 7))])

    assert written(merged) == [(BOTH, 0), (BOTH, 1), (BOTH, 2)]


def test_an_event_that_arrived_late_is_two_rows():
    merged = in_both_orders([events((1, 9), (2, 6), (3, 7))])

    assert written(merged) == [(EXCH_EVENT, 0), (BOTH, 1), (BOTH, 2), (LOCAL_EVENT, 0)]


def test_events_of_one_time_keep_their_order_and_the_earlier_group_comes_first():
    first, second = events((1, 5)), events((1, 5), (1, 5))
    second["qty"] += 10

    merged = in_both_orders([first, second])

    assert written(merged) == [(BOTH, 0), (BOTH, 10), (BOTH, 11)]


@pytest.mark.parametrize("groups", [[], [new_events(0)]])
def test_no_events_are_none(groups):
    assert len(in_both_orders(groups)) == 0


TIMES = st.tuples(st.integers(0, 12), st.integers(0, 6)).map(lambda pair: (pair[0], sum(pair)))


@given(st.lists(TIMES, max_size=30), st.lists(TIMES, max_size=30))
def test_each_clock_sees_each_event_once_in_its_own_order(first, second):
    groups = [events(*first), events(*second)]
    groups[1]["qty"] += 100
    whole = np.concatenate(groups)

    merged = in_both_orders(groups)

    for clock in ("exch_ts", "local_ts"):
        expected = whole[np.argsort(whole[clock], kind="stable")]
        assert seen(merged, clock).tolist() == expected.tolist()
    assert all(int(row["ev"]) & BOTH for row in merged)
    orders = [np.argsort(whole[clock], kind="stable").tolist() for clock in ("exch_ts", "local_ts")]
    assert (len(merged) == len(whole)) == (orders[0] == orders[1])
