"""The grammar of topics: which ones exist, which need a login, and how KuCoin refuses the others.

Facts from the protocol reference, sections 5.3, 5.4, 6 and 7.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kucoin_research.sim.engine.candles import INTERVALS

__all__ = [
    "MAX_SYMBOLS_PER_MESSAGE",
    "PRIVATE_TOPICS",
    "PUBLIC_TOPICS",
    "Topic",
    "TopicRefused",
    "parse_topics",
]

MAX_SYMBOLS_PER_MESSAGE = 100

# In the order in which the frames of one symbol leave within a slice: a trade comes before the book
# it changed.
PUBLIC_TOPICS: dict[str, tuple[str, ...]] = {
    "futures": (
        "/contractMarket/execution",
        "/contractMarket/ticker",
        "/contractMarket/level2",
        "/contractMarket/tickerV2",
        "/contractMarket/level2Depth5",
        "/contractMarket/level2Depth50",
        "/contractMarket/limitCandle",
        "/contract/instrument",
        "/contract/announcement",
        "/contractMarket/snapshot",
    ),
    "spot": (
        "/market/match",
        "/market/level2",
        "/spotMarket/level1",
        "/market/ticker",
        "/spotMarket/level2Depth5",
        "/spotMarket/level2Depth50",
        "/market/candles",
        "/market/snapshot",
        "/indicator/index",
        "/indicator/markPrice",
        # Valid and silent here: there is never an auction, and the lending book was withdrawn.
        "/callauction/level2Depth50",
        "/callauction/callauctionData",
        "/margin/fundingBook",
    ),
}

# Topics that need a login. Valid and silent here: ``/contract/positionCross`` and ``/margin/loan``.
PRIVATE_TOPICS: dict[str, frozenset[str]] = {
    "futures": frozenset(
        {
            "/contractMarket/tradeOrders",
            "/contractMarket/advancedOrders",
            "/contractAccount/wallet",
            "/contract/position",
            "/contract/positionAll",
            "/contract/positionCross",
            "/contract/marginMode",
            "/contract/crossLeverage",
        }
    ),
    "spot": frozenset(
        {
            "/spotMarket/tradeOrders",
            "/spotMarket/tradeOrdersV2",
            "/spotMarket/advancedOrders",
            "/account/balance",
            "/margin/position",
            "/margin/loan",
            "/margin/isolatedPosition",
        }
    ),
}

_CANDLE_PREFIXES = frozenset({"/contractMarket/limitCandle", "/market/candles"})
# Topics that may have no suffix, and those that must have none.
_WITHOUT_SUFFIX = frozenset({"/contract/announcement", "/contractMarket/tradeOrders"})
_ALONE = frozenset(
    {
        "/contractMarket/advancedOrders",
        "/contractAccount/wallet",
        "/contract/positionAll",
        "/contract/positionCross",
        "/contract/marginMode",
        "/contract/crossLeverage",
        "/spotMarket/tradeOrders",
        "/spotMarket/tradeOrdersV2",
        "/spotMarket/advancedOrders",
        "/account/balance",
        "/margin/position",
    }
)
# Refused as malformed rather than as unknown: clients use it, but KuCoin never served it.
# (reference, section 6.6)
_INVALID_PREFIXES = frozenset({"/contractMarket/candle"})


class Topic(NamedTuple):
    """One single-symbol topic; a part that it does not have is empty."""

    prefix: str
    suffix: str = ""
    candle_type: str = ""

    @property
    def is_private(self) -> bool:
        """Whether it belongs to one account."""
        return any(self.prefix in topics for topics in PRIVATE_TOPICS.values())

    @property
    def text(self) -> str:
        """The topic as data frames spell it."""
        if not self.suffix:
            return self.prefix
        candle = f"_{self.candle_type}" if self.candle_type else ""
        return f"{self.prefix}:{self.suffix}{candle}"


class TopicRefused(Exception):
    """A topic that KuCoin refuses: the code and the words of its error frame."""

    def __init__(self, code: int, data: str) -> None:
        super().__init__(data)
        self.code = code
        self.data = data


def parse_topics(market: str, text: str, *, is_logged_in: bool = False) -> list[Topic]:
    """Split the topic of a subscribe message into single-symbol topics.

    Parameters
    ----------
    market
        ``"futures"`` or ``"spot"``.
    text
        The topic as the client sent it, perhaps with a comma list.
    is_logged_in
        Whether private topics are served: the token is private, and the message asks for the
        private channel.

    Returns
    -------
    list[Topic]
        In the client's order, without repetitions. Symbols may be unknown: KuCoin acks those and
        stays silent.

    Raises
    ------
    TopicRefused
        With code 400, 403, 404 or 509 and KuCoin's words.
    """
    prefix, _, suffixes = text.partition(":")
    invalid = TopicRefused(400, f"topic {text} is invalid")
    if prefix in _INVALID_PREFIXES or re.search(r"\s", text):
        raise invalid
    _check_prefix(market, prefix, is_logged_in=is_logged_in)
    if text == prefix and prefix in _WITHOUT_SUFFIX | _ALONE:
        return [Topic(prefix)]
    if prefix in _ALONE:
        raise invalid
    elements = suffixes.split(",")
    if len(elements) > MAX_SYMBOLS_PER_MESSAGE:
        limit = MAX_SYMBOLS_PER_MESSAGE
        raise TopicRefused(509, f"exceed max subscription count limitation of {limit} per time")
    if not all(element and ":" not in element for element in elements):
        raise invalid
    if prefix not in _CANDLE_PREFIXES:
        return [Topic(prefix, element) for element in dict.fromkeys(elements)]
    topics = []
    for element in dict.fromkeys(elements):
        symbol, _, candle_type = element.rpartition("_")
        # Spot acknowledges intervals that it does not have, and stays silent.
        if not symbol or (candle_type not in INTERVALS and market == "futures"):
            raise invalid
        topics.append(Topic(prefix, symbol, candle_type))
    return topics


def _check_prefix(market: str, prefix: str, *, is_logged_in: bool) -> None:
    if prefix in PRIVATE_TOPICS[market]:
        if not is_logged_in:
            raise TopicRefused(403, "login is required")
    elif prefix not in PUBLIC_TOPICS[market]:
        raise TopicRefused(404, "topic does not exist")
