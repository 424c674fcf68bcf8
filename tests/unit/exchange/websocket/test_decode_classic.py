"""Decoder: each documented frame, the shapes of older recordings, and what it refuses.

``tests/payloads/ws`` holds the documented frames; the variations written here say what they vary.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kucoin_research.exchange.websocket.decode_classic import (
    _MOST_ROUTES,
    Broken,
    ControlMessage,
    Decoder,
    Ignored,
)
from kucoin_research.model.channels import Market
from kucoin_research.model.orderbook import BookChange, BookDelta
from kucoin_research.model.records import (
    BestBidOffer,
    Candle,
    Depth5,
    Depth50,
    FundingRate,
    MarkPrice,
    Snapshot,
    Ticker,
    Trade,
)

PAYLOADS = Path(__file__).parents[3] / "payloads" / "ws"
LOCAL = 1_790_000_000_000_000_001
FUTURES, SPOT = Market.FUTURES, Market.SPOT


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def frame(topic, data, **envelope):
    return {"topic": topic, "type": "message", **envelope, "data": data}


def decode(payload, market=FUTURES, decoder=None):
    """Decode with a new decoder unless one is given; a dict is written compactly first."""
    payload = payload if isinstance(payload, bytes) else compact(payload)
    return (decoder or Decoder(market)).decode(payload, LOCAL)


def ticker(market=FUTURES, **data):
    topic = "/contractMarket/ticker:XBTUSDTM" if market is FUTURES else "/market/ticker:BTC-USDT"
    return decode(frame(topic, data), market)


def trade(market=FUTURES, **data):
    topic = "/contractMarket/execution:XBTUSDTM" if market is FUTURES else "/market/match:BTC-USDT"
    return decode(frame(topic, data), market)


def candle(row, market=FUTURES):
    topic = (
        "/contractMarket/limitCandle:XBTUSDTM_5min"
        if market is FUTURES
        else "/market/candles:BTC-USDT_5min"
    )
    return decode(frame(topic, {"candles": row}), market)


def futures_level2(change="83614,buy,12", **data):
    data = {"sequence": 17, "change": change, "timestamp": 1_790_113_097_240, **data}
    return decode(frame("/contractMarket/level2:XBTUSDTM", data))


def spot_level2(start, end, *, asks=(), bids=(), **data):
    data = {
        "changes": {"asks": asks, "bids": bids},
        "sequenceStart": start,
        "sequenceEnd": end,
        **data,
    }
    return decode(frame("/market/level2:BTC-USDT", data), SPOT)


GOLDEN = {
    "futures/ticker": Ticker(
        1731679215637000000, LOCAL, "XBTUSDTM", 1793133570931, 90147.7, 1.0, "sell",
        90147.7, 2186.0, 90147.8, 275.0,
    ),
    "futures/tickerV2": BestBidOffer(
        1731665526461000000, LOCAL, "XBTUSDTM", 1709284589209, 88987.4, 713.0, 88987.5, 1037.0,
    ),
    "futures/execution": Trade(
        1731898619520000000, LOCAL, "XBTUSDTM", 1794100537695, "1794100537695", "buy", 90503.9, 2.0,
    ),
    "futures/limitCandle": Candle(
        1731898200000000000, LOCAL, "XBTUSDTM", "1min",
        90638.6, 90638.6, 90638.6, 90638.6, 21.0, None,
    ),
    "futures/level2": BookDelta(
        1790113097240000000, "XBTUSDTM", 1747821025244, 1747821025244,
        (BookChange(1747821025244, "buy", 83614.0, 12.0),),
    ),
    "futures/level2Depth5": Depth5(
        1790114460610000000, LOCAL, "ETHUSDTM", 1736604716188,
        2749.68, 2749.61, None, None, None, 241.0, 45.0, None, None, None,
        2749.69, 2749.7, None, None, None, 44.0, 102.0, None, None, None,
    ),
    "futures/level2Depth50": Depth50(
        1790114460610000000, LOCAL, "ETHUSDTM", 1736604716188,
        (2749.68, 2749.61), (241.0, 45.0), (2749.69, 2749.7), (44.0, 102.0),
    ),
    "futures/instrument_mark_index_price": MarkPrice(
        1790113097000000000, LOCAL, "XBTUSDTM", 86201.79, 86248.81,
    ),
    "futures/instrument_funding_rate": FundingRate(
        1790114460000000000, LOCAL, "XBTUSDTM", -0.000076, 60000,
    ),
    "futures/announcement_funding_begin": FundingRate(
        1551770400000000000, LOCAL, "XBTUSDTM", -0.002966, None,
    ),
    "futures/announcement_funding_end": FundingRate(
        1551770410000000000, LOCAL, "XBTUSDTM", -0.002966, None,
    ),
    "futures/snapshot": Snapshot(
        1731900415023929239, LOCAL, "XBTUSDTM", 90326.7, 91512.8, 88747.8,
        5834.46, 526928331.0482177734, 446.3, 0.0049,
    ),
    "spot/ticker": Ticker(
        1729757723612000000, LOCAL, "BTC-USDT", 14691455768, 67220.0, 0.00004316, None,
        67218.6, 0.01045638, 67218.7, 1.92318539,
    ),
    "spot/ticker_all": Ticker(
        1729757723612000000, LOCAL, "BTC-USDT", 14691455768, 67220.0, 0.00004316, None,
        67218.6, 0.01045638, 67218.7, 1.92318539,
    ),
    "spot/level1": BestBidOffer(
        1729816058766000000, LOCAL, "BTC-USDT", None, 68145.7, 1.29267802, 68145.8, 0.51987471,
    ),
    "spot/match": Trade(
        1729843222921000000, LOCAL, "BTC-USDT", 11067996711960577, "11067996711960577",
        "buy", 67523.0, 0.003,
    ),
    "spot/candles": Candle(
        1729839600000000000, LOCAL, "BTC-USDT", "1hour", 67644.9, 67724.8, 67243.8, 67437.6,
        44.88321441, 3027558.991928447,
    ),
    "spot/candles_add": Candle(
        1619378220000000000, LOCAL, "BTC-USDT", "1min",
        0.0000001116, 0.0000001116, 0.0000001116, 0.0000001116, 0.0, 0.0,
    ),
    "spot/level2": BookDelta(
        1729816425625000000, "BTC-USDT", 14701689783, 14701689783,
        (BookChange(14701689783, "sell", 67993.3, 1.21427407),),
    ),
    "spot/level2Depth5": Depth5(
        1729822226746000000, LOCAL, "BTC-USDT", None,
        67996.6, 67996.5, 67996.2, 67996.0, 67995.9, 0.37969491, 0.00044, 1.2, 0.00001, 0.7,
        67996.7, 67996.8, 67997.0, 67997.1, 67997.9, 1.14213262, 0.1, 0.005, 0.25, 3.0,
    ),
    "spot/level2Depth50": Depth50(
        1729822226746000000, LOCAL, "BTC-USDT", None,
        (67996.6, 67996.5, 67996.2), (0.37969491, 0.00044, 1.2),
        (67996.7, 67996.8), (1.14213262, 0.1),
    ),
    "spot/indicator_markPrice": MarkPrice(
        1714769146000000000, LOCAL, "USDT-BTC", 0.00001588, None,
    ),
    "spot/indicator_index": MarkPrice(1551770400000000000, LOCAL, "USDT-BTC", None, 0.0001092),
    "spot/snapshot": Snapshot(
        1729758286011000000, LOCAL, "BTC-USDT", 67220.0, 67611.8, 65257.1,
        2428.83126325, 161813117.99428317, 315.2, 0.0047,
    ),
    "spot/callauction": Broken(
        "topic '/callauction/callauctionData:BTC-USDT' is none of those we subscribe to",
        "/callauction/callauctionData:BTC-USDT",
    ),
    "session/welcome": ControlMessage("welcome", "<connectId>"),
    "session/ack": ControlMessage("ack", "s1"),
    "session/pong": ControlMessage("pong", "1545910590801", timestamp=1790113097236506000),
    "session/error_ping_timeout": ControlMessage("error", None, 400, "ping timeout"),
    "session/error_topic_does_not_exist": ControlMessage("error", "…", 404, "topic does not exist"),
    "session/error_token_is_expired": ControlMessage(
        "error", "660fd6c84d0eab582c237b51", 401, "token is expired"
    ),
}  # fmt: skip


def golden(name):
    return (PAYLOADS / f"{name}.json").read_bytes().strip()


def market_of_file(name):
    return SPOT if name.startswith("spot/") else FUTURES


def reordered(value):
    """Turn every object's keys round, as another server of KuCoin's might write them."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def exactly(record):
    """Tell apart 1, 1.0 and True, which are equal."""
    return type(record), repr(record)


