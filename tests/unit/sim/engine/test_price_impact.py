from math import log

import pytest

from kucoin_research.sim.engine.price_impact import PriceImpact

SECOND = 1_000
FAR = 1e9  # a bound that nothing in these tests comes near


def worked(seconds, *, size=100, rest=0):
    """The distance after an order of a size each second for some seconds, and a rest."""
    impact = PriceImpact(10.0, 100, FAR)
    for second in range(seconds):
        impact.add(second * SECOND, size, is_buy=True)
    impact.refresh((seconds + rest) * SECOND)
    return impact.ticks


def test_an_order_moves_the_price_by_the_root_of_its_size():
    impact = PriceImpact(10.0, 100, FAR)

    impact.add(5, 400, is_buy=True)

    assert impact.ticks == pytest.approx(20.0)


def test_a_sale_takes_a_buy_of_the_same_size_back():
    impact = PriceImpact(10.0, 100, FAR)

    impact.add(5, 400, is_buy=True)
    impact.add(5, 400, is_buy=False)

    assert impact.ticks == pytest.approx(0.0, abs=1e-9)


def test_impact_is_concave_in_the_length_of_a_parent_order():
    exponent = log(worked(240) / worked(15)) / log(16)

    assert 0.45 < exponent < 0.75


def test_a_part_of_the_impact_is_left_after_as_long_again_and_all_of_it_fades():
    peak = worked(120)

    assert 0.3 < worked(120, rest=120) / peak < 0.7
    assert worked(120, rest=86_400) < peak / 1_000


@pytest.mark.parametrize("is_buy", [True, False])
def test_the_distance_stays_below_its_bound(is_buy):
    impact = PriceImpact(10.0, 100, 50.0)

    distances = []
    for second in range(600):
        impact.add(second * SECOND, 10_000, is_buy=is_buy)
        distances.append(abs(impact.ticks))

    assert 25.0 < distances[0] < max(distances) < 50.0


def test_a_huge_order_holds_the_price_no_longer_than_a_large_one():
    def left(size):
        impact = PriceImpact(10.0, 100, 50.0)
        impact.add(0, size, is_buy=True)
        impact.refresh(3_600 * SECOND)
        return impact.ticks

    assert left(10**12) == left(10**6) < 1.0


def test_between_refreshes_nothing_changes():
    impact = PriceImpact(10.0, 100, FAR)
    impact.add(1_000, 100, is_buy=True)
    before = impact.ticks

    assert impact.refresh_ms > 1_000
    assert impact.ticks == before
    impact.refresh(impact.refresh_ms)
    assert impact.ticks < before
