"""Turns the classic feed's JSON into records, by one table from topic to function.

Every message becomes one value: a record, a ``BookDelta`` (which the book turns into ``Level2``
records), ``AccountNews`` (the records of a private message), a ``ControlMessage`` of the
conversation, ``Ignored``, or ``Broken``. Nothing here raises on bad input, reads a clock, or does
I/O.

A price, bid or ask of 0 means that there is none, so it becomes None; a size of 0 stays. A side of
a book that is null is empty.

Sources: KuCoin's classic futures and spot WebSocket documentation (https://www.kucoin.com/docs-new,
read 2026-11), and the older frame shapes still found in recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from kucoin_research.errors import MessageBroken
from kucoin_research.exchange.json_numbers import Integer, Number
from kucoin_research.exchange.websocket.classic_schemas import (
    Announcement,
    Candles,
    ControlFields,
    Depth,
    Envelope,
    Execution,
    FuturesLevel2,
    FuturesSnapshot,
    FuturesTicker,
    Indicator,
    InstrumentMessage,
    Level1,
    SpotLevel2,
    SpotSnapshot,
    SpotTicker,
)
from kucoin_research.exchange.websocket.decode_private import (
    ACCOUNT_TOPICS,
    AccountMessage,
    AccountNews,
)
from kucoin_research.model.channels import Market
from kucoin_research.model.orderbook import BookChange, BookDelta, BookSnapshot
from kucoin_research.model.records import (
    BestBidOffer,
    Candle,
    Depth5,
    Depth50,
    FundingRate,
    MarkPrice,
    Record,
    Snapshot,
    Ticker,
    Trade,
)
from kucoin_research.model.units import to_ns

__all__ = [
    "UNDECODABLE",
    "Broken",
    "ControlMessage",
    "Decoded",
    "Decoder",
    "Decodes",
    "Ignored",
    "check_utf8",
    "five_levels",
    "level_columns",
    "nonempty",
    "reason_of",
    "text_of",
]


# Routes are cached by topic. A peer that invents topics must not grow memory without end.
_MOST_ROUTES = 20_000


class ControlMessage(NamedTuple):
    """A message of the conversation itself, such as a welcome, an ack, a pong or an error."""

    type: str
    id: str | None = None
    code: int | None = None
    text: str = ""
    timestamp: int | None = None  # ns
    # A welcome may set these: ms between pings, the speed of a virtual clock, and the seconds after
    # which the exchange ends the connection.
    ping_interval_ms: int | None = None
    speed: float | None = None
    lifetime: float | None = None


class Broken(NamedTuple):
    """A message that does not decode: the reason, and its topic if that could be read."""

    reason: str
    topic: str | None


class Ignored(NamedTuple):
    """A valid message with nothing in it that we keep."""

    topic: str


Decoded: TypeAlias = (
    Record | BookDelta | BookSnapshot | AccountNews | ControlMessage | Broken | Ignored
)


class Decodes(Protocol):
    """Turns the messages of one connection into values, on either feed; never raises."""

    def decode(self, payload: bytes, local: int) -> Decoded:
        """Turn one message, which arrived at ``local`` (ns UTC), into one value."""


class _Route(NamedTuple):
    """What to do with one topic: decode the whole message, then convert its data."""

    decode: Callable[[bytes], Any]
    convert: Callable[[_Route, Any, int], Decoded]
    topic: str
    key: str
    interval: str | None


# We build records by the hundred thousand: this takes 0.11 µs, NamedTuple's own __new__, which is
# written in Python, 0.29 µs.
_new = tuple.__new__


def _time(value: int | None) -> int | None:
    return None if value is None else to_ns(value)


def check_utf8(payload: bytes) -> None:
    """Refuse bytes that are not UTF-8; msgspec does not check the parts that it skips.

    Raises
    ------
    UnicodeDecodeError
        If the bytes are not UTF-8.
    """
    if not payload.isascii():
        payload.decode()


_NO_VALUE = "the message has none of the values it should bring"


def nonempty(record: Record) -> Record:
    """Return a record without lists, unless it has no value at all for its symbol.

    Raises
    ------
    MessageBroken
        If all its columns but the arrival and the symbol are None.
    """
    if record.count(None) == len(record) - 2:
        raise MessageBroken(_NO_VALUE)
    return record


def _futures_ticker(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    return nonempty(
        _new(
            Ticker,
            (
                _time(d.ts),
                local,
                route.key,
                d.sequence,
                d.price or None,
                d.size,
                d.side,
                d.bestBidPrice or None,
                d.bestBidSize,
                d.bestAskPrice or None,
                d.bestAskSize,
            ),
        )
    )


def _spot_ticker(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    # On "/market/ticker:all" only the subject names the symbol.
    symbol = message.subject if route.key == "all" else route.key
    if not symbol:
        raise MessageBroken("a ticker of topic 'all' without a subject names no symbol")
    return nonempty(
        _new(
            Ticker,
            (
                _time(d.time if d.time is not None else d.Time),
                local,
                symbol,
                d.sequence,
                d.price or None,
                d.size,
                None,
                d.bestBid or None,
                d.bestBidSize,
                d.bestAsk or None,
                d.bestAskSize,
            ),
        )
    )


def _futures_bbo(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    return nonempty(
        _new(
            BestBidOffer,
            (
                _time(d.ts),
                local,
                route.key,
                d.sequence,
                d.bestBidPrice or None,
                d.bestBidSize,
                d.bestAskPrice or None,
                d.bestAskSize,
            ),
        )
    )


def _spot_bbo(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    bid = (*(d.bids or ()), None, None)
    ask = (*(d.asks or ()), None, None)
    return nonempty(
        BestBidOffer(
            _time(d.timestamp),
            local,
            route.key,
            None,
            bid[0] or None,
            bid[1],
            ask[0] or None,
            ask[1],
        )
    )


def _trade(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    trade_id = None if d.tradeId is None else str(d.tradeId)
    size = d.size if d.size is not None else d.matchSize
    time = _time(d.ts if d.ts is not None else d.time)
    price = d.price or None
    return nonempty(
        _new(Trade, (time, local, route.key, d.sequence, trade_id, d.side, price, size))
    )


# A candle on the wire: its start in seconds, then open, CLOSE, high, low.
_Maybe: TypeAlias = Number | None
_CandleHead: TypeAlias = tuple[Integer, _Maybe, _Maybe, _Maybe, _Maybe]


def _candle(
    route: _Route, row: Sequence[Any], local: int, *, volume: object, turnover: object
) -> Decoded:
    start, open_, close, high, low = msgspec.convert(row[:5], _CandleHead, strict=False)
    return Candle(
        to_ns(start),
        local,
        route.key,
        route.interval,
        open_ or None,
        high or None,
        low or None,
        close or None,
        msgspec.convert(volume, _Maybe, strict=False),
        msgspec.convert(turnover, _Maybe, strict=False),
    )


def _futures_candle(route: _Route, message: Any, local: int) -> Decoded:
    # Index 5 is documented as wrong and to be ignored; the volume in lots is index 6.
    row = message.data.candles
    return _candle(route, row, local, volume=_at(row, 6), turnover=None)


def _spot_candle(route: _Route, message: Any, local: int) -> Decoded:
    row = message.data.candles
    return _candle(route, row, local, volume=_at(row, 5), turnover=_at(row, 6))


def _at(row: Sequence[Any], index: int) -> object:
    return row[index] if len(row) > index else None


def _futures_level2(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    price, side, size = d.change.split(",")
    if side not in ("buy", "sell"):
        raise MessageBroken(f"a change has side 'buy' or 'sell', not {side!r}")
    price, size = float(price), float(size)
    if not (-1e300 <= price <= 1e300 and 0.0 <= size <= 1e300):
        raise MessageBroken(f"a change wants finite numbers, not {d.change!r:.80}")
    sequence = d.sequence
    changes = (_new(BookChange, (sequence, side, price, size)),) if price else ()
    time = _time(d.timestamp if d.timestamp is not None else d.ts)
    return _new(BookDelta, (time, route.key, sequence, sequence, changes))


def _spot_level2(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    first, last = d.sequenceStart, d.sequenceEnd
    if last < first:
        raise MessageBroken(f"the change ends at {last} before it starts at {first}")
    changes = [
        _new(BookChange, (sequence, side, price, size))
        for side, levels in (("buy", d.changes.bids or ()), ("sell", d.changes.asks or ()))
        for price, size, sequence in levels
        if price  # a price of 0 is a filler: only the sequence advances
    ]
    if len(changes) > 1:
        changes.sort()
    return _new(BookDelta, (_time(d.time), route.key, first, last, tuple(changes)))


def five_levels(levels: Sequence[tuple[float, float]] | None) -> list[float | None]:
    """Spread one side of a book over five prices, then five sizes; None where there are fewer.

    Parameters
    ----------
    levels
        Price and size, best first; those of price 0 are left out.
    """
    best = [level for level in levels or () if level[0]][:5]
    lacking = [None] * (5 - len(best))
    return [*(price for price, _ in best), *lacking, *(size for _, size in best), *lacking]


def level_columns(
    levels: Sequence[tuple[float, float]] | None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Turn one side of a book into its prices and its sizes.

    Parameters
    ----------
    levels
        Price and size, best first; those of price 0 are left out.
    """
    if not levels:
        return (), ()
    # All levels are pairs, by their type; being asked for that, zip takes a fifth longer.
    prices, sizes = zip(*levels)  # noqa: B905
    if all(prices):
        return prices, sizes
    return level_columns([level for level in levels if level[0]])


