"""What a lane decides by the clock alone; tests/unit/test_healing.py shows the rest at work."""

from __future__ import annotations

import pytest

from kucoin_research.lanes import ConnectBudget, Healing, _Watch

SECOND = 1_000_000_000


def test_connections_are_kept_below_the_limit_in_any_minute():
    budget, made = ConnectBudget(25), []
    now = 0.0
    while now < 300.0:
        wait = budget.take(now)
        if wait:
            now += wait
        else:
            made.append(now)
            now += 0.1

    assert len(made) >= 120
    assert all(later - earlier > 59.999 for earlier, later in zip(made, made[25:], strict=False))


@pytest.mark.parametrize(
    ("lifetime", "reserve"), [(86_400.0, 3_600.0), (240.0, 10.0), (20.0, 5.0), (4.0, 2.0)]
)
def test_a_connection_is_replaced_well_before_its_end(lifetime, reserve):
    assert Healing().reserve(lifetime) == reserve


def test_a_clock_that_keeps_time_has_not_jumped():
    watch = _Watch()

    assert watch.jump_ns(100 * SECOND, 5 * SECOND) == 0
    assert watch.jump_ns(3_700 * SECOND, 3_605 * SECOND) == 0
    assert watch.jump_ns(3_701 * SECOND, 3_605 * SECOND) == 0  # as a time server may correct it


@pytest.mark.parametrize("jump", [3_600 * SECOND, -30 * SECOND])
def test_a_jump_is_noticed_once(jump):
    watch = _Watch()
    watch.jump_ns(100 * SECOND, 5 * SECOND)

    assert watch.jump_ns(101 * SECOND + jump, 6 * SECOND) == jump
    assert watch.jump_ns(102 * SECOND + jump, 7 * SECOND) == 0


def test_a_loop_that_was_held_up_has_no_say_about_silence(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("kucoin_research.lanes.time.monotonic", lambda: now[0])
    watch = _Watch()
    now[0] += 0.1
    watch.turned(0.1)
    assert watch.may_look(now[0], is_drained=True)

    now[0] += 3.1  # the GIL was held for three seconds
    watch.turned(0.1)

    assert not watch.may_look(now[0], is_drained=True)
    assert not watch.may_look(now[0] + 3.1, is_drained=False)  # what piled up is not read yet
    assert watch.may_look(now[0] + 3.1, is_drained=True)
