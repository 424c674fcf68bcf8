"""What a market is like, in numbers that can be checked by hand."""

from math import exp, log

import pytest

from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import Market, Trade
from kucoin_research.sim.engine.market_traits import (
    TRAITS,
    BookSample,
    Takers,
    traits_of,
    volatility,
    watch,
)

START = 1_767_571_200_000_000_000


def sample(second, mid, *, spread=2.0, depth=10.0, width=4.0):
    return BookSample(second, mid, spread, depth, width)


def test_means_and_rates():
    samples = [sample(0, 100.0, spread=1.0), sample(1, 101.0, spread=3.0), sample(2, 102.0)]
    takers = Takers(orders=4, volume=20.0, sizes=[1.0, 2.0, 3.0, 14.0])

    traits = traits_of(samples, takers, seconds=120.0, trade_seconds=60.0, book_changes=7.0)

    assert traits.price == 100.0
    assert traits.spread == 2.0
    assert (traits.depth, traits.width) == (10.0, 4.0)
    assert traits.takers == 4.0  # per minute of the trades' own time
    assert traits.volume == 20.0
    assert traits.taker_size == 2.5
    assert traits.book_changes == 7.0


def test_volatility_is_that_of_a_minute_whatever_the_lag():
    # A price that goes up by a factor each second: its change in a minute is known.
    mids = {second: exp(0.001 * second) for second in range(300)}

    assert volatility(mids, 60) == pytest.approx(0.06)
    # Ten steps of one direction are not a walk: root mean squares grow with the root of time.
    assert volatility(mids, 10) == pytest.approx(0.01 * 6**0.5)


def test_prices_beside_a_hole_are_not_compared():
    jump = dict.fromkeys(range(100), 100.0) | dict.fromkeys(range(200, 300), 200.0)

    assert volatility(jump, 60) == 0.0
    assert volatility({0: 1.0, 60: 2.0}, 60) is None  # too few


def test_the_spread_of_sizes_is_that_of_a_lognormal_law():
    from statistics import NormalDist

    law = NormalDist(log(30.0), 1.5)
    sizes = [exp(law.inv_cdf((rank + 0.5) / 500)) for rank in range(500)]

    traits = traits_of([], Takers(500, sum(sizes), sizes), seconds=60.0)

    assert traits.taker_size == pytest.approx(30.0, rel=0.01)
    assert traits.size_spread == pytest.approx(1.5, rel=0.02)


def test_what_is_not_known_is_none():
    traits = traits_of([], None, seconds=60.0)

    assert {getattr(traits, name) for name in TRAITS} == {None}
    few = traits_of([], Takers(2, 3.0, [1.0, 2.0]), seconds=60.0)
    assert few.takers == 2.0
    assert few.size_spread is None


def test_a_watched_market_agrees_with_its_own_events():
    watched, again = (Market(LISTINGS["KCSUSDTM"], 3, START) for _ in range(2))

    traits = watch(watched, 600, levels=5, lag=10)
    events = again.advance(START + 600 * 10**9)

    trades = [event for event in events if isinstance(event, Trade)]
    orders = {(trade.time_ns, trade.side) for trade in trades}
    assert traits.takers == len(orders) / 10
    assert traits.volume == sum(trade.size for trade in trades) / 10
    assert traits.book_changes == (len(events) - len(trades)) / 600
    assert 0.001 <= traits.spread <= 0.02
    assert traits.levels == 5