def _depth5(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    time = _time(d.ts if d.ts is not None else d.timestamp)
    levels = (*five_levels(d.bids), *five_levels(d.asks))
    return nonempty(_new(Depth5, (time, local, route.key, d.sequence, *levels)))


def _depth50(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    time = _time(d.ts if d.ts is not None else d.timestamp)
    levels = (*level_columns(d.bids), *level_columns(d.asks))
    if not any(levels) and time is None and d.sequence is None:
        raise MessageBroken(_NO_VALUE)
    return _new(Depth50, (time, local, route.key, d.sequence, *levels))


def _instrument(route: _Route, message: Any, local: int) -> Decoded:
    # One topic carries two subjects; the fields of a frame without a subject show which one it is.
    d, subject = message.data, message.subject
    if subject is None:
        subject = "mark.index.price" if d.fundingRate is None else "funding.rate"
    if subject == "mark.index.price":
        mark, index = d.markPrice or None, d.indexPrice or None
        return nonempty(MarkPrice(_time(d.timestamp), local, route.key, mark, index))
    if subject == "funding.rate":
        return nonempty(
            FundingRate(_time(d.timestamp), local, route.key, d.fundingRate, d.granularity)
        )
    return Ignored(route.topic)


def _announcement(route: _Route, message: Any, local: int) -> Decoded:
    if message.subject not in ("funding.begin", "funding.end", None):
        return Ignored(route.topic)
    d = message.data
    # In the documented samples the topic names no symbol; the data does.
    symbol = d.symbol or route.key
    if not symbol:
        raise MessageBroken("a funding announcement without a symbol")
    return nonempty(FundingRate(_time(d.timestamp), local, symbol, d.fundingRate, None))


def _futures_snapshot(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    return nonempty(
        Snapshot(
            _time(d.ts),
            local,
            route.key,
            d.lastPrice or None,
            d.highPrice or None,
            d.lowPrice or None,
            d.volume,
            d.turnover,
            d.priceChg,
            d.priceChgPct,
        )
    )


def _spot_snapshot(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data.data  # the documented double nesting
    return nonempty(
        Snapshot(
            _time(d.datetime),
            local,
            d.symbol or route.key,
            d.lastTradedPrice or None,
            d.high or None,
            d.low or None,
            d.vol,
            d.volValue,
            d.changePrice,
            d.changeRate,
        )
    )


def _spot_mark(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    return nonempty(MarkPrice(_time(d.timestamp), local, route.key, d.value or None, None))


def _spot_index(route: _Route, message: Any, local: int) -> Decoded:
    d = message.data
    return nonempty(MarkPrice(_time(d.timestamp), local, route.key, None, d.value or None))


def _account(read: Callable[[AccountMessage], Iterable[Record]]) -> _Convert:
    def convert(route: _Route, message: Any, local: int) -> Decoded:
        news = AccountMessage(message.subject or "", route.key or None, message.data, local)
        return AccountNews(tuple(read(news)))

    return convert


_Convert: TypeAlias = Callable[[_Route, Any, int], Decoded]

_TABLE: dict[Market, dict[str, tuple[type[Any], _Convert]]] = {
    Market.FUTURES: {
        "/contractMarket/ticker": (FuturesTicker, _futures_ticker),
        "/contractMarket/tickerV2": (FuturesTicker, _futures_bbo),
        "/contractMarket/execution": (Execution, _trade),
        "/contractMarket/limitCandle": (Candles, _futures_candle),
        "/contractMarket/level2": (FuturesLevel2, _futures_level2),
        "/contractMarket/level2Depth5": (Depth, _depth5),
        "/contractMarket/level2Depth50": (Depth, _depth50),
        "/contract/instrument": (InstrumentMessage, _instrument),
        "/contract/announcement": (Announcement, _announcement),
        "/contractMarket/snapshot": (FuturesSnapshot, _futures_snapshot),
    },
    Market.SPOT: {
        "/market/ticker": (SpotTicker, _spot_ticker),
        "/spotMarket/level1": (Level1, _spot_bbo),
        "/market/match": (Execution, _trade),
        "/market/candles": (Candles, _spot_candle),
        "/market/level2": (SpotLevel2, _spot_level2),
        "/spotMarket/level2Depth5": (Depth, _depth5),
        "/spotMarket/level2Depth50": (Depth, _depth50),
        "/market/snapshot": (SpotSnapshot, _spot_snapshot),
        "/indicator/markPrice": (Indicator, _spot_mark),
        "/indicator/index": (Indicator, _spot_index),
    },
}
for _market, _readers in ACCOUNT_TOPICS.items():
    _TABLE[_market].update((prefix, (dict, _account(read))) for prefix, read in _readers.items())


# A message of any other type belongs to the conversation, even if it has a topic.
_MessageType: TypeAlias = Literal["message"] | None


def _message_decoder(data: type[Any]) -> Callable[[bytes], Any]:
    message = msgspec.defstruct(
        f"{data.__name__}Message",
        [
            ("topic", str),
            ("data", data),
            ("subject", str | None, None),
            ("type", _MessageType, None),  # a few futures frames lack it
        ],
        gc=False,
    )
    return msgspec.json.Decoder(message, strict=False).decode


_DECODERS: dict[type[Any], Callable[[bytes], Any]] = {
    data: _message_decoder(data) for table in _TABLE.values() for data, _ in table.values()
}
_decode_envelope = msgspec.json.Decoder(Envelope, strict=False).decode
_decode_control = msgspec.json.Decoder(ControlFields, strict=False).decode

#: All errors that msgspec, the converters and the integer checks raise for a hostile payload.
UNDECODABLE = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)


class Decoder:
    """Decodes the messages of one market's connection.

    Parameters
    ----------
    market
        The market whose topics arrive.

    Notes
    -----
    Not thread-safe; each connection's pump owns one. It finds the topic by a search in the bytes,
    and looks its route up. So the usual message is parsed once, straight into typed values.
    """

    def __init__(self, market: Market) -> None:
        self._table = _TABLE[market]
        self._routes: dict[bytes, _Route] = {}

    def decode(self, payload: bytes, local: int) -> Decoded:
        """Turn one message into one value; never raises on any bytes.

        Parameters
        ----------
        payload
            The message's bytes.
        local
            The arrival stamp for the record, ns UTC.
        """
        start = payload.find(b'"topic":"') + 9
        route = self._routes.get(payload[start : payload.find(b'"', start)])
        if route is None:
            return self._decode_plainly(payload, local)
        try:
            check_utf8(payload)
            message = route[0](payload)
            if message.topic == route[2]:
                return route[1](route, message, local)
        except UNDECODABLE:
            # Broken, or another message than its bytes suggested: an ack may quote a topic.
            return self._decode_plainly(payload, local)
        return self._decode_plainly(payload, local)

    def _decode_plainly(self, payload: bytes, local: int) -> Decoded:
        """Take the slow path: read the envelope first, then the message that it announces."""
        topic = None
        try:
            envelope = _decode_envelope(payload)
            topic = envelope.topic
            check_utf8(payload)
            if topic is None or envelope.type not in ("message", None):
                return _control(payload, envelope)
            route = self._route(topic)
            return route.convert(route, route.decode(payload), local)
        except UNDECODABLE as error:
            return Broken(reason_of(error), topic)

    def _route(self, topic: str) -> _Route:
        encoded = topic.encode()
        route = self._routes.get(encoded)
        if route is None:
            route = _make_route(topic, self._table)
            if len(self._routes) < _MOST_ROUTES:
                self._routes[encoded] = route
        return route


def _make_route(topic: str, table: dict[str, tuple[type[Any], _Convert]]) -> _Route:
    prefix, _, key = topic.partition(":")
    if prefix not in table:
        raise MessageBroken(f"topic {topic!r} is none of those we subscribe to")
    data, convert = table[prefix]
    interval = None
    if data is Candles:
        key, _, interval = key.rpartition("_")
    if not key and data not in (Announcement, dict):  # a topic of a whole account has no symbol
        raise MessageBroken(f"topic {topic!r} names no symbol")
    return _Route(_DECODERS[data], convert, topic, key, interval)


def _control(payload: bytes, envelope: Envelope) -> ControlMessage:
    if envelope.type is None:
        raise MessageBroken("the message has neither a topic nor a type")
    message = _decode_control(payload)
    identity = None if message.id is None else str(message.id)
    timestamp = _time(message.timestamp)
    return ControlMessage(message.type, identity, message.code, text_of(message.data), timestamp)


def text_of(data: msgspec.Raw) -> str:
    """Return a JSON value as text: a string itself, anything else as it was spelled."""
    value = msgspec.json.decode(data)
    if value is None:
        return ""
    return value if isinstance(value, str) else bytes(data).decode()


def reason_of(error: BaseException) -> str:
    """Return an error's text for `Broken`, cut to 200 characters."""
    text = str(error) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "…"
