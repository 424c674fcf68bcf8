"""A market that traded unseen is kept for the next exchange, which cannot tell the difference."""

import threading

import pytest

from kucoin_research.sim.engine import warm_markets
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.clock import VirtualClock, parse_start
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.engine.order_flow import OrderFlow
from kucoin_research.sim.engine.quiet_contracts import quiet_listings
from kucoin_research.sim.engine.warm_markets import WarmMarkets
from kucoin_research.sim.server import engine_pool
from kucoin_research.sim.server.market_core import MarketCore, listings_for
from kucoin_research.sim.server.settings import Settings
from tests.set_clock import SetMachine

SECOND = 10**9
START = parse_start("2026-01-05")


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """Markets kept by this test alone."""
    made = WarmMarkets()
    monkeypatch.setattr(engine_pool, "_WARM", made)
    return made


@pytest.fixture
def acts(monkeypatch):
    """Times at which a crowd has acted."""
    seen = []
    act = OrderFlow.act

    def noted(flow, now_ms):
        seen.append(now_ms)
        act(flow, now_ms)

    monkeypatch.setattr(OrderFlow, "act", noted)
    return seen


def open_hub(symbols, *, seed=7, **settings):
    clock = VirtualClock(START, machine=SetMachine())
    return MarketCore(seed, clock, listings_for(symbols), Settings(**settings))


def warmed(listing, *, seed=7, seconds=60):
    market = Market(listing, seed, START - seconds * SECOND)
    market.advance(START)
    return market


def story(market):
    """All that can be asked of a market, now and in the minutes to come."""
    now_ns = market.now_ns
    events = market.advance(now_ns + 30 * SECOND)
    bought = market.submit("buy", 3, owner="me")
    rests = market.submit("sell", 2, price_ticks=market.best_ask + 5, owner="me")
    events += market.advance(now_ns + 90 * SECOND)
    is_futures = market.listing.market == "futures"
    return (
        events, bought, rests, list(market.trades), market.levels("buy"), market.levels("sell"),
        market.stats_24h(market.now_ns), market.mark_price(market.now_ns),
        market.candles(60_000, (now_ns - 300 * SECOND) // 10**6, market.now_ns // 10**6),
        is_futures and market.funding_rate(market.now_ns), market.open_interest(market.now_ns),
    )  # fmt: skip


@pytest.mark.parametrize("symbol", LISTINGS)
def test_a_copy_goes_on_as_the_market_itself_would(symbol, kept):
    market = warmed(LISTINGS[symbol])
    kept.keep(market, 7)
    copy = kept.take(LISTINGS[symbol], 7, market.start_ns, START)
    copy.advance(START)

    assert story(copy) == story(market)


def test_the_next_exchange_finds_the_warm_up_done_in_as_many_steps(acts):
    steps = [len(list(open_hub(["XBTUSDTM"]).catching_up(["XBTUSDTM"]))) for _ in range(2)]
    first = len(acts)
    tape = open_hub(["XBTUSDTM"]).tape("XBTUSDTM")()

    assert first > 100
    assert len(acts) == first  # neither the second exchange nor a tape has done it again
    assert steps[0] == steps[1] > 60
    assert tape.bids == dict(warmed(LISTINGS["XBTUSDTM"]).levels("buy"))


def test_what_accounts_do_does_not_reach_the_copy(kept):
    hub = open_hub(["ETHUSDTM"])
    untouched = hub.engine("ETHUSDTM").levels("buy")
    hub.order("ETHUSDTM", lambda engine: engine.submit("sell", 50, owner="me"))

    assert hub.engine("ETHUSDTM").levels("buy") != untouched
    assert open_hub(["ETHUSDTM"]).engine("ETHUSDTM").levels("buy") == untouched


@pytest.mark.parametrize(("seed", "warm_up"), [(8, 60.0), (7, 61.0)])
def test_another_seed_or_warm_up_is_another_market(seed, warm_up):
    open_hub(["SOLUSDTM"]).engine("SOLUSDTM")

    found = open_hub(["SOLUSDTM"], seed=seed, warm_up=warm_up).engine("SOLUSDTM")

    expected = Market(LISTINGS["SOLUSDTM"], seed, START - int(warm_up * SECOND))
    expected.advance(START)
    assert found.levels("sell") == expected.levels("sell")


def test_a_later_touch_is_not_kept(kept):
    hub = open_hub(["KCSUSDTM", "KCS-USDT"])
    hub.engine("KCSUSDTM")
    hub.clock.reach(START + SECOND)
    hub.engine("KCS-USDT")

    assert [key[0].symbol for key in kept._kept] == ["KCSUSDTM"]


def test_no_more_are_kept_than_there_is_room_for(kept, monkeypatch):
    monkeypatch.setattr(warm_markets, "_KEPT", 2)
    listing = LISTINGS["KCSUSDTM"]
    for seed in (1, 2, 3):
        kept.keep(warmed(listing, seed=seed, seconds=1), seed)
        kept.take(listing, 1, START - SECOND, START)

    is_there = [kept.take(listing, seed, START - SECOND, START) for seed in (1, 2, 3)]
    assert [market is not None for market in is_there] == [True, False, True]


def test_quiet_contracts_are_not_kept(kept):
    [listing] = quiet_listings(1).values()
    kept.keep(warmed(listing), 7)

    assert kept.take(listing, 7, START - 60 * SECOND, START) is None


def test_two_threads_may_keep_and_take_at_once(kept):
    listing = LISTINGS["KCSUSDTM"]
    expected, found = warmed(listing).levels("buy"), []

    def work():
        for _ in range(5):
            kept.keep(warmed(listing), 7)
            found.append(kept.take(listing, 7, START - 60 * SECOND, START).levels("buy"))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [expected] * 10