def test_every_payload_has_its_expected_record():
    files = {str(path.relative_to(PAYLOADS).with_suffix("")) for path in PAYLOADS.rglob("*.json")}

    # Those of the account and of the pro feed are expected in files of their own.
    others = ("private_", "pro/")
    assert {name for name in files if not name.startswith(others)} == set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_documented_frame_becomes_its_record(name):
    record = decode(golden(name), market_of_file(name))

    assert exactly(record) == exactly(GOLDEN[name])


@pytest.mark.parametrize("name", GOLDEN)
def test_later_frames_of_a_topic_decode_like_the_first(name):
    decoder = Decoder(market_of_file(name))

    records = [decode(golden(name), decoder=decoder) for _ in range(3)]

    assert [exactly(record) for record in records] == [exactly(GOLDEN[name])] * 3


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("name", GOLDEN)
def test_layout_and_key_order_do_not_matter(name, is_known):
    value = json.loads(golden(name))
    decoder = Decoder(market_of_file(name))
    if is_known:
        decode(golden(name), decoder=decoder)

    layouts = [
        json.dumps(value).encode(),
        json.dumps(value, indent=2).encode(),
        compact(reordered(value)),
        golden(name).replace(b"/", b"\\/"),
    ]
    records = [decode(layout, decoder=decoder) for layout in layouts]

    assert [exactly(record) for record in records] == [exactly(GOLDEN[name])] * 4


