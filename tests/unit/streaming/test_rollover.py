"""When a successor takes over, decided by the clock alone; tests/healing shows the rest at work."""

from __future__ import annotations

import pytest

from kucoin_research.model.records import Trade
from kucoin_research.streaming.rollover import Successor, TurnWatch
from tests.set_clock import SetClock

SECOND = 1_000_000_000


@pytest.fixture
def clock():
    return SetClock(seconds=100.0)


def test_a_loop_that_was_held_up_has_no_say_about_silence(clock):
    watch = TurnWatch(clock)
    clock.seconds += 0.1
    watch.turned(0.1)
    assert watch.may_look(clock.seconds, is_drained=True)

    clock.seconds += 3.1  # the GIL was held for three seconds
    watch.turned(0.1)

    assert not watch.may_look(clock.seconds, is_drained=True)
    assert not watch.may_look(
        clock.seconds + 3.1, is_drained=False
    )  # what piled up is not read yet
    assert watch.may_look(clock.seconds + 3.1, is_drained=True)


def trade(number):
    return Trade(number, number, "XBTUSDTM", number, str(number), "buy", 1.0, 1.0)


@pytest.fixture
def successor(clock):
    """Settled at 100 s, to overlap for one second."""
    made = Successor("", (), clock, clock.wall_ns)
    made.is_settled.set()
    assert made.settled_ns == 100 * SECOND
    return made


def pass_to(clock, successor, seconds, *, is_drained=True):
    clock.seconds = seconds
    if is_drained:
        successor.drained_ns = clock.wall_ns()
    return successor.may_take_over(1.0)


def test_a_successor_takes_over_after_the_overlap(clock, successor):
    assert not pass_to(clock, successor, 100.9)
    assert pass_to(clock, successor, 101.0)


def test_what_only_one_has_brought_by_a_moment_is_awaited(clock, successor):
    successor.overlap.hold(trade(1), int(100.9 * SECOND))
    assert not pass_to(clock, successor, 101.0)

    successor.overlap.saw(trade(1))  # the other was the slower one
    assert pass_to(clock, successor, 101.01)


def test_what_one_keeps_back_is_awaited_for_a_moment_only(clock, successor):
    successor.overlap.hold(trade(1), int(100.9 * SECOND))
    assert not pass_to(clock, successor, 101.14)
    assert pass_to(clock, successor, 101.16)


def test_a_connection_that_is_never_read_to_its_end_does_not_stay_for_ever(clock, successor):
    assert not pass_to(clock, successor, 105.0, is_drained=False)
    assert pass_to(clock, successor, 111.0, is_drained=False)


def test_connections_that_never_bring_the_same_do_not_overlap_for_ever(clock, successor):
    for second in range(101, 112):
        other = trade(second)._replace(symbol=f"{second}USDTM")
        successor.overlap.hold(other, second * SECOND)
        assert not pass_to(clock, successor, second)

    assert pass_to(clock, successor, 111.1)
