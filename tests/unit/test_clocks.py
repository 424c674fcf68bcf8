"""Arrivals keep their order and their intervals, whatever the wall clock does."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.clocks import ArrivalTime

SECOND = 1_000_000_000


class Clocks:
    """Two clocks set by hand."""

    def __init__(self):
        self.wall = 1_795_000_000 * SECOND
        self.monotonic = 77 * SECOND
        self.arrival = ArrivalTime(lambda: self.wall, lambda: self.monotonic)

    def passes(self, seconds, jump=0.0):
        self.monotonic += int(seconds * SECOND)
        self.wall += int((seconds + jump) * SECOND)
        return self.arrival.now_ns()


def test_the_wall_clock_is_told():
    clocks = Clocks()

    assert clocks.passes(5) == clocks.wall
    assert clocks.passes(5, jump=0.2) == clocks.wall
    assert clocks.passes(5, jump=-0.2) == clocks.wall


def test_a_jump_forward_is_followed_as_after_sleep():
    clocks = Clocks()

    assert clocks.passes(0.1, jump=3_600) == clocks.wall


def test_after_a_jump_back_time_goes_on_at_its_pace_until_the_wall_clock_has_caught_up():
    clocks = Clocks()
    before = clocks.passes(1)

    assert clocks.passes(1, jump=-60) == before + SECOND
    assert clocks.passes(30) == before + 31 * SECOND
    assert clocks.passes(1, jump=60) == clocks.wall


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1_000, 1_000)), max_size=50))
def test_time_never_falls_back_by_more_than_a_correction(steps):
    clocks = Clocks()
    told = [clocks.passes(seconds, jump) for seconds, jump in steps]

    assert all(later > earlier - SECOND - 2 for earlier, later in itertools.pairwise(told))
