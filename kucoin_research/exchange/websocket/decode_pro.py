"""Turns the JSON of KuCoin's newer feed ("Pro", now "UTA") into the classic feed's values.

Nothing here raises on bad input, reads a clock, or does I/O.

Sources: KuCoin's documentation of the feed (https://www.kucoin.com/docs-new, read 2026-11), and
captures of its production sockets of 2026-09. Its keys are single letters: ``T`` is channel and
product, ``P`` the time of the push, ``d`` the data, in which ``M`` is the time of the match, ``O``
and ``C`` the first and last sequence. Numbers are text, or integers beyond 2^53, which are read
exactly. A 0 and a null mean the same as in ``decode_classic``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, Struct

from kucoin_research.errors import MessageBroken
from kucoin_research.exchange.json_numbers import BookSequence, Integer, NotNegative, Number
from kucoin_research.exchange.websocket.decode_classic import (
    UNDECODABLE,
    Broken,
    ControlMessage,
    Decoded,
    Ignored,
    check_utf8,
    five_levels,
    level_columns,
    nonempty,
    reason_of,
    text_of,
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
    Ticker,
    Trade,
)
from kucoin_research.model.units import to_ns

__all__ = ["ProDecoder"]

_Levels: TypeAlias = tuple[tuple[Number, NotNegative], ...] | None

_INCREMENTS = frozenset({"increment", "increment@10ms"})


class _Data(Struct, gc=False):
    """Base of the typed messages; unknown keys are ignored by msgspec."""

    symbol: str = msgspec.field(name="s")


class _Ticker(_Data, kw_only=True):
    sequence: Integer | None = msgspec.field(default=None, name="E")
    matched: Integer | None = msgspec.field(default=None, name="M")
    side: str | None = msgspec.field(default=None, name="S")
    price: Number | None = msgspec.field(default=None, name="l")
    size: Number | None = msgspec.field(default=None, name="q")
    bid: Number | None = msgspec.field(default=None, name="b")
    bid_size: Number | None = msgspec.field(default=None, name="B")
    ask: Number | None = msgspec.field(default=None, name="a")
    ask_size: Number | None = msgspec.field(default=None, name="A")


class _Trade(_Data, kw_only=True):
    sequence: Integer | None = msgspec.field(default=None, name="E")
    matched: Integer | None = msgspec.field(default=None, name="M")
    side: str | None = msgspec.field(default=None, name="S")
    price: Number | None = msgspec.field(default=None, name="p")
    size: Number | None = msgspec.field(default=None, name="q")
    trade_id: str | int | None = msgspec.field(default=None, name="ti")


class _Kline(_Data, kw_only=True):
    opened: Integer = msgspec.field(name="O")
    interval: str = msgspec.field(name="i")
    open: Number | None = msgspec.field(default=None, name="o")
    high: Number | None = msgspec.field(default=None, name="h")
    low: Number | None = msgspec.field(default=None, name="l")
    close: Number | None = msgspec.field(default=None, name="c")
    volume: Number | None = msgspec.field(default=None, name="v")
    turnover: Number | None = msgspec.field(default=None, name="a")


class _Book(_Data, kw_only=True):
    first: BookSequence | None = msgspec.field(default=None, name="O")
    last: BookSequence = msgspec.field(name="C")
    matched: Integer | None = msgspec.field(default=None, name="M")
    bids: _Levels = msgspec.field(default=None, name="b")
    asks: _Levels = msgspec.field(default=None, name="a")


class _Mark(_Data, kw_only=True):
    mark: Number | None = msgspec.field(default=None, name="mp")
    index: Number | None = msgspec.field(default=None, name="ip")
    time: Integer | None = msgspec.field(default=None, name="ts")


class _Funding(_Data, kw_only=True):
    rate: Number | None = msgspec.field(default=None, name="fr")
    granularity: Integer | None = msgspec.field(default=None, name="gl")


class _Simulation(Struct):
    speed: Annotated[float, Meta(gt=0, le=1e300)] | None = None
    lifetime: Annotated[float, Meta(gt=0, le=1e300)] | None = None


class _ControlFields(Struct, gc=False):
    id: str | int | None = None
    type: str | None = None
    result: bool | None = None  # documented as text
    message: str | None = None
    reason: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    code: Integer | None = None
    ts: Integer | None = None
    session: str | None = msgspec.field(default=None, name="sessionId")
    ping_interval: Annotated[int, Meta(gt=0, le=2**31)] | None = msgspec.field(
        default=None, name="pingInterval"
    )
    simulation: _Simulation | None = None  # sent by the simulated exchange only


class _Names(Struct):
    symbol: str | None = msgspec.field(default=None, name="s")
    interval: str | None = msgspec.field(default=None, name="i")


class _Head(Struct):
    """The fields of a broken message that show its topic."""

    channel: str | None = msgspec.field(default=None, name="T")
    depth: str | int | None = msgspec.field(default=None, name="dp")


class _HeadWithNames(_Head):
    data: _Names | None = msgspec.field(default=None, name="d")


class _Route(NamedTuple):
    decode: Callable[[bytes], Any]
    convert: Callable[[Any, int], Decoded]
    channel: str


_new = tuple.__new__  # see decode_classic.py


def _time(value: int | None, otherwise: int | None) -> int | None:
    value = otherwise if value is None else value
    return None if value is None else to_ns(value)


def _side(text: str | None) -> str | None:
    side = None if text is None else text.lower()
    if side not in ("buy", "sell", None):
        raise MessageBroken(f"a side is 'buy' or 'sell', not {text!r:.40}")
    return side


def _ticker(message: Any, local: int) -> Decoded:
    d = message.data
    return nonempty(
        _new(
            Ticker,
            (
                _time(d.matched, message.pushed),
                local,
                d.symbol,
                d.sequence,
                d.price or None,
                d.size,
                _side(d.side),
                d.bid or None,
                d.bid_size,
                d.ask or None,
                d.ask_size,
            ),
        )
    )


def _trade(message: Any, local: int) -> Decoded:
    d = message.data
    trade_id = None if d.trade_id is None else str(d.trade_id)
    time = _time(d.matched, message.pushed)
    side, price = _side(d.side), d.price or None
    return nonempty(_new(Trade, (time, local, d.symbol, d.sequence, trade_id, side, price, d.size)))


def _kline(message: Any, local: int) -> Decoded:
    d = message.data
    return Candle(
        to_ns(d.opened),
        local,
        d.symbol,
        d.interval,
        d.open or None,
        d.high or None,
        d.low or None,
        d.close or None,
        d.volume,
        d.turnover,
    )


def _obu(message: Any, local: int) -> Decoded:
    depth = str(message.depth)
    if depth in _INCREMENTS:
        return _increment(message)
    convert = _DEPTHS.get(depth)
    if convert is None:
        return Ignored(f"obu/{depth}")
    return convert(message, local)


def _increment(message: Any) -> Decoded:
    d = message.data
    time = _time(d.matched, message.pushed)
    if message.kind == "snapshot":
        # The exchange keeps the window of the best levels complete: it sends a level that leaves
        # the window with size 0, and one that enters it with its size.
        bids, asks = (tuple(level for level in side or () if level[0]) for side in (d.bids, d.asks))
        return BookSnapshot(d.symbol, d.last, time, bids, asks)
    if message.kind != "delta":
        raise MessageBroken(f"a book message is 'snapshot' or 'delta', not {message.kind!r:.40}")
    if d.first is None or d.last < d.first:
        raise MessageBroken(f"the change ends at {d.last} before it starts at {d.first}")
    last = d.last
    changes = [
        _new(BookChange, (last, side, price, size))
        for side, levels in (("buy", d.bids or ()), ("sell", d.asks or ()))
        for price, size in levels
        if price
    ]
    return _new(BookDelta, (time, d.symbol, d.first, last, tuple(changes)))


def _bbo(message: Any, local: int) -> Decoded:
    d = message.data
    bid = d.bids[0] if d.bids else (None, None)
    ask = d.asks[0] if d.asks else (None, None)
    return _new(
        BestBidOffer,
        (
            _time(d.matched, message.pushed),
            local,
            d.symbol,
            d.last,
            bid[0] or None,
            bid[1],
            ask[0] or None,
            ask[1],
        ),
    )


# KuCoin sends a depth frame again every 100 ms, unchanged, with the time of its last match. Our row
# has the time of the push, as on the classic feed: so each repeat has a time of its own.


def _depth5(message: Any, local: int) -> Decoded:
    d = message.data
    time = _time(message.pushed, d.matched)
    levels = (*five_levels(d.bids), *five_levels(d.asks))
    return _new(Depth5, (time, local, d.symbol, d.last, *levels))


def _depth50(message: Any, local: int) -> Decoded:
    d = message.data
    time = _time(message.pushed, d.matched)
    levels = (*level_columns(d.bids), *level_columns(d.asks))
    return _new(Depth50, (time, local, d.symbol, d.last, *levels))


_DEPTHS: dict[str, Callable[[Any, int], Decoded]] = {"1": _bbo, "5": _depth5, "50": _depth50}


def _mark(message: Any, local: int) -> Decoded:
    d = message.data
    return nonempty(
        MarkPrice(_time(d.time, message.pushed), local, d.symbol, d.mark or None, d.index or None)
    )


def _funding(message: Any, local: int) -> Decoded:
    d = message.data
    time = _time(message.pushed, None)
    return nonempty(FundingRate(time, local, d.symbol, d.rate, d.granularity))


_BY_PRODUCT: dict[str, tuple[type[_Data], Callable[[Any, int], Decoded]]] = {
    "ticker": (_Ticker, _ticker),
    "trade": (_Trade, _trade),
    "kline": (_Kline, _kline),
    "obu": (_Book, _obu),
}
# Their messages name no product.
_FUTURES_ONLY: dict[str, tuple[type[_Data], Callable[[Any, int], Decoded]]] = {
    "mark-price": (_Mark, _mark),
    "funding-fee": (_Funding, _funding),
}


def _message_decoder(data: type[_Data]) -> Callable[[bytes], Any]:
    message = msgspec.defstruct(
        f"{data.__name__}Message",
        [
            ("channel", str),
            ("data", data),
            ("depth", str | int | None, None),
            ("kind", str | None, None),
            ("pushed", Integer | None, None),
        ],
        rename={"channel": "T", "data": "d", "depth": "dp", "kind": "t", "pushed": "P"},
        gc=False,
    )
    return msgspec.json.Decoder(message, strict=False).decode


_DECODERS: dict[type[_Data], Callable[[bytes], Any]] = {
    data: _message_decoder(data) for data, _ in (*_BY_PRODUCT.values(), *_FUTURES_ONLY.values())
}
_decode_head = msgspec.json.Decoder(_Head, strict=False).decode
_decode_names = msgspec.json.Decoder(_HeadWithNames, strict=False).decode
_decode_control = msgspec.json.Decoder(_ControlFields, strict=False).decode


class ProDecoder:
    """Decodes the messages of one market's connection to the pro feed.

    Parameters
    ----------
    market
        The market whose channels arrive.

    Notes
    -----
    Stateless, so any thread may use it.
    """

    def __init__(self, market: Market) -> None:
        routes = {f"{name}.{market.upper()}": kinds for name, kinds in _BY_PRODUCT.items()}
        if market is Market.FUTURES:
            routes |= _FUTURES_ONLY
        self._routes = {
            name.encode(): _Route(_DECODERS[data], convert, name)
            for name, (data, convert) in routes.items()
        }

    def decode(self, payload: bytes, local: int) -> Decoded:
        """Turn one message into one value; never raises on any bytes.

        Parameters
        ----------
        payload
            The message's bytes.
        local
            The arrival stamp for the record, ns UTC.
        """
        start = payload.find(b'"T":"') + 5
        route = self._routes.get(payload[start : payload.find(b'"', start)])
        if route is None:
            return self._decode_plainly(payload, local)
        try:
            check_utf8(payload)
            message = route.decode(payload)
            if message.channel == route.channel:
                return route.convert(message, local)
        except UNDECODABLE:
            return self._decode_plainly(payload, local)
        return self._decode_plainly(payload, local)

    def _decode_plainly(self, payload: bytes, local: int) -> Decoded:
        """Take the slow path: read the channel first, then the message that it announces."""
        channel = None
        try:
            channel = _decode_head(payload).channel
            check_utf8(payload)
            if channel is None:
                return _control(payload)
            route = self._routes.get(channel.encode())
            if route is None:
                raise MessageBroken(f"channel {channel!r:.100} is none of those we subscribe to")
            return route.convert(route.decode(payload), local)
        except UNDECODABLE as error:
            return Broken(reason_of(error), None if channel is None else _topic(payload, channel))


def _control(payload: bytes) -> ControlMessage:
    message = _decode_control(payload)
    identity = None if message.id is None else str(message.id)
    if message.type is not None:  # a pong, or another message that names its type
        return ControlMessage(message.type, identity, message.code, "", _time(message.ts, None))
    if message.result is True:
        return ControlMessage("ack", identity)
    said = message.message or message.reason or text_of(message.data)
    if said == "welcome" and message.result is None:
        simulation = message.simulation or _Simulation()
        return ControlMessage(
            "welcome",
            message.session or identity,
            ping_interval_ms=message.ping_interval,
            speed=simulation.speed,
            lifetime=simulation.lifetime,
        )
    if message.result is False or said:
        return ControlMessage("error", identity, message.code, said)
    raise MessageBroken("the message has neither a channel nor an answer in it")


def _topic(payload: bytes, channel: str) -> str:
    """Return the topic of a broken message, as far as it can be read."""
    try:
        head = _decode_names(payload)
    except UNDECODABLE:
        return channel
    if head.data is None or head.data.symbol is None:
        return channel
    depth = "" if head.depth is None else f"/{head.depth}"
    interval = "" if head.data.interval is None else f"_{head.data.interval}"
    return f"{channel.partition('.')[0]}{depth}:{head.data.symbol}{interval}"
