"""The stylised facts of an hour and a half, with wide bounds. `benchmarks.realism` has more."""

import pytest

from benchmarks.realism import PUBLISHED, facts, impact, watch
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.engine.quiet_contracts import quiet_listings

SECOND = 10**9
DAY = 86_400 * SECOND
START = 1_767_571_200 * SECOND

# One short stretch of one seed is noisier than the medians of which the sources speak.
BOUNDS = {
    "excess kurtosis of 10 s returns": (1.0, 500.0),
    "excess kurtosis of 1 min returns": (0.0, 500.0),
    "kurtosis of 10 s over 5 min": (1.0, 500.0),
    "autocorrelation of 10 s returns": (-0.15, 0.15),
    "autocorrelation of 1 min returns": (-0.35, 0.35),
    "autocorrelation of absolute 10 s returns": (0.03, 0.7),
    "the same at a lag of 5 min": (-0.05, 0.5),
    "decay exponent of the same": (0.0, 2.0),
    "volume and volatility of 1 min": (0.2, 0.98),
    "lag-1 autocorrelation of trade signs": (0.15, 0.5),
    "decay exponent of trade signs": (0.3, 1.0),
    "most frequent time between events, ms": (2.0, 4.0),
    "spread and volatility of 1 min": (0.05, 1.0),
    "depth and volatility of 1 min": (-1.0, -0.1),
    "mark less index, half-life in min": (0.5, 200.0),
}


@pytest.fixture(scope="module")
def measured():
    return facts(watch("XBTUSDTM", 2, 1.5))


@pytest.mark.parametrize("fact", [fact for fact in PUBLISHED if "impact" not in fact.name])
def test_a_stylised_fact_holds(measured, fact):
    least, most = BOUNDS.get(fact.name, (fact.least, fact.most))

    assert least <= measured[fact.name] <= most


def test_an_account_that_buys_moves_the_price_and_less_of_it_remains():
    path = impact("XBTUSDTM", 2, orders=4, children=32, times_median=50)

    early, peak = path.path[6:10].mean(), path.path[56:64].mean()
    left = path.path[-8:].mean()

    assert 0 < early < peak < 8 * early  # eight times as large: less than eight times the move
    assert 0.1 * peak < left < 0.9 * peak


@pytest.mark.parametrize("listing", [LISTINGS["KCSUSDTM"], *quiet_listings(2).values()])
def test_prices_stay_near_the_index_for_days(listing):
    market = Market(listing, 1, START)

    gaps = []
    for hour in range(1, 49):
        now = START + hour * DAY // 24
        market.advance(now)
        mid = market.price(market.best_bid + market.best_ask) / 2
        gaps.append(mid / market.index_price(now) - 1)

    assert max(map(abs, gaps)) < 0.004