@pytest.mark.parametrize("name", GOLDEN)
def test_unknown_keys_are_ignored(name):
    value = json.loads(golden(name))
    value["news"] = {"topic": "/market/ticker:ETH-USDT", "data": [1, {"deep": None}]}
    if isinstance(value.get("data"), dict):
        value["data"]["news"] = [[1e308], "x"]

    record = decode(value, market_of_file(name))

    assert exactly(record) == exactly(GOLDEN[name])


@pytest.mark.parametrize("name", [name for name in GOLDEN if not name.startswith("session/")])
def test_frame_without_type_or_subject_is_told_by_its_topic(name):
    value = json.loads(golden(name))
    value.pop("type", None)
    if name != "spot/ticker_all":  # there the subject is the symbol
        value.pop("subject")

    record = decode(value, market_of_file(name))

    assert exactly(record) == exactly(GOLDEN[name])


# Times


@pytest.mark.parametrize(
    ("time", "nanoseconds"),
    [
        (1_731_679_215, 1_731_679_215_000_000_000),
        (1_731_679_215_637, 1_731_679_215_637_000_000),
        (1_731_679_215_637_123, 1_731_679_215_637_123_000),
        (1_731_679_215_637_123_456, 1_731_679_215_637_123_456),
        ("1731679215637123456", 1_731_679_215_637_123_456),
        ("1731679215637", 1_731_679_215_637_000_000),
        (None, None),
    ],
)
def test_times_of_any_unit_become_nanoseconds(time, nanoseconds):
    records = [
        ticker(ts=time, price=1),
        trade(SPOT, time=time, price=1),
        ticker(SPOT, time=time, price=1),
    ]

    assert [record.timestamp for record in records] == [nanoseconds] * 3


@pytest.mark.parametrize("time", [-1, 2**63, 2**63 - 1 + 10**6, 99_999_999_999, "soon", 1.5])
def test_impossible_times_are_broken(time):
    assert isinstance(ticker(ts=time), Broken)


def test_guide_sample_ticker_with_milliseconds_decodes():
    # As in older guides to KuCoin futures: the time is in ms though the topic's unit is ns.
    record = ticker(
        symbol="XBTUSDTM", sequence=45, side="sell", price="3600.00", size=16,
        tradeId="5c9dcf4170744d6f5a3d32fb", bestBidSize=795, bestBidPrice="3200.00",
        bestAskPrice="3600.00", bestAskSize=284, ts=1553846081210,
    )  # fmt: skip

    assert record == Ticker(
        1553846081210000000, LOCAL, "XBTUSDTM", 45, 3600.0, 16.0, "sell",
        3200.0, 795.0, 3600.0, 284.0,
    )  # fmt: skip


def test_spot_ticker_takes_time_spelled_with_a_capital():
    assert ticker(SPOT, Time=1_729_757_723_612).timestamp == 1_729_757_723_612_000_000


# Tickers, trades


def test_ticker_of_topic_all_is_named_by_its_subject():
    decoder = Decoder(SPOT)

    symbols = [
        decode(frame("/market/ticker:all", {"price": "1"}, subject=symbol), decoder=decoder).symbol
        for symbol in ("BTC-USDT", "KCS-BTC", "BTC-USDT")
    ]

    assert symbols == ["BTC-USDT", "KCS-BTC", "BTC-USDT"]


def test_ticker_of_topic_all_without_subject_is_broken():
    assert isinstance(decode(frame("/market/ticker:all", {"price": "1"}), SPOT), Broken)


def test_old_futures_bbo_with_numeric_prices_and_no_sequence_decodes():
    data = {"bestBidSize": 795, "bestBidPrice": 3600.5, "bestAskPrice": 3601, "bestAskSize": 284}
    record = decode(frame("/contractMarket/tickerV2:XBTUSDM", {**data, "ts": 1553846081210004941}))

    assert record == BestBidOffer(
        1553846081210004941, LOCAL, "XBTUSDM", None, 3600.5, 795.0, 3601.0, 284.0
    )


def test_old_execution_with_match_size_time_and_hex_id_decodes():
    record = trade(
        tradeId="5ce24c16b210233c36eexxxx", sequence="3262786900", side="sell", price=3634.5,
        matchSize="16", time=1558074650840002300, makerUserId="5c9dcf4170744d6f5a3d32fb",
    )  # fmt: skip

    assert record == Trade(
        1558074650840002300, LOCAL, "XBTUSDTM", 3262786900, "5ce24c16b210233c36eexxxx",
        "sell", 3634.5, 16.0,
    )  # fmt: skip


