"""Markets that are like recorded ones, in their own sample and at other times."""

from dataclasses import replace

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine import likeness
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.fair_price import FairPrice
from kucoin_research.sim.engine.likeness import RecordedMarket, listings_like
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.engine.market_traits import MarketTraits, watch
from kucoin_research.sim.engine.offers import Offer

START = 1_767_571_200_000_000_000
DAY = 86_400 * 10**9
FITTED = (
    "volatility", "spread", "depth", "width", "book_changes", "takers", "taker_size", "size_spread"
)  # fmt: skip


def offer(symbol, **facts):
    listing = LISTINGS.get(symbol, LISTINGS["SOLUSDTM"])
    usual = {
        "symbol": symbol,
        "market": listing.market,
        "base": listing.base,
        "quote": listing.quote,
        "settle": listing.settle,
        "tick_size": float(listing.tick_size),
        "lot_size": float(listing.lot_size),
        "multiplier": listing.multiplier,
    }
    return Offer(**(usual | facts))


def watched(symbol, seconds=900, *, seed=31, start=START + 40 * DAY):
    market = Market(LISTINGS[symbol], seed, start)
    market.advance(start + 60 * 10**9)
    return watch(market, seconds, levels=5, lag=60)


def alike(*recorded, seed=7, start=START):
    listings, rows = listings_like(recorded, LISTINGS, seed, start)
    return listings, {(row.symbol, row.trait): row.simulated / row.recorded for row in rows}


@pytest.fixture(scope="module")
def sol():
    return watched("SOLUSDTM")


def test_a_market_becomes_like_another_one(sol):
    # The flow of a slow market becomes that of one that is ten times as fast.
    recorded = RecordedMarket(offer("XYZUSDTM", base="XYZ"), sol)

    listings, ratios = alike(recorded)

    assert set(listings) == {*LISTINGS, "XYZUSDTM"}
    assert ratios["XYZUSDTM", "price"] == pytest.approx(1.0, abs=0.01)
    for trait in FITTED:
        assert ratios["XYZUSDTM", trait] == pytest.approx(1.0, abs=0.3), trait
    # And not only in the sample that it was made by.
    start = START + 60 * 10**9
    market = Market(listings["XYZUSDTM"], 7, START)
    market.advance(start)
    shown = watch(market, 900, levels=5, lag=60)
    for trait in FITTED:
        assert getattr(shown, trait) / getattr(sol, trait) == pytest.approx(1.0, abs=0.45), trait


@pytest.fixture
def brief(monkeypatch):
    """Fit only roughly, where it does not matter how well."""
    monkeypatch.setattr(likeness, "_ROUNDS", (800, 800))


def test_it_is_the_same_each_time(brief, sol):
    recorded = RecordedMarket(offer("SOLUSDTM"), sol)

    assert alike(recorded) == alike(recorded)
    assert alike(recorded)[0] != alike(recorded, seed=8)[0]


