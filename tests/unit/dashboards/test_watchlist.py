"""What a dashboard's stream carries besides the symbol that is shown."""

from __future__ import annotations

import pytest

import kucoin_research as kr
from kucoin_research.dashboards.watchlist import Watchlist, offered
from kucoin_research.exchange.topics import Feed

# The exchange is shared with dashboards, which live in the machine's time.
REAL_TIME = True


def test_a_market_has_only_some_channels():
    names = ["ticker", "funding_rate", "mark_price", "candle:1min"]

    assert offered(names, "futures", Feed.CLASSIC) == names
    assert offered(names, "spot", Feed.CLASSIC) == ["ticker", "mark_price", "candle:1min"]
    assert offered(names, "spot", Feed.PRO) == ["ticker", "candle:1min"]


def test_a_refusal_on_one_market_takes_back_what_came_on_the_other():
    with (
        kr.simulate(seed=5, speed=30.0, max_topics=2) as x,
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
        kr.simulate(seed=5, speed=30.0) as x,
        kr.stream("XBTUSDTM", ["ticker"], venue=x.venue) as s,
    ):
        watched = Watchlist(s, "XBTUSDTM", ["ticker"])
        before = set(s.subscriptions)

        with pytest.raises(kr.ChannelNotOffered, match="stream BTC-USDT: funding_rate is not on"):
            watched.watch("BTC-USDT", "spot", ["funding_rate"], keeps_all=False)
        assert (set(s.subscriptions), watched.symbols) == (before, ["XBTUSDTM"])


def test_the_line_names_the_channels_that_the_market_lacks():
    with (
        kr.simulate(seed=5, speed=30.0) as x,
        kr.stream("XBTUSDTM", ["ticker"], venue=x.venue) as s,
    ):
        watched = Watchlist(s, "XBTUSDTM", ["ticker"])
        watched.watch("BTC-USDT", "spot", ["ticker", "funding_rate"], keeps_all=False)

        assert watched.summary() == (
            "streaming BTC-USDT: ticker; funding_rate is not on spot; XBTUSDTM goes on behind"
        )
