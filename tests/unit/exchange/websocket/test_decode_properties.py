"""Decoder, whatever comes: it never raises, returns only what it declares, and loses no digit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kucoin_research.exchange.websocket.decode_classic import (
    Broken,
    ControlMessage,
    Decoder,
    Ignored,
)
from kucoin_research.exchange.websocket.decode_private import AccountNews
from kucoin_research.model.channels import CANDLE_INTERVALS, Market
from kucoin_research.model.orderbook import BookChange, BookDelta
from kucoin_research.model.records import (
    BestBidOffer,
    Candle,
    Column,
    Depth5,
    Depth50,
    FundingRate,
    MarkPrice,
    Record,
    Snapshot,
    Ticker,
    Trade,
    columns_of,
)

PAYLOADS = Path(__file__).parents[3] / "payloads" / "ws"
SAMPLES = [path.read_bytes().strip() for path in sorted(PAYLOADS.rglob("*.json"))]
TOPICS = sorted({topic for sample in SAMPLES if (topic := json.loads(sample).get("topic"))})
LOCAL = 1_790_000_000_000_000_001
COLUMNS = {record: columns_of(record) for record in get_args(Record)}

# Shared machines stall; the time of one example says nothing.
patient = settings(deadline=None, max_examples=300)


def is_integer(value):
    return type(value) is int and -(2**63) <= value < 2**63


def is_number(value):
    return type(value) is float and math.isfinite(value)


def is_missing(value):
    return value is None


FITS = {
    Column.TIME: lambda v: is_missing(v) or (is_integer(v) and v >= 0),
    Column.INTEGER: lambda v: is_missing(v) or is_integer(v),
    Column.NUMBER: lambda v: is_missing(v) or is_number(v),
    Column.NUMBERS: lambda v: type(v) is tuple and all(map(is_number, v)),
    Column.SIDE: lambda v: v in ("buy", "sell", None),
    Column.FLAG: lambda v: type(v) is bool or is_missing(v),
    Column.LABEL: lambda v: is_missing(v) or (type(v) is str and v != ""),
    Column.TEXT: lambda v: is_missing(v) or type(v) is str,
}


def check(item):
    """Assert that an item is of a declared type and its fields of their declared kinds."""
    if isinstance(item, BookDelta):
        check_delta(item)
    elif isinstance(item, ControlMessage):
        assert type(item.type) is str
        assert item.id is None or type(item.id) is str
        assert item.code is None or is_integer(item.code)
        assert type(item.text) is str
        assert FITS[Column.TIME](item.timestamp)
    elif isinstance(item, Broken):
        assert type(item.reason) is str
        assert len(item.reason) <= 201
    elif isinstance(item, AccountNews):
        for record in item.records:
            check_record(record)
    elif not isinstance(item, Ignored):
        assert item.symbol is not None
        check_record(item)


def check_record(record):
    for (name, kind), value in zip(COLUMNS[type(record)].items(), record, strict=True):
        assert FITS[kind](value), (name, value)
    assert record.local_timestamp == LOCAL


def check_delta(delta):
    assert FITS[Column.TIME](delta.timestamp)
    assert is_integer(delta.first_sequence)
    assert is_integer(delta.last_sequence)
    assert delta.first_sequence <= delta.last_sequence
    assert [change.sequence for change in delta.changes] == sorted(
        change.sequence for change in delta.changes
    )
    for sequence, side, price, size in delta.changes:
        assert is_integer(sequence)
        assert side in ("buy", "sell")
        assert is_number(price)
        assert price != 0.0
        assert is_number(size)
        assert size >= 0.0


def feed(payload):
    """Decode on both markets, with the route unknown and known, and check what comes."""
    for market in Market:
        decoder = Decoder(market)
        items = [decoder.decode(payload, LOCAL) for _ in range(2)]
        assert repr(items[0]) == repr(items[1])
        check(items[0])


numbers = st.one_of(
    st.integers(),
    st.integers(min_value=-(2**65), max_value=2**65),
    st.floats(),
    st.floats().map(repr),
    st.integers().map(str),
    st.sampled_from(
        ["nan", "inf", "1e400", "0", "-0", "9" * 400, 10**400, 2**63, -(2**63), "null"]
    ),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8), st.just("83614,buy,12"))
keys = st.sampled_from(
    sorted(
        {"topic", "type", "subject", "data", "id", "code", "Time"}.union(
            *(json.loads(sample).get("data", {}) for sample in SAMPLES if b'"data":{' in sample)
        )
    )
) | st.text(max_size=5)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=12,
)


def written(value):
    # json writes lone surrogates as escapes and nan as NaN; both may come and must not hurt.
    return json.dumps(value, separators=(",", ":")).encode()


@patient
@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf{}")
@example(b'{"topic":"/contractMarket/level2:X","data":{"sequence":1,"change":"1,buy,2"}}\x00')
def test_any_bytes_decode_to_a_declared_value(payload):
    feed(payload)


@patient
@given(values)
@example({"type": "ack", "id": 10**5000})
@example({"type": "error", "code": 10**30})
@example({"type": "pong", "timestamp": 10**30})
@example({"type": "\ud800", "topic": "\ud800"})
def test_any_json_decodes_to_a_declared_value(value):
    feed(written_huge(value))


def written_huge(value):
    # Python refuses to write integers beyond 4,300 digits, as it refuses to read them.
    if isinstance(value, dict) and value.get("id") == 10**5000:
        return b'{"type":"ack","id":1' + b"0" * 5000 + b"}"
    return written(value)


@patient
@given(
    st.sampled_from(TOPICS), values, st.none() | st.sampled_from(["message", "ack", "x"]), scalars
)
def test_any_data_on_a_known_topic_decodes_to_a_declared_value(topic, data, kind, subject):
    feed(written({"topic": topic, "type": kind, "subject": subject, "data": data}))


@st.composite
def mutated_objects(draw):
    """Draw a documented frame with some of its values, at any depth, replaced or removed."""
    sample = json.loads(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 3))):
        place = sample
        while True:
            inner = place if isinstance(place, dict) else range(len(place))
            if not inner:
                break
            key = draw(st.sampled_from(list(inner)))
            if isinstance(place[key], dict | list) and draw(st.integers(0, 3)):
                place = place[key]
                continue
            if draw(st.booleans()):
                place[key] = draw(values)
            else:
                del place[key]
            break
    return written(sample)


@settings(patient, max_examples=600)
@given(mutated_objects())
def test_frames_with_values_replaced_decode_to_a_declared_value(payload):
    feed(payload)


@patient
@given(st.sampled_from(SAMPLES), st.data())
def test_frames_with_bytes_damaged_decode_to_a_declared_value(sample, data):
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, min(len(sample), start + 5)))
    damage = data.draw(
        st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"]", b"\\u0000", b"e9"])
    )

    feed(sample[:start] + damage + sample[end:])


@pytest.mark.parametrize("depth", [10_000, 1_000_000])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"data":', b"}")])
@pytest.mark.parametrize("is_closed", [False, True])
def test_deep_nesting_decodes_to_a_declared_value(depth, brackets, is_closed):
    opening, closing = brackets
    deep = opening * depth + (b"1" + closing * depth if is_closed else b"")

    feed(deep)
    for before, after in [
        (b'{"type":"ack","data":', b"}"),
        (b'{"topic":"/market/ticker:BTC-USDT","data":{"news":', b"}}"),
        (b'{"topic":"/market/candles:BTC-USDT_1min","data":{"candles":["1",1,1,1,1,1,', b"]}}"),
        (b'{"topic":"/contractMarket/level2:XBTUSDTM","data":', b"}"),
    ]:
        feed(before + deep + after)


# Round trips: valid values, written as the exchange writes them, come back equal.

finite = st.floats(min_value=0, max_value=1e15, allow_subnormal=False)
signed = st.floats(min_value=-1e15, max_value=1e15, allow_subnormal=False)
positive = st.floats(min_value=1e-12, max_value=1e15)
lots = st.integers(min_value=0, max_value=10**12)
sequences = st.integers(min_value=0, max_value=2**63 - 1)
sides = st.sampled_from(["buy", "sell"])
nanoseconds = st.integers(min_value=10**17, max_value=2**63 - 1)
milliseconds = st.integers(min_value=10**11, max_value=9_223_372_036_854)
seconds = st.integers(min_value=0, max_value=9_223_372_036)
futures_symbols = st.sampled_from(["XBTUSDTM", "XBTMZ26", "ETHUSDM"])
spot_symbols = st.sampled_from(["BTC-USDT", "KCS-BTC"])
intervals = st.sampled_from(CANDLE_INTERVALS)


def text(number):
    """Write a number as the exchange does: a string, never with an exponent."""
    return format(number, "f") if float(format(number, "f")) == number else repr(number)


def decoded(market, topic, data, subject=""):
    payload = written({"topic": topic, "type": "message", "subject": subject, "data": data})
    return Decoder(market).decode(payload, LOCAL)


@patient
@given(
    nanoseconds, futures_symbols, sequences, positive, lots, sides, positive, lots, positive, lots
)
def test_futures_ticker_and_bbo_round_trip(
    ts, symbol, seq, price, size, side, bid, bids, ask, asks
):
    data = {
        "symbol": symbol, "sequence": seq, "side": side, "size": size, "price": text(price),
        "bestBidSize": bids, "bestBidPrice": text(bid), "bestAskPrice": text(ask),
        "tradeId": str(seq), "bestAskSize": asks, "ts": ts,
    }  # fmt: skip

    ticker = decoded(Market.FUTURES, f"/contractMarket/ticker:{symbol}", data)
    bbo = decoded(Market.FUTURES, f"/contractMarket/tickerV2:{symbol}", data)

    assert ticker == Ticker(ts, LOCAL, symbol, seq, price, size, side, bid, bids, ask, asks)
    assert bbo == BestBidOffer(ts, LOCAL, symbol, seq, bid, bids, ask, asks)


@patient
@given(milliseconds, spot_symbols, sequences, positive, finite, positive, finite, positive, finite)
def test_spot_ticker_and_bbo_round_trip(ms, symbol, seq, price, size, bid, bid_size, ask, ask_size):
    best = [text(ask), text(ask_size)], [text(bid), text(bid_size)]
    data = {
        "sequence": str(seq), "price": text(price), "size": text(size), "bestAsk": best[0][0],
        "bestAskSize": best[0][1], "bestBid": best[1][0], "bestBidSize": best[1][1], "time": ms,
    }  # fmt: skip

    ticker = decoded(Market.SPOT, f"/market/ticker:{symbol}", data)
    pairs = {"asks": best[0], "bids": best[1], "timestamp": ms}
    bbo = decoded(Market.SPOT, f"/spotMarket/level1:{symbol}", pairs)

    quote = (bid, bid_size, ask, ask_size)
    assert ticker == Ticker(ms * 10**6, LOCAL, symbol, seq, price, size, None, *quote)
    assert bbo == BestBidOffer(ms * 10**6, LOCAL, symbol, None, *quote)


@patient
@given(nanoseconds, sequences, sides, positive, positive, lots)
def test_trade_round_trips(ts, seq, side, price, size, contracts):
    data = {"side": side, "price": text(price), "tradeId": str(seq)}

    futures = decoded(
        Market.FUTURES,
        "/contractMarket/execution:XBTUSDTM",
        {**data, "sequence": seq, "size": contracts, "ts": ts},
    )
    spot = decoded(
        Market.SPOT,
        "/market/match:BTC-USDT",
        {**data, "sequence": str(seq), "size": text(size), "time": str(ts), "type": "match"},
    )

    assert futures == Trade(ts, LOCAL, "XBTUSDTM", seq, str(seq), side, price, contracts)
    assert spot == Trade(ts, LOCAL, "BTC-USDT", seq, str(seq), side, price, size)


@patient
@given(seconds, intervals, positive, positive, positive, positive, finite, finite)
def test_candle_round_trips(start, interval, open_, high, low, close, volume, turnover):
    head = [str(start), text(open_), text(close), text(high), text(low)]
    futures = decoded(
        Market.FUTURES,
        f"/contractMarket/limitCandle:XBTUSDTM_{interval}",
        {"candles": [*head, "21.0", text(volume)]},
    )
    spot = decoded(
        Market.SPOT,
        f"/market/candles:BTC-USDT_{interval}",
        {"candles": [*head, text(volume), text(turnover)]},
    )

    prices = (open_, high, low, close)
    begin = start * 10**9
    assert futures == Candle(begin, LOCAL, "XBTUSDTM", interval, *prices, volume, None)
    assert spot == Candle(begin, LOCAL, "BTC-USDT", interval, *prices, volume, turnover)


@patient
@given(milliseconds, sequences, sides, positive, lots)
def test_futures_level2_round_trips(ms, seq, side, price, size):
    data = {"sequence": seq, "change": f"{text(price)},{side},{size}", "timestamp": ms}

    delta = decoded(Market.FUTURES, "/contractMarket/level2:XBTUSDTM", data)

    change = BookChange(seq, side, price, size)
    assert delta == BookDelta(ms * 10**6, "XBTUSDTM", seq, seq, (change,))


@patient
@given(
    milliseconds, sequences, st.lists(st.tuples(sides, positive, finite) | st.none()), st.randoms()
)
def test_spot_level2_round_trips(ms, first, levels, random):
    changes = [
        BookChange(first + i, *level) if level else BookChange(first + i, "sell", 0.0, 0.0)
        for i, level in enumerate(levels)
        if first + i < 2**63
    ]
    shuffled = random.sample(changes, len(changes))
    sent = {
        key: [[text(c.price), text(c.size), str(c.sequence)] for c in shuffled if c.side == side]
        for key, side in (("asks", "sell"), ("bids", "buy"))
    }
    last = changes[-1].sequence if changes else first
    data = {"changes": sent, "sequenceStart": first, "sequenceEnd": last, "time": ms}

    delta = decoded(Market.SPOT, "/market/level2:BTC-USDT", data)

    kept = tuple(change for change in changes if change.price)
    assert delta == BookDelta(ms * 10**6, "BTC-USDT", first, last, kept)


sides_of_books = st.lists(st.tuples(positive, lots), max_size=50)


@patient
@given(milliseconds, sequences, sides_of_books, sides_of_books)
def test_depth_round_trips(ms, seq, bids, asks):
    data = {
        "sequence": seq,
        "asks": [[text(price), size] for price, size in asks],
        "bids": [[text(price), size] for price, size in bids],
        "ts": ms,
    }

    fifty = decoded(Market.FUTURES, "/contractMarket/level2Depth50:XBTUSDTM", data)
    five = decoded(Market.FUTURES, "/contractMarket/level2Depth5:XBTUSDTM", data)

    columns = [tuple(level[part] for level in side) for side in (bids, asks) for part in (0, 1)]
    padded = [value for column in columns for value in (*column, *[None] * 5)[:5]]
    assert fifty == Depth50(ms * 10**6, LOCAL, "XBTUSDTM", seq, *columns)
    assert five == Depth5(ms * 10**6, LOCAL, "XBTUSDTM", seq, *padded)


@patient
@given(milliseconds, positive, positive, signed, st.integers(0, 10**9))
def test_instrument_round_trips(ms, mark, index, rate, granularity):
    topic = "/contract/instrument:XBTUSDTM"
    data = {"markPrice": mark, "indexPrice": index, "granularity": 1000, "timestamp": ms}
    funding = {"granularity": granularity, "fundingRate": rate, "timestamp": ms}

    prices = decoded(Market.FUTURES, topic, data, "mark.index.price")
    rates = decoded(Market.FUTURES, topic, funding, "funding.rate")

    assert prices == MarkPrice(ms * 10**6, LOCAL, "XBTUSDTM", mark, index)
    assert rates == FundingRate(ms * 10**6, LOCAL, "XBTUSDTM", rate, granularity)


@patient
@given(
    nanoseconds,
    milliseconds,
    st.tuples(positive, positive, positive, finite, finite, signed, signed),
)
def test_snapshot_round_trips(ns, ms, fields):
    last, high, low, volume, turnover, change, percent = fields
    futures = {
        "highPrice": high, "lastPrice": last, "lowPrice": low, "priceChg": change,
        "priceChgPct": percent, "turnover": turnover, "volume": volume, "ts": ns,
    }  # fmt: skip
    spot = {
        "changePrice": change, "changeRate": percent, "datetime": ms, "high": high, "low": low,
        "lastTradedPrice": last, "vol": volume, "volValue": turnover, "symbol": "BTC-USDT",
    }  # fmt: skip

    assert decoded(Market.FUTURES, "/contractMarket/snapshot:XBTUSDTM", futures) == Snapshot(
        ns, LOCAL, "XBTUSDTM", *fields
    )
    assert decoded(Market.SPOT, "/market/snapshot:BTC-USDT", {"data": spot}) == Snapshot(
        ms * 10**6, LOCAL, "BTC-USDT", *fields
    )