def test_prices_begin_where_the_recording_begins(brief, sol):
    listings, _ = alike(RecordedMarket(offer("SOLUSDTM"), replace(sol, price=1_234.5)))

    fair = FairPrice(listings["SOLUSDTM"], 7)
    assert fair.at(START // 10**6) == pytest.approx(1_234.5)
    # Candles of the days before lead there too.
    assert fair.minutes(START // DAY)[0] == pytest.approx(1_234.5, rel=0.001)


def test_a_coin_has_one_price_in_all_its_markets(brief):
    futures, spot = watched("ETHUSDTM", 60), watched("ETH-USDT", 60)
    futures = replace(futures, price=5_000.0)
    spot = replace(spot, price=5_005.0, takers=1.0)

    listings, _ = alike(
        RecordedMarket(offer("ETH-USDT"), spot), RecordedMarket(offer("ETHUSDTM"), futures)
    )

    at = START // 10**6
    prices = {name: FairPrice(listings[name], 7).at(at) for name in ("ETHUSDTM", "ETH-USDT")}
    assert prices == {"ETHUSDTM": pytest.approx(5_000.0), "ETH-USDT": pytest.approx(5_005.0)}
    # A market that was not recorded follows its coin; others stay as they are.
    cross = FairPrice(listings["ETH-BTC"], 7).at(at) / FairPrice(LISTINGS["ETH-BTC"], 7).at(at)
    usual = FairPrice(LISTINGS["ETHUSDTM"], 7).at(at)
    assert cross == pytest.approx(5_000.0 / usual, rel=0.01)
    assert listings["SOLUSDTM"] is LISTINGS["SOLUSDTM"]


def test_what_was_not_recorded_stays_as_in_the_catalog(brief):
    traits = MarketTraits(seconds=600.0, price=150.0, takers=30.0)

    listings, ratios = alike(RecordedMarket(offer("SOLUSDTM"), traits))

    assert {trait for _, trait in ratios} == {"price", "takers"}
    flow, usual = listings["SOLUSDTM"].flow, LISTINGS["SOLUSDTM"].flow
    for name in ("levels", "gap_ticks", "spread_ticks", "order_size", "trade_size"):
        assert getattr(flow, name) == getattr(usual, name)


def test_steps_of_the_recording_are_taken(brief):
    steps = offer("KCSUSDTM", tick_size=0.00025, lot_size=10.0, multiplier=1.0)

    listings, _ = alike(RecordedMarket(steps, MarketTraits(seconds=100.0, price=11.0)))

    made = listings["KCSUSDTM"]
    assert (made.tick_size, made.lot_size, made.multiplier) == ("0.00025", "10", 1.0)
    assert made.max_leverage == LISTINGS["KCSUSDTM"].max_leverage


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"expires": START}, "is a dated contract"),
        (
            {"symbol": "XYZUSDTM", "tick_size": None},
            "does not describe XYZUSDTM, and the catalog does not have it",
        ),
    ],
)
def test_what_cannot_be_simulated_is_refused(facts, text):
    symbol = facts.pop("symbol", "SOLUSDTM")
    with pytest.raises(InvalidInput, match=text):
        alike(RecordedMarket(offer(symbol, **facts), MarketTraits(seconds=100.0)))


def test_a_price_of_a_few_ticks_is_refused():
    traits = MarketTraits(seconds=100.0, price=0.02)

    with pytest.raises(InvalidInput, match=r"0\.02, is less than 30 ticks of 0\.001"):
        alike(RecordedMarket(offer("SOLUSDTM"), traits))


def test_a_pair_in_a_coin_does_not_set_the_price_of_the_coin(brief):
    cross = offer("KCS-ETH", market="spot", base="KCS", quote="ETH", tick_size=1e-7, multiplier=1.0)

    listings, ratios = alike(
        RecordedMarket(cross, MarketTraits(seconds=100.0, price=0.0042, takers=5.0))
    )

    assert ratios["KCS-ETH", "price"] == pytest.approx(1.0, abs=0.01)
    assert listings["KCS-USDT"] is LISTINGS["KCS-USDT"]
    assert listings["KCSUSDTM"] is LISTINGS["KCSUSDTM"]


def test_a_dense_and_busy_book_is_not_frozen():
    # A level at each tick, and more changes than the price has moves.
    traits = MarketTraits(
        seconds=400.0, levels=50, lag=10, price=100.0, volatility=0.0035, spread=0.1, depth=2_400.0,
        width=4.9, book_changes=50.0, takers=10.0, taker_size=13.0, size_spread=0.8,
    )  # fmt: skip
    steps = offer("XYZUSDTM", base="XYZ", tick_size=0.1)

    _, ratios = alike(RecordedMarket(steps, traits))

    for (_, trait), ratio in ratios.items():
        assert 0.6 < ratio < 1.67, trait


def test_the_time_of_the_sample_does_not_matter():
    # Four minutes were recorded. A slow market needs hours for a sample, in which its volatility
    # and its pace change: they are the recorded ones in the minutes, not in the hours.
    seconds = 240
    traits = watched("KCSUSDTM", seconds)

    listings, ratios = alike(RecordedMarket(offer("KCSUSDTM"), traits), seed=3)

    def pace(hours):
        fair = FairPrice(listings["KCSUSDTM"], 3)
        found = []
        for second in range(60, 60 + int(hours * 3_600), 10):
            fair.ticks(START // 10**6 + second * 1_000)
            found.append(fair.activity)
        return sum(found) / len(found)

    market = Market(listings["KCSUSDTM"], 3, START)
    market.advance(START + 60 * 10**9)
    hours = 4.0
    shown = watch(market, int(hours * 3_600), levels=5, lag=60)
    scaled = shown.book_changes * pace(seconds / 3_600) / pace(hours)
    assert scaled / traits.book_changes == pytest.approx(
        ratios["KCSUSDTM", "book_changes"], rel=0.1
    )
