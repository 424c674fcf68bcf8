"""The KuCoin topics that carry our channels, by market and feed.

Source: KuCoin's classic WebSocket documentation for futures and spot, read in November 2026
(https://www.kucoin.com/docs-new). The futures candle topic is ``limitCandle``: the topic
``/contractMarket/candle`` that some guides show is refused by the exchange.

The newer feed (launched as "Pro", now "UTA") has channels instead of topics. We spell them like
topics, with the channel's depth after a slash: ``obu/increment@10ms:XBTUSDTM``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum, unique
from typing import NamedTuple

from kucoin_research.errors import ChannelNotOffered, InvalidInput, shown
from kucoin_research.model.channels import Channel, Market
from kucoin_research.model.records import ALL_SYMBOLS

__all__ = [
    "SYMBOLS_PER_MESSAGE",
    "Feed",
    "Topic",
    "feed_of",
    "group_topics",
    "is_offered",
    "subscribed_topic",
    "topics_for",
]

SYMBOLS_PER_MESSAGE = 100

_ISOLATED = "/margin/isolatedPosition"


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
        If there is no feed of that name.
    """
    name = text.strip().lower() if isinstance(text, str) else ""
    if name not in list(Feed):
        raise InvalidInput(f"feed must be 'classic' or 'pro', not {shown(text)}")
    return Feed(name)


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
        "order": ("/contractMarket/tradeOrders",),
        "fill": ("/contractMarket/tradeOrders",),
        "balance": ("/contractAccount/wallet",),
        "position": ("/contract/positionAll",),
        "stop_order": ("/contractMarket/advancedOrders",),
        "leverage": ("/contract/marginMode", "/contract/crossLeverage"),
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
        "order": ("/spotMarket/tradeOrdersV2",),
        "fill": ("/spotMarket/tradeOrdersV2",),
        "balance": ("/account/balance",),
        "stop_order": ("/spotMarket/advancedOrders",),
        "margin": ("/margin/position", _ISOLATED),
    },
}

# Private topics of the whole account: we subscribe to them without a symbol. Isolated margin has no
# such topic.
_ACCOUNT_WIDE = frozenset(
    {
        "/contractMarket/tradeOrders", "/contractAccount/wallet", "/contract/positionAll",
        "/contractMarket/advancedOrders", "/contract/marginMode", "/contract/crossLeverage",
        "/spotMarket/tradeOrdersV2", "/account/balance", "/spotMarket/advancedOrders",
        "/margin/position",
    }
)  # fmt: skip
_PRIVATE = _ACCOUNT_WIDE | {_ISOLATED}
# Messages with this prefix answer a subscription with another one.
_ASKED_FOR_AS = {"/contract/position": "/contract/positionAll"}
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

# Candle intervals that a market lacks.
_MISSING_INTERVALS = {Market.FUTURES: {"6hour"}, Market.SPOT: {"1month"}}


class Topic(NamedTuple):
    """One topic of one symbol: ``prefix:key``, or the prefix alone for a whole account."""

    prefix: str
    key: str  # the symbol, followed by "_<interval>" for candles; empty for a whole account

    @property
    def is_private(self) -> bool:
        """Whether only a private token opens it."""
        return self.prefix in _PRIVATE

    def __str__(self) -> str:
        return f"{self.prefix}:{self.key}" if self.key else self.prefix


def is_offered(channel: Channel, market: Market) -> bool:
    """Return whether KuCoin has a channel on a market."""
    return channel.name in _CLASSIC[market]


def subscribed_topic(pushed: str) -> str:
    """Return the topic that we subscribed to, for the topic of a message."""
    prefix = pushed.partition(":")[0]
    asked = _ASKED_FOR_AS.get(prefix, prefix)
    return asked if asked in _ACCOUNT_WIDE else pushed


def topics_for(
    channel: Channel, symbol: str, market: Market, feed: Feed = Feed.CLASSIC
) -> list[Topic]:
    """List the topics that carry a channel of a symbol.

    Parameters
    ----------
    channel
        As returned by ``parse_channel``. We make ``status`` ourselves, so it needs no topic.
    symbol
        As the exchange spells it. On private channels ``*`` stands for all symbols; there we use
        topics of the whole account wherever KuCoin has one.
    market
        The symbol's market.
    feed
        One of KuCoin's two protocols.

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
    if not channel.is_private:
        return [Topic(prefix, key) for prefix in prefixes]
    return [
        Topic(prefix, "" if prefix in _ACCOUNT_WIDE else key)
        for prefix in prefixes
        if prefix in _ACCOUNT_WIDE or symbol != ALL_SYMBOLS
    ]


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
