"""The shapes of the classic feed's messages, with KuCoin's own field names."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from kucoin_research.exchange.json_numbers import BookSequence, Integer, NotNegative, Number

__all__ = [
    "Announcement",
    "Candles",
    "ClassicData",
    "ControlFields",
    "Depth",
    "Envelope",
    "Execution",
    "FuturesLevel2",
    "FuturesSnapshot",
    "FuturesTicker",
    "Indicator",
    "InstrumentMessage",
    "Level1",
    "SpotChanges",
    "SpotLevel2",
    "SpotSnapshot",
    "SpotStatistics",
    "SpotTicker",
]

_Side: TypeAlias = Literal["buy", "sell"]
_Levels: TypeAlias = tuple[tuple[Number, NotNegative], ...] | None


class ClassicData(Struct, gc=False):
    """Base of the typed messages; unknown keys are ignored by msgspec."""


class FuturesTicker(ClassicData):
    """Best bid, best ask and last trade of a contract; the same for both futures topics."""

    sequence: Integer | None = None
    side: _Side | None = None
    size: Number | None = None
    price: Number | None = None
    bestBidSize: Number | None = None  # noqa: N815  KuCoin's spelling, here and below
    bestBidPrice: Number | None = None  # noqa: N815
    bestAskPrice: Number | None = None  # noqa: N815
    bestAskSize: Number | None = None  # noqa: N815
    ts: Integer | None = None


class SpotTicker(ClassicData):
    """Best bid, best ask and last trade of a pair."""

    sequence: Integer | None = None
    price: Number | None = None
    size: Number | None = None
    bestAsk: Number | None = None  # noqa: N815
    bestAskSize: Number | None = None  # noqa: N815
    bestBid: Number | None = None  # noqa: N815
    bestBidSize: Number | None = None  # noqa: N815
    time: Integer | None = None
    Time: Integer | None = None  # one documented sample spells it so


class Level1(ClassicData):
    """Best bid and best ask of a pair."""

    asks: tuple[Number | None, ...] | None = None
    bids: tuple[Number | None, ...] | None = None
    timestamp: Integer | None = None


class Execution(ClassicData):
    """A public trade."""

    sequence: Integer | None = None
    side: _Side | None = None
    size: Number | None = None
    matchSize: Number | None = None  # noqa: N815  frames of 2019-2020
    price: Number | None = None
    tradeId: str | int | None = None  # noqa: N815
    ts: Integer | None = None
    time: Integer | None = None


class Candles(ClassicData):
    """A candle, as a list of values."""

    candles: tuple[Any, ...]  # some are unreliable, so the converter reads them one by one


class FuturesLevel2(ClassicData):
    """One change of a futures book."""

    sequence: BookSequence
    change: str
    timestamp: Integer | None = None
    ts: Integer | None = None


class SpotChanges(ClassicData):
    """The changed levels of a spot book, each with its own sequence."""

    asks: tuple[tuple[Number, NotNegative, BookSequence], ...] | None = None
    bids: tuple[tuple[Number, NotNegative, BookSequence], ...] | None = None


class SpotLevel2(ClassicData):
    """Changes of a spot book, and the sequences that they cover."""

    changes: SpotChanges
    sequenceStart: BookSequence  # noqa: N815
    sequenceEnd: BookSequence  # noqa: N815
    time: Integer | None = None


class Depth(ClassicData):
    """The best levels of a book."""

    asks: _Levels = None
    bids: _Levels = None
    sequence: Integer | None = None
    ts: Integer | None = None
    timestamp: Integer | None = None


class InstrumentMessage(ClassicData):
    """Mark and index price, or the predicted funding rate."""

    markPrice: Number | None = None  # noqa: N815
    indexPrice: Number | None = None  # noqa: N815
    fundingRate: Number | None = None  # noqa: N815
    granularity: Integer | None = None
    timestamp: Integer | None = None


class Announcement(ClassicData):
    """A funding settlement that begins or ends."""

    symbol: str | None = None
    fundingRate: Number | None = None  # noqa: N815
    timestamp: Integer | None = None


class FuturesSnapshot(ClassicData):
    """The last 24 hours of a contract."""

    lastPrice: Number | None = None  # noqa: N815
    highPrice: Number | None = None  # noqa: N815
    lowPrice: Number | None = None  # noqa: N815
    volume: Number | None = None
    turnover: Number | None = None
    priceChg: Number | None = None  # noqa: N815
    priceChgPct: Number | None = None  # noqa: N815
    ts: Integer | None = None


class SpotStatistics(ClassicData):
    """The last 24 hours of a pair."""

    symbol: str | None = None
    lastTradedPrice: Number | None = None  # noqa: N815
    high: Number | None = None
    low: Number | None = None
    vol: Number | None = None
    volValue: Number | None = None  # noqa: N815
    changePrice: Number | None = None  # noqa: N815
    changeRate: Number | None = None  # noqa: N815
    datetime: Integer | None = None


class SpotSnapshot(ClassicData):
    """The statistics of a pair, inside another ``data``."""

    data: SpotStatistics


class Indicator(ClassicData):
    """A mark or index price of spot."""

    symbol: str | None = None
    value: Number | None = None
    timestamp: Integer | None = None


class Envelope(Struct, gc=False):
    """The two fields that say what a message is."""

    topic: str | None = None
    type: str | None = None


class ControlFields(Struct, gc=False):
    """A welcome, acknowledgement, pong or error."""

    type: str
    id: str | int | None = None
    code: Integer | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: Integer | None = None
