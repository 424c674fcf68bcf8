"""Which KuCoin topics carry which channel, on which market.

Source: KuCoin's classic WebSocket documentation for futures and spot, read in November 2026
(https://www.kucoin.com/docs-new). The futures candle topic is ``limitCandle``: the topic
``/contractMarket/candle`` that some guides show is refused by the exchange.

The newer feed (launched as "Pro", now "UTA") has channels instead of topics; here they are spelled
alike, ``obu/increment@10ms:XBTUSDTM``, the channel's depth behind the slash.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum, unique
from typing import NamedTuple

from kucoin_research.errors import ChannelNotOffered, InvalidInput
from kucoin_research.records import Channel, Market

__all__ = ["SYMBOLS_PER_MESSAGE", "Feed", "Topic", "feed_of", "group_topics", "topics_for"]

SYMBOLS_PER_MESSAGE = 100


@unique
class Feed(StrEnum):
    """One of KuCoin's two public WebSocket protocols."""

    CLASSIC = "classic"
    PRO = "pro"


def feed_of(text: str) -> Feed:
    """Read a feed's name.

    Raises
    ------
    InvalidInput
        If there is none of that name.
    """
    try:
        return Feed(str(text).strip().lower())
    except ValueError:
        raise InvalidInput(f"feed must be 'classic' or 'pro', not {text!r}") from None


_CLASSIC: dict[Market, dict[str, tuple[str, ...]]] = {
    Market.FUTURES: {
        "ticker": ("/contractMarket/ticker",),
        "bbo": ("/contractMarket/tickerV2",),
        "trade": ("/contractMarket/execution",),
        "candle": ("/contractMarket/limitCandle",),
        "level2": ("/contractMarket/level2",),
        "depth5": ("/contractMarket/level2Depth5",),
        "depth50": ("/contractMarket/level2Depth50",),
        "mark_price": ("/contract/instrument",),
        "funding_rate": ("/contract/instrument", "/contract/announcement"),
        "snapshot": ("/contractMarket/snapshot",),
    },
    Market.SPOT: {
        "ticker": ("/market/ticker",),
        "bbo": ("/spotMarket/level1",),
        "trade": ("/market/match",),
        "candle": ("/market/candles",),
        "level2": ("/market/level2",),
        "depth5": ("/spotMarket/level2Depth5",),
        "depth50": ("/spotMarket/level2Depth50",),
        "mark_price": ("/indicator/markPrice", "/indicator/index"),
        "snapshot": ("/market/snapshot",),
    },
}

_PRO_BOTH: dict[str, tuple[str, ...]] = {
    "ticker": ("ticker",),
    "bbo": ("obu/1",),
    "trade": ("trade",),
    "candle": ("kline",),
    "level2": ("obu/increment@10ms",),
    "depth5": ("obu/5",),
    "depth50": ("obu/50",),
}
_PREFIXES: dict[Feed, dict[Market, dict[str, tuple[str, ...]]]] = {
    Feed.CLASSIC: _CLASSIC,
    Feed.PRO: {
        Market.FUTURES: _PRO_BOTH
        | {"mark_price": ("mark-price",), "funding_rate": ("funding-fee",)},
        Market.SPOT: _PRO_BOTH,
    },
}

# Intervals that one market has and the other lacks.
_MISSING_INTERVALS = {Market.FUTURES: {"6hour"}, Market.SPOT: {"1month"}}


class Topic(NamedTuple):
    """One topic of one symbol: ``prefix:key``, as pushed by the exchange."""

    prefix: str
    key: str  # the symbol, with "_<interval>" behind it for candles

    def __str__(self) -> str:
        return f"{self.prefix}:{self.key}"


def topics_for(
    channel: Channel, symbol: str, market: Market, feed: Feed = Feed.CLASSIC
) -> list[Topic]:
    """List the topics that carry a channel of a symbol.

    Parameters
    ----------
    channel
        As read by ``parse_channel``. ``status`` is made here and needs no topic.
    symbol
        As the exchange spells it.
    market
        The symbol's market.
    feed
        Which of KuCoin's protocols.

    Raises
    ------
    ChannelNotOffered
        If that feed does not offer that channel, or that candle interval, on that market.
    """
    if channel.name == "status":
        return []
    offered = _PREFIXES[feed][market]
    prefixes = offered.get(channel.name)
    if prefixes is None:
        where = market if feed is Feed.CLASSIC else f"the {feed} feed of {market}"
        raise ChannelNotOffered(
            f"KuCoin has no {channel.name!r} channel on {where}, so {symbol} cannot stream it; "
            f"channels there: {', '.join(offered)}"
        )
    if channel.interval in _MISSING_INTERVALS[market]:
        raise ChannelNotOffered(
            f"KuCoin streams no {channel.interval} candles on {market} ({symbol}); "
            "take a shorter interval and resample it"
        )
    key = f"{symbol}_{channel.interval}" if channel.interval else symbol
    return [Topic(prefix, key) for prefix in prefixes]


def group_topics(topics: Iterable[Topic], most: int = SYMBOLS_PER_MESSAGE) -> list[list[Topic]]:
    """Group topics by prefix into lists that fit one subscribe message each, in order."""
    by_prefix: defaultdict[str, list[Topic]] = defaultdict(list)
    for topic in dict.fromkeys(topics):
        by_prefix[topic.prefix].append(topic)
    return [
        group[start : start + most]
        for group in by_prefix.values()
        for start in range(0, len(group), most)
    ]
