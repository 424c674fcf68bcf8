"""The arrival clock's stamps."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.model.arrival_clock import ArrivalClock


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 5)), max_size=20))
def test_stamps_increase_strictly_however_the_clock_jumps(batches):
    clock = ArrivalClock()
    stamps = []

    for now, rows in batches:
        first = clock.begin(now)
        stamps.extend(range(first, first + rows))
        clock.end(first + rows)

    assert all(earlier < later for earlier, later in pairwise(stamps))


def test_stamps_are_the_clocks_while_it_runs_forward():
    clock = ArrivalClock()

    first = clock.begin(100)
    clock.end(first + 3)

    assert (first, clock.begin(200)) == (100, 200)


def test_stamps_go_on_from_the_last_when_the_clock_jumps_back():
    clock = ArrivalClock()
    clock.end(clock.begin(100) + 3)

    assert clock.begin(50) == 103


def test_empty_batch_uses_no_stamp():
    clock = ArrivalClock()

    clock.end(clock.begin(100))

    assert clock.begin(100) == 100
