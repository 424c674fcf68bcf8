"""The classic feed: which topic is made by which feed.

Shapes from the protocol reference, sections 6 (futures) and 7 (spot).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from kucoin_research.sim.engine.candles import INTERVALS
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.feed import (
    Feed,
    Wire,
)
from kucoin_research.sim.messages.futures_feeds import (
    Announcement,
    FuturesCandle,
    FuturesDepth,
    FuturesExecution,
    FuturesLevel2,
    FuturesSnapshot,
    FuturesTicker,
    FuturesTickerV2,
    Instrument,
)
from kucoin_research.sim.messages.spot_feeds import (
    Indicator,
    SpotCandle,
    SpotDepth,
    SpotLevel1,
    SpotLevel2,
    SpotMatch,
    SpotSnapshot,
    SpotTicker,
    ticker_subject,
)
from kucoin_research.sim.messages.topics import Topic

__all__ = ["feed_of"]

_Maker: TypeAlias = Callable[[Topic, Market, Wire], Feed]

_FEEDS: dict[str, _Maker] = {
    "/contractMarket/execution": lambda t, e, w: FuturesExecution(t.text, e, w),
    "/contractMarket/ticker": lambda t, e, w: FuturesTicker(t.text, e, w),
    "/contractMarket/tickerV2": lambda t, e, w: FuturesTickerV2(t.text, e, w),
    "/contractMarket/level2": lambda t, e, w: FuturesLevel2(t.text, e, w),
    "/contractMarket/level2Depth5": lambda t, e, w: FuturesDepth(t.text, e, w, 5),
    "/contractMarket/level2Depth50": lambda t, e, w: FuturesDepth(t.text, e, w, 50),
    "/contractMarket/limitCandle": lambda t, e, w: FuturesCandle(t.text, e, w, t.candle_type),
    "/contract/instrument": lambda t, e, w: Instrument(t.text, e, w),
    "/contract/announcement": lambda t, e, w: Announcement(t.text, e, w),
    "/contractMarket/snapshot": lambda t, e, w: FuturesSnapshot(t.text, e, w),
    "/market/match": lambda t, e, w: SpotMatch(t.text, e, w),
    "/market/level2": lambda t, e, w: SpotLevel2(t.text, e, w),
    "/spotMarket/level1": lambda t, e, w: SpotLevel1(t.text, e, w),
    "/market/ticker": lambda t, e, w: SpotTicker(t.text, e, w, ticker_subject(t, e)),
    "/spotMarket/level2Depth5": lambda t, e, w: SpotDepth(t.text, e, w, 5),
    "/spotMarket/level2Depth50": lambda t, e, w: SpotDepth(t.text, e, w, 50),
    "/market/candles": lambda t, e, w: SpotCandle(t.text, e, w, t.candle_type),
    "/market/snapshot": lambda t, e, w: SpotSnapshot(t.text, e, w),
    "/indicator/index": lambda t, e, w: Indicator(t.text, e, w, Market.index_price),
    "/indicator/markPrice": lambda t, e, w: Indicator(t.text, e, w, Market.mark_price),
}


def feed_of(topic: Topic, engine: Market, wire: Wire) -> Feed | None:
    """Make the feed of a topic for one symbol; None if the topic is valid but silent."""
    make = _FEEDS.get(topic.prefix)
    if make is None or topic.candle_type not in ("", *INTERVALS):
        return None
    return make(topic, engine, wire)
