"""KuCoin's classic data frames, made from recorded rows.

Shapes from the protocol reference, sections 6 (futures) and 7 (spot). A row is a tuple of a
recording's columns, in the order of its CSV files: ``timestamp`` and ``local_timestamp`` in ns UTC
first, then the symbol. A missing value is None. Fields of a frame that a recording lacks (order
ids, the funding rate of a snapshot) are empty or null, never made up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from kucoin_research.sim.messages.instrument_rows import FUNDING_PERIOD
from kucoin_research.sim.messages.spot_feeds import SNAPSHOT_FIELDS
from kucoin_research.sim.messages.topics import Topic

__all__ = ["Change", "Row", "Shape", "book_frame", "digits", "key_of", "number", "shapes_of"]

# Columns of every row: 0 timestamp, 1 local timestamp, 2 symbol. Rows with a sequence have it in 3.
# Columns of a book row: 4 is it of a snapshot, 5 side, 6 price, 7 size. Hot loops use the numbers.
Row: TypeAlias = tuple[Any, ...]

_MS = 1_000_000
_SECOND = 1_000_000_000
_HOUR_MS = 3_600_000
_PRICE_DIGITS = 12  # fine enough for a coin that costs a millionth
_BEGIN_MS = 5_000  # an announcement this soon after the hour is of the settlement's begin


class Change(NamedTuple):
    """One level of the book, and the sequence under which it is sent."""

    sequence: int
    side: str
    price: float
    size: float


# -- values ----------------------------------------------------------------------------------------


def digits(value: float) -> str:
    """Spell a number in full, so that it reads back equal: no exponent, no final ``.0``."""
    spelled = repr(value)
    if "e" in spelled:
        return f"{Decimal(spelled):f}"
    return spelled.removesuffix(".0")


def number(value: float | None) -> str:
    """Spell a JSON number; null if it is missing."""
    return "null" if value is None else repr(value).removesuffix(".0")


def _text(value: float | None) -> str:
    return "null" if value is None else f'"{digits(value)}"'


def _word(value: object) -> str:
    return "null" if value is None else json.dumps(str(value))


def _ms(time_ns: int | None) -> str:
    return "null" if time_ns is None else str(time_ns // _MS)


def _ns(time_ns: int | None) -> str:
    return "null" if time_ns is None else str(time_ns)


def _frame(topic: str, subject: str, data: str, more: str = "") -> str:
    return f'{{"topic":{_word(topic)},"type":"message","subject":"{subject}",{more}"data":{data}}}'


def _pairs(prices: Sequence[float], sizes: Sequence[float], spell: Callable[[float], str]) -> str:
    levels = zip(prices, sizes, strict=True)
    return ",".join([f'["{digits(price)}",{spell(size)}]' for price, size in levels])


def _levels(
    prices: Sequence[float | None], sizes: Sequence[float | None], spell: Callable[[float], str]
) -> str:
    """Spell the levels that exist: a book may have fewer than the row has columns."""
    levels = zip(prices, sizes, strict=True)
    known = [(one, size) for one, size in levels if one is not None and size is not None]
    return _pairs([one for one, _ in known], [size for _, size in known], spell)


# -- futures ---------------------------------------------------------------------------------------


def _futures_trade(topic: str, row: Row) -> str:
    time, _, symbol, sequence, trade_id, side, price, size = row
    return _frame(
        topic,
        "match",
        f'{{"symbol":{_word(symbol)},"sequence":{_ns(sequence)},"side":{_word(side)},'
        f'"size":{number(size)},"price":{_text(price)},"takerOrderId":"","makerOrderId":"",'
        f'"tradeId":{_word(trade_id)},"ts":{_ns(time)}}}',
        f'"sn":{_ns(sequence)},',
    )


def _futures_ticker(topic: str, row: Row) -> str:
    time, _, symbol, sequence, price, size, side, bid, bid_size, ask, ask_size = row
    return _frame(
        topic,
        "ticker",
        f'{{"symbol":{_word(symbol)},"sequence":{_ns(sequence)},"side":{_word(side)},'
        f'"size":{number(size)},"price":{_text(price)},"bestBidSize":{number(bid_size)},'
        f'"bestBidPrice":{_text(bid)},"bestAskPrice":{_text(ask)},"tradeId":{_word(sequence)},'
        f'"bestAskSize":{number(ask_size)},"ts":{_ns(time)}}}',
        f'"sn":{_ns(sequence)},',
    )


def _futures_bbo(topic: str, row: Row) -> str:
    time, _, symbol, sequence, bid, bid_size, ask, ask_size = row
    return _frame(
        topic,
        "tickerV2",
        f'{{"symbol":{_word(symbol)},"sequence":{_ns(sequence)},"bestBidSize":{number(bid_size)},'
        f'"bestBidPrice":{_text(bid)},"bestAskPrice":{_text(ask)},'
        f'"bestAskSize":{number(ask_size)},"ts":{_ns(time)}}}',
        f'"sn":{_ns(sequence)},',
    )


def _futures_depth(topic: str, row: Row, bids: str, asks: str) -> str:
    stamp = _ms(row[0])
    return _frame(
        topic,
        "level2",
        f'{{"sequence":{_ns(row[3])},"asks":[{asks}],"bids":[{bids}],'
        f'"timestamp":{stamp},"ts":{stamp}}}',
        f'"sn":{stamp},',
    )


def _futures_depth5(topic: str, row: Row) -> str:
    return _futures_depth(topic, row, *_sides5(row, number))


def _futures_depth50(topic: str, row: Row) -> str:
    return _futures_depth(topic, row, *_sides50(row, number))


def _sides5(row: Row, spell: Callable[[float], str]) -> tuple[str, str]:
    return _levels(row[4:9], row[9:14], spell), _levels(row[14:19], row[19:24], spell)


def _sides50(row: Row, spell: Callable[[float], str]) -> tuple[str, str]:
    return _pairs(row[4], row[5], spell), _pairs(row[6], row[7], spell)


def _futures_candle(topic: str, row: Row) -> str:
    time, local, symbol, _, opened, high, low, close, volume, turnover = row
    # The documents say to ignore index 5. KuCoin has sent the turnover there since, which a
    # recording has not kept.
    ignored = '"0"' if turnover is None else _text(turnover)
    return _frame(
        topic,
        "candle.stick",
        f'{{"symbol":{_word(symbol)},"candles":["{time // _SECOND}",{_text(opened)},{_text(close)},'
        f'{_text(high)},{_text(low)},{ignored},{_text(volume)}],"time":{_ms(local)}}}',
    )


def _mark(topic: str, row: Row) -> str:
    time, _, _, mark, index = row
    return _frame(
        topic,
        "mark.index.price",
        f'{{"markPrice":{number(mark)},"indexPrice":{number(index)},"granularity":1000,'
        f'"timestamp":{_ms(time)}}}',
    )


def _funding(topic: str, row: Row) -> str:
    time, _, _, rate, granularity_ms = row
    return _frame(
        topic,
        "funding.rate",
        f'{{"period":{FUNDING_PERIOD},"granularity":{granularity_ms},'
        f'"fundingRate":{number(rate)},"timestamp":{_ms(time)}}}',
    )


def _settlement(topic: str, row: Row) -> str:
    time, _, symbol, rate, _ = row
    # A recording does not say whether it was the begin or the end of the settlement. The end comes
    # some seconds after the hour.
    funding_ms = time // _MS // _HOUR_MS * _HOUR_MS
    subject = "funding.begin" if time // _MS - funding_ms < _BEGIN_MS else "funding.end"
    return _frame(
        topic,
        subject,
        f'{{"symbol":{_word(symbol)},"fundingTime":{funding_ms},"fundingRate":{number(rate)},'
        f'"timestamp":{_ms(time)}}}',
    )


def _futures_snapshot(topic: str, row: Row) -> str:
    time, _, symbol, last, high, low, volume, turnover, change, change_pct = row
    before = None if last is None or change is None else round(last - change, _PRICE_DIGITS)
    return _frame(
        topic,
        "snapshot.24h",
        f'{{"fundingRate":null,"highPrice":{number(high)},"lastPrice":{number(last)},'
        f'"lowPrice":{number(low)},"price24HoursBefore":{number(before)},'
        f'"priceChg":{number(change)},"priceChgPct":{number(change_pct)},'
        f'"symbol":{_word(symbol)},"ts":{_ns(time)},"turnover":{number(turnover)},'
        f'"volume":{number(volume)}}}',
    )


# -- spot ------------------------------------------------------------------------------------------


def _spot_trade(topic: str, row: Row) -> str:
    time, _, symbol, sequence, trade_id, side, price, size = row
    return _frame(
        topic,
        "trade.l3match",
        f'{{"makerOrderId":"","price":{_text(price)},"sequence":{_word(sequence)},'
        f'"side":{_word(side)},"size":{_text(size)},"symbol":{_word(symbol)},"takerOrderId":"",'
        f'"time":{_word(time)},"tradeId":{_word(trade_id)},"type":"match"}}',
    )


def _spot_ticker(topic: str, row: Row) -> str:
    time, _, symbol, sequence, price, size, _, bid, bid_size, ask, ask_size = row
    # On `:all` the subject is the symbol, which stands nowhere else.
    subject = symbol if topic.endswith(":all") else "trade.ticker"
    return _frame(
        topic,
        subject,
        f'{{"sequence":{_word(sequence)},"price":{_text(price)},"size":{_text(size)},'
        f'"bestAsk":{_text(ask)},"bestAskSize":{_text(ask_size)},"bestBid":{_text(bid)},'
        f'"bestBidSize":{_text(bid_size)},"time":{_ms(time)}}}',
    )


def _spot_bbo(topic: str, row: Row) -> str:
    time, _, _, _, bid, bid_size, ask, ask_size = row
    asks = "" if ask is None else f"{_text(ask)},{_text(ask_size)}"
    bids = "" if bid is None else f"{_text(bid)},{_text(bid_size)}"
    return _frame(topic, "level1", f'{{"asks":[{asks}],"bids":[{bids}],"timestamp":{_ms(time)}}}')


def _spot_depth(topic: str, row: Row, bids: str, asks: str) -> str:
    return _frame(topic, "level2", f'{{"asks":[{asks}],"bids":[{bids}],"timestamp":{_ms(row[0])}}}')


def _spot_depth5(topic: str, row: Row) -> str:
    return _spot_depth(topic, row, *_sides5(row, _text))


def _spot_depth50(topic: str, row: Row) -> str:
    return _spot_depth(topic, row, *_sides50(row, _text))


def _spot_candle(topic: str, row: Row) -> str:
    time, local, symbol, _, opened, high, low, close, volume, turnover = row
    return _frame(
        topic,
        "trade.candles.update",
        f'{{"symbol":{_word(symbol)},"candles":["{time // _SECOND}",{_text(opened)},{_text(close)},'
        f'{_text(high)},{_text(low)},{_text(volume)},{_text(turnover)}],"time":{local}}}',
    )


def _spot_snapshot(topic: str, row: Row) -> str:
    time, _, symbol, last, high, low, volume, turnover, change, change_pct = row
    base, _, quote = symbol.partition("-")
    known = {
        "baseCurrency": _word(base),
        "changePrice": number(change),
        "changeRate": number(change_pct),
        "close": number(last),
        "datetime": _ms(time),
        "high": number(high),
        "lastTradedPrice": number(last),
        "low": number(low),
        "quoteCurrency": _word(quote),
        "symbol": _word(symbol),
        "symbolCode": _word(symbol),
        "vol": number(volume),
        "volValue": number(turnover),
    }
    fields = ",".join([f'"{name}":{known.get(name, "null")}' for name in SNAPSHOT_FIELDS])
    return _frame(topic, "trade.snapshot", f'{{"sequence":null,"data":{{{fields}}}}}')


def _indicator(topic: str, row: Row, value: float) -> str:
    return _frame(
        topic,
        "tick",
        f'{{"symbol":{_word(row[2])},"granularity":1000,"timestamp":{_ms(row[0])},'
        f'"value":{number(value)}}}',
    )


def _spot_mark(topic: str, row: Row) -> str:
    return _indicator(topic, row, row[3])


def _spot_index(topic: str, row: Row) -> str:
    return _indicator(topic, row, row[4])


# -- the book --------------------------------------------------------------------------------------


def book_frame(
    topic: str,
    market: str,
    symbol: str,
    bounds: tuple[int, int],
    changes: Sequence[Change],
    time_ns: int | None,
) -> list[tuple[int, str]]:
    """Make the frames of changes that continue a book.

    Parameters
    ----------
    topic, market, symbol
        The book's topic, market and symbol.
    bounds
        First and last sequence. Sequences without a change become price-0 fillers.
    changes
        The changes, in order.
    time_ns
        Time of the changes, ns UTC.

    Returns
    -------
    list[tuple[int, str]]
        Last sequence and text of each frame: one frame on spot, one per sequence on futures.
    """
    first, last = bounds
    numbered = {change.sequence for change in changes}
    missing = range(first, last + 1) if last - first < _MOST_FILLERS else ()
    fillers = [Change(n, "buy", 0.0, 0.0) for n in missing if n not in numbered]
    if market == "futures":
        both = sorted([*fillers, *changes])
        return [(one.sequence, _futures_change(topic, one, time_ns)) for one in both]
    sides = {"buy": "", "sell": ""}
    for side in sides:
        sides[side] = ",".join(
            [
                f'["{digits(one.price)}","{digits(one.size)}","{one.sequence}"]'
                for one in (*fillers, *changes)
                if one.side == side
            ]
        )
    data = (
        f'{{"changes":{{"asks":[{sides["sell"]}],"bids":[{sides["buy"]}]}},"sequenceEnd":{last},'
        f'"sequenceStart":{first},"symbol":{_word(symbol)},"time":{_ms(time_ns)}}}'
    )
    return [(last, _frame(topic, "trade.l2update", data))]


# A longer run of sequences without a row shows in the frame's bounds alone, as on KuCoin.
_MOST_FILLERS = 1_000


def _futures_change(topic: str, change: Change, time_ns: int | None) -> str:
    sequence, side, price, size = change
    return _frame(
        topic,
        "level2",
        f'{{"sequence":{sequence},"change":"{digits(price)},{side},{digits(size)}",'
        f'"timestamp":{_ms(time_ns)}}}',
        f'"sn":{sequence},',
    )


# -- which topic carries what ----------------------------------------------------------------------


def _always(_row: Row) -> bool:
    return True


def _has_time(row: Row) -> bool:
    return row[0] is not None


def _has_granularity(row: Row) -> bool:
    return row[4] is not None


def _is_settlement(row: Row) -> bool:
    return row[4] is None and row[0] is not None


def _has_mark(row: Row) -> bool:
    return row[3] is not None


def _has_index(row: Row) -> bool:
    return row[4] is not None


@dataclass(frozen=True)
class Shape:
    """One channel on one topic: the function that spells a row, and the test for rows that fit."""

    channel: str
    spell: Callable[[str, Row], str]
    fits: Callable[[Row], bool] = _always


_SHAPES: dict[str, tuple[Shape, ...]] = {
    "/contractMarket/execution": (Shape("trade", _futures_trade),),
    "/contractMarket/ticker": (Shape("ticker", _futures_ticker),),
    "/contractMarket/tickerV2": (Shape("bbo", _futures_bbo),),
    "/contractMarket/level2Depth5": (Shape("depth5", _futures_depth5),),
    "/contractMarket/level2Depth50": (Shape("depth50", _futures_depth50),),
    "/contractMarket/limitCandle": (Shape("candle", _futures_candle, _has_time),),
    "/contract/instrument": (
        Shape("mark_price", _mark),
        Shape("funding_rate", _funding, _has_granularity),
    ),
    "/contract/announcement": (Shape("funding_rate", _settlement, _is_settlement),),
    "/contractMarket/snapshot": (Shape("snapshot", _futures_snapshot),),
    "/market/match": (Shape("trade", _spot_trade),),
    "/spotMarket/level1": (Shape("bbo", _spot_bbo),),
    "/market/ticker": (Shape("ticker", _spot_ticker),),
    "/spotMarket/level2Depth5": (Shape("depth5", _spot_depth5),),
    "/spotMarket/level2Depth50": (Shape("depth50", _spot_depth50),),
    "/market/candles": (Shape("candle", _spot_candle, _has_time),),
    "/market/snapshot": (Shape("snapshot", _spot_snapshot),),
    "/indicator/markPrice": (Shape("mark_price", _spot_mark, _has_mark),),
    "/indicator/index": (Shape("mark_price", _spot_index, _has_index),),
}


def shapes_of(topic: Topic) -> tuple[Shape, ...]:
    """Return the shapes of a topic's rows; none for silent topics, and for books."""
    return _SHAPES.get(topic.prefix, ())


def key_of(channel: str, row: Row) -> tuple[str, str, str]:
    """Return the channel, symbol and candle interval by which listeners want a row."""
    return channel, row[2], row[3] if channel == "candle" else ""
