"""A laptop that slept, and a clock that was set: noticed, told, and nothing is lost by it."""

from __future__ import annotations

import pytest

from tests.conftest import wait_until
from tests.healing.rig import Rig

HOUR = 3_600_000_000_000


@pytest.fixture
def wall_clock(held_time):
    """Let a test set this machine's wall clock."""
    return held_time.set_wall


def test_after_sleep_another_connection_is_made_and_nothing_is_lost(wall_clock):
    with Rig("futures", channels=["bbo", "trade", "level2"]) as rig:
        rig.warm_up(rows=5)
        wall_clock(HOUR)  # the monotonic clock stands still meanwhile
        rig.happens("rollover")
        told = rig.events("clock_jump")["detail"][0]
        rig.s.wait("trade", rows=rig.s.total("trade") + 5)
        rig.finish()
        report = rig.s.report()

        for channel in rig.channels:
            assert not rig.account(channel).lost
    assert "jumped by +3600.0 s: it may have slept" in told
    assert (report.reconnects, report.rollovers) == (0, 1)
    assert report.channel("level2").verdict == "COMPLETE"


@pytest.mark.parametrize("jump", [5_000_000_000, -HOUR])
def test_a_clock_that_was_set_is_told_and_the_rows_keep_their_order(wall_clock, jump):
    with Rig("futures", channels=["bbo"]) as rig:
        rig.warm_up(rows=5)
        wall_clock(jump)
        rig.happens("clock_jump")
        rows = rig.s.total("bbo")
        rig.s.wait("bbo", rows=rows + 80)
        wait_until(lambda: rig.is_whole)
        rig.finish()
        stamps = rig.s.frame("bbo")["local_timestamp"]

        assert not rig.account("bbo").lost
        assert rig.s.report().rollovers == 0
    assert stamps.is_sorted()
    assert stamps.is_unique().all()
    # Rows that came seconds apart are stamped so, also while the wall clock is behind.
    assert (stamps[-1] - stamps[rows - 1]).total_seconds() > 0.05


def test_stamps_of_a_clock_that_was_fast_are_right_again_and_the_status_tells(
    wall_clock, held_time
):
    wall_clock(5_000_000_000)
    with Rig("futures", channels=["bbo"]) as rig:
        rig.warm_up(rows=5)
        wall_clock(-5_000_000_000)
        rig.happens("clock_right")
        rows = rig.s.total("bbo")
        rig.s.wait("bbo", rows=rows + 20)
        ahead_ns = rig.s.now_ns() - held_time.wall_ns()
        told = rig.events("clock_jump")["detail"].to_list()
        rig.finish()
        stamps = rig.s.frame("bbo")["local_timestamp"]

        assert not rig.account("bbo").lost
    assert ahead_ns == 0
    assert len(told) == 1
    assert "5.0 s ahead" in told[0]
    assert stamps.is_sorted()
    assert stamps.is_unique().all()