def test_spot_price_with_twenty_decimals_decodes():
    assert trade(SPOT, price="0.08200000000000000000").price == 0.082


@pytest.mark.parametrize("sequence", [2**53 + 1, 11067996711960577, 2**63 - 1])
@pytest.mark.parametrize("spell", [int, str])
def test_sequence_beyond_floats_stays_exact(sequence, spell):
    record = trade(SPOT, sequence=spell(sequence), tradeId=spell(sequence))

    assert (record.sequence, record.trade_id) == (sequence, str(sequence))


@pytest.mark.parametrize("side", ["BUY", "", "bid", 1])
def test_side_that_is_neither_buy_nor_sell_is_broken(side):
    broken = [trade(side=side), ticker(side=side), futures_level2(f"1,{side},2")]

    assert {type(item) for item in broken} == {Broken}


def test_missing_and_null_values_are_none():
    nothing = [None] * 8

    expected = Ticker(1, LOCAL, "XBTUSDTM", *nothing)._replace(timestamp=10**18)
    assert ticker(ts=10**18) == expected
    assert ticker(ts=10**18, price=None, side=None) == expected
    assert trade(sequence=5) == Trade(None, LOCAL, "XBTUSDTM", 5, None, None, None, None)


@pytest.mark.parametrize(
    ("market", "topic"),
    [
        (FUTURES, "/contractMarket/ticker:XBTUSDTM"),
        (FUTURES, "/contractMarket/tickerV2:XBTUSDTM"),
        (FUTURES, "/contractMarket/execution:XBTUSDTM"),
        (FUTURES, "/contractMarket/level2Depth5:XBTUSDTM"),
        (FUTURES, "/contractMarket/level2Depth50:XBTUSDTM"),
        (FUTURES, "/contract/instrument:XBTUSDTM"),
        (FUTURES, "/contract/announcement:XBTUSDTM"),
        (FUTURES, "/contractMarket/snapshot:XBTUSDTM"),
        (SPOT, "/market/ticker:BTC-USDT"),
        (SPOT, "/spotMarket/level1:BTC-USDT"),
        (SPOT, "/market/match:BTC-USDT"),
        (SPOT, "/indicator/markPrice:BTC-USDT"),
    ],
)
def test_a_message_that_tells_nothing_is_broken(market, topic):
    item = decode({"topic": topic, "data": {}}, market)

    assert item == Broken("the message has none of the values it should bring", topic)


SPOT_SNAPSHOT = {"lastTradedPrice": "0", "high": "0", "low": "0", "vol": "0", "changePrice": "0"}
NO_LEVEL = [["0", "0"]]

