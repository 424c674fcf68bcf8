"""Arrival times keep their order and their intervals, whatever the wall clock does."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.foundation.clocks import ArrivalTime

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


def test_after_a_jump_back_time_goes_on_at_half_its_pace_until_both_agree():
    clocks = Clocks()
    before = clocks.passes(1)

    assert clocks.passes(1, jump=-60) == before + SECOND // 2
    assert clocks.passes(60) == before + 61 * SECOND // 2
    assert not clocks.arrival.is_right
    assert clocks.passes(60) == clocks.wall
    assert clocks.arrival.is_right


def test_a_jump_back_and_forth_is_over_at_once():
    clocks = Clocks()
    clocks.passes(1, jump=-60)

    assert clocks.passes(1, jump=60) == clocks.wall


@pytest.mark.parametrize("wrong", [0.05, 5, 7_200, 28_800])
def test_a_clock_that_was_fast_at_the_start_is_right_after_twice_that_time(wrong):
    clocks = Clocks()
    clocks.passes(0.1, jump=-wrong)
    for _ in range(20):
        clocks.passes(wrong / 10)

    assert clocks.passes(0.1) == clocks.wall


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1_000, 1_000)), max_size=50))
def test_time_never_falls_back_and_is_never_behind_the_wall_clock(steps):
    clocks = Clocks()
    read = [(clocks.passes(seconds, jump), clocks.wall) for seconds, jump in steps]

    assert all(later[0] >= earlier[0] for earlier, later in itertools.pairwise(read))
    assert all(time >= wall for time, wall in read)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1_000, 1_000)), max_size=50))
def test_time_never_goes_slower_than_at_half_its_pace(steps):
    clocks = Clocks()
    before = clocks.arrival.now_ns()
    for seconds, jump in steps:
        now = clocks.passes(seconds, jump)
        assert now - before >= int(seconds * SECOND) // 2
        before = now


def test_each_move_of_the_wall_clock_is_noted_once_with_its_stamp():
    clocks = Clocks()
    clocks.passes(3_600, jump=0.005)  # as a time server slews it
    ahead = clocks.passes(1, jump=30)
    behind = clocks.passes(1, jump=-30)
    clocks.passes(1)

    assert [move.stamp_ns for move in clocks.arrival.moves] == [ahead, behind]
    assert [round(move.by_ns / SECOND, 3) for move in clocks.arrival.moves] == [30, -30]


def test_a_machine_that_is_held_up_between_two_readings_has_no_clock_that_moved():
    clocks = Clocks()
    held_up = iter([0.5, 0.0, 0.0, 0.3])

    def wall():
        seconds = next(held_up, 0.0)
        now = clocks.wall
        clocks.wall += int(seconds * SECOND)
        clocks.monotonic += int(seconds * SECOND)
        return now

    arrival = ArrivalTime(wall, lambda: clocks.monotonic)
    for _ in range(4):
        clocks.passes(1)
        arrival.now_ns()

    assert arrival.moves == []
    assert arrival.now_ns() == clocks.wall
