"""What a dashboard's stream carries besides the symbol that is shown."""

from __future__ import annotations

import pytest

import kucoin_research as kr
from kucoin_research.dashboards.watchlist import Watchlist, offered
from kucoin_research.exchange.topics import Feed
from kucoin_research.model.channels import Channel, Market, Subscription
from tests.conftest import wait_until
from tests.exchanges import simulate


def test_a_market_has_only_some_channels():
    names = ["ticker", "funding_rate", "mark_price", "candle:1min"]

    assert offered(names, "futures", Feed.CLASSIC) == names
    assert offered(names, "spot", Feed.CLASSIC) == ["ticker", "mark_price", "candle:1min"]
    assert offered(names, "spot", Feed.PRO) == ["ticker", "candle:1min"]


def test_a_refusal_on_one_market_takes_back_what_came_on_the_other():
    with (
        simulate(seed=5, speed=30.0, max_topics=2) as x,
        kr.stream("XBTUSDTM", ["ticker"], venue=x.venue) as s,
    ):
        watched = Watchlist(s, "XBTUSDTM", ["ticker"])
        watched.watch("BTC-USDT", "spot", ["ticker"], keeps_all=False)
        watched.watch("ETH-USDT", "spot", ["ticker"], keeps_all=False)
        before = set(s.subscriptions)
        with pytest.raises(kr.LimitExceeded):
            watched.watch("ETH-USDT", "spot", ["ticker", "trade"], keeps_all=False)

        assert set(s.subscriptions) == before
        assert watched.symbols == ["XBTUSDTM", "BTC-USDT", "ETH-USDT"]
        assert watched.summary() == "streaming ETH-USDT: ticker; XBTUSDTM, BTC-USDT go on behind"


def test_a_symbol_whose_market_has_none_of_the_channels_is_refused():
    with (
        simulate(seed=5, speed=30.0) as x,
        kr.stream("XBTUSDTM", ["ticker"], venue=x.venue) as s,
    ):
        watched = Watchlist(s, "XBTUSDTM", ["ticker"])
        before = set(s.subscriptions)

        with pytest.raises(kr.ChannelNotOffered, match="stream BTC-USDT: funding_rate is not on"):
            watched.watch("BTC-USDT", "spot", ["funding_rate"], keeps_all=False)
        assert (set(s.subscriptions), watched.symbols) == (before, ["XBTUSDTM"])


def test_the_line_names_the_channels_that_the_market_lacks():
    with (
        simulate(seed=5, speed=30.0) as x,
        kr.stream("XBTUSDTM", ["ticker"], venue=x.venue) as s,
    ):
        watched = Watchlist(s, "XBTUSDTM", ["ticker"])
        watched.watch("BTC-USDT", "spot", ["ticker", "funding_rate"], keeps_all=False)

        assert watched.summary() == (
            "streaming BTC-USDT: ticker; funding_rate is not on spot; XBTUSDTM goes on behind"
        )


class HalfRefused:
    """A stream to which one market refuses all, and of which the other one ends nothing."""

    feed = Feed.CLASSIC

    subscriptions = (Subscription(Channel("ticker"), "XBTUSDTM", Market.FUTURES),)

    def subscribe(self, symbols, channels, *, market, timeout):
        if "trade" in channels and market == "spot":
            raise kr.LimitExceeded("no topics are left")
        return [Subscription(Channel("trade"), each, Market(market)) for each in symbols]

    def unsubscribe(self, symbols, channels, *, timeout):
        raise kr.StreamTimeout("the exchange did not answer")


def test_a_symbol_that_streams_unasked_is_kept_in_mind_behind_the_refusal_of_another():
    watched = Watchlist(HalfRefused(), "XBTUSDTM", ["ticker"])
    watched.watch("BTC-USDT", "spot", ["ticker"], keeps_all=False)

    with pytest.raises(kr.LimitExceeded, match="no topics are left"):
        watched.watch("ETHUSDTM", "futures", ["ticker", "trade"], keeps_all=False)

    assert watched.symbols == ["ETHUSDTM", "XBTUSDTM", "BTC-USDT"]


def test_a_symbol_that_cannot_be_given_up_holds_up_no_other_one():
    asked = ["XBTUSDTM", "ETHUSDTM", "SOLUSDTM", "DOGEUSDTM"]
    with (
        simulate(seed=5, speed=30.0) as x,
        kr.stream("BTC-USDT", ["ticker"], venue=x.venue) as s,
    ):
        watched = Watchlist(s, "BTC-USDT", ["ticker"])
        for symbol in asked[:3]:
            watched.watch(symbol, "futures", ["ticker"], keeps_all=False)
        x.inject("stall_socket", market="spot")
        change = watched.watch(asked[3], "futures", ["ticker"], keeps_all=False)

        assert change.given_up == ()
        assert watched.symbols == ["BTC-USDT", *asked]
        line = watched.summary(change)
        assert line.startswith("streaming DOGEUSDTM: ticker; BTC-USDT, XBTUSDTM, ")
        assert "; the next press tries again to end what is not wanted: " in line

        x.heal()
        x.inject("abort", market="spot")  # the connection that is mute
        wait_until(lambda: s.status.reconnects and s.state == "live")
        change = watched.watch("XBTUSDTM", "futures", ["ticker"], keeps_all=False)

        assert change == (("BTC-USDT",), None)
        assert {each.symbol for each in s.subscriptions} == set(asked) == set(watched.symbols)


def test_symbols_of_a_watch_list_are_not_given_up():
    with (
        simulate(seed=5, speed=30.0) as x,
        kr.stream(["XBTUSDTM", "ETHUSDTM"], ["ticker"], venue=x.venue) as s,
    ):
        pins = ["XBTUSDTM", "ETHUSDTM", "BTC-USDT", "ETH-USDT", "SOLUSDTM"]
        watched = Watchlist(s, "XBTUSDTM", ["ticker"], pins)
        watched.complete()
        assert {each.symbol for each in s.subscriptions} == set(pins)
        assert watched.summary() == "streaming XBTUSDTM: ticker; 4 more of the watch list"

        watched.watch("XBTUSDM", None, ["ticker"], keeps_all=False)
        watched.watch("ETHUSDTM", None, ["ticker"], keeps_all=False)
        assert {each.symbol for each in s.subscriptions} == {*pins, "XBTUSDM"}
        assert watched.summary() == (
            "streaming ETHUSDTM: ticker; 4 more of the watch list; XBTUSDM goes on behind"
        )

        watched.pins = pins[:3]
        change = watched.give_up(["ETH-USDT", "SOLUSDTM"])
        assert sorted(change.given_up) == ["ETH-USDT", "SOLUSDTM"]
        assert {each.symbol for each in s.subscriptions} == {*pins[:3], "XBTUSDM"}


def test_an_unknown_symbol_of_a_watch_list_adds_none():
    with (
        simulate(seed=5, speed=30.0) as x,
        kr.stream("XBTUSDTM", ["ticker"], venue=x.venue) as s,
    ):
        watched = Watchlist(s, "XBTUSDTM", ["ticker"], ["XBTUSDTM", "ETHUSDTM", "NOUSDTM"])
        with pytest.raises(kr.UnknownSymbol, match="NOUSDTM"):
            watched.complete()

        assert {each.symbol for each in s.subscriptions} == {"XBTUSDTM"}
        assert watched.symbols == ["XBTUSDTM"]