# Of each channel: what it sends where there is no price, and its row after the sequence, if any.
WITHOUT_PRICE = [
    (FUTURES, "/contractMarket/ticker:XBTUSDTM",
     {"price": "0", "size": 0, "bestBidPrice": "0.0", "bestBidSize": 0, "bestAskPrice": 0,
      "bestAskSize": 0},
     {"price": None, "size": 0.0, "best_bid_price": None, "best_bid_size": 0.0,
      "best_ask_price": None, "best_ask_size": 0.0}),
    (FUTURES, "/contractMarket/tickerV2:XBTUSDTM",
     {"bestBidPrice": "0", "bestBidSize": 0, "bestAskPrice": "67.5", "bestAskSize": 3},
     {"best_bid_price": None, "best_bid_size": 0.0, "best_ask_price": 67.5, "best_ask_size": 3.0}),
    (FUTURES, "/contractMarket/execution:XBTUSDTM", {"price": "0", "size": 0},
     {"price": None, "size": 0.0}),
    (FUTURES, "/contractMarket/limitCandle:XBTUSDTM_1min",
     {"candles": ["1731898200", "0", "0", "0", "0", "0", "0"]},
     {"open": None, "high": None, "low": None, "close": None, "volume": 0.0}),
    (FUTURES, "/contractMarket/level2Depth5:XBTUSDTM", {"bids": NO_LEVEL, "asks": None},
     {"bid_price_1": None, "bid_size_1": None, "ask_price_1": None, "ask_size_5": None}),
    (FUTURES, "/contractMarket/level2Depth50:XBTUSDTM", {"bids": NO_LEVEL, "asks": None},
     {"bid_prices": (), "bid_sizes": (), "ask_prices": (), "ask_sizes": ()}),
    (FUTURES, "/contract/instrument:XBTUSDTM", {"markPrice": 0, "indexPrice": 0.0},
     {"mark_price": None, "index_price": None}),
    (FUTURES, "/contract/instrument:XBTUSDTM", {"fundingRate": 0, "granularity": 60000},
     {"funding_rate": 0.0}),
    (FUTURES, "/contractMarket/snapshot:XBTUSDTM",
     {"lastPrice": 0, "highPrice": 0, "lowPrice": 0, "volume": 0, "turnover": 0, "priceChg": 0},
     {"last_price": None, "high": None, "low": None, "volume": 0.0, "turnover": 0.0,
      "price_change": 0.0}),
    (SPOT, "/market/ticker:BTC-USDT",
     {"price": "0", "size": "0", "bestBid": "0", "bestBidSize": "0", "bestAsk": "0",
      "bestAskSize": "0"},
     {"price": None, "size": 0.0, "best_bid_price": None, "best_bid_size": 0.0,
      "best_ask_price": None, "best_ask_size": 0.0}),
    (SPOT, "/spotMarket/level1:BTC-USDT", {"bids": ["0", "0"], "asks": None},
     {"best_bid_price": None, "best_bid_size": 0.0, "best_ask_price": None,
      "best_ask_size": None}),
    (SPOT, "/spotMarket/level1:BTC-USDT", {"bids": None, "asks": [None, None]},
     {"best_bid_price": None, "best_bid_size": None, "best_ask_price": None,
      "best_ask_size": None}),
    (SPOT, "/market/match:BTC-USDT", {"price": "0", "size": "0"}, {"price": None, "size": 0.0}),
    (SPOT, "/market/candles:BTC-USDT_1min",
     {"candles": ["1731898200", "0", "0", "0", "0", "0", "0"]},
     {"open": None, "high": None, "low": None, "close": None, "volume": 0.0, "turnover": 0.0}),
    (SPOT, "/spotMarket/level2Depth5:BTC-USDT", {"asks": NO_LEVEL, "bids": None},
     {"bid_price_1": None, "bid_size_1": None, "ask_price_1": None, "ask_size_5": None}),
    (SPOT, "/spotMarket/level2Depth50:BTC-USDT", {"asks": NO_LEVEL, "bids": None},
     {"bid_prices": (), "bid_sizes": (), "ask_prices": (), "ask_sizes": ()}),
    (SPOT, "/indicator/markPrice:BTC-USDT", {"value": 0}, {"mark_price": None}),
    (SPOT, "/indicator/index:BTC-USDT", {"value": "0"}, {"index_price": None}),
    (SPOT, "/market/snapshot:BTC-USDT", {"data": SPOT_SNAPSHOT},
     {"last_price": None, "high": None, "low": None, "volume": 0.0, "price_change": 0.0}),
]  # fmt: skip


