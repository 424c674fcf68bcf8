"""Virtual time."""

from datetime import UTC, datetime

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.clock import SLICE_NS, VirtualClock, clock_from, parse_start
from tests.set_clock import SetMachine

START = 1_767_571_200 * 10**9


def test_time_stands_still_until_started():
    wall = SetMachine()
    clock = VirtualClock(START, 10.0, machine=wall)

    wall.ns = 10**9

    assert clock.target_ns == clock.now_ns == START


def test_time_runs_at_its_speed():
    wall = SetMachine()
    clock = VirtualClock(START, 10.0, machine=wall)
    clock.start()

    wall.ns = 10**9

    assert clock.target_ns == START + 10 * 10**9


def test_now_is_never_further_than_a_slice_from_what_has_happened():
    wall = SetMachine()
    clock = VirtualClock(START, 1.0, machine=wall)
    clock.start()

    wall.ns = 10**9

    assert clock.now_ns == START + SLICE_NS - 1


def test_slip_writes_off_what_cannot_be_caught_up():
    wall = SetMachine()
    clock = VirtualClock(START, 2.0, machine=wall)
    clock.start()
    wall.ns = 10**9
    before = clock.now_ns

    clock.slip()

    assert clock.slips == 1
    assert clock.slipped_ns == 2 * 10**9 - SLICE_NS
    assert before <= clock.now_ns <= START + SLICE_NS


def test_small_lag_is_caught_up_not_slipped():
    wall = SetMachine()
    clock = VirtualClock(START, 1.0, machine=wall)
    clock.start()
    wall.ns = 50_000_000

    clock.slip()

    assert clock.slips == 0
    assert clock.lag == 0.05


def test_stop_and_start_go_on_from_the_same_instant():
    wall = SetMachine()
    clock = VirtualClock(START, 1.0, machine=wall)
    clock.start()
    wall.ns = 5_000_000
    clock.stop()
    stopped = clock.now_ns

    wall.ns = 10**9
    clock.start()

    assert clock.now_ns == stopped == START + 5_000_000


@pytest.mark.parametrize(
    "start",
    [
        "2026-01-05",
        "2026-01-05T00:00:00Z",
        "2026-01-05T01:00:00+01:00",
        datetime(2026, 1, 5, tzinfo=UTC),
        datetime(2026, 1, 5),
        START,
    ],
)
def test_start_can_be_spelled_in_many_ways(start):
    assert parse_start(start) == START


def test_a_clock_with_a_start_stands_there():
    machine = SetMachine(wall_ns=2 * START)

    clock = clock_from("2026-01-05T00:00:00.019", 1.0, machine)

    assert clock.now_ns == START + 10_000_000
    assert not clock.is_running


@pytest.mark.parametrize("start", [None, "now"])
@pytest.mark.parametrize("speed", [1, 60])
def test_a_clock_without_a_start_runs_from_the_present_of_the_machine(start, speed):
    machine = SetMachine(wall_ns=START + 17_654_321)

    clock = clock_from(start, speed, machine)
    machine.ns = 3_600 * 10**9

    assert clock.start_ns == START + 10_000_000
    assert clock.target_ns == clock.start_ns + 3_600 * 10**9 * speed


def test_the_present_is_caught_up_with_however_late():
    machine = SetMachine(wall_ns=START)
    present, faster = clock_from(None, 1.0, machine), clock_from(None, 2.0, machine)
    machine.ns = 3_600 * 10**9

    for clock in (present, faster):
        clock.slip()

    assert (present.slips, present.target_ns) == (0, machine.wall_ns())
    assert (faster.slips, faster.lag) == (1, SLICE_NS / 1e9)


def test_the_hours_that_the_machine_slept_are_made_good():
    machine = SetMachine(wall_ns=START)
    clock, faster = clock_from(None, 1.0, machine), clock_from(None, 2.0, machine)
    machine._origin_ns += 3_600 * 10**9  # only the wall clock goes on in a sleep
    machine.ns = 10**9

    for each in (clock, faster):
        each.wake()

    assert clock.target_ns == machine.wall_ns()
    assert faster.target_ns == START + 2 * 10**9


@pytest.mark.parametrize("jump_ns", [-3_600 * 10**9, 10**9, 2 * 86_400 * 10**9])
def test_a_wall_clock_that_is_set_does_not_move_the_market(jump_ns):
    machine = SetMachine(wall_ns=START)
    clock = clock_from(None, 1.0, machine)
    machine._origin_ns += jump_ns

    clock.wake()

    assert clock.target_ns == START


def test_after_a_pause_the_market_is_behind_the_machine_for_good():
    machine = SetMachine(wall_ns=START)
    clock = clock_from(None, 1.0, machine)
    clock.stop()
    machine.ns = 60 * 10**9
    clock.start()
    clock.wake()

    assert not clock.keeps_up
    assert clock.target_ns == START


def test_seconds_are_not_taken_for_ns():
    with pytest.raises(InvalidInput, match="ns"):
        parse_start(1_767_571_200)
