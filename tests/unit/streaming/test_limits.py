"""How many connections are made, and when one is replaced."""

from __future__ import annotations

import pytest

from kucoin_research.streaming.limits import ConnectBudget, Healing


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


def test_connections_for_further_topics_leave_places_to_the_others():
    budget = ConnectBudget(25)

    assert [budget.take(second, is_further=True) for second in range(20)] == [0.0] * 20
    assert budget.take(20.0, is_further=True) == 40.0
    assert [budget.take(20.0) for _ in range(5)] == [0.0] * 5
    assert budget.take(20.0) == 40.0
    assert budget.take(20.0, is_further=True) == 45.0, "the sixth has to go, too"
    assert ConnectBudget(1).take(0.0, is_further=True) == 0.0


@pytest.mark.parametrize(
    ("lifetime", "reserve"), [(86_400.0, 3_600.0), (240.0, 10.0), (20.0, 5.0), (4.0, 2.0)]
)
def test_a_connection_is_replaced_well_before_its_end(lifetime, reserve):
    assert Healing().reserve(lifetime) == reserve