@pytest.mark.parametrize(("market", "topic", "data", "expected"), WITHOUT_PRICE)
def test_a_price_of_zero_is_none_and_a_size_of_zero_is_a_size(market, topic, data, expected):
    time = 1_790_000_000_000
    inner = {"data": data["data"] | {"datetime": time}} if "data" in data else data
    record = decode(frame(topic, {"ts": time, "time": time, "timestamp": time, **inner}), market)

    assert {name: getattr(record, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("market", "prefix"), [(FUTURES, "/contractMarket/"), (SPOT, "/spotMarket/")]
)
def test_a_level_without_a_price_is_left_out_of_a_depth(market, prefix):
    levels = {"bids": [["9", "1"], ["0", "0"], ["8", "0"]], "asks": [["0", "3"], ["10", "2"]]}
    data = {**levels, "ts": 1_790_000_000_000}
    five = decode(frame(f"{prefix}level2Depth5:X", data), market)
    fifty = decode(frame(f"{prefix}level2Depth50:X", data), market)

    assert five[4:10] == (9.0, 8.0, None, None, None, 1.0)
    assert (five.bid_size_2, five.ask_price_1, five.ask_price_2) == (0.0, 10.0, None)
    assert fifty[4:] == ((9.0, 8.0), (1.0, 0.0), (10.0,), (2.0,))


@pytest.mark.parametrize("empty", ["asks", "bids"])
def test_a_null_side_of_a_spot_change_is_empty(empty):
    other = {"asks": "bids", "bids": "asks"}[empty]
    delta = spot_level2(5, 5, **{empty: None, other: [["10", "0", "5"]]})

    side = "buy" if other == "bids" else "sell"
    assert delta.changes == (BookChange(5, side, 10.0, 0.0),)


def test_bbo_of_a_one_sided_book_has_none():
    data = {"asks": [], "bids": ["68145.7", "1.29"], "timestamp": 1_729_816_058_766}
    record = decode(frame("/spotMarket/level1:BTC-USDT", data), SPOT)

    assert record[4:] == (68145.7, 1.29, None, None)


# Candles


def test_candle_order_is_turned_into_open_high_low_close():
    row = ["1731898200", "10", "11", "13", "9", "5.5", "7"]

    futures, spot = candle(row), candle(row, SPOT)

    assert futures[3:] == ("5min", 10.0, 13.0, 9.0, 11.0, 7.0, None)
    assert spot[3:] == ("5min", 10.0, 13.0, 9.0, 11.0, 5.5, 7.0)


@pytest.mark.parametrize("garbage", ["21.0", "-", None, {}, "nan", 1e308])
def test_futures_candle_ignores_index_five(garbage):
    assert candle(["1731898200", "10", "11", "13", "9", garbage, "7"]).volume == 7.0


def test_candle_of_numbers_decodes_like_one_of_strings():
    numbers = candle([1731898200, 10, 11.5, 13, 9, 5, 7])

    assert numbers == candle(["1731898200", "10", "11.5", "13", "9", "5", "7"])


def test_null_in_a_candle_is_none():
    assert candle(["1731898200", None, "11", "13", "9", "5", None])[4:] == (
        *(None, 13.0, 9.0, 11.0),
        *(None, None),
    )


def test_candle_without_turnover_has_none():
    assert candle(["1731898200", "10", "11", "13", "9", "5.5"], SPOT)[-2:] == (5.5, None)


@pytest.mark.parametrize(
    "row",
    [
        [],
        ["1731898200", "10", "11", "13"],
        ["soon", "10", "11", "13", "9", "5", "7"],
        [None, "10", "11", "13", "9", "5", "7"],
        [True, "10", "11", "13", "9", "5", "7"],
        ["-5", "10", "11", "13", "9", "5", "7"],
        ["1731898200", "nan", "11", "13", "9", "5", "7"],
        ["1731898200", "10", "11", "13", "9", "5", "inf"],
        ["1731898200", "10", "11", "13", "9", "5", "1_0"],
        "1731898200",
    ],
)
def test_candle_that_lacks_or_garbles_a_number_is_broken(row):
    assert isinstance(candle(row), Broken)
    assert isinstance(candle(row, SPOT), Broken)


# Order books


def test_futures_worked_example_decodes():
    # Of KuCoin's guide to the local futures order book: an update, then a removal.
    update = futures_level2("3988.50,buy,44", sequence=17)
    removal = futures_level2("3988.61,sell,0", sequence=18)

    assert update.changes == (BookChange(17, "buy", 3988.5, 44.0),)
    assert removal.changes == (BookChange(18, "sell", 3988.61, 0.0),)
    assert removal[2:4] == (18, 18)


def test_spot_worked_example_is_put_in_sequence_order():
    # Of KuCoin's guide to the local spot order book; 17 lies in the range but has no entry.
    delta = spot_level2(
        15,
        19,
        asks=[["3988.59", "3", "16"], ["3988.61", "0", "19"], ["3988.62", "8", "15"]],
        bids=[["3988.50", "44", "18"]],
    )

    assert delta == BookDelta(
        None,
        "BTC-USDT",
        15,
        19,
        (
            BookChange(15, "sell", 3988.62, 8.0),
            BookChange(16, "sell", 3988.59, 3.0),
            BookChange(18, "buy", 3988.5, 44.0),
            BookChange(19, "sell", 3988.61, 0.0),
        ),
    )


@pytest.mark.parametrize("zero", ["0", "0.00000000", 0])
def test_spot_filler_only_advances_the_sequence(zero):
    # A frame of 2021: a filler, and no time.
    delta = spot_level2(1619378281, 1619378281, asks=[[zero, "0", "1619378281"]])

    assert delta == BookDelta(None, "BTC-USDT", 1619378281, 1619378281, ())


def test_fillers_between_changes_are_left_out():
    delta = spot_level2(5, 7, asks=[["0", "0", "7"]], bids=[["10", "1", "6"], ["0", "0", "5"]])

    assert delta[2:] == (5, 7, (BookChange(6, "buy", 10.0, 1.0),))


def test_old_spot_level2_with_texts_for_sequences_decodes():
    assert spot_level2("5", "6")[2:] == (5, 6, ())


def test_futures_level2_takes_its_time_from_ts_where_timestamp_is_missing():
    delta = futures_level2(timestamp=None, ts=1_590_634_672_060_667_000)

    assert delta.timestamp == 1_590_634_672_060_667_000


@pytest.mark.parametrize(
    "change",
    ["", "83614,buy", "83614,buy,12,1", ",buy,12", "83614,buy,", "nan,buy,1", "1,buy,inf",
     "1,buy,-1", "1e400,buy,1", "1;buy;2", "-inf,sell,0", None, 5],
)  # fmt: skip
def test_futures_change_that_is_no_change_is_broken(change):
    assert isinstance(futures_level2(change), Broken)


@pytest.mark.parametrize(
    "delta",
    [
        {"start": 19, "end": 15},
        {"start": None, "end": 15},
        {"start": 1, "end": 2**63},
        {"start": 1, "end": 1, "asks": [["1", "-2", "1"]]},
        {"start": 1, "end": 1, "asks": [["nan", "2", "1"]]},
        {"start": 1, "end": 1, "asks": [["1", "2"]]},
        {"start": 1, "end": 1, "bids": [["1", "2", "x"]]},
        {"start": 1, "end": 1, "bids": 5},
    ],
)
def test_spot_change_that_is_no_change_is_broken(delta):
    assert isinstance(spot_level2(**delta), Broken)


@pytest.mark.parametrize(
    "data",
    [
        # the documents of 2020: sizes as text, time in ns
        {"asks": [["9993", "3"]], "bids": [["9992", "7"]], "ts": 1590634672060667000},
        # those of 2023: all numbers, time in ms
        {"asks": [[9993, 3]], "bids": [[9992.0, 7]], "timestamp": 1590634672060.0},
    ],
)
def test_old_depth_frames_decode(data):
    record = decode(frame("/contractMarket/level2Depth50:XBTUSDM", {"sequence": 18521, **data}))

    assert record[3:] == (18521, (9992.0,), (7.0,), (9993.0,), (3.0,))
    assert record.timestamp // 10**6 == 1590634672060


@pytest.mark.parametrize("sides", [{"asks": [], "bids": []}, {}])
def test_depth_of_an_empty_book_is_empty(sides):
    five = decode(frame("/contractMarket/level2Depth5:XBTUSDTM", {"sequence": 5, **sides}))
    fifty = decode(frame("/contractMarket/level2Depth50:XBTUSDTM", {"sequence": 5, **sides}))

    assert five == Depth5(None, LOCAL, "XBTUSDTM", 5, *[None] * 20)
    assert fifty == Depth50(None, LOCAL, "XBTUSDTM", 5, (), (), (), ())


def test_bytes_that_are_not_utf8_are_broken_wherever_they_stand():
    topic = "/contractMarket/ticker:XBTUSDTM"
    payload = b'{"topic":"%s","data":{"price":1,"\xf5\x80\x80\x80":2}}' % topic.encode()

    item = decode(payload)

    assert isinstance(item, Broken)
    assert item.topic == topic


def test_depth_of_a_one_sided_book_keeps_the_side_it_has():
    bids = [[str(100 - level), level] for level in range(7)]
    five = decode(frame("/contractMarket/level2Depth5:XBTUSDTM", {"bids": bids}))
    fifty = decode(frame("/contractMarket/level2Depth50:XBTUSDTM", {"bids": bids}))

    assert five[4:] == (100.0, 99.0, 98.0, 97.0, 96.0, 0.0, 1.0, 2.0, 3.0, 4.0, *[None] * 10)
    assert (len(fifty.bid_prices), len(fifty.bid_sizes), fifty.ask_prices) == (7, 7, ())


# Other channels


def test_old_snapshot_with_fewer_fields_decodes():
    data = {"volume": 30449670, "turnover": 845169919063, "lastPrice": 3551, "priceChgPct": 0.0043}
    record = decode(frame("/contractMarket/snapshot:XBTUSDM", {**data, "ts": 1547697294838004923}))

    assert record[3:] == (3551.0, None, None, 30449670.0, 845169919063.0, None, 0.0043)


def test_snapshot_of_a_whole_market_is_named_inside():
    data = {"symbol": "KCS-BTC", "lastTradedPrice": None, "datetime": 1540131679000}
    record = decode(frame("/market/snapshot:BTC", {"sequence": 1545896669291, "data": data}), SPOT)

    assert record[:4] == (1540131679000000000, LOCAL, "KCS-BTC", None)


@pytest.mark.parametrize("topic", ["/contract/instrument:XBTUSDTM", "/contract/announcement"])
def test_sound_frame_of_an_unknown_subject_is_ignored(topic):
    assert decode(frame(topic, {"symbol": "XBTUSDTM"}, subject="something.new")) == Ignored(topic)


def test_announcement_on_the_topic_of_one_symbol_takes_it_from_there():
    data = {"fundingRate": 0.0001, "timestamp": 1551770400000}
    record = decode(frame("/contract/announcement:XBTUSDTM", data, subject="funding.begin"))

    assert record == FundingRate(1551770400000000000, LOCAL, "XBTUSDTM", 0.0001, None)


# The conversation


@pytest.mark.parametrize(
    ("payload", "control"),
    [
        ({"id": 1, "type": "ack"}, ControlMessage("ack", "1")),
        ({"id": None, "type": "welcome"}, ControlMessage("welcome")),
        (
            {"type": "error", "code": "509", "data": "busy"},
            ControlMessage("error", None, 509, "busy"),
        ),
        ({"type": "error", "code": 500, "data": None}, ControlMessage("error", None, 500, "")),
        ({"type": "error", "data": {"a": 1}}, ControlMessage("error", None, None, '{"a":1}')),
        ({"id": "1", "type": "pong"}, ControlMessage("pong", "1")),
        ({"type": "notice", "data": "maintenance"}, ControlMessage("notice", text="maintenance")),
        ({"id": "7", "type": "never seen"}, ControlMessage("never seen", "7")),
    ],
)
def test_messages_of_the_conversation_are_controls(payload, control):
    assert decode(payload) == control


@pytest.mark.parametrize("data", ["topic is invalid", {}, {"topic": "/market/ticker:BTC-USDT"}])
def test_error_that_quotes_a_known_topic_is_still_an_error(data):
    decoder = Decoder(SPOT)
    decode(golden("spot/ticker"), decoder=decoder)

    quoting = {"topic": "/market/ticker:BTC-USDT", "id": "3", "type": "error", "data": data}
    item = decode(quoting, decoder=decoder)

    assert (item.type, item.id) == ("error", "3")


def test_ack_that_quotes_a_known_topic_inside_is_still_an_ack():
    decoder = Decoder(SPOT)
    decode(golden("spot/ticker"), decoder=decoder)

    item = decode({"data": {"topic": "/market/ticker:BTC-USDT"}, "type": "ack"}, decoder=decoder)

    assert isinstance(item, ControlMessage)


def test_topic_inside_the_data_does_not_mislead():
    decoder = Decoder(SPOT)
    decode(golden("spot/ticker"), decoder=decoder)

    data = {"topic": "/market/ticker:BTC-USDT", "price": "5"}
    item = decode({"data": data, "topic": "/market/match:ETH-USDT"}, decoder=decoder)

    assert item == Trade(None, LOCAL, "ETH-USDT", None, None, None, 5.0, None)


# Refusals


@pytest.mark.parametrize(
    "price",
    ['"nan"', '"NaN"', '"inf"', '"-Infinity"', "NaN", "Infinity", "1e400", '"1e400"', "-1e301",
     "true", '""', '" 1"', '"1_0"', '"0x1"', "[1]", "{}", "1" * 400],
)  # fmt: skip
def test_price_that_is_no_finite_number_is_broken(price):
    payload = b'{"topic":"/market/ticker:BTC-USDT","data":{"price":%s}}' % price.encode()

    assert isinstance(decode(payload, SPOT), Broken)


@pytest.mark.parametrize(
    "sequence", ["9223372036854775808", "-9223372036854775809", "1.5", "9" * 5000]
)
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_integer_beyond_64_bits_or_with_a_fraction_is_broken(sequence, quote):
    number = quote + sequence.encode() + quote
    payload = b'{"topic":"/market/ticker:BTC-USDT","data":{"sequence":%s}}' % number

    assert isinstance(decode(payload, SPOT), Broken)


@pytest.mark.parametrize(
    "topic",
    ["/contractMarket/candle:XBTUSDTM_1min", "/contractMarket/ticker", "/contractMarket/ticker:",
     "/contractMarket/limitCandle:XBTUSDTM", "/contractMarket/limitCandle:_1min", "", ":",
     "/market/ticker:BTC-USDT", "/contractMarket/level2Depth20:XBTUSDTM"],
)  # fmt: skip
def test_topic_that_is_none_of_ours_is_broken_and_named(topic):
    item = decode(frame(topic, {"candles": ["1731898200", "1", "1", "1", "1", "1", "1"]}))

    assert (type(item), item.topic) == (Broken, topic)


@pytest.mark.parametrize(
    "payload",
    [b"", b" ", b"not json", b"{", b"[]", b"null", b"1", b'"text"', b"{}", b'{"data":{}}',
     b'{"topic":null}', b'{"topic":5}', b"\xff\xfe", b'{"topic":"', b'{"type":5}',
     golden("futures/level2")[:-2], golden("spot/ticker")[:50], b'{"topic":"/market/ticker:X"}'],
)  # fmt: skip
def test_anything_else_is_broken(payload):
    for market in Market:
        assert isinstance(decode(payload, market), Broken)


def test_broken_message_tells_its_topic_and_reason_and_harms_no_other():
    decoder = Decoder(FUTURES)
    sound = golden("futures/level2")

    items = [
        decode(payload, decoder=decoder) for payload in (sound, sound.replace(b"buy", b"up"), sound)
    ]

    assert items[0] == items[2] == GOLDEN["futures/level2"]
    assert items[1] == Broken(
        "a change has side 'buy' or 'sell', not 'up'", "/contractMarket/level2:XBTUSDTM"
    )


def test_long_reasons_are_cut():
    item = decode(frame("/" + "x" * 10_000, {}))

    assert len(item.reason) <= 201


def test_invented_topics_do_not_grow_the_routes_without_end():
    decoder = Decoder(SPOT)

    for number in range(_MOST_ROUTES + 3):
        message = b'{"topic":"/market/ticker:A%d-B","data":{"price":1}}' % number
        item = decode(message, decoder=decoder)

    assert item.symbol == f"A{_MOST_ROUTES + 2}-B"
    assert len(decoder._routes) == _MOST_ROUTES


@pytest.mark.parametrize("sequence", [-1, -200_000, 2**63])
def test_a_book_has_no_negative_sequences_and_none_beyond_64_bits(sequence):
    assert isinstance(decode(futures_level2("3988.50,buy,44", sequence=sequence)), Broken)
