"""Virtual time."""

from datetime import UTC, datetime

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.clock import SLICE_NS, VirtualClock, parse_start
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
        None,
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


def test_start_can_be_now():
    assert abs(parse_start("now") - int(datetime.now(UTC).timestamp() * 1e9)) < 5e9


def test_seconds_are_not_taken_for_ns():
    with pytest.raises(InvalidInput, match="ns"):
        parse_start(1_767_571_200)
